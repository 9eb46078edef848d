//! How long things take beside the floor of what the file system can do. Prints with `--no-capture`; small here,
//! and as large as `COMPUTE_SHARE_FIGURES` (files, and MiB of large ones) says, for instance with
//! `COMPUTE_SHARE_FIGURES=20000 cargo nextest run --release -p compute-share figures --no-capture`.

use std::time::{Duration, Instant};

use super::*;

/// Files of a usual run: enough that a walk costs more than noise.
const FEW: usize = 3000;

fn scale() -> usize {
    let told = std::env::var("COMPUTE_SHARE_FIGURES");
    told.ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(FEW)
}

/// Bytes of a file: small ones in a small run, those of `performance.md` in a large one.
fn bytes_of(number: usize) -> usize {
    if scale() == FEW {
        100
    } else {
        60_000 + number % 80 * 1000
    }
}

fn stock_files(depot: &Depot, changed: usize) -> Manifest {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..scale() {
        let below = folder.path().join(format!("{:03}", number / 100));
        fs::create_dir_all(&below).unwrap();
        let seed = if number % 100 < changed { 1_000_000 } else { 0 } + number as u64;
        fs::write(
            below.join(number.to_string()),
            noise(seed, bytes_of(number)),
        )
        .unwrap();
    }
    depot.stock(folder.path())
}

fn took<T>(what: &str, work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = work();
    let took = begun.elapsed();
    println!("{what:50} {:9.3} ms", took.as_secs_f64() * 1000.0);
    (took, done)
}

async fn took_to_fetch(what: &str, site: &Site, cache: &Cache, tree: TreeId) -> (Duration, Pinned) {
    let begun = Instant::now();
    let pinned = cache.fetch(&site.connection, tree, &()).await.unwrap();
    let took = begun.elapsed();
    println!("{what:50} {:9.3} ms", took.as_secs_f64() * 1000.0);
    (took, pinned)
}

fn link_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => link_all(&entry.path(), &to),
            false => fs::hard_link(entry.path(), to).unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_many_small_files() {
    let site = Site::new().await;
    let (first, second) = (stock_files(&site.depot, 0), stock_files(&site.depot, 1));
    let (folder, cache) = cache(Bytes::gib(100));
    let (_, one) = took_to_fetch("cold", &site, &cache, first.id()).await;
    let mut again = Duration::MAX;
    for _ in 0..5 {
        let (took, _pinned) = took_to_fetch("there already", &site, &cache, first.id()).await;
        again = again.min(took);
    }
    let (walk, found) = took("floor: a walk with a look at each file", || {
        sealed::look(one.path(), first.tree())
    });
    assert!(found.is_some());
    let (_, two) = took_to_fetch("1 % changed", &site, &cache, second.id()).await;
    took("floor: links to all of it (cp -rl)", || {
        link_all(one.path(), &folder.path().join("links"));
    });
    assert_eq!(walk_of(&two), *second.tree());
    drop((one, two, cache));
    let (_, cache) = took("an agent that starts", || {
        Cache::open(&folder.path().join("cache"), Bytes::gib(100)).unwrap()
    });
    took_to_fetch("there already, after the start", &site, &cache, first.id()).await;
    assert!(again * 3 < walk, "{again:?} for a use, {walk:?} for a walk");
}

fn walk_of(pinned: &Pinned) -> common::tree::Tree {
    tree_of(pinned.path())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_large_files_of_which_one_percent_changed() {
    let site = Site::new().await;
    let mebibytes = if scale() == FEW { 16 } else { scale() / 10 };
    let folder = tempfile::tempdir().unwrap();
    let stock = |changed: bool| {
        for file in 0..4 {
            let mut bytes = noise(file, (mebibytes / 4) << 20);
            let blocks = bytes.len() >> 16;
            for block in (0..blocks).step_by(100).filter(|_| changed) {
                bytes[block << 16..(block + 1) << 16].copy_from_slice(&noise(1000 + file, 1 << 16));
            }
            fs::write(folder.path().join(file.to_string()), bytes).unwrap();
        }
        site.depot.stock(folder.path())
    };
    let (first, second) = (stock(false), stock(true));
    let (_folder, cache) = cache(Bytes::gib(100));
    let (_, one) = took_to_fetch("cold", &site, &cache, first.id()).await;
    let before = site.depot.moved.load(Ordering::SeqCst);
    let (_, two) = took_to_fetch("1 % changed", &site, &cache, second.id()).await;
    let came = site.depot.moved.load(Ordering::SeqCst) - before;
    took("floor: a plain copy", || {
        for file in 0..4 {
            let name = file.to_string();
            fs::copy(one.path().join(&name), folder.path().join(name)).unwrap();
        }
    });
    println!("{came} of {} chunks came", second.chunks().len());
    assert!(came * 10 < second.chunks().len());
    assert_eq!(walk_of(&two), *second.tree());
}
