use std::process::Command;

use super::{
    super::{Cache, download},
    *,
};

/// Gives this thread and those it starts mounts of their own. Needs root.
pub(super) fn own_mounts() {
    use rustix::{
        mount::{MountPropagationFlags, mount_change},
        thread::{UnshareFlags, unshare_unsafe},
    };
    #[allow(unsafe_code, reason = "a system call that no safe function wraps")]
    // SAFETY: only the mount namespace is unshared; descriptors stay common to all threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .unwrap();
}

/// Mounts a file system of this many bytes that only this thread and those it starts see. Needs root.
pub(super) fn small_disk(at: &Path, bytes: u64) {
    use rustix::mount::{MountFlags, mount};
    own_mounts();
    let size = std::ffi::CString::new(format!("size={bytes}")).unwrap();
    mount("none", at, "tmpfs", MountFlags::empty(), size.as_c_str()).unwrap();
}

/// Runs the test of this name again as root of a user namespace of its own, and returns whether that is
/// where it should go on. Without root there is no other way to mount anything.
pub(super) fn as_root(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let mut again = Command::new("unshare");
    again
        .args(["--user", "--map-root-user", "--mount"])
        .arg(program)
        .args(["--exact", test]);
    assert!(again.status().unwrap().success());
    false
}

#[test]
fn a_full_disk_ends_a_transfer_with_its_cause_and_leaves_nothing() {
    if !as_root(
        "transfer::tests::disk_full::a_full_disk_ends_a_transfer_with_its_cause_and_leaves_nothing",
    ) {
        return;
    }
    let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("data"), noise(1, 3 << 20)).unwrap();
    small_disk(disk.path(), 4 << 20);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let site = Site::new().await;
        let manifest = site.depot.stock(folder.path());
        let first = MachineTree(manifest.id());
        let (filler, into) = (disk.path().join("filler"), disk.path().join("out"));

        // Seen before anything comes.
        fs::write(&filler, vec![1; 2 << 20]).unwrap();
        let problem = download(&site.connection, &first, &into, None, &())
            .await
            .unwrap_err();
        assert_eq!(problem.code, Code::DiskFull, "{problem}");
        assert!(problem.why.contains("3 MiB are needed"), "{problem}");
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1);
        let cache = Cache::open(&disk.path().join("cache"), Bytes::gib(1)).unwrap();
        let refused = cache
            .fetch(&site.connection, manifest.id(), &())
            .await
            .unwrap_err();
        assert_eq!(refused.code, Code::DiskFull);

        // Somebody else fills the disk before the first chunk comes, and after a third of them.
        for after in [0, 1 << 20] {
            fs::remove_file(&filler).unwrap();
            let fill = Filling::new(&filler, after);
            let problem = download(&site.connection, &first, &into, None, &fill)
                .await
                .unwrap_err();
            assert_eq!(problem.code, Code::DiskFull, "{problem}");
            assert!(problem.what.starts_with("cannot write"), "{problem}");
            // Nothing of it, and the room that it took is free again.
            let mut left = fs::read_dir(disk.path()).unwrap().flatten();
            assert!(!left.any(|entry| entry.file_name().to_string_lossy().contains("out")));
            fs::remove_file(&filler).unwrap();
            let fill = Filling::new(&filler, after);
            let refused = cache
                .fetch(&site.connection, manifest.id(), &fill)
                .await
                .unwrap_err();
            assert_eq!(refused.code, Code::DiskFull, "{refused}");
            assert_eq!(cache.used(), Bytes(0));
            for part in ["temps", "trees"] {
                let part = disk.path().join("cache").join(part);
                assert_eq!(fs::read_dir(part).unwrap().count(), 0, "{after}");
            }
        }

        // With room again everything goes well.
        fs::remove_file(&filler).unwrap();
        download(&site.connection, &first, &into, None, &())
            .await
            .unwrap();
        fs::remove_dir_all(&into).unwrap();
        cache
            .fetch(&site.connection, manifest.id(), &())
            .await
            .unwrap();
    });
}

/// Fills the disk once so much of a transfer has come.
struct Filling {
    filler: std::path::PathBuf,
    left: Mutex<Option<u64>>,
}

impl Filling {
    fn new(filler: &Path, after: u64) -> Self {
        Self {
            filler: filler.to_owned(),
            left: Mutex::new(Some(after)),
        }
    }

    fn came(&self, bytes: u64) {
        let mut left = self.left.lock().unwrap();
        if let Some(more) = left.take() {
            *left = more.checked_sub(bytes).filter(|more| *more > 0);
            if left.is_none() {
                fs::write(&self.filler, vec![1; 8 << 20]).unwrap_err();
            }
        }
    }
}

impl Progress for Filling {
    fn begin(&self, _: Bytes, _: Bytes) {
        self.came(0);
    }
    fn advance(&self, bytes: Bytes) {
        self.came(bytes.0);
    }
    fn skip(&self, _: Bytes) {}
}
