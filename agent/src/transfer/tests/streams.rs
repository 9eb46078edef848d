use proptest::{
    prelude::{ProptestConfig, Strategy, any},
    test_runner::TestRunner,
};

use super::{
    super::{download, upload, walk},
    *,
};

/// Compares two folders by everything that a tree says.
#[track_caller]
fn same(one: &Path, other: &Path) {
    let tree = |path| walk(path, &everything()).unwrap().tree().clone();
    assert_eq!(tree(one), tree(other));
}

#[tokio::test]
async fn a_folder_goes_up_once_and_comes_down_whole() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(folder.path());
    let site = Site::new().await;
    let walked = walk(folder.path(), &everything()).unwrap();
    let tree = upload(&site.connection, &up(), &walked, &()).await.unwrap();
    assert_eq!(tree, walked.tree().id());
    assert_eq!(
        site.depot.moved.swap(0, Ordering::SeqCst),
        walked.tree().chunks().len()
    );
    upload(&site.connection, &up(), &walked, &()).await.unwrap();
    assert_eq!(site.depot.moved.load(Ordering::SeqCst), 0);

    let first = AgentStream::Download { tree };
    for into in [target.path().to_owned(), target.path().join("a/new/one")] {
        let got = download(&site.connection, &first, &into, &())
            .await
            .unwrap();
        assert_eq!(&got, walked.tree());
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
    let first = AgentStream::Download {
        tree: site.depot.stock(folder.path()).id(),
    };
    fs::write(target.path().join("mine"), "mine").unwrap();
    for into in [target.path().to_owned(), target.path().join("mine")] {
        let problem = download(&site.connection, &first, &into, &())
            .await
            .unwrap_err();
        assert_eq!(problem.code, Code::BadFolder, "{problem}");
    }
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);
    symlink("missing", target.path().join("link")).unwrap();
    let into = target.path().join("link");
    let problem = download(&site.connection, &first, &into, &())
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::BadFolder);
    let unknown = AgentStream::Download {
        tree: TreeId::new([0; 32]),
    };
    let into = target.path().join("new");
    let problem = download(&site.connection, &unknown, &into, &())
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
        // The time says that nothing happened; the content tells.
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
    let first = AgentStream::Download {
        tree: manifest.id(),
    };
    let count = manifest.chunks().len();

    depot.fails_after.store(8, Ordering::SeqCst);
    let site = Site::with(Arc::clone(&depot)).await;
    download(&site.connection, &first, &into, &())
        .await
        .unwrap_err();
    assert!(!into.exists());

    depot.fails_after.store(u64::MAX, Ordering::SeqCst);
    let site = Site::with(Arc::clone(&depot)).await;
    download(&site.connection, &first, &into, &())
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
    let first = AgentStream::Download {
        tree: manifest.id(),
    };
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
    download(&site.connection, &first, &into, &())
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
    let first = AgentStream::Download {
        tree: manifest.id(),
    };
    let into = target.path().join("out");
    let problem = download(&site.connection, &first, &into, &())
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::Busy);
    drop(held);
    download(&site.connection, &first, &into, &())
        .await
        .unwrap();
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
            let first = AgentStream::Download { tree };
            download(&site.connection, &first, &into, &())
                .await
                .unwrap();
        });
        same(folder.path(), &into);
        Ok(())
    });
    checked.unwrap();
}
