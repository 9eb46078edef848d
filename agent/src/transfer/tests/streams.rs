use std::{
    ffi::OsStr,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
    },
    time::{Duration, SystemTime},
};

use common::id::OrgId;
use proptest::{
    prelude::{ProptestConfig, Strategy, any},
    test_runner::TestRunner,
};

use super::{
    super::{Memory, describe, download, upload, upload_again, walk},
    *,
};

/// Compares two folders by everything that a tree says.
#[track_caller]
fn same(one: &Path, other: &Path) {
    assert_eq!(tree_of(one), tree_of(other));
}

#[tokio::test]
async fn a_folder_goes_up_once_and_comes_down_whole() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(folder.path());
    let site = Site::new().await;
    let walked = walk(folder.path(), &everything()).unwrap();
    let tree = upload(&site.connection, &up(), &walked, &()).await.unwrap();
    let there = tree_of(folder.path());
    assert_eq!(tree, there.id());
    assert_eq!(
        site.depot.moved.swap(0, Ordering::SeqCst),
        there.chunks().len()
    );
    upload(&site.connection, &up(), &walked, &()).await.unwrap();
    assert_eq!(site.depot.moved.load(Ordering::SeqCst), 0);

    let first = MachineTree(tree);
    for into in [target.path().to_owned(), target.path().join("a/new/one")] {
        let got = download(&site.connection, &first, &into, None, &())
            .await
            .unwrap();
        assert_eq!(got, there);
        same(folder.path(), &into);
        fs::remove_dir_all(&into).unwrap();
        fs::create_dir(target.path()).unwrap_or_default();
    }
    let left = fs::read_dir(target.path().parent().unwrap()).unwrap();
    let partial = |entry: fs::DirEntry| entry.file_name().to_string_lossy().contains(".partial");
    assert!(!left.map(Result::unwrap).any(partial));
}

#[tokio::test]
async fn a_target_in_use_is_refused_and_untouched() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(folder.path());
    let site = Site::new().await;
    let first = MachineTree(site.depot.stock(folder.path()).id());
    fs::write(target.path().join("mine"), "mine").unwrap();
    for into in [target.path().to_owned(), target.path().join("mine")] {
        let problem = download(&site.connection, &first, &into, None, &())
            .await
            .unwrap_err();
        assert_eq!(problem.code, Code::BadFolder, "{problem}");
    }
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);
    symlink("missing", target.path().join("link")).unwrap();
    let into = target.path().join("link");
    let problem = download(&site.connection, &first, &into, None, &())
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::BadFolder);
    let unknown = MachineTree(TreeId::new([0; 32]));
    let into = target.path().join("new");
    let problem = download(&site.connection, &unknown, &into, None, &())
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::NotFound);
    assert!(!into.exists());
}

