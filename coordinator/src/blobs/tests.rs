use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use certs::{Authority, client_config, server_config};
use common::{
    time::Timestamp,
    tree::{ChunkRef, Entry, EntryKind, Tree, chunk_id},
    wire::{
        ALPN_JOIN, Hello,
        data::{TreePart, Wanted},
    },
};
use link::{
    endpoint::{Dialer, listen},
    frames::{FrameReceiver, FrameSender, split},
    trees::{self, ChunkSink, ChunkSource},
};
use quinn::{Connection, Endpoint};
use tempfile::TempDir;

use super::*;

/// Both ends of one stream over loopback: a peer's and the coordinator's.
struct Line {
    near: (FrameSender, FrameReceiver),
    far: (FrameSender, FrameReceiver),
    _open: (Endpoint, Dialer, Connection, Connection),
}

async fn line() -> Line {
    let folder = tempfile::tempdir().unwrap();
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let now = Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap());
    let authority = Authority::create(folder.path(), &"lab".parse().unwrap(), now).unwrap();
    let tls = server_config(&authority.server_identity(now).unwrap()).unwrap();
    let endpoint = listen((Ipv4Addr::LOCALHOST, 0).into(), tls).unwrap();
    let address = endpoint.local_addr().unwrap().to_string();
    let tls = client_config(authority.fingerprint(), None, ALPN_JOIN).unwrap();
    let dialer = Dialer::new().unwrap();
    let accept = async { endpoint.accept().await.unwrap().await.unwrap() };
    let (near, far) = tokio::join!(dialer.dial(&address, tls), accept);
    let near = near.unwrap();
    let mut opened = split(near.open_bi().await.unwrap());
    opened.0.send(&Hello::ours()).await.unwrap();
    let mut accepted = split(far.accept_bi().await.unwrap());
    accepted.1.expect::<Hello>().await.unwrap();
    Line {
        near: opened,
        far: accepted,
        _open: (endpoint, dialer, near, far),
    }
}

/// A peer with every chunk that begins with its own number.
struct Peer;

fn content(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(250)
}

fn chunk(number: u32) -> ChunkRef {
    ChunkRef {
        id: chunk_id(&content(number)),
        bytes: 1000,
    }
}

impl ChunkSource for Peer {
    fn read(&self, ordinal: u32, chunk: &ChunkRef) -> Result<Vec<u8>, Problem> {
        assert_eq!(chunk_id(&content(ordinal)), chunk.id);
        Ok(content(ordinal))
    }
}

/// A peer that keeps nothing but checks order.
impl ChunkSink for Peer {
    fn has(&self, _: u32, _: &ChunkRef) -> bool {
        false
    }
    fn reserve(&self, _: Bytes) -> Result<(), Problem> {
        Ok(())
    }
    fn put(&self, ordinal: u32, _: &ChunkRef, bytes: &[u8]) -> Result<(), Problem> {
        assert_eq!(bytes, content(ordinal));
        Ok(())
    }
    fn seal(&self) -> Result<(), Problem> {
        Ok(())
    }
}

/// A tree of one file with chunks 0 to `count`.
fn tree(count: u32) -> Manifest {
    let chunks = (0..count).map(chunk).collect();
    let kind = EntryKind::File {
        executable: false,
        chunks,
    };
    let entry = Entry {
        path: "data".parse().unwrap(),
        kind,
    };
    Manifest::new(Tree::new(vec![entry]).unwrap()).unwrap()
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn temps(store: &Store) -> usize {
    fs::read_dir(store.0.root.join("temps")).unwrap().count()
}

async fn upload(store: &Store, manifest: &Manifest) -> (Result<TreeId, Problem>, usize) {
    let mut line = line().await;
    let source = Arc::new(Peer);
    let serving = async {
        let (tx, rx) = &mut line.far;
        let served = serve_upload(store, tx, rx, drop).await;
        if let Err(problem) = &served {
            let _told = tx.refuse(problem).await;
        }
        served
    };
    let (tx, rx) = &mut line.near;
    let (sent, served) = tokio::join!(trees::send(manifest, &source, tx, rx, &()), serving);
    (served, sent.map_or(0, |sent| sent.chunks))
}

async fn download(store: &Store, tree: TreeId) -> Result<TreeId, Problem> {
    download_while(store, tree, || Ok(())).await
}

/// Fetches a tree while `may` lets the peer.
async fn download_while(
    store: &Store,
    tree: TreeId,
    may: impl Fn() -> Result<(), Problem> + Send + Sync + 'static,
) -> Result<TreeId, Problem> {
    let mut line = line().await;
    let serving = async {
        let (tx, rx) = &mut line.far;
        let served = serve_download(store, tree, may, tx, rx).await;
        if let Err(problem) = &served {
            let _told = tx.refuse(problem).await;
        }
    };
    let fetching = async {
        let (tx, rx) = &mut line.near;
        let fetched = async {
            let manifest = trees::receive_description(rx).await?;
            trees::receive(&manifest, &Arc::new(Peer), tx, rx, &()).await?;
            Ok(manifest.id())
        };
        let fetched = fetched.await;
        if let Err(problem) = &fetched {
            let _told = tx.refuse(problem).await;
        }
        fetched
    };
    tokio::join!(fetching, serving).0
}

#[tokio::test]
async fn what_went_up_comes_down_after_a_restart_and_is_sent_once() {
    let (folder, store) = store();
    let first = tree(100);
    assert_eq!(upload(&store, &first).await, (Ok(first.id()), 100));
    assert_eq!(upload(&store, &first).await, (Ok(first.id()), 0));
    let grown = tree(101);
    assert_eq!(upload(&store, &grown).await, (Ok(grown.id()), 1));
    assert!(store.unsynced().is_empty());
    assert_eq!(temps(&store), 0);

    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert!(store.has_tree(first.id()));
    assert_eq!(store.size(grown.id()).unwrap(), (Bytes(101_000), 1));
    assert_eq!(download(&store, grown.id()).await, Ok(grown.id()));
    let unknown = download(&store, tree(7).id()).await.unwrap_err();
    assert_eq!(unknown.code, Code::NotFound);
}

#[tokio::test]
async fn a_download_ends_where_the_right_to_it_is_taken_away() {
    let (_folder, store) = store();
    let manifest = tree(20);
    upload(&store, &manifest).await.0.unwrap();
    let pieces = AtomicUsize::new(0);
    let seven = move || match pieces.fetch_add(1, Ordering::Relaxed) {
        0..7 => Ok(()),
        _ => Err(Problem::new(
            Code::Permission,
            "no more",
            "it was taken back",
        )),
    };
    let refused = download_while(&store, manifest.id(), seven)
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::Permission);
}

