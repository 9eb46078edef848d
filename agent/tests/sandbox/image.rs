//! Jobs whose programs come from an image, and images that were made to reach the machine: rows F14 and G3.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use agent::images::image_root;
use agent_core::sandbox_plan::ImageRoot;
use common::status::{EndReason, LogStream};
use tempfile::TempDir;

use crate::world::{Attempt, everyone, row};

/// An image's root as the agent unpacks one: a shell and its tools, and what the test adds.
struct Unpacked {
    folder: TempDir,
}

impl Unpacked {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let unpacked = Self { folder };
        fs::create_dir_all(unpacked.path("bin")).unwrap();
        fs::copy("/bin/busybox", unpacked.path("bin/busybox")).unwrap();
        for tool in [
            "sh", "cat", "ls", "env", "echo", "id", "readlink", "touch", "true", "head",
        ] {
            symlink("busybox", unpacked.path(&format!("bin/{tool}"))).unwrap();
        }
        unpacked
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("root").join(name)
    }

    fn with(self, name: &str, content: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self
    }

    fn link(self, name: &str, to: impl AsRef<Path>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
        self
    }

    fn root(&self, env: &[(&str, &str)]) -> ImageRoot {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let shared = Attempt::shared_folders();
        image_root(&self.path(""), env.collect::<BTreeMap<_, _>>(), &shared).unwrap()
    }

    fn shell(&self, script: &str) -> Attempt {
        Attempt::in_image(&self.root(&[]), &["/bin/sh", "-c", script])
    }
}

/// A folder of the host that nothing may change or show.
struct Canary(TempDir);

impl Canary {
    fn new() -> Self {
        let open = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o777))
            .tempdir()
            .unwrap();
        fs::write(open.path().join("canary"), "secret of the host").unwrap();
        for folder in ["fd", "self", "shm", "pts"] {
            fs::create_dir(open.path().join(folder)).unwrap();
        }
        Self(open)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn is_unharmed(&self) {
        let mut names: Vec<String> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["canary", "fd", "pts", "self", "shm"]);
        let text = fs::read_to_string(self.path().join("canary")).unwrap();
        assert_eq!(text, "secret of the host");
        for folder in ["fd", "self", "shm", "pts"] {
            assert_eq!(
                fs::read_dir(self.path().join(folder)).unwrap().count(),
                0,
                "{folder}"
            );
        }
    }
}

#[test]
fn a_job_sees_its_image_and_nothing_of_the_host() {
    everyone(
        "image::a_job_sees_its_image_and_nothing_of_the_host",
        || {
            let image = Unpacked::new()
                .with("etc/motto", "of the image\n")
                .with("etc/passwd", "root of the image\n")
                .with("etc/deep/er", "deep\n")
                .with("opt/data", "opt\n")
                .with("tmp/theirs", "x")
                .link("etc/linked", "motto")
                .link("lib", "usr/lib")
                .with("usr/lib/x", "x\n");
            let script =
                "ls /; cat /etc/motto /etc/linked /etc/deep/er /opt/data /lib/x; id -u; ls /tmp
            cat /etc/passwd; echo x > /opt/data || echo fixed; echo y > /tmp/y && cat /tmp/y
            touch /new /etc/new || echo fixed; echo done > /output/done; ls /usr";
            let finished = image.shell(script).run();
            let out = finished.stdout();
            let expect = "bin\ndev\netc\nlib\nopt\noutput\nproc\ntmp\nusr\nwork\n\
                      of the image\nof the image\ndeep\nopt\nx\n1000\n";
            assert!(out.starts_with(expect), "{finished:?}");
            assert!(
                out.contains("job:x:1000:1000") && !out.contains("root of the image"),
                "{out}"
            );
            assert!(out.ends_with("fixed\ny\nfixed\nlib\n"), "{out}");
            assert_eq!(finished.result.outcome.exit_code, Some(0), "{finished:?}");
        },
    );
}

