use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use certs::{Authority, client_config, server_config};
use common::{
    id::ChunkId,
    time::Timestamp,
    tree::{Entry, EntryKind, MAX_ENTRIES, Tree, chunk_id},
    wire::{
        ALPN_JOIN, Hello,
        data::{Stored, TreePart, Wanted},
    },
};
use quinn::{Connection, Endpoint};

use super::*;
use crate::{
    endpoint::{Dialer, listen},
    frames::{FrameReceiver, FrameSender, split},
};

/// Both ends of one stream over loopback.
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

/// Chunks in memory.
#[derive(Debug, Default)]
struct Memory {
    chunks: Mutex<BTreeMap<ChunkId, Vec<u8>>>,
    room: Option<u64>,
    sealed: AtomicU64,
}

impl Memory {
    fn of(contents: &[&[u8]]) -> Self {
        let chunks = contents
            .iter()
            .map(|bytes| (chunk_id(bytes), bytes.to_vec()))
            .collect();
        Self {
            chunks: Mutex::new(chunks),
            ..Self::default()
        }
    }

    fn count(&self) -> usize {
        self.chunks.lock().unwrap().len()
    }

    fn sealed(&self) -> bool {
        self.sealed.load(Ordering::SeqCst) == 1
    }
}

impl ChunkSource for Memory {
    fn read(&self, _: u32, chunk: &ChunkRef) -> Result<Vec<u8>, Problem> {
        let found = self.chunks.lock().unwrap().get(&chunk.id).cloned();
        found.ok_or_else(|| Problem::new(Code::FileChanged, "gone", "gone"))
    }
}

impl ChunkSink for Memory {
    fn has(&self, _: u32, chunk: &ChunkRef) -> bool {
        self.chunks.lock().unwrap().contains_key(&chunk.id)
    }

    fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        match self.room {
            Some(room) if missing.0 > room => {
                Err(Problem::new(Code::DiskFull, "no room", "the disk is full"))
            }
            _ => Ok(()),
        }
    }

    fn put(&self, _: u32, chunk: &ChunkRef, bytes: &[u8]) -> Result<(), Problem> {
        if self
            .room
            .is_some_and(|room| self.count() as u64 >= room / 1000)
        {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(io_problem("no room", &full));
        }
        self.chunks.lock().unwrap().insert(chunk.id, bytes.to_vec());
        Ok(())
    }

    fn seal(&self) -> Result<(), Problem> {
        self.sealed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn chunk(bytes: &[u8]) -> ChunkRef {
    ChunkRef {
        id: chunk_id(bytes),
        bytes: u32::try_from(bytes.len()).unwrap(),
    }
}

fn tree(files: &[(&str, &[&[u8]])]) -> Manifest {
    let entry = |(path, contents): &(&str, &[&[u8]])| {
        let chunks = contents.iter().map(|bytes| chunk(bytes)).collect();
        let kind = EntryKind::File {
            executable: false,
            chunks,
        };
        Entry {
            path: path.parse().unwrap(),
            kind,
        }
    };
    Manifest::new(Tree::new(files.iter().map(entry).collect()).unwrap()).unwrap()
}

/// A tree of `count` chunks of `size` bytes, and a source that has them.
fn bulk(count: u32, size: usize) -> (Manifest, Arc<Memory>) {
    let contents: Vec<Vec<u8>> = (0..count)
        .map(|number| {
            number
                .to_le_bytes()
                .into_iter()
                .cycle()
                .take(size)
                .collect()
        })
        .collect();
    let slices: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    (tree(&[("all", &slices)]), Arc::new(Memory::of(&slices)))
}

async fn take(
    sink: &Arc<Memory>,
    far: &mut (FrameSender, FrameReceiver),
) -> Result<Received, Problem> {
    let (tx, rx) = far;
    let received = async {
        let manifest = receive_description(rx).await?;
        receive(&manifest, sink, tx, rx, &()).await
    };
    let received = received.await;
    if let Err(problem) = &received {
        // As every door does.
        let _told = tx.refuse(problem).await;
    }
    received
}

#[tokio::test]
async fn only_what_lacks_travels() {
    let (manifest, source) = bulk(3000, 1000);
    let sink = Arc::new(Memory::default());
    let mut line = line().await;
    let (near_tx, near_rx) = (&mut line.near.0, &mut line.near.1);
    let (sent, received) = tokio::join!(
        send(&manifest, &source, near_tx, near_rx, &()),
        take(&sink, &mut line.far)
    );
    assert_eq!(
        sent.unwrap(),
        Sent {
            chunks: 3000,
            bytes: Bytes(3_000_000)
        }
    );
    assert_eq!(received.unwrap().chunks, 3000);
    assert!(sink.sealed());
    assert_eq!(*sink.chunks.lock().unwrap(), *source.chunks.lock().unwrap());

    // The same stream again: both sides are where they were.
    sink.chunks.lock().unwrap().pop_last();
    let (sent, received) = tokio::join!(
        send(&manifest, &source, near_tx, near_rx, &()),
        take(&sink, &mut line.far)
    );
    assert_eq!(sent.unwrap().chunks, 1);
    assert_eq!(received.unwrap().chunks, 1);
    let (sent, _) = tokio::join!(
        send(&manifest, &source, near_tx, near_rx, &()),
        take(&sink, &mut line.far)
    );
    assert_eq!(
        sent.unwrap(),
        Sent {
            chunks: 0,
            bytes: Bytes(0)
        }
    );
}

#[tokio::test]
async fn an_empty_tree_and_large_chunks_travel() {
    let mut line = line().await;
    for (count, size) in [(0, 0), (1, 1), (5, 1 << 20)] {
        let (manifest, source) = bulk(count, size);
        let sink = Arc::new(Memory::default());
        let (near_tx, near_rx) = (&mut line.near.0, &mut line.near.1);
        let (sent, received) = tokio::join!(
            send(&manifest, &source, near_tx, near_rx, &()),
            take(&sink, &mut line.far)
        );
        assert_eq!(sent.unwrap().chunks, count as usize);
        assert_eq!(received.unwrap().bytes.0, u64::from(count) * size as u64);
    }
}

#[tokio::test]
async fn progress_adds_up() {
    #[derive(Default)]
    struct Counted([AtomicU64; 3]);
    impl Progress for Counted {
        fn begin(&self, tree: Bytes, missing: Bytes) {
            self.0[0].store(tree.0, Ordering::SeqCst);
            self.0[1].store(missing.0, Ordering::SeqCst);
        }
        fn advance(&self, bytes: Bytes) {
            self.0[2].fetch_add(bytes.0, Ordering::SeqCst);
        }
    }
    let (manifest, source) = bulk(10, 100);
    let sink = Arc::new(Memory::of(&[&source
        .read(0, &manifest.chunks()[4])
        .unwrap()]));
    let counted = Counted::default();
    let mut line = line().await;
    let (sent, received) = tokio::join!(
        send(
            &manifest,
            &source,
            &mut line.near.0,
            &mut line.near.1,
            &counted
        ),
        take(&sink, &mut line.far)
    );
    sent.unwrap();
    received.unwrap();
    assert_eq!(counted.0.map(AtomicU64::into_inner), [1000, 900, 900]);
}

/// Plays a sender that describes a tree of two chunks and then sends these frames.
async fn hostile_sender(pieces: &[(u32, &[u8])]) -> Problem {
    let manifest = tree(&[("a", &[b"first", b"second"])]);
    let sink = Arc::new(Memory::default());
    let mut line = line().await;
    let (tx, rx) = (&mut line.near.0, &mut line.near.1);
    let play = async {
        for part in manifest.parts() {
            tx.send(&part).await.unwrap();
        }
        assert_eq!(rx.expect::<Wanted>().await.unwrap().ordinals, [0, 1]);
        for (ordinal, bytes) in pieces {
            tx.send_chunk(*ordinal, bytes).await.unwrap();
        }
        tx.finish();
    };
    let ((), received) = tokio::join!(play, take(&sink, &mut line.far));
    assert!(!sink.sealed());
    let problem = received.unwrap_err();
    assert!(
        sink.chunks
            .lock()
            .unwrap()
            .iter()
            .all(|(id, bytes)| chunk_id(bytes) == *id)
    );
    problem
}

#[tokio::test]
async fn what_is_not_the_chunk_is_refused() {
    let wrong = hostile_sender(&[(0, b"first"), (1, b"sekond")]).await;
    assert_eq!(wrong.code, Code::Checksum);
    assert_eq!(
        hostile_sender(&[(0, b"first, and more")]).await.code,
        Code::Checksum
    );
    assert_eq!(hostile_sender(&[(0, b"")]).await.code, Code::Checksum);
    assert_eq!(
        hostile_sender(&[(1, b"second"), (0, b"first")]).await.code,
        Code::Protocol
    );
    assert_eq!(
        hostile_sender(&[(0, b"first"), (0, b"first")]).await.code,
        Code::Protocol
    );
    assert_eq!(hostile_sender(&[(7, b"first")]).await.code, Code::Protocol);
    assert_eq!(
        hostile_sender(&[(u32::MAX, b"first")]).await.code,
        Code::Protocol
    );
    assert_eq!(hostile_sender(&[(0, b"first")]).await.code, Code::Protocol);
    assert_eq!(hostile_sender(&[]).await.code, Code::Protocol);
}

/// Describes a tree in these parts and returns what the receiver says.
async fn hostile_description(parts: &[TreePart]) -> Problem {
    let mut line = line().await;
    let tx = &mut line.near.0;
    let play = async {
        for part in parts {
            // The receiver may have had enough already.
            if tx.send(part).await.is_err() {
                return;
            }
        }
        tx.finish();
    };
    let rx = &mut line.far.1;
    let ((), described) = tokio::join!(play, receive_description(rx));
    described.unwrap_err()
}

#[tokio::test]
async fn descriptions_are_bounded_and_valid() {
    let part = |entries: Vec<Entry>, last| TreePart { entries, last };
    let folder = |path: String| Entry {
        path: path.parse().unwrap(),
        kind: EntryKind::Directory,
    };
    let link = EntryKind::Symlink {
        target: "../../etc".to_owned(),
    };
    let out = Entry {
        path: "a".parse().unwrap(),
        kind: link,
    };
    let refused = hostile_description(&[part(vec![out], true)]).await;
    assert!(refused.why.contains("leads out"), "{refused}");
    let twice = vec![folder("a".to_owned()), folder("a".to_owned())];
    assert_eq!(
        hostile_description(&[part(twice, true)]).await.code,
        Code::Protocol
    );
    assert_eq!(
        hostile_description(&[part(vec![], false)]).await.code,
        Code::Protocol
    );
    assert_eq!(hostile_description(&[]).await.code, Code::Protocol);
    let cut = hostile_description(&[part(vec![folder("a".to_owned())], false)]).await;
    assert_eq!(cut.code, Code::Protocol);

    let many = |from: usize| {
        (from..from + 50_000)
            .map(|i| folder(i.to_string()))
            .collect()
    };
    let parts: Vec<TreePart> = (0..=MAX_ENTRIES / 50_000)
        .map(|i| part(many(i * 50_000), false))
        .collect();
    let refused = hostile_description(&parts).await;
    assert!(refused.why.contains("entries"), "{refused}");
}

/// Plays a receiver that asks for these ordinals and returns what the sender says.
async fn hostile_receiver(parts: &[(&[u32], bool)]) -> Problem {
    let (manifest, source) = bulk(10, 10);
    let mut line = line().await;
    let (tx, rx) = (&mut line.far.0, &mut line.far.1);
    let play = async {
        rx.expect::<TreePart>().await.unwrap();
        for (ordinals, last) in parts {
            tx.send(&Wanted {
                ordinals: ordinals.to_vec(),
                last: *last,
            })
            .await
            .unwrap();
        }
        tx.finish();
    };
    let sending = send(&manifest, &source, &mut line.near.0, &mut line.near.1, &());
    let ((), sent) = tokio::join!(play, sending);
    sent.unwrap_err()
}

#[tokio::test]
async fn senders_check_what_they_are_asked_for() {
    for bad in [
        &[(&[10][..], true)][..],
        &[(&[u32::MAX], true)],
        &[(&[1, 1], true)],
        &[(&[2, 1], true)],
        &[(&[0, 5], false), (&[5], true)],
        &[(&[], false)],
        &[(&[0], false)],
        &[],
    ] {
        assert_eq!(hostile_receiver(bad).await.code, Code::Protocol, "{bad:?}");
    }
}

#[tokio::test]
async fn a_receipt_for_another_tree_is_refused() {
    let (manifest, source) = bulk(1, 1);
    let other = bulk(2, 1).0.id();
    let mut line = line().await;
    let (tx, rx) = (&mut line.far.0, &mut line.far.1);
    let play = async {
        rx.expect::<TreePart>().await.unwrap();
        tx.send(&Wanted {
            ordinals: vec![],
            last: true,
        })
        .await
        .unwrap();
        tx.send(&Stored { tree: other }).await.unwrap();
    };
    let sending = send(&manifest, &source, &mut line.near.0, &mut line.near.1, &());
    let ((), sent) = tokio::join!(play, sending);
    assert_eq!(sent.unwrap_err().code, Code::Protocol);
}

#[tokio::test]
async fn a_full_disk_is_told_to_the_sender() {
    // Seen before anything is asked for, and only while it is written.
    for room in [1_000, 15_000_000] {
        let (manifest, source) = bulk(20_000, 500);
        let sink = Arc::new(Memory {
            room: Some(room),
            ..Memory::default()
        });
        let Line {
            near,
            mut far,
            _open,
        } = line().await;
        let (mut tx, mut rx) = near;
        let receiving = async move {
            let received = take(&sink, &mut far).await;
            (received, sink)
        };
        let sending = send(&manifest, &source, &mut tx, &mut rx, &());
        let (sent, (received, sink)) = tokio::join!(sending, receiving);
        assert_eq!(received.unwrap_err().code, Code::DiskFull);
        assert_eq!(sent.unwrap_err().code, Code::DiskFull);
        assert!(!sink.sealed());
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_to_the_receiver() {
    let (manifest, source) = bulk(5000, 1000);
    source
        .chunks
        .lock()
        .unwrap()
        .remove(&manifest.chunks()[4000].id);
    let sink = Arc::new(Memory::default());
    let mut line = line().await;
    let (tx, rx) = (&mut line.near.0, &mut line.near.1);
    let sending = async {
        let sent = send(&manifest, &source, tx, rx, &()).await;
        tx.refuse(sent.as_ref().unwrap_err()).await.unwrap();
        sent
    };
    let (sent, received) = tokio::join!(sending, take(&sink, &mut line.far));
    assert_eq!(sent.unwrap_err().code, Code::FileChanged);
    assert_eq!(received.unwrap_err().code, Code::FileChanged);
    assert!(!sink.sealed());
}

#[tokio::test]
async fn a_lost_connection_ends_both_sides_and_the_rest_comes_later() {
    let (manifest, source) = bulk(200, 100_000);
    let sink = Arc::new(Memory::default());
    let mut line = line().await;
    let (near, far) = (&mut line.near, &mut line.far);
    let cut = line._open.2.clone();
    struct Cutting(Connection, AtomicU64);
    impl Progress for Cutting {
        fn begin(&self, _: Bytes, _: Bytes) {}
        fn advance(&self, bytes: Bytes) {
            if self.1.fetch_add(bytes.0, Ordering::SeqCst) > 10_000_000 {
                self.0.close(0_u32.into(), b"");
            }
        }
    }
    let cutting = Cutting(cut, AtomicU64::new(0));
    let sending = send(&manifest, &source, &mut near.0, &mut near.1, &cutting);
    let (sent, received) = tokio::join!(sending, take(&sink, far));
    assert!(sent.is_err() && received.is_err());
    let (kept, sealed) = (sink.count(), sink.sealed());
    assert!(kept > 0 && kept < 200 && !sealed, "{kept}");

    let mut line = self::line().await;
    let sending = send(&manifest, &source, &mut line.near.0, &mut line.near.1, &());
    let (sent, received) = tokio::join!(sending, take(&sink, &mut line.far));
    assert_eq!(sent.unwrap().chunks, 200 - kept);
    received.unwrap();
    assert!(sink.sealed());
}