#[tokio::test]
async fn a_file_that_changes_after_the_walk_is_told_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let original = noise(1, 200_000);
    let mut altered = original.clone();
    altered[150_000] ^= 1;
    let time = SystemTime::now();
    type Change<'a> = &'a dyn Fn();
    let changes: [Change<'_>; 4] = [
        &|| fs::write(&path, &altered).unwrap(),
        &|| fs::remove_file(&path).unwrap(),
        &|| fs::write(&path, b"short").unwrap(),
        // The time says that nothing happened; that of the inode tells.
        &|| {
            fs::write(&path, &altered).unwrap();
            fs::File::options()
                .append(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        fs::write(&path, &original).unwrap();
        fs::File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
        let walked = walk(folder.path(), &everything()).unwrap();
        change();
        let site = Site::new().await;
        let problem = upload(&site.connection, &up(), &walked, &())
            .await
            .unwrap_err();
        assert_eq!(problem.code, Code::FileChanged, "{number}: {problem}");
        assert!(problem.why.contains("\"data\""), "{problem}");
        // The depot hears it as the stream's next frame; another stream waits for that.
        fs::write(&path, &original).unwrap();
        let walked = walk(folder.path(), &everything()).unwrap();
        upload(&site.connection, &up(), &walked, &()).await.unwrap();
        assert_eq!(site.depot.trees.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_interrupted_download_goes_on_where_it_was() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(folder.path());
    let into = target.path().join("out");
    let depot = Arc::new(Depot::unlimited());
    let manifest = depot.stock(folder.path());
    let first = MachineTree(manifest.id());
    let count = manifest.chunks().len();

    let site = Site::with(Arc::clone(&depot)).await;
    let cutting = Cutting::new(&site);
    download(&site.connection, &first, &into, None, &cutting)
        .await
        .unwrap_err();
    assert!(!into.exists());

    depot.moved.store(0, Ordering::SeqCst);
    let site = Site::with(Arc::clone(&depot)).await;
    download(&site.connection, &first, &into, None, &())
        .await
        .unwrap();
    let moved = depot.moved.load(Ordering::SeqCst);
    assert!(moved < count, "{moved} of {count}");
    same(folder.path(), &into);
}

#[tokio::test]
async fn what_an_earlier_try_left_is_checked() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(folder.path());
    let site = Site::new().await;
    let manifest = site.depot.stock(folder.path());
    let first = MachineTree(manifest.id());
    let id = manifest.id().to_string();
    let partial = target.path().join(format!(".out.{}.partial", &id[..16]));
    let outside = target.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("large.bin"), "mine").unwrap();
    // A link in place of a folder, a file in place of another, and a file longer than it should be.
    fs::create_dir_all(&partial).unwrap();
    symlink(&outside, partial.join("data")).unwrap();
    fs::write(partial.join("an"), "file").unwrap();
    fs::write(partial.join("run.sh"), noise(3, 4000)).unwrap();
    let into = target.path().join("out");
    download(&site.connection, &first, &into, None, &())
        .await
        .unwrap();
    same(folder.path(), &into);
    assert_eq!(fs::read(outside.join("large.bin")).unwrap(), b"mine");
}

#[tokio::test]
async fn one_target_is_written_by_one_transfer_at_a_time() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(folder.path());
    let site = Site::new().await;
    let manifest = site.depot.stock(folder.path());
    let id = manifest.id().to_string();
    let partial = target.path().join(format!(".out.{}.partial", &id[..16]));
    fs::create_dir(&partial).unwrap();
    let held = fs::File::open(&partial).unwrap();
    held.lock().unwrap();
    let first = MachineTree(manifest.id());
    let into = target.path().join("out");
    let problem = download(&site.connection, &first, &into, None, &())
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::Busy);
    drop(held);
    download(&site.connection, &first, &into, None, &())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_part_of_a_tree_comes_alone_and_a_description_without_anything() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(folder.path());
    fs::write(folder.path().join("data2"), noise(7, 50_000)).unwrap();
    let site = Site::new().await;
    let manifest = site.depot.stock(folder.path());
    let from = MachineTree(manifest.id());
    let described = describe(&site.connection, &from).await.unwrap();
    assert_eq!(described.tree(), manifest.tree());
    assert_eq!(site.depot.moved.load(Ordering::SeqCst), 0);
    let into = target.path().join("part");
    let path = "data".parse().unwrap();
    let got = download(&site.connection, &from, &into, Some(&path), &());
    assert_eq!(got.await.unwrap().file_count(), 3);
    for name in ["large.bin", "the same.bin", "näme"] {
        let read = |at: &Path| fs::read(at.join("data").join(name)).unwrap();
        assert_eq!(read(folder.path()), read(&into), "{name}");
    }
    assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
    let moved = site.depot.moved.load(Ordering::SeqCst);
    assert!(moved < manifest.chunks().len() - 2, "{moved}");
    let (into, path) = (target.path().join("none"), "data/none".parse().unwrap());
    let none = download(&site.connection, &from, &into, Some(&path), &()).await;
    assert_eq!(none.unwrap_err().code, Code::NotFound);
    assert!(!into.exists());
}

