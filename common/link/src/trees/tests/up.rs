use common::{
    tree::LinkTarget,
    wire::data::{
        CHUNKS_PER_OFFER, Offer, OfferedEntry, OfferedKind, OfferedPart, Run, Stored, Wanted,
    },
};
use tokio::sync::mpsc;

use super::*;

fn announced(contents: &[Vec<u8>]) -> Announced {
    Announced {
        files: 1,
        bytes: Bytes(contents.iter().map(|bytes| bytes.len() as u64).sum()),
        beside: None,
    }
}

fn lane<'a>(
    site: &'a Site,
    (tx, rx): (&'a mut FrameSender, &'a mut FrameReceiver),
    beside: Option<&'a Manifest>,
) -> Lane<'a, ClientStream> {
    Lane {
        connection: &site.near,
        pieces: ClientStream::Pieces {
            upload: tx.number(),
        },
        tx,
        rx,
        beside,
    }
}

/// Sends a folder with one file.
async fn send_all(
    site: &Site,
    contents: &[Vec<u8>],
    progress: &dyn Progress,
) -> Result<(TreeId, Sent), Problem> {
    let announced = announced(contents);
    let (mut tx, mut rx) = site.open(&upload(announced)).await;
    let (hand, cuts) = mpsc::channel(CUTS_AHEAD);
    let all = contents.to_vec();
    tokio::spawn(async move {
        for batch in all.chunks(300) {
            let cut = |bytes: &Vec<u8>| (chunk(bytes), Buffer::from(bytes.clone()));
            if hand.send(batch.iter().map(cut).collect()).await.is_err() {
                break;
            }
        }
    });
    let manifest = manifest_of(vec![file("all", contents)]);
    let lane = lane(site, (&mut tx, &mut rx), None);
    let sent = send(lane, announced, cuts, async { Ok(manifest) }, progress).await;
    let sent = sent.map(|(manifest, sent)| (manifest.id(), sent));
    if let Err(problem) = &sent {
        let _told = tx.refuse(problem).await;
    }
    sent
}

