//! The side that wants a tree's chunks: asks for what it lacks over several streams, checks every chunk.

mod asks;

pub use self::asks::Asks;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use common::{
    problem::Problem,
    tree::{ChunkRef, Entry, EntryKind, Tree, TreePath},
    units::Bytes,
    wire::{
        Message,
        data::{CHUNKS_PER_ASK, ChunkAsk, Run, Wanted},
    },
};
use futures_util::future::try_join_all;
use tokio::time::timeout;

use self::asks::{Ask, Expected, spread};
use super::{
    ChunkSink, MAX_STREAMS, Manifest, Piece, Progress, mismatch, on_disk, protocol, read_pieces,
    unless_stalled,
};
use crate::{
    close_problem,
    frames::{FrameReceiver, FrameSender, split},
};

/// Bytes of chunks in one ask.
const ASK_BYTES: u64 = 2 << 20;
/// Asks that are on their way on one stream: the next is there when the last is served.
const ASKS_AHEAD: usize = 2;
/// A stream without an ask for so long is ended; the next ask has a new one. Well below [`STALL`].
const IDLE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 20_000 });
/// How long to wait until the peer has heard what came damaged.
const TELL_WAIT: Duration = Duration::from_secs(5);

/// What travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How many chunks were lacking.
    pub chunks: usize,
    pub bytes: Bytes,
}

/// Fetches chunks of one tree from one peer.
///
/// `first` is what a stream begins with on which this peer sends chunks of this tree.
#[derive(Debug, Clone)]
pub struct Fetcher<M> {
    connection: quinn::Connection,
    first: M,
    manifest: Manifest,
    /// Where only a part of the peer's tree is wanted: the peer's ordinal of each chunk.
    numbers: Option<Arc<Vec<u32>>>,
}

impl<M: Message + Sync> Fetcher<M> {
    pub fn new(connection: quinn::Connection, first: M, manifest: Manifest) -> Self {
        Self {
            connection,
            first,
            manifest,
            numbers: None,
        }
    }

    /// Turns to some chunks of the peer's tree, whose description need not be here: `numbers` are the peer's ordinals,
    /// and positions in them the ordinals of [`Fetcher::fetch`] and its sink. No chunk may be in it twice.
    ///
    /// # Errors
    /// There are more of them than one file may have.
    pub fn numbered(
        connection: quinn::Connection,
        first: M,
        chunks: Vec<ChunkRef>,
        numbers: Vec<u32>,
    ) -> Result<Self, Problem> {
        let unfit = |why: String| protocol(format!("these chunks cannot be asked for: {why}"));
        let file = Entry {
            path: TreePath::new(*b"chunks").map_err(|error| unfit(error.to_string()))?,
            kind: EntryKind::File {
                executable: false,
                chunks,
            },
        };
        let tree = Tree::new(vec![file]).map_err(|error| unfit(error.to_string()))?;
        let manifest = Manifest::new(tree).map_err(|error| unfit(error.to_string()))?;
        if manifest.chunks().len() != numbers.len() {
            return Err(unfit("one of them is there twice".to_owned()));
        }
        Ok(Self {
            connection,
            first,
            manifest,
            numbers: Some(Arc::new(numbers)),
        })
    }

    /// Turns to what is at `path` or below it; `None` if nothing is.
    #[must_use]
    pub fn within(self, path: &TreePath) -> Option<Self> {
        let part = self.manifest.tree().within(path);
        if part.is_empty() {
            return None;
        }
        // What is a part of something that can travel can travel.
        let part = Manifest::new(part).ok()?;
        let mut wanted: Vec<(ChunkRef, usize)> = part.chunks().iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut numbers = vec![0; wanted.len()];
        for (number, chunk) in (0..).zip(self.manifest.chunks()) {
            if let Ok(found) = wanted.binary_search_by_key(chunk, |(chunk, _)| *chunk) {
                numbers[wanted[found].1] = number;
            }
        }
        Some(Self {
            manifest: part,
            numbers: Some(Arc::new(numbers)),
            ..self
        })
    }