/// Everything that programs of containers were once led astray by is a link to the host, or not there.
#[test]
fn f14_an_images_links_lead_nowhere() {
    row(&["F14"], "image::f14_an_images_links_lead_nowhere", || {
        let host = Canary::new();
        let target = host.path().join("canary");
        let folders = [
            "dev", "proc", "sys", "tmp", "work", "output", "etc", "data", "usr",
        ];
        for up in ["", "../../../../../../../.."] {
            let to = |path: &Path| PathBuf::from(format!("{up}{}", path.display()));
            let image = folders.iter().fold(Unpacked::new(), |image, name| {
                image.link(name, to(host.path()))
            });
            let script = "echo >/dev/null; echo x > /work/mine && echo y > /tmp/mine && echo z > /output/mine
                cat /etc/hostname; cat /proc/self/status | head -n 1; ls /etc; cat /usr/canary /sys/canary
                ls -d /dev/null /proc/1; echo over >> /usr/canary; touch /usr/new; echo done";
            let finished = image.shell(script).run();
            let out = finished.stdout();
            assert!(
                out.contains("olive\n") && out.contains("Name:") && out.ends_with("done\n"),
                "{finished:?}"
            );
            assert!(!out.contains("secret"), "{out}");
            host.is_unharmed();
        }
        let files = [
            "dev/null",
            "dev/console",
            "dev/pts/ptmx",
            "proc/self/attr/exec",
            "proc/sys/kernel/core_pattern",
            "etc/resolv.conf",
            "etc/passwd",
            "etc/hosts",
            "etc/mtab",
            "etc/hostname",
            "etc/group",
        ];
        let image = files
            .iter()
            .fold(Unpacked::new(), |image, name| image.link(name, &target));
        let script = "echo over > /dev/null; echo over > /etc/resolv.conf; echo over > /etc/passwd
            cat /etc/passwd /etc/resolv.conf; echo over > /etc/mtab; cat /etc/hostname; ls /dev; echo done";
        let finished = image.shell(script).run();
        let out = finished.stdout();
        assert!(
            out.contains("job:x:1000:1000") && out.contains("olive\n"),
            "{finished:?}"
        );
        assert!(
            out.ends_with("done\n") && !out.contains("secret") && !out.contains("console"),
            "{out}"
        );
        host.is_unharmed();
    });
}

/// A dataset goes where the job wants it, whatever the image has on the way there.
#[test]
fn f14_what_is_mounted_never_goes_through_a_link() {
    row(
        &["F14"],
        "image::f14_what_is_mounted_never_goes_through_a_link",
        || {
            let host = Canary::new();
            let set = tempfile::Builder::new()
                .permissions(fs::Permissions::from_mode(0o755))
                .tempdir()
                .unwrap();
            fs::write(set.path().join("table"), "1 2 3\n").unwrap();
            let names = [Path::new("etc"), Path::new("data"), Path::new("real/set")];
            let real = Unpacked::new()
                .with("real/kept", "kept\n")
                .with("real/set/hidden", "theirs\n");
            let image = names[..2].iter().fold(real, |image, name| {
                image.link(name.to_str().unwrap(), host.path())
            });
            let mounted = ["/etc/fd", "/data/shm/deep", "/real/set"].map(|path| (path, set.path()));
            let shared = Attempt::shared_with(&mounted);
            let root = image_root(&image.path(""), BTreeMap::new(), &shared).unwrap();
            let script = "cat /etc/fd/table /data/shm/deep/table /real/set/table /real/kept
            cat /data/canary /real/set/hidden; ls /data; echo done";
            let finished = Attempt::with(Some(&root), &["/bin/sh", "-c", script], &mounted).run();
            let out = finished.stdout();
            assert_eq!(
                out, "1 2 3\n1 2 3\n1 2 3\nkept\nshm\ndone\n",
                "{finished:?}"
            );
            host.is_unharmed();
        },
    );
}

/// What an image wants loaded or set is for its own programs: no process of ours takes it.
#[test]
fn g3_no_process_of_ours_obeys_an_images_environment() {
    row(
        &["G3"],
        "image::g3_no_process_of_ours_obeys_an_images_environment",
        || {
            let host = Canary::new();
            let library = host.path().join("canary");
            let library = library.to_str().unwrap();
            let image = Unpacked::new();
            let env = [
                ("LD_PRELOAD", library),
                ("LD_LIBRARY_PATH", host.path().to_str().unwrap()),
                ("LD_AUDIT", library),
                ("NVIDIA_VISIBLE_DEVICES", "all"),
                ("CUDA_VISIBLE_DEVICES", "0"),
                ("COMPUTE_SHARE_MACHINE", "forged"),
                ("HOME", "/root"),
                ("PATH", "/bin"),
                ("COLOUR", "blue"),
            ];
            let root = image.root(&env);
            // The loader of a program of the host would complain of a library that is none.
            let finished = Attempt::in_image(&root, &["env"]).run();
            let errors = finished.text(LogStream::Stderr);
            assert!(
                !errors.contains("ld.so") && !errors.contains("preload"),
                "{errors}"
            );
            assert_eq!(
                finished.result.outcome.reason,
                EndReason::Exited,
                "{finished:?}"
            );
            let out = finished.stdout();
            let value = |name: &str| {
                let mut lines = out.lines();
                lines
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                    .map(str::to_owned)
            };
            for (name, expect) in [
                ("NVIDIA_VISIBLE_DEVICES", "void"),
                ("CUDA_VISIBLE_DEVICES", ""),
                ("COMPUTE_SHARE_MACHINE", "olive"),
                ("HOME", "/work"),
                ("COLOUR", "blue"),
                ("LD_PRELOAD", library),
                ("ASKED", "yes"),
            ] {
                assert_eq!(value(name).as_deref(), Some(expect), "{name}: {out}");
            }
            host.is_unharmed();
        },
    );
}
