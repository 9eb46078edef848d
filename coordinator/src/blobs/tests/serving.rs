//! Trees over a stream.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
    time::SystemTime,
};

use certs::{Authority, client_config, server_config};
use common::wire::{
    ALPN_JOIN, Hello,
    data::{TreePart, Wanted},
};
use link::{
    endpoint::{Dialer, listen},
    frames::{FrameReceiver, FrameSender, split},
    trees::{self, ChunkSink, ChunkSource},
};
use quinn::{Connection, Endpoint};

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

    drop(store);
    let store = store_at(folder.path(), BEGINNING);
    assert_eq!(store.has_tree(first.id()), Ok(true));
    let bytes: u64 = (0..101).map(|number| u64::from(chunk(number).bytes)).sum();
    assert_eq!(store.size(grown.id()).unwrap(), (Bytes(bytes), 1));
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
    let (folder, store) = store();
    let manifest = tree(20);
    upload(&store, &manifest).await.0.unwrap();
    damage::flip(folder.path(), &store, 7, 100);
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
            let bytes = content(if ordinal == 9 { 4 } else { ordinal });
            tx.send_chunk(ordinal, &bytes).await.unwrap();
        }
    };
    let (tx, rx) = &mut line.far;
    let (served, ()) = tokio::join!(serve_upload(&store, tx, rx, drop), breaking);
    assert_eq!(served.unwrap_err().code, Code::Checksum);
    assert_eq!(store.has_tree(manifest.id()), Ok(false));
    assert_eq!(upload(&store, &manifest).await, (Ok(manifest.id()), 1));

    let temp = folder.path().join(ORG.to_string()).join("temps/3");
    fs::write(temp, b"half a description").unwrap();
    drop(store);
    let _store = store_at(folder.path(), BEGINNING);
    assert_eq!(files(folder.path(), "temps"), [""; 0]);
}
