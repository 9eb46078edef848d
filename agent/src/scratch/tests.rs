//! Disks for real, which only root can have.

use super::*;

/// Returns disks in a folder of their own; `None`, and says so, where the machine has none.
fn disks(folder: &Path) -> Option<Disks> {
    match Disks::open(&folder.join("scratch")) {
        Ok(disks) => Some(disks),
        Err(error) => {
            println!("NOT TRIED: no disks of attempts' own here: {error}");
            assert!(!rustix::process::geteuid().is_root(), "{error}");
            None
        }
    }
}

fn devices_of(folder: &Path) -> usize {
    let all = fs::read_dir("/sys/block").unwrap().flatten();
    let of =
        all.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    of.filter(|of| of.contains(folder.to_str().unwrap()))
        .count()
}

/// Waits until no device of a file in `folder` is left.
fn gone(folder: &Path) {
    let begin = std::time::Instant::now();
    while devices_of(folder) > 0 {
        assert!(begin.elapsed().as_secs() < 10, "devices are left");
        std::thread::yield_now();
    }
}

/// Writes until that fails; returns how much went in.
fn fill(path: &Path) -> (u64, io::Error) {
    let mut file = fs::File::create(path).unwrap();
    let (block, mut written) = (vec![7; 4096], 0);
    loop {
        match io::Write::write_all(&mut file, &block) {
            Ok(()) => written += 4096,
            Err(error) => return (written, error),
        }
    }
}

#[test]
fn a_disk_holds_what_was_asked_for_and_hardly_more() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disks) = disks(temp.path()) else {
        return;
    };
    for size in [Bytes::mib(1), Bytes::mib(8), Bytes::mib(300)] {
        let disk = disks.take(size).unwrap();
        let (written, error) = fill(&disk.path().join("file"));
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let most = size.0 + size.0 / 50 + (1 << 20);
        assert!((size.0..=most).contains(&written), "{size}: {written}");
        disk.discard();
    }
    let disk = disks.take(Bytes::mib(1)).unwrap();
    let mut made = 0_u64;
    let error = loop {
        match fs::File::create(disk.path().join(made.to_string())) {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!((3000..=4200).contains(&made), "{made} files");
}

#[test]
fn a_used_disk_comes_back_empty_and_one_that_cannot_is_removed() {
    let temp = tempfile::tempdir().unwrap();
    let Some(disks) = disks(temp.path()) else {
        return;
    };
    let size = Bytes::mib(16);
    let disk = disks.take(size).unwrap();
    let first = disk.device().to_owned();
    fs::create_dir_all(disk.path().join("work/a/b")).unwrap();
    fs::write(disk.path().join("work/a/b/secret"), vec![1; 1 << 20]).unwrap();
    let disk = disk.moved(&temp.path().join(IMAGE)).unwrap();
    disks.give_back(disk);
    let again = disks.take(size).unwrap();
    assert_eq!(again.device(), first, "it was kept");
    assert_eq!(fs::read_dir(again.path()).unwrap().count(), 0);
    assert!(!temp.path().join(IMAGE).exists());
    // Something is left of it that has no name: it is used again once that is gone.
    let open = fs::File::create(again.path().join("file")).unwrap();
    io::Write::write_all(&mut &open, &[1; 100_000]).unwrap();
    let named = again.path().join("file");
    let holder = std::thread::spawn(move || {
        while named.exists() {
            std::thread::yield_now();
        }
        drop(open);
    });
    disks.give_back(again);
    holder.join().unwrap();
    let again = disks.take(size).unwrap();
    assert_eq!(again.device(), first, "it was waited for");
    // Where it stays, it is not.
    let open = fs::File::create(again.path().join("file")).unwrap();
    io::Write::write_all(&mut &open, &[1; 100_000]).unwrap();
    disks.give_back(again);
    let other = disks.take(size).unwrap();
    assert_ne!(other.device(), first);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    drop((open, other));
    drop(disks);
    gone(temp.path());
}

#[test]
fn nothing_is_left_where_the_daemon_goes_and_attempts_disks_are_found_again() {
    let temp = tempfile::tempdir().unwrap();
    let Some(mut before) = disks(temp.path()) else {
        return;
    };
    let disk = before.take(Bytes::mib(2)).unwrap();
    fs::write(disk.path().join("kept"), b"result").unwrap();
    let image = temp.path().join(IMAGE);
    drop(disk.moved(&image).unwrap());
    before.refill(Bytes::mib(4));
    // As if it had been killed: nobody cleared up.
    let inner = Arc::get_mut(&mut before.inner).unwrap();
    inner.state.get_mut().unwrap().ready.clear();
    drop(before);
    let left = || fs::read_dir(temp.path().join("scratch")).unwrap().count();
    assert!(left() > 0);
    let after = disks(temp.path()).unwrap();
    let attempt = AttemptId {
        job: common::id::JobId::from_bytes([1; 16]),
        task: 0,
        number: 1,
    };
    after.adopt(attempt, temp.path()).unwrap();
    let files = after.files_of(attempt, temp.path());
    assert_eq!(fs::read(files.join("kept")).unwrap(), b"result");
    after.release(attempt);
    assert!(!image.exists());
    drop(after);
    gone(temp.path());
}
