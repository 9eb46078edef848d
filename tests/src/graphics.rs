//! GPUs for a person's computer, played by the mock driver: see `tests/mock-nvml` for what it can play.

use std::{fs, path::PathBuf};

use crate::{binaries::mock_driver, person::Person};

/// Two GPUs with nobody on them.
const TWO: &str = "driver 550.90\n\
    gpu GPU-aaaa 24564 NVIDIA GeForce RTX 4090\n\
    gpu GPU-bbbb 143771 NVIDIA H200\n";

/// A driver and device nodes, in a folder of their own.
#[derive(Debug)]
pub struct Graphics {
    folder: tempfile::TempDir,
}

impl Graphics {
    /// Gives `person`'s computer two GPUs: `GPU-aaaa` of 24 GiB and `GPU-bbbb` of 140 GiB. Its agent must not run
    /// yet.
    pub fn of(person: &mut Person) -> Self {
        let graphics = Self {
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
        };
        let nodes = graphics.path("root/dev");
        fs::create_dir_all(&nodes).expect("a temporary folder can be written");
        for name in ["nvidia0", "nvidia1", "nvidiactl"] {
            fs::write(nodes.join(name), name).expect("a temporary folder can be written");
        }
        let library = graphics.path("libnvidia-ml.so.1");
        fs::copy(mock_driver(), &library).expect("the mock driver can be copied");
        graphics.play("");
        let root = graphics.path("root");
        for (name, path) in [
            ("COMPUTE_SHARE_NVML", library),
            ("COMPUTE_SHARE_GPU_ROOT", root),
        ] {
            person.set(name, path.to_string_lossy().into_owned());
        }
        graphics
    }

    /// Plays these lines beside the two GPUs, from the next question to the driver on.
    pub fn play(&self, lines: &str) {
        let draft = self.path("draft");
        fs::write(&draft, format!("{TWO}{lines}")).expect("a temporary folder can be written");
        fs::rename(draft, self.path("scenario")).expect("a temporary folder can be written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