#[tokio::test]
async fn only_what_lacks_travels_and_everything_once() {
    let memory = Arc::new(Memory::default());
    let site = Site::new(&memory).await;
    // Little goes over the first stream alone, much over several; what is there twice goes once.
    for (count, size, twice) in [
        (30, 1000, 5),
        (0, 0, 0),
        (1, 1, 0),
        (900, 20_000, 100),
        (5, 1 << 20, 1),
    ] {
        memory.pieces.lock().unwrap().clear();
        memory.put.store(0, Ordering::SeqCst);
        let mut all = contents(count, size);
        all.extend_from_within(..twice);
        let counted = Counted::default();
        let (tree, sent) = send_all(&site, &all, &counted).await.unwrap();
        assert_eq!(sent.chunks, count as usize);
        assert_eq!(memory.put.load(Ordering::SeqCst), count as usize);
        let manifest = memory.trees.lock().unwrap()[&tree].clone();
        assert_eq!(manifest.id(), manifest_of(vec![file("all", &all)]).id());
        let moved = counted.moved.into_inner();
        assert_eq!(moved, u64::from(count) * size as u64);
        assert_eq!(
            moved + counted.skipped.into_inner(),
            announced(&all).bytes.0
        );

        let dropped = memory.pieces.lock().unwrap().pop_last();
        let (_, sent) = send_all(&site, &all, &()).await.unwrap();
        assert_eq!(sent.chunks, usize::from(dropped.is_some()));
        let (_, sent) = send_all(&site, &all, &()).await.unwrap();
        assert_eq!(sent, Sent::default());
    }
    assert!(memory.problems.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_compresses_travels_and_is_kept_small() {
    let memory = Arc::new(Memory::default());
    let site = Site::new(&memory).await;
    let zeros = vec![vec![0; 1 << 20], vec![0; 60_000], vec![0; 60_001]];
    let (tree, _) = send_all(&site, &zeros, &()).await.unwrap();
    let pieces = memory
        .pieces(memory.trees.lock().unwrap()[&tree].chunks())
        .unwrap();
    assert!(pieces.iter().all(|piece| piece.bytes().len() < 200));
}

#[tokio::test]
async fn a_full_disk_is_told_to_the_sender() {
    // Seen before anything is asked for, and only while it is written.
    for room in [10_000, 1_000_000] {
        let memory = Arc::new(Memory {
            room: Some(room),
            ..Memory::default()
        });
        let site = Site::new(&memory).await;
        let sent = send_all(&site, &contents(4000, 2000), &()).await;
        assert_eq!(sent.unwrap_err().code, Code::DiskFull);
        assert!(memory.trees.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_lost_connection_ends_it_and_the_rest_comes_later() {
    let memory = Arc::new(Memory::default());
    let site = Site::new(&memory).await;
    let all = contents(4000, 20_000);
    let counted = Counted::default();
    *counted.cut.lock().unwrap() = Some((site.near.clone(), 20_000_000));
    send_all(&site, &all, &counted).await.unwrap_err();
    let kept = memory.count();
    assert!(kept > 0 && kept < 4000, "{kept}");
    assert!(memory.trees.lock().unwrap().is_empty());
    let site = Site::new(&memory).await;
    let (_, sent) = send_all(&site, &all, &()).await.unwrap();
    // What was on its way when the connection was lost may have been put after the count.
    assert!(sent.chunks <= 4000 - kept, "{} {kept}", sent.chunks);
}

#[tokio::test]
async fn a_walker_that_fails_is_told_to_the_taker() {
    let memory = Arc::new(Memory::default());
    let site = Site::new(&memory).await;
    let announced = announced(&contents(1, 10));
    let (mut tx, mut rx) = site.open(&upload(announced)).await;
    let (_, cuts) = mpsc::channel(1);
    let pieces = ClientStream::Pieces { upload: 0 };
    let lane = Lane {
        connection: &site.near,
        pieces,
        tx: &mut tx,
        rx: &mut rx,
        beside: None,
    };
    let changed = || Problem::new(Code::FileChanged, "not sent", "it was changed");
    let sent = send(lane, announced, cuts, async { Err(changed()) }, &()).await;
    assert_eq!(sent.unwrap_err(), changed());
    tx.refuse(&changed()).await.unwrap();
    // The taker refuses in turn.
    assert!(rx.recv::<Stored>().await.is_err());
    assert_eq!(*memory.problems.lock().unwrap(), [changed()]);
}

/// Plays a sender by hand: an upload of `first` and `second`, both of which are asked for.
struct Hostile {
    site: Site,
    memory: Arc<Memory>,
    tx: FrameSender,
    rx: FrameReceiver,
}

impl Hostile {
    async fn new() -> Self {
        let memory = Arc::new(Memory::default());
        let site = Site::new(&memory).await;
        let announced = Announced {
            files: 1,
            bytes: Bytes(11),
            beside: None,
        };
        let (mut tx, mut rx) = site.open(&upload(announced)).await;
        let chunks = vec![chunk(b"first"), chunk(b"second")];
        tx.send(&Offer { chunks }).await.unwrap();
        let wanted: Wanted = rx.expect().await.unwrap();
        assert_eq!(wanted.runs, [Run { first: 0, count: 2 }]);
        Self {
            site,
            memory,
            tx,
            rx,
        }
    }

    /// Sends pieces over the first stream, or over another.
    async fn pieces(&mut self, pieces: &[(u32, &[u8])], another: bool) {
        let mut writer = pieces::PiecesWriter::default();
        for (number, bytes) in pieces {
            writer.push(*number, &Piece::plain(bytes.to_vec().into()));
        }
        let upload = self.tx.number();
        let mut other = self.site.open(&ClientStream::Pieces { upload }).await.0;
        for frame in writer.finish() {
            let tx = if another { &mut other } else { &mut self.tx };
            tx.send_parts(frame).await.unwrap();
        }
        other.finish();
    }

    async fn part(&mut self, entries: Vec<(&str, OfferedKind)>, last: bool) {
        let entry = |(path, kind): (&str, OfferedKind)| OfferedEntry {
            path: path.parse().unwrap(),
            kind,
        };
        let entries = entries.into_iter().map(entry).collect();
        // The taker may have had enough already.
        let _sent = self.tx.send(&OfferedPart { entries, last }).await;
    }

    /// Returns what the taker says in the end.
    async fn end(mut self) -> Result<TreeId, Problem> {
        let stored = self.rx.expect::<Stored>().await;
        let held = self.memory.trees.lock().unwrap().len();
        assert_eq!(held, usize::from(stored.is_ok()));
        Ok(stored?.tree)
    }
}

fn made_of(numbers: &[u32]) -> OfferedKind {
    OfferedKind::File {
        executable: false,
        chunks: Run::of(numbers.iter().copied()),
    }
}

#[tokio::test]
async fn what_is_not_the_piece_or_unasked_is_refused_on_any_stream() {
    type Case<'a> = (&'a [(u32, &'a [u8])], Code);
    let cases: [Case<'_>; 7] = [
        (&[(0, b"first"), (1, b"sekond")], Code::Checksum),
        (&[(0, b"first, and more")], Code::Checksum),
        (&[(2, b"first")], Code::Protocol),
        (&[(u32::MAX, b"first")], Code::Protocol),
        (&[(1, b"first")], Code::Checksum),
        (&[(0, b"first"), (0, b"first")], Code::Protocol),
        (&[], Code::Protocol),
    ];
    for another in [false, true] {
        for (pieces, code) in &cases {
            let mut hostile = Hostile::new().await;
            hostile.pieces(pieces, another).await;
            if pieces.is_empty() {
                hostile.tx.finish();
            }
            let keeps = Arc::clone(&hostile.memory);
            assert_eq!(hostile.end().await.unwrap_err().code, *code, "{pieces:?}");
            let kept = keeps.pieces.lock().unwrap();
            assert!(
                kept.iter()
                    .all(|(id, piece)| chunk_id(piece.bytes()) == *id)
            );
        }
    }
    let mut honest = Hostile::new().await;
    honest.pieces(&[(1, b"second"), (0, b"first")], true).await;
    honest.part(vec![("a", made_of(&[0]))], false).await;
    honest.part(vec![("a", made_of(&[1]))], true).await;
    let whole = manifest_of(vec![file("a", &[b"first".to_vec(), b"second".to_vec()])]);
    assert_eq!(honest.end().await, Ok(whole.id()));
}

#[tokio::test]
async fn a_tree_beyond_what_was_offered_or_announced_is_refused() {
    let link = |target: &str| OfferedKind::Symlink {
        target: LinkTarget::from(target),
    };
    let bomb = |runs| OfferedKind::File {
        executable: false,
        chunks: vec![Run { first: 0, count: 2 }; runs],
    };
    let endless = OfferedKind::File {
        executable: false,
        chunks: vec![Run {
            first: 1,
            count: u32::MAX,
        }],
    };
    let cases = [
        (vec![("a", made_of(&[2]))], Code::Protocol),
        (vec![("a", endless)], Code::Protocol),
        (vec![("a", bomb(10_000))], Code::BadRequest),
        (vec![("a", bomb(100_000))], Code::Protocol),
        (vec![("a", made_of(&[0, 0, 0]))], Code::BadRequest),
        (
            vec![("a", made_of(&[])), ("b", made_of(&[]))],
            Code::BadRequest,
        ),
        (vec![("a", link("../out"))], Code::Protocol),
        (
            vec![("a", made_of(&[0])), ("a/b", made_of(&[]))],
            Code::Protocol,
        ),
    ];
    for (entries, code) in cases {
        let mut hostile = Hostile::new().await;
        hostile
            .pieces(&[(0, b"first"), (1, b"second")], false)
            .await;
        hostile.part(entries, true).await;
        assert_eq!(hostile.end().await.unwrap_err().code, code);
    }
    let mut more = Hostile::new().await;
    let chunks = vec![chunk(b"third")];
    more.tx.send(&Offer { chunks }).await.unwrap();
    assert_eq!(more.end().await.unwrap_err().code, Code::BadRequest);
    let huge = ChunkRef {
        bytes: u32::MAX,
        ..chunk(b"")
    };
    for chunks in [
        vec![huge],
        vec![chunk(b"")],
        vec![chunk(b"x"); CHUNKS_PER_OFFER + 1],
    ] {
        let mut hostile = Hostile::new().await;
        hostile.tx.send(&Offer { chunks }).await.unwrap();
        assert_eq!(hostile.end().await.unwrap_err().code, Code::Protocol);
    }
    let mut silent = Hostile::new().await;
    silent.part(vec![], false).await;
    assert_eq!(silent.end().await.unwrap_err().code, Code::Protocol);
}

/// Sends `contents` beside a tree, of which nothing is handed over with bytes; returns whether that was taken.
async fn send_beside(site: &Site, beside: &Manifest, contents: &[Vec<u8>]) -> (bool, Sent) {
    let announced = Announced {
        beside: Some(beside.id()),
        ..announced(contents)
    };
    let (mut tx, mut rx) = site.open(&upload(announced)).await;
    let taken = agree(&mut rx).await.unwrap();
    let known = |bytes: &Vec<u8>| taken && beside.chunks().contains(&chunk(bytes));
    let cut = |bytes: &Vec<u8>| match known(bytes) {
        true => (chunk(bytes), Buffer::new()),
        false => (chunk(bytes), Buffer::from(bytes.clone())),
    };
    let (hand, cuts) = mpsc::channel(1);
    hand.send(contents.iter().map(cut).collect()).await.unwrap();
    drop(hand);
    let manifest = manifest_of(vec![file("all", contents)]);
    let lane = lane(site, (&mut tx, &mut rx), taken.then_some(beside));
    let expected = manifest.id();
    let tree = async { Ok(manifest) };
    let (sent, moved) = send(lane, announced, cuts, tree, &()).await.unwrap();
    assert_eq!(sent.id(), expected);
    (taken, moved)
}

#[tokio::test]
async fn beside_a_tree_that_is_there_only_what_is_new_is_even_offered() {
    let memory = Arc::new(Memory::default());
    let site = Site::new(&memory).await;
    let mut contents = contents(50, 2000);
    let (before, _) = send_all(&site, &contents, &()).await.unwrap();
    let before = memory.trees.lock().unwrap()[&before].clone();
    contents.remove(7);
    contents.insert(20, vec![7; 3000]);
    contents.push(vec![8; 10]);
    let (taken, moved) = send_beside(&site, &before, &contents).await;
    assert!(taken);
    let bytes = Bytes(3010);
    assert_eq!(moved, Sent { chunks: 2, bytes });
    // Whoever takes it may not have that tree, or not any more.
    memory.trees.lock().unwrap().clear();
    let (taken, moved) = send_beside(&site, &before, &contents).await;
    assert!(!taken);
    assert_eq!(moved.chunks, 0);
}