#[tokio::test]
async fn names_that_are_not_text_and_holes_come_back() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let odd = folder.path().join(OsStr::from_bytes(b"d\xff"));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join(OsStr::from_bytes(b"f\xfe")), "x").unwrap();
    symlink(
        OsStr::from_bytes(b"d\xff/f\xfe"),
        folder.path().join("link"),
    )
    .unwrap();
    let clashing: [&[u8]; 5] = [b"A", b"a", b"new\nline", b"\x1b[31mred", b"-rf *"];
    for name in clashing {
        let path = folder.path().join(OsStr::from_bytes(name));
        fs::write(path, [b"this is ", name].concat()).unwrap();
    }
    let sparse = fs::File::create(folder.path().join("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    sparse.write_all_at(b"an island", 20 << 20).unwrap();
    let site = Site::new().await;
    let walked = walk(folder.path(), &everything()).unwrap();
    let tree = upload(&site.connection, &up(), &walked, &()).await.unwrap();
    // Zeros are one chunk, wherever they are, and that is small.
    let moved = site.depot.moved.load(Ordering::SeqCst);
    assert!(moved < clashing.len() + 6, "{moved}");
    let into = target.path().join("out");
    let from = MachineTree(tree);
    download(&site.connection, &from, &into, None, &())
        .await
        .unwrap();
    same(folder.path(), &into);
    assert_eq!(fs::read(into.join("A")).unwrap(), b"this is A");
    assert_eq!(fs::read(into.join("a")).unwrap(), b"this is a");
    let held = fs::metadata(into.join("sparse")).unwrap().blocks() * 512;
    assert!(held < 1 << 20, "holes take no room: {held}");
}

/// A folder's content: names of one or two parts, and what stands there.
fn any_folder() -> impl Strategy<Value = Vec<(String, u8, u64)>> {
    let one = ("[a-d]{1,2}(/[a-cé ]{1,3})?", any::<u8>(), 0_u64..4);
    proptest::collection::vec(one, 0..12)
}

fn make(folder: &Path, content: &[(String, u8, u64)]) {
    for (path, kind, seed) in content {
        let path = folder.join(path);
        // What collides with something made before is left out.
        if fs::create_dir_all(path.parent().unwrap()).is_err() || path.symlink_metadata().is_ok() {
            continue;
        }
        let sizes = [0, 1, 5000, 65_535, 65_536, 400_000];
        match kind % 8 {
            6 => fs::create_dir(&path).unwrap(),
            7 => drop(symlink("a", &path)),
            size => fs::write(&path, noise(*seed, sizes[usize::from(size)])).unwrap(),
        }
        if *kind > 128 && path.is_file() && !path.is_symlink() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

#[test]
fn any_folder_comes_back_as_it_was() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let site = runtime.block_on(Site::new());
    let config = ProptestConfig {
        cases: 48,
        ..ProptestConfig::with_source_file(file!())
    };
    let checked = TestRunner::new(config).run(&any_folder(), |content| {
        let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        make(folder.path(), &content);
        let walked = walk(folder.path(), &everything()).unwrap();
        let into = target.path().join("out");
        runtime.block_on(async {
            let tree = upload(&site.connection, &up(), &walked, &()).await.unwrap();
            let first = MachineTree(tree);
            download(&site.connection, &first, &into, None, &())
                .await
                .unwrap();
        });
        same(folder.path(), &into);
        Ok(())
    });
    checked.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_sent_again_is_read_where_it_was_touched() {
    let site = Site::new().await;
    let place = tempfile::tempdir().unwrap();
    let (folder, cache) = (place.path().join("data"), place.path().join("cache"));
    fs::create_dir(&folder).unwrap();
    for number in 0..20 {
        fs::write(folder.join(format!("f{number}")), noise(number, 40_000)).unwrap();
    }
    let memory = Memory::of(
        &cache,
        OrgId::from_bytes([1; 16]),
        &"digits".parse().unwrap(),
        &folder,
    )
    .unwrap();
    let again = async || {
        let walked = walk(&folder, &WalkOptions::default()).unwrap();
        let walked = walked.seen_at(SystemTime::now() + Duration::from_secs(100));
        upload_again(&site.connection, &up(), &walked, &memory, &()).await
    };
    let first = again().await.unwrap();
    let expected = tree_of(&folder).id();
    assert_eq!(first, expected);
    let moved = site.depot.moved.load(Ordering::SeqCst);
    fs::write(folder.join("f3"), noise(99, 50_000)).unwrap();
    fs::remove_file(folder.join("f4")).unwrap();
    let second = again().await.unwrap();
    assert_eq!(second, tree_of(&folder).id());
    assert!(
        site.depot.moved.load(Ordering::SeqCst) - moved <= 8,
        "chunks of one file"
    );
    // Where the other side has lost what it said that it has, everything is read and sent.
    site.depot.lose_chunks();
    assert_eq!(again().await.unwrap(), second);
    let chunks = tree_of(&folder).chunks();
    assert_eq!(
        site.depot.lacks(&chunks).unwrap(),
        vec![false; chunks.len()]
    );
}
