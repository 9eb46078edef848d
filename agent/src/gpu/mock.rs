//! A library that speaks as the driver's does, built from this workspace, with the scenario that it plays.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use super::{Gpus, files::Places};

/// Two GPUs with nobody on them.
pub(super) const TWO: &str = "driver 550.90\n\
    gpu GPU-aaaa 24564 NVIDIA GeForce RTX 4090\n\
    gpu GPU-bbbb 143771 NVIDIA H200\n";
/// When the first look of a test is.
pub(super) const START: Duration = Duration::from_secs(100);

/// A copy of the mock driver in a folder of its own.
pub(super) struct Mock {
    pub(super) folder: tempfile::TempDir,
}

impl Mock {
    pub(super) fn playing(scenario: &str) -> Self {
        let driver = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::copy(built(), driver.library()).unwrap();
        driver.play(scenario);
        driver
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("libnvidia-ml.so.1")
    }

    /// Plays this from the next question on.
    pub(super) fn play(&self, scenario: &str) {
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, scenario).unwrap();
        std::fs::rename(draft, self.folder.path().join("scenario")).unwrap();
    }

    /// Renames a symbol inside the library's file, so that the loader does not find it.
    pub(super) fn without(self, symbol: &str) -> Self {
        let mut bytes = std::fs::read(self.library()).unwrap();
        let name = format!("{symbol}\0").into_bytes();
        let mut found = 0;
        for at in 0..bytes.len().saturating_sub(name.len()) {
            if bytes[at..].starts_with(&name) {
                bytes[at + symbol.len() - 1] = b'#';
                found += 1;
            }
        }
        assert!(found > 0, "{symbol} is not in the library");
        std::fs::write(self.library(), bytes).unwrap();
        self
    }

    /// Returns the GPUs of this driver. Supervisors would be below `attempts` in the mock's folder.
    pub(super) fn gpus(&self) -> Gpus {
        let places = Places::under(&self.folder.path().join("root"));
        let library = self.library().into_os_string();
        Gpus::open_with(Some(library), places, self.attempts())
    }

    pub(super) fn attempts(&self) -> PathBuf {
        self.folder.path().join("attempts")
    }
}

/// Returns the library's file, built if need be.
fn built() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let build = ["build", "--quiet", "-p", "compute-share-mock-nvml"];
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
        let status = Command::new(cargo).args(build).status().unwrap();
        assert!(status.success(), "the mock driver does not build");
        let test = std::env::current_exe().unwrap();
        let target = test
            .ancestors()
            .nth(3)
            .expect("tests lie in target/PROFILE/deps");
        target.join("debug/libmock_nvml.so")
    })
}
