//! What the version before lends: files in several folders, linked by several threads, and pieces of files.

use std::{collections::BTreeSet, os::unix::fs::symlink};

use common::id::ChunkId;

use super::*;

const FOLDERS: usize = 7;
const FILES: usize = 20;

/// Returns the chunks of one tree that the other has not.
fn new_in(second: &Manifest, first: &Manifest) -> BTreeSet<ChunkId> {
    let ids = |of: &Manifest| of.chunks().iter().map(|chunk| chunk.id).collect();
    let (second, first): (BTreeSet<_>, BTreeSet<_>) = (ids(second), ids(first));
    &second - &first
}

/// Stocks the folder as `change` leaves it.
fn stocked(depot: &Depot, folder: &Path, change: impl FnOnce()) -> Manifest {
    change();
    depot.stock(folder)
}

#[tokio::test]
async fn of_a_file_that_was_changed_here_and_there_only_that_comes() {
    let site = Site::new().await;
    let content = tempfile::tempdir().unwrap();
    let file = content.path().join("table");
    let before = noise(1, 4 << 20);
    let first = stocked(&site.depot, content.path(), || {
        fs::write(&file, &before).unwrap();
    });
    let mut after = before.clone();
    for at in [0, 700_000, 1_500_000, (4 << 20) - 1] {
        after[at] ^= 1;
    }
    // Something is gone, something is new, and something that was at the end comes early as well.
    after.drain(900_000..950_000);
    after.splice(2_000_000..2_000_000, noise(2, 30_000));
    after.splice(400_000..400_000, before[3_500_000..3_800_000].to_vec());
    let second = stocked(&site.depot, content.path(), || {
        fs::write(&file, &after).unwrap();
    });
    let (_folder, cache) = cache(PLENTY);
    let one = cache.fetch(&site.connection, first.id(), &()).await;
    let _one = one.unwrap();
    site.depot.moved.store(0, Ordering::SeqCst);
    let two = cache.fetch(&site.connection, second.id(), &()).await;
    assert!(fs::read(two.unwrap().path().join("table")).unwrap() == after);
    let (moved, new) = (
        site.depot.moved.load(Ordering::SeqCst),
        new_in(&second, &first).len(),
    );
    assert!(new < second.chunks().len() / 4, "{new}");
    assert_eq!(moved, new);
}

#[tokio::test]
async fn files_of_many_folders_are_linked_but_those_whose_donor_is_not_as_it_was() {
    let site = Site::new().await;
    let content = tempfile::tempdir().unwrap();
    let path = |folder: usize, file: usize| format!("{folder}/deep/{file:02}");
    let write = |folder: usize, file: usize, seed: usize| {
        let at = content.path().join(path(folder, file));
        fs::write(at, noise(seed as u64, 3000)).unwrap();
    };
    let first = stocked(&site.depot, content.path(), || {
        for folder in 0..FOLDERS {
            fs::create_dir_all(content.path().join(format!("{folder}/deep"))).unwrap();
            (0..FILES).for_each(|file| write(folder, file, 100 * folder + file));
        }
    });
    let second = stocked(&site.depot, content.path(), || {
        (0..FOLDERS).for_each(|folder| write(folder, 5, 9000 + folder));
    });
    let (folder, cache) = cache(PLENTY);
    let one = cache.fetch(&site.connection, first.id(), &()).await;
    let one = one.unwrap();

    // Root, or the owner of the machine, can do that.
    let at = |file: &str| one.path().join(file);
    for folder in [1, 3, 6] {
        let folder = at(&format!("{folder}/deep"));
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    let (missing, altered, replaced) = (path(1, 9), path(3, 0), path(6, 19));
    fs::remove_file(at(&missing)).unwrap();
    fs::set_permissions(at(&altered), Permissions::from_mode(0o644)).unwrap();
    fs::write(at(&altered), noise(1, 3000)).unwrap();
    fs::remove_file(at(&replaced)).unwrap();
    symlink(at("0/deep/00"), at(&replaced)).unwrap();

    site.depot.moved.store(0, Ordering::SeqCst);
    let (reserved, layout) = prepare(&cache, &second).await;
    let linked: Vec<usize> = layout.linked().iter().map(|linked| linked.entry).collect();
    assert_eq!(linked.len(), FOLDERS * (FILES - 1) - 3);
    assert!(linked.is_sorted(), "they are looked up by entry");
    drop((reserved, layout));
    let two = cache.fetch(&site.connection, second.id(), &()).await;
    let two = two.unwrap();
    assert_eq!(tree_of(two.path()), *second.tree());
    let lost = 3;
    assert_eq!(
        site.depot.moved.load(Ordering::SeqCst),
        new_in(&second, &first).len() + lost
    );
    let inode = |of: &Pinned, file: &str| {
        let about = fs::symlink_metadata(of.path().join(file));
        about.map(|about| about.ino()).ok()
    };
    for folder in 0..FOLDERS {
        for file in 0..FILES {
            let file_path = path(folder, file);
            let apart = file == 5 || [&missing, &altered, &replaced].contains(&&file_path);
            let same = inode(&one, &file_path) == inode(&two, &file_path);
            assert_eq!(same, !apart, "{file_path}");
        }
    }
    drop((one, two, cache));
    // It is whole by itself; the other is not.
    let cache = Cache::open(&folder.path().join("cache"), PLENTY).unwrap();
    assert_eq!(cache.ids(), [second.id()]);
}
