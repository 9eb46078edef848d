//! The disk is full in the middle of an upload, and when one is sealed.

use std::process::Command;

use super::*;

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
fn a_full_disk_refuses_what_comes_and_loses_nothing() {
    if !as_root("blobs::tests::disk_full::a_full_disk_refuses_what_comes_and_loses_nothing") {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    small_disk(disk.path(), 8 << 20);
    let (path, filler) = (disk.path().join("blobs"), disk.path().join("filler"));
    let store = store_at(&path, BEGINNING);
    let first: Vec<u32> = (0..10).collect();
    save(&store, &first);

    let mut refused = 0;
    for leave in [0_usize, 3_000, 6_000, 20_000, 60_000, 200_000, 500_000] {
        // All but so much of the disk is somebody else's.
        let fill = fs::write(&filler, vec![1; 16 << 20]);
        assert!(fill.is_err());
        let filled = fs::metadata(&filler).unwrap().len();
        let file = fs::OpenOptions::new().write(true).open(&filler).unwrap();
        file.set_len(filled.saturating_sub(leave as u64)).unwrap();

        let second: Vec<u32> = (5..40).collect();
        let incoming = store.begin();
        let brought = bring(&incoming, &second);
        let sealed = brought.and_then(|_| incoming.seal(&made_of(&second)));
        if let Err(problem) = &sealed {
            assert_eq!(problem.code, Code::DiskFull, "{leave}: {problem}");
            refused += 1;
        }
        drop(incoming);
        check_whole(&store, &first);
        assert_eq!(
            store.has_tree(made_of(&second).id()),
            Ok(sealed.is_ok()),
            "{leave}"
        );
        if sealed.is_ok() {
            check_whole(&store, &second);
            break;
        }
        fs::remove_file(&filler).unwrap();
    }
    assert!(refused > 2, "{refused}");

    // With room again everything goes well, also after a restart.
    let _ = fs::remove_file(&filler);
    let third: Vec<u32> = (0..40).collect();
    save(&store, &third);
    check_whole(&store, &third);
    drop(store);
    let store = store_at(&path, BEGINNING);
    check_whole(&store, &first);
    check_whole(&store, &third);
}