    /// Returns what is fetched.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Fetches what `sink` lacks of the tree and seals it.
    ///
    /// # Errors
    /// The sink's problem, the peer's refusal, a chunk that is not what it should be, or what broke the connection.
    pub async fn complete<K: ChunkSink>(
        &self,
        sink: &Arc<K>,
        progress: &dyn Progress,
    ) -> Result<Received, Problem> {
        let (manifest, looking) = (self.manifest.clone(), Arc::clone(sink));
        let (wanted, missing) = on_disk(move || {
            let numbered = (0_u32..).zip(manifest.chunks());
            let lacking = numbered.filter(|(ordinal, chunk)| !looking.has(*ordinal, chunk));
            let (wanted, sizes): (Vec<u32>, Vec<u32>) = lacking
                .map(|(ordinal, chunk)| (ordinal, chunk.bytes))
                .unzip();
            let missing = Bytes(sizes.into_iter().map(u64::from).sum());
            looking.reserve(missing)?;
            Ok((wanted, missing))
        })
        .await?;
        progress.begin(self.manifest.tree().bytes(), missing);
        self.fetch(&wanted, sink, progress).await?;
        let sealing = Arc::clone(sink);
        on_disk(move || sealing.seal()).await?;
        Ok(Received {
            chunks: wanted.len(),
            bytes: missing,
        })
    }

    /// Fetches these chunks, by ordinal; returns once `sink` has them all.
    ///
    /// # Errors
    /// As for [`Fetcher::complete`].
    pub async fn fetch<K: ChunkSink>(
        &self,
        wanted: &[u32],
        sink: &Arc<K>,
        progress: &dyn Progress,
    ) -> Result<(), Problem> {
        let asks = Asks::default();
        for ordinals in spread(self.cut(wanted)) {
            asks.push(ordinals.to_vec());
        }
        asks.end();
        self.serve(&asks, sink, progress).await
    }

    /// Fetches what is asked for, over a few streams that stay open; returns once the asks have ended and `sink` has
    /// them all.
    ///
    /// # Errors
    /// As for [`Fetcher::complete`].
    pub async fn serve<K: ChunkSink>(
        &self,
        asks: &Asks,
        sink: &Arc<K>,
        progress: &dyn Progress,
    ) -> Result<(), Problem> {
        let workers = (0..MAX_STREAMS).map(|_| async {
            while let Some(ask) = asks.wait().await {
                let stream = self.connection.open_bi().await;
                let (mut tx, mut rx) = split(stream.map_err(|error| close_problem(&error))?);
                tx.send(&self.first).await?;
                self.work(ask, asks, sink, (&mut tx, &mut rx), progress)
                    .await?;
            }
            Ok(())
        });
        try_join_all(workers).await.map(drop)
    }

