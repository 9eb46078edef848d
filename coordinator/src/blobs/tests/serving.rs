//! Trees over streams.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
    time::SystemTime,
};

use bytes::Bytes as Buffer;
use certs::{Authority, client_config, server_config};
use common::wire::{
    ALPN_JOIN, Hello,
    data::{Announced, Offer, Run, Wanted},
};
use link::{
    endpoint::{Dialer, listen},
    frames::split,
    pace::Pace,
    trees::{self, ChunkSink, Fetcher, Lane, Taking},
};
use quinn::{Connection, Endpoint};
use tokio::sync::mpsc;

use super::*;

/// A connection over loopback: a peer's end and the coordinator's.
struct Line {
    near: Connection,
    far: Connection,
    _open: (Endpoint, Dialer),
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
    Line {
        near: near.unwrap(),
        far,
        _open: (endpoint, dialer),
    }
}

/// A peer that keeps nothing but checks order.
#[derive(Debug)]
struct Peer;

impl ChunkSink for Peer {
    fn has(&self, _: u32, _: &ChunkRef) -> bool {
        false
    }
    fn reserve(&self, _: Bytes) -> Result<(), Problem> {
        Ok(())
    }
    fn put(&self, chunks: &[(u32, Buffer)]) -> Result<(), Problem> {
        for (ordinal, bytes) in chunks {
            assert_eq!(*bytes, content(*ordinal));
        }
        Ok(())
    }
    fn seal(&self) -> Result<(), Problem> {
        Ok(())
    }
}

fn announced(manifest: &Manifest) -> Announced {
    let tree = manifest.tree();
    Announced {
        files: tree.file_count(),
        bytes: tree.bytes(),
        beside: None,
    }
}

/// Serves the upload that the peer begins next.
async fn take(store: &Store, line: &Line, announced: Announced) -> Result<TreeId, Problem> {
    let (mut tx, mut rx) = split(line.far.accept_bi().await.unwrap());
    rx.expect::<Hello>().await.unwrap();
    let taking = Taking::new(Upload::begin(store, Ok(()), drop), announced, None);
    let taken = taking.serve(&mut tx, &mut rx).await;
    if let Err(problem) = &taken {
        let _told = tx.refuse(problem).await;
    }
    Ok(taken?.id())
}

/// Sends a tree of the first chunks; returns what the store says, and how many chunks it lacked.
pub(super) async fn upload(store: &Store, manifest: &Manifest) -> (Result<TreeId, Problem>, usize) {
    let line = line().await;
    let (hand, cuts) = mpsc::channel(1);
    let count = u32::try_from(manifest.chunks().len()).unwrap();
    let cut = |number| (chunk(number), Buffer::from(content(number)));
    hand.send((0..count).map(cut).collect()).await.unwrap();
    drop(hand);
    let sending = async {
        let (mut tx, mut rx) = split(line.near.open_bi().await.unwrap());
        tx.send(&Hello::ours()).await.unwrap();
        let lane = Lane {
            connection: &line.near,
            tx: &mut tx,
            rx: &mut rx,
            pieces: Hello::ours(),
            beside: None,
        };
        let tree = async { Ok(manifest.clone()) };
        trees::send(lane, announced(manifest), cuts, tree, &()).await
    };
    let (sent, served) = tokio::join!(sending, take(store, &line, announced(manifest)));
    (served, sent.map_or(0, |(_, sent)| sent.chunks))
}

pub(super) async fn download(store: &Store, tree: TreeId) -> Result<TreeId, Problem> {
    download_while(store, tree, || Ok(()), 1).await
}

/// Fetches a tree several times, as long as `may` lets the peer.
async fn download_while(
    store: &Store,
    tree: TreeId,
    may: impl Fn() -> Result<(), Problem> + Clone + Send + Sync + 'static,
    times: usize,
) -> Result<TreeId, Problem> {
    let line = line().await;
    let serving = async {
        let mut described = false;
        loop {
            let (mut tx, mut rx) = split(line.far.accept_bi().await.unwrap());
            rx.expect::<Hello>().await.unwrap();
            let served = match std::mem::replace(&mut described, true) {
                false => serve_description(store, tree, &mut tx).await,
                true => {
                    let pace = Pace::default();
                    serve_chunks(store, tree, may.clone(), &pace, &mut tx, &mut rx).await
                }
            };
            match served {
                Ok(()) => tx.finish(),
                Err(problem) => drop(tx.refuse(&problem).await),
            }
        }
    };
    let fetching = async {
        let (mut tx, mut rx) = split(line.near.open_bi().await.unwrap());
        tx.send(&Hello::ours()).await?;
        let manifest = trees::receive_description(&mut rx).await?;
        let fetcher = Fetcher::new(line.near.clone(), Hello::ours(), manifest);
        for _ in 0..times {
            fetcher.complete(&Arc::new(Peer), &()).await?;
        }
        Ok(fetcher.manifest().id())
    };
    tokio::select! {
        fetched = fetching => fetched,
        () = serving => unreachable!("it serves for ever"),
    }
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
    let asked = Arc::new(AtomicUsize::new(0));
    let three = move || match asked.fetch_add(1, Ordering::Relaxed) {
        0..3 => Ok(()),
        _ => Err(Problem::new(
            Code::Permission,
            "no more",
            "it was taken back",
        )),
    };
    let fetched = download_while(&store, manifest.id(), three.clone(), 3).await;
    assert_eq!(fetched, Ok(manifest.id()));
    let refused = download_while(&store, manifest.id(), three, 1)
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::Permission);
}

#[tokio::test]
async fn a_damaged_chunk_is_never_served_and_the_next_upload_heals_it() {
    let (folder, store) = store();
    let manifest = tree(20);
    upload(&store, &manifest).await.0.unwrap();
    damage::flip(folder.path(), None, &store, 7, 100);
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
    let line = line().await;
    let breaking = async {
        let (mut tx, mut rx) = split(line.near.open_bi().await.unwrap());
        tx.send(&Hello::ours()).await.unwrap();
        let chunks = manifest.chunks().to_vec();
        tx.send(&Offer { chunks }).await.unwrap();
        let wanted: Wanted = rx.expect().await.unwrap();
        assert_eq!(wanted.runs, Run::of(0..10));
        for number in 0..10 {
            // The last chunk has the right length and the wrong content.
            let piece = Piece::plain(content(if number == 9 { 4 } else { number }).into());
            tx.send_frame(trees::pieces_frame(number, &piece))
                .await
                .unwrap();
        }
        // Until it is refused.
        assert!(rx.recv::<Wanted>().await.is_err());
    };
    let (served, ()) = tokio::join!(take(&store, &line, announced(&manifest)), breaking);
    assert_eq!(served.unwrap_err().code, Code::Checksum);
    assert_eq!(store.has_tree(manifest.id()), Ok(false));
    assert_eq!(upload(&store, &manifest).await, (Ok(manifest.id()), 1));

    let temp = folder.path().join(ORG.to_string()).join("temps/3");
    fs::write(temp, b"half a description").unwrap();
    drop(store);
    let _store = store_at(folder.path(), BEGINNING);
    assert_eq!(files(folder.path(), "temps"), [""; 0]);
}
