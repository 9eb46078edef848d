use common::wire::data::{CHUNKS_PER_ASK, ChunkAsk, Run, TreePart, Wanted};

use super::*;

/// Takes chunks in memory.
#[derive(Debug, Default)]
struct Sink {
    chunks: Mutex<BTreeMap<u32, Buffer>>,
    had: Vec<u32>,
    room: Option<u64>,
    sealed: AtomicUsize,
}

impl ChunkSink for Sink {
    fn has(&self, ordinal: u32, _: &ChunkRef) -> bool {
        self.had.contains(&ordinal) || self.chunks.lock().unwrap().contains_key(&ordinal)
    }

    fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        match self.room {
            Some(room) if missing.0 > room => {
                Err(Problem::new(Code::DiskFull, "no room", "the disk is full"))
            }
            _ => Ok(()),
        }
    }

    fn put(&self, chunks: &[(u32, Buffer)]) -> Result<(), Problem> {
        self.chunks.lock().unwrap().extend(chunks.iter().cloned());
        Ok(())
    }

    fn seal(&self) -> Result<(), Problem> {
        self.sealed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A peer that has a folder with one file.
fn with_file(contents: &[Vec<u8>]) -> (Arc<Memory>, Manifest) {
    let memory = Memory::of(contents);
    let manifest = manifest_of(vec![file("all", contents)]);
    memory.add_tree(&manifest);
    (memory, manifest)
}

fn fetcher(site: &Site, manifest: &Manifest) -> Fetcher<ClientStream> {
    Fetcher::new(
        site.near.clone(),
        chunks_of(manifest.id()),
        manifest.clone(),
    )
}

#[tokio::test]
async fn what_lacks_comes_over_several_streams() {
    for (count, size) in [(0, 0), (1, 1), (40_000, 100), (900, 20_000), (5, 1 << 20)] {
        let all = contents(count, size);
        let (memory, manifest) = with_file(&all);
        let site = Site::new(&memory).await;
        let sink = Arc::new(Sink {
            had: (0..count.min(3)).collect(),
            ..Sink::default()
        });
        let counted = Counted::default();
        let received = fetcher(&site, &manifest)
            .complete(&sink, &counted)
            .await
            .unwrap();
        let lacking = count as usize - sink.had.len();
        assert_eq!(received.chunks, lacking);
        assert_eq!(memory.read.load(Ordering::SeqCst), lacking);
        assert_eq!(counted.moved.into_inner(), counted.missing.into_inner());
        assert_eq!(sink.sealed.load(Ordering::SeqCst), 1);
        let got = sink.chunks.lock().unwrap();
        assert_eq!(got.len(), lacking);
        for (ordinal, bytes) in &*got {
            assert_eq!(manifest.chunks()[*ordinal as usize].id, chunk_id(bytes));
        }
    }
}

#[tokio::test]
async fn a_stream_without_asks_ends_and_the_next_ask_has_a_new_one() {
    let all = contents(3, 30_000);
    let (memory, manifest) = with_file(&all);
    let site = Site::new(&memory).await;
    let sink = Arc::new(Sink::default());
    let asks = Asks::default();
    let fetcher = fetcher(&site, &manifest);
    let asking = async {
        for ordinal in 0..3 {
            asks.push(vec![ordinal]).await.unwrap();
            assert_eq!(sink.chunks.lock().unwrap().len(), ordinal as usize + 1);
            memory.ended.notified().await;
        }
        asks.end();
    };
    let (served, ()) = tokio::join!(fetcher.serve(&asks, &sink, &()), asking);
    served.unwrap();
    assert!(memory.problems.lock().unwrap().is_empty());
}

#[tokio::test]
async fn of_a_part_only_its_chunks_come() {
    let all = contents(9, 30_000);
    let memory = Memory::of(&all);
    let manifest = manifest_of(vec![
        file("a", &all[..3]),
        file("b/x", &[&all[2..5], &all[..1]].concat()),
        file("b-/y", &all[5..6]),
        file("c", &all[6..]),
    ]);
    memory.add_tree(&manifest);
    let site = Site::new(&memory).await;
    let part = fetcher(&site, &manifest)
        .within(&"b".parse().unwrap())
        .unwrap();
    assert_eq!(part.manifest().tree().file_count(), 1);
    let sink = Arc::new(Sink::default());
    assert_eq!(part.complete(&sink, &()).await.unwrap().chunks, 4);
    for (ordinal, bytes) in &*sink.chunks.lock().unwrap() {
        assert_eq!(
            part.manifest().chunks()[*ordinal as usize].id,
            chunk_id(bytes)
        );
    }
    assert!(
        fetcher(&site, &manifest)
            .within(&"b/x/y".parse().unwrap())
            .is_none()
    );
}

#[tokio::test]
async fn a_damaged_piece_is_told_to_whoever_sent_it() {
    let all = contents(500, 20_000);
    let (memory, manifest) = with_file(&all);
    let (victim, wrong) = (chunk_id(&all[400]), Piece::plain(vec![1; 20_000].into()));
    memory.pieces.lock().unwrap().insert(victim, wrong);
    let site = Site::new(&memory).await;
    let sink = Arc::new(Sink::default());
    let problem = fetcher(&site, &manifest)
        .complete(&sink, &())
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::Checksum);
    assert_eq!(*memory.suspects.lock().unwrap(), [victim]);
    assert_eq!(sink.sealed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_full_disk_or_a_piece_that_is_gone_ends_it() {
    let all = contents(500, 20_000);
    let (memory, manifest) = with_file(&all);
    let site = Site::new(&memory).await;
    let full = Arc::new(Sink {
        room: Some(100),
        ..Sink::default()
    });
    let problem = fetcher(&site, &manifest)
        .complete(&full, &())
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::DiskFull);
    assert_eq!(memory.read.load(Ordering::SeqCst), 0);
    memory.pieces.lock().unwrap().remove(&chunk_id(&all[400]));
    let sink = Arc::new(Sink::default());
    let problem = fetcher(&site, &manifest)
        .complete(&sink, &())
        .await
        .unwrap_err();
    assert_eq!(problem.code, Code::NotFound);
    assert_eq!(sink.sealed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_lost_connection_ends_it_and_the_rest_comes_later() {
    let all = contents(2000, 20_000);
    let (memory, manifest) = with_file(&all);
    let site = Site::new(&memory).await;
    let sink = Arc::new(Sink::default());
    let counted = Counted::default();
    *counted.cut.lock().unwrap() = Some((site.near.clone(), 20_000_000));
    fetcher(&site, &manifest)
        .complete(&sink, &counted)
        .await
        .unwrap_err();
    let kept = sink.chunks.lock().unwrap().len();
    assert!(kept > 0 && kept < 2000, "{kept}");
    let site = Site::new(&memory).await;
    let received = fetcher(&site, &manifest)
        .complete(&sink, &())
        .await
        .unwrap();
    assert!(received.chunks <= 2000 - kept);
    assert_eq!(sink.sealed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_checks_what_it_is_asked_for() {
    let all = contents(10, 10);
    let (memory, manifest) = with_file(&all);
    let site = Site::new(&memory).await;
    let run = |first, count| Run { first, count };
    let many = CHUNKS_PER_ASK / 10 + 1;
    for runs in [
        vec![run(10, 1)],
        vec![run(9, 2)],
        vec![run(0, 0)],
        vec![run(u32::MAX, 2)],
        vec![run(0, 10); many],
    ] {
        let (mut tx, mut rx) = site.open(&chunks_of(manifest.id())).await;
        tx.send(&ChunkAsk::Wanted(Wanted { runs })).await.unwrap();
        let refused = Problem::from(rx.pieces().await.unwrap_err());
        assert_eq!(refused.code, Code::Protocol);
    }
    let (mut tx, mut rx) = site.open(&chunks_of(manifest.id())).await;
    tx.send(&ChunkAsk::Damaged { ordinal: 10 }).await.unwrap();
    assert!(rx.pieces().await.is_err());
}

/// Describes a tree in these parts and returns what a receiver says.
fn hostile_description(parts: Vec<TreePart>) -> Problem {
    let mut gathered = manifest::Gathered::default();
    for part in parts {
        if let Err(error) = gathered.add(part) {
            return describe::invalid(error);
        }
    }
    describe::invalid(gathered.into_manifest().unwrap_err())
}

#[test]
fn descriptions_are_bounded_and_valid() {
    let part = |entries: Vec<Entry>, last| TreePart { entries, last };
    let folder = |path: String| Entry {
        path: path.parse().unwrap(),
        kind: EntryKind::Directory,
    };
    let out = Entry {
        path: "a".parse().unwrap(),
        kind: EntryKind::Symlink {
            target: "../../etc".into(),
        },
    };
    let refused = hostile_description(vec![part(vec![out], true)]);
    assert!(refused.why.contains("leads out"), "{refused}");
    let twice = vec![folder("a".to_owned()), folder("a".to_owned())];
    let refused = hostile_description(vec![part(twice, true)]);
    assert!(refused.why.contains("twice"), "{refused}");
    let refused = hostile_description(vec![part(vec![], false)]);
    assert!(refused.why.contains("empty"), "{refused}");
}

/// Has a tree described beside another one, which whoever receives it has.
async fn describe_beside(
    tree: &Manifest,
    beside: Option<&Manifest>,
    has: Option<&Manifest>,
) -> (Result<Manifest, Problem>, u64) {
    let memory = Memory {
        described: Mutex::new(Some((tree.clone(), beside.cloned()))),
        ..Memory::default()
    };
    let site = Site::new(&Arc::new(memory)).await;
    let before = site.near.stats().udp_rx.bytes;
    let (org, source) = (ORG, source());
    let first = ClientStream::Download { org, source };
    let (mut tx, mut rx) = site.open(&first).await;
    tx.finish();
    let has = has.cloned();
    let find = move |tree| {
        let found = has.filter(|has| has.id() == tree);
        found.ok_or_else(|| Problem::new(Code::Io, "gone", "gone"))
    };
    let came = receive_description_beside(&mut rx, find).await;
    (came, site.near.stats().udp_rx.bytes - before)
}

#[tokio::test]
async fn beside_a_tree_that_is_here_little_of_a_description_comes() {
    let mut all = contents(20_000, 40);
    let before = manifest_of(vec![file("all", &all)]);
    all[70] = vec![1; 50];
    all.insert(9000, vec![2; 50]);
    all.push(all[3].clone());
    let after = manifest_of(vec![file("all", &all), file("more", &[vec![3; 9]])]);
    let (came, whole) = describe_beside(&after, None, Some(&before)).await;
    assert_eq!(came.unwrap().id(), after.id());
    let (came, little) = describe_beside(&after, Some(&before), Some(&before)).await;
    assert_eq!(came.unwrap().id(), after.id());
    assert!(little * 10 < whole, "{little} of {whole} bytes");
    // One in which everything is other is described all the same.
    let other = manifest_of(vec![file("all", &contents(9000, 41))]);
    let (came, _) = describe_beside(&other, Some(&before), Some(&before)).await;
    assert_eq!(came.unwrap().id(), other.id());
    // What is not here any more cannot be built on.
    let (came, _) = describe_beside(&after, Some(&before), None).await;
    assert_eq!(came.unwrap_err().code, Code::Io);
}