    /// Cuts what is wanted into asks.
    pub fn cut<'a>(&self, wanted: &'a [u32]) -> Vec<&'a [u32]> {
        let mut asks = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (index, ordinal) in wanted.iter().enumerate() {
            if bytes >= ASK_BYTES || index - start == CHUNKS_PER_ASK {
                asks.push(&wanted[start..index]);
                (start, bytes) = (index, 0);
            }
            bytes += u64::from(self.manifest.chunks()[*ordinal as usize].bytes);
        }
        asks.extend((start < wanted.len()).then_some(&wanted[start..]));
        asks
    }

    /// Asks on one stream, until for a while there is nothing to ask for.
    async fn work<K: ChunkSink>(
        &self,
        first: Ask,
        asks: &Asks,
        sink: &Arc<K>,
        (tx, rx): (&mut FrameSender, &mut FrameReceiver),
        progress: &dyn Progress,
    ) -> Result<(), Problem> {
        let mut expected = Expected::default();
        let mut next = Some(first);
        let (mut frame, mut complete) = (None, Vec::new());
        loop {
            while expected.asks() < ASKS_AHEAD
                && let Some(ask) = next.take().or_else(|| asks.take())
            {
                let numbers = ask.ordinals.iter().map(|ordinal| self.number(*ordinal));
                let runs = Run::of(numbers);
                tx.send(&ChunkAsk::Wanted(Wanted { runs })).await?;
                expected.add(ask);
            }
            let coming = async {
                if expected.is_empty() {
                    return Ok(None);
                }
                let came = unless_stalled(rx.pieces()).await?;
                came.map(Some)
                    .ok_or_else(|| protocol("the peer stopped before all was sent"))
            };
            let (kept, came) = tokio::join!(self.keep(frame.take(), sink), coming);
            if let Err(damage) = kept {
                return Err(self.tell(damage, tx, rx).await);
            }
            complete.drain(..).for_each(Ask::complete);
            let Some(payload) = came? else {
                // The peer would give up a stream on which nothing comes.
                next = timeout(IDLE, asks.wait()).await.ok().flatten();
                if next.is_none() {
                    tx.finish();
                    return Ok(());
                }
                continue;
            };
            let pieces = read_pieces(payload).map_err(|error| protocol(error.to_string()))?;
            let mut numbered = Vec::with_capacity(pieces.len());
            for (number, piece) in pieces {
                let ordinal = expected
                    .next(&mut complete)
                    .filter(|ordinal| self.number(*ordinal) == number);
                let ordinal = ordinal.ok_or_else(|| {
                    protocol(format!("piece {number} came, which is not the next"))
                })?;
                let chunk = self.manifest.chunks()[ordinal as usize];
                progress.advance(Bytes(u64::from(chunk.bytes)));
                numbered.push((ordinal, chunk, piece));
            }
            frame = Some(numbered);
        }
    }

    /// Returns the peer's ordinal of a chunk.
    fn number(&self, ordinal: u32) -> u32 {
        let numbers = self.numbers.as_ref();
        numbers.map_or(ordinal, |numbers| numbers[ordinal as usize])
    }

    /// Checks chunks and hands them to `sink`.
    async fn keep<K: ChunkSink>(
        &self,
        pieces: Option<Vec<(u32, ChunkRef, Piece)>>,
        sink: &Arc<K>,
    ) -> Result<(), Damage> {
        let Some(pieces) = pieces else {
            return Ok(());
        };
        let sink = Arc::clone(sink);
        let damaged = Arc::new(Mutex::new(None));
        let noting = Arc::clone(&damaged);
        let kept = on_disk(move || {
            let opened = Piece::open_all(pieces.iter().map(|(_, chunk, piece)| (chunk, piece)));
            let opened = opened.map_err(|at| {
                let ordinal = pieces[at].0;
                *noting.lock().unwrap_or_else(PoisonError::into_inner) = Some(ordinal);
                mismatch(ordinal)
            })?;
            let ordinals = pieces.iter().map(|(ordinal, ..)| *ordinal);
            let chunks: Vec<_> = ordinals.zip(opened).collect();
            sink.put(&chunks)
        });
        kept.await.map_err(|problem| Damage {
            problem,
            ordinal: damaged
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        })
    }

    /// Tells the peer where what came was damaged: it looks at what it has.
    async fn tell(&self, damage: Damage, tx: &mut FrameSender, rx: &mut FrameReceiver) -> Problem {
        let Damage { problem, ordinal } = damage;
        let Some(ordinal) = ordinal else {
            return problem;
        };
        let ordinal = self.number(ordinal);
        if tx.send(&ChunkAsk::Damaged { ordinal }).await.is_ok() {
            tx.finish();
            // It reads this once it has sent what was asked for before. Whether it heard is its own concern.
            let rest = async { while let Ok(Some(_)) = rx.pieces().await {} };
            let _heard = timeout(TELL_WAIT, rest).await;
        }
        problem
    }
}

/// Why chunks were not kept, and which one came damaged.
struct Damage {
    problem: Problem,
    ordinal: Option<u32>,
}
