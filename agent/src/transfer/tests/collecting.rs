use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, net::UnixListener},
    sync::atomic::AtomicBool,
    thread,
};

use super::{
    super::{Collected, Source, collect, upload},
    walking::fifo,
    *,
};

fn all(folder: &Path) -> Source<'_> {
    Source { folder, only: None }
}

fn tree(collected: &Collected) -> Tree {
    collected.walked.manifest().unwrap().tree().clone()
}

fn paths(collected: &Collected) -> Vec<String> {
    let tree = tree(collected);
    tree.entries()
        .iter()
        .map(|entry| entry.path.to_string())
        .collect()
}

#[test]
fn what_a_job_should_not_leave_is_skipped_and_said() {
    let output = tempfile::tempdir().unwrap();
    let at = |name: &str| output.path().join(name);
    fs::write(at("good"), "good").unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink("../good", at("folder/inside")).unwrap();
    symlink("../../etc/passwd", at("folder/outside")).unwrap();
    symlink("/etc/passwd", at("absolute")).unwrap();
    fifo(&at("pipe"));
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::write(output.path().join(OsStr::from_bytes(b"na\xffme")), "x").unwrap();
    fs::File::create(at("sparse"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let collected = collect(&[all(output.path())], 1000, Bytes::mib(1)).unwrap();
    assert_eq!(
        paths(&collected),
        ["folder", "folder/inside", "good", "na\\xffme"]
    );
    let said = collected.skipped.named.join("\n");
    assert_eq!(collected.skipped.count, 5, "{said}");
    for word in ["folder/outside", "absolute", "FIFO", "socket", "sparse"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn entries_are_capped() {
    let output = tempfile::tempdir().unwrap();
    (0..500).for_each(|n| fs::write(output.path().join(format!("{n:03}")), "").unwrap());
    let collected = collect(&[all(output.path())], 100, Bytes::mib(1)).unwrap();
    assert_eq!(tree(&collected).entries().len(), 100);
    assert!(collected.skipped.named[0].contains("beyond 100 entries"));
    let deep = tempfile::tempdir().unwrap();
    let mut path = deep.path().to_owned();
    for _ in 0..40 {
        path.push("d".repeat(60));
        // Longer than what the system takes at once, so step by step.
        fs::create_dir(&path).unwrap();
    }
    let collected = collect(&[all(deep.path())], 100, Bytes::mib(1)).unwrap();
    assert_eq!(tree(&collected).entries().len(), 33);
    assert_eq!(collected.skipped.count, 1);
}

#[test]
fn declared_outputs_join_what_is_under_output() {
    let (output, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(work.path().join("results/deep")).unwrap();
    fs::write(work.path().join("results/deep/a"), "work").unwrap();
    fs::write(work.path().join("results/b"), "work").unwrap();
    fs::write(work.path().join("source.rs"), "not asked for").unwrap();
    fs::create_dir(output.path().join("results")).unwrap();
    fs::write(output.path().join("results/b"), "output").unwrap();
    let declared = [
        "results/",
        "./source.rs/",
        "missing",
        "../etc",
        "/etc",
        "results/deep",
    ];
    let declared = declared.map(str::to_owned);
    let only = Some(&declared[..]);
    let sources = [
        all(output.path()),
        Source {
            folder: work.path(),
            only,
        },
    ];
    let collected = collect(&sources, 1000, Bytes::mib(1)).unwrap();
    let expect = [
        "results",
        "results/b",
        "results/deep",
        "results/deep/a",
        "source.rs",
    ];
    assert_eq!(paths(&collected), expect);
    let tree = tree(&collected);
    let b = tree
        .files()
        .find(|(path, _)| path.as_bytes() == b"results/b");
    assert_eq!(b.unwrap().1[0].id, common::tree::chunk_id(b"output"));
    let said = collected.skipped.named.join("\n");
    for word in ["results/b", "missing", "../etc", "\"/etc\""] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let nothing = collect(
        &[Source {
            only: Some(&[]),
            ..sources[1]
        }],
        10,
        Bytes(10),
    )
    .unwrap();
    assert!(nothing.walked.is_empty());
}

#[tokio::test]
async fn a_folder_that_becomes_a_link_after_it_was_read_is_not_sent() {
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("output");
    fs::create_dir_all(output.join("real")).unwrap();
    fs::write(output.join("real/file"), "harmless").unwrap();
    let collected = collect(&[all(&output)], 1000, Bytes::mib(1)).unwrap();
    assert_eq!(paths(&collected), ["real", "real/file"]);
    // The very same file, so that only the way to it differs.
    fs::rename(output.join("real"), place.path().join("away")).unwrap();
    symlink(place.path().join("away"), output.join("real")).unwrap();
    let site = Site::new().await;
    let sent = upload(&site.connection, &up(), &collected.walked, &()).await;
    let sent = site.depot.manifest(sent.unwrap());
    assert_eq!(sent.tree().file_count(), 0);
    assert!(site.depot.chunks.lock().unwrap().is_empty());
}

/// A job that swaps a folder for a link to somebody's secrets all the while.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_is_read_while_folders_are_swapped() {
    let place = tempfile::tempdir().unwrap();
    let (output, secret) = (place.path().join("output"), place.path().join("secret"));
    fs::create_dir_all(output.join("real")).unwrap();
    fs::create_dir(&secret).unwrap();
    fs::write(output.join("real/file"), "harmless").unwrap();
    fs::write(secret.join("file"), "secret").unwrap();
    fs::write(secret.join("key"), "secret").unwrap();
    symlink(&secret, place.path().join("link")).unwrap();
    let (swapping, link) = (output.join("real"), place.path().join("link"));
    let done = Arc::new(AtomicBool::new(false));
    let swapper = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut swaps = 0_u32;
            while !done.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let here = rustix::fs::CWD;
                rustix::fs::renameat_with(here, &swapping, here, &link, flags).unwrap();
                swaps += 1;
            }
            swaps
        }
    });
    let site = Site::new().await;
    let harmless = common::tree::chunk_id(b"harmless");
    let mut seen = 0;
    for _ in 0..300 {
        let collected = collect(&[all(&output)], 1000, Bytes::mib(1)).unwrap();
        assert!(!paths(&collected).contains(&"real/key".to_owned()));
        // What was harmless when it was listed may be a link when it is read.
        let sent = upload(&site.connection, &up(), &collected.walked, &()).await;
        let chunks = site.depot.manifest(sent.unwrap()).tree().chunks();
        assert!(chunks.iter().all(|chunk| chunk.id == harmless));
        seen += chunks.len();
    }
    done.store(true, Ordering::Relaxed);
    assert!(swapper.join().unwrap() > 300);
    assert!(
        seen > 0,
        "the swapper won every time; the test shows nothing"
    );
    let got = site.depot.chunks.lock().unwrap();
    assert!(got.keys().all(|id| *id == harmless));
}