#[tokio::test]
async fn a_damaged_chunk_is_never_served_and_the_next_upload_heals_it() {
    let (_folder, store) = store();
    let manifest = tree(20);
    upload(&store, &manifest).await.0.unwrap();
    let path = store.chunk_path(chunk(7).id);
    let mut bytes = fs::read(&path).unwrap();
    bytes[500] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(
        download(&store, manifest.id()).await.unwrap_err().code,
        Code::Checksum
    );
    assert_eq!(
        download(&store, manifest.id()).await.unwrap_err().code,
        Code::Checksum
    );
    assert_eq!(upload(&store, &manifest).await, (Ok(manifest.id()), 1));
    assert_eq!(download(&store, manifest.id()).await, Ok(manifest.id()));
    // A chunk of another length is not one that the store has.
    fs::write(&path, b"short").unwrap();
    assert_eq!(upload(&store, &manifest).await, (Ok(manifest.id()), 1));
    assert_eq!(download(&store, manifest.id()).await, Ok(manifest.id()));
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_its_chunks_but_no_tree() {
    let (folder, store) = store();
    let manifest = tree(10);
    let mut line = line().await;
    let entries = manifest.tree().entries().to_vec();
    let breaking = async {
        let (tx, rx) = &mut line.near;
        tx.send(&TreePart {
            entries,
            last: true,
        })
        .await
        .unwrap();
        assert_eq!(rx.expect::<Wanted>().await.unwrap().ordinals.len(), 10);
        for ordinal in 0..10 {
            // The last chunk has the right length and the wrong content.
            let bytes = content(if ordinal == 9 { 0 } else { ordinal });
            tx.send_chunk(ordinal, &bytes).await.unwrap();
        }
    };
    let (tx, rx) = &mut line.far;
    let (served, ()) = tokio::join!(serve_upload(&store, tx, rx, drop), breaking);
    assert_eq!(served.unwrap_err().code, Code::Checksum);
    assert!(!store.has_tree(manifest.id()));
    assert_eq!(temps(&store), 0);
    assert_eq!(upload(&store, &manifest).await, (Ok(manifest.id()), 1));

    fs::write(folder.path().join("temps/3"), b"half a chunk").unwrap();
    assert_eq!(temps(&Store::open(folder.path()).unwrap()), 0);
}

#[test]
fn a_tree_is_not_saved_before_its_chunks() {
    let (_folder, store) = store();
    let manifest = tree(2);
    store.put(&chunk(0), &content(0)).unwrap();
    assert_eq!(
        store.save_tree(&manifest).unwrap_err().code,
        Code::BadRequest
    );
    assert!(!store.has_tree(manifest.id()));
    store.put(&chunk(1), &content(1)).unwrap();
    assert_eq!(store.unsynced().len(), 2);
    assert_eq!(store.save_tree(&manifest), Ok(manifest.id()));
    assert!(store.unsynced().is_empty());
}

#[test]
fn a_damaged_description_is_refused() {
    let (_folder, store) = store();
    let manifest = tree(1);
    store.put(&chunk(0), &content(0)).unwrap();
    store.save_tree(&manifest).unwrap();
    let path = store.tree_path(manifest.id());
    let whole = fs::read(&path).unwrap();
    for at in [0, 8, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(
            store.load_tree(manifest.id()).unwrap_err().code,
            Code::Checksum
        );
    }
    // Another tree under this one's name.
    fs::write(
        &path,
        Manifest::new(Tree::default()).unwrap().encode().unwrap(),
    )
    .unwrap();
    assert_eq!(
        store.load_tree(manifest.id()).unwrap_err().code,
        Code::Checksum
    );
}

#[test]
fn one_chunk_put_by_many_at_once_is_whole() {
    let (_folder, store) = store();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|n| store.put(&chunk(n), &content(n)).unwrap()));
        }
    });
    let whole = store.save_tree(&tree(50)).unwrap();
    for number in 0..50 {
        assert_eq!(store.read(whole, &chunk(number)).unwrap(), content(number));
    }
    assert_eq!(temps(&store), 0);
}

#[test]
fn what_does_not_fit_on_the_disk_is_refused_before_it_comes() {
    let (_folder, store) = store();
    let manifest = tree(1);
    let upload = serve::Upload::new(store, manifest, drop);
    let refused = upload.reserve(Bytes(u64::MAX / 2)).unwrap_err();
    assert_eq!(refused.code, Code::DiskFull);
    upload.reserve(Bytes(1000)).unwrap();
}

mod sweeping;
