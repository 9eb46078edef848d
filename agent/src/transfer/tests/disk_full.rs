use std::process::Command;

use super::{
    super::{Cache, download},
    *,
};

/// Mounts a file system of this many bytes that only this thread and those it starts see. Needs root.
fn small_disk(at: &Path, bytes: u64) {
    use rustix::{
        mount::{MountFlags, MountPropagationFlags, mount, mount_change},
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
    let size = std::ffi::CString::new(format!("size={bytes}")).unwrap();
    mount("none", at, "tmpfs", MountFlags::empty(), size.as_c_str()).unwrap();
}

/// Runs the test of this name again as root of a user namespace of its own, and returns whether that is
/// where it should go on. Without root there is no other way to have a small disk.
fn as_root(test: &str) -> bool {
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

        // Somebody else fills the disk while chunks come.
        fs::remove_file(&filler).unwrap();
        let fill = Filling(filler.clone());
        let problem = download(&site.connection, &first, &into, None, &fill)
            .await
            .unwrap_err();
        assert_eq!(problem.code, Code::DiskFull, "{problem}");
        assert!(!into.exists());
        fs::remove_file(&filler).unwrap();
        let fill = Filling(filler.clone());
        let refused = cache
            .fetch(&site.connection, manifest.id(), &fill)
            .await
            .unwrap_err();
        assert_eq!(refused.code, Code::DiskFull, "{refused}");
        assert_eq!(cache.used(), Bytes(0));
        let temps = disk.path().join("cache/temps");
        assert_eq!(fs::read_dir(temps).unwrap().count(), 0);

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

/// Fills the disk as soon as a transfer begins.
struct Filling(std::path::PathBuf);

impl Progress for Filling {
    fn begin(&self, _: Bytes, _: Bytes) {
        fs::write(&self.0, vec![1; 8 << 20]).unwrap_err();
    }
    fn advance(&self, _: Bytes) {}
    fn skip(&self, _: Bytes) {}
}
