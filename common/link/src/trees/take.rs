//! The side that takes an upload: answers offers, takes pieces over any of its streams, gathers the description.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes as Buffer;
use common::{
    code::Code,
    id::TreeId,
    problem::Problem,
    tree::MAX_CHUNK_BYTES,
    units::Bytes,
    wire::{
        Kind,
        data::{Announced, Based, CHUNKS_PER_OFFER, Offer, OfferedPart, Run, Stored, Wanted},
    },
};
use tokio::sync::Notify;

use super::{
    Manifest, Piece, PieceKeeper, STALL,
    describe::{Known, invalid, resolved},
    manifest::{Gathered, MAX_TREE_CHUNKS},
    mismatch, protocol, read_pieces, stalled, unless_stalled,
};
use crate::frames::{FrameReceiver, FrameSender};

/// Most chunks that were asked for and have not come. A sender's window is far smaller.
const MAX_MISSING: usize = 512 << 10;

/// One upload, for all of its streams.
#[derive(Debug)]
pub struct Taking<K> {
    keeper: Arc<K>,
    announced: Announced,
    beside: Option<TreeId>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// By number.
    known: Known,
    offered_bytes: u64,
    /// What was asked for and has not come.
    missing: HashSet<u32>,
    failed: Option<Problem>,
    /// When anything came last.
    heard: Instant,
}

impl<K: PieceKeeper> Taking<K> {
    /// Begins to take what was announced; `beside` is the tree, of those that were named, which is here.
    pub fn new(keeper: Arc<K>, announced: Announced, beside: Option<&Manifest>) -> Arc<Self> {
        Arc::new(Self {
            beside: beside.map(Manifest::id),
            keeper,
            announced,
            state: Mutex::new(State {
                known: Known::beside(beside.cloned()),
                offered_bytes: 0,
                missing: HashSet::new(),
                failed: None,
                heard: Instant::now(),
            }),
            changed: Notify::new(),
        })
    }

    /// Serves the upload's first stream, whose first frame was read. Returns once the tree is safe and the receipt
    /// is sent.
    ///
    /// # Errors
    /// The keeper's problem, a sender that breaks the rules or falls silent, what failed on another of its streams.
    pub async fn serve(
        self: &Arc<Self>,
        tx: &mut FrameSender,
        rx: &mut FrameReceiver,
    ) -> Result<Manifest, Problem> {
        let mut gathered = Gathered::default();
        if self.announced.beside.is_some() {
            let tree = self.beside;
            tx.send(&Based { tree }).await?;
        }
        while !gathered.complete {
            let kind = tokio::select! {
                kind = rx.kind() => kind?,
                problem = self.broken() => return Err(problem),
            };
            self.state().heard = Instant::now();
            match kind {
                Some(Kind::Offer) => {
                    let offer: Offer = unless_stalled(rx.expect()).await?;
                    let wanted = self.consider(offer).await?;
                    tx.send(&wanted).await?;
                }
                Some(Kind::Pieces) => match unless_stalled(rx.pieces()).await? {
                    Some(payload) => self.keep(payload).await?,
                    None => return Err(stopped()),
                },
                Some(Kind::OfferedPart) => {
                    let part: OfferedPart = unless_stalled(rx.expect()).await?;
                    let part = resolved(part, &self.state().known)?;
                    gathered.add(part).map_err(invalid)?;
                }
                Some(other) => return Err(protocol(format!("a {other:?} frame came"))),
                None => return Err(stopped()),
            }
        }
        tokio::select! {
            () = self.all_here() => {}
            problem = self.broken() => return Err(problem),
        }
        // What was offered is in the description by now; sealing a large tree takes memory enough.
        self.state().known = Known::default();
        let (announced, keeper) = (self.announced, Arc::clone(&self.keeper));
        let slots = self.keeper.slots();
        let sealing = slots.run(move || {
            let manifest = gathered.into_manifest().map_err(invalid)?;
            let tree = manifest.tree();
            check_announced(announced, tree.file_count(), tree.bytes().0)?;
            keeper.seal(&manifest)?;
            Ok(manifest)
        });
        let manifest = sealing.await?;
        let tree = manifest.id();
        tx.send(&Stored { tree }).await?;
        Ok(manifest)
    }

    /// Serves one of the upload's further streams, whose first frame was read, until the sender ends it.
    ///
    /// # Errors
    /// As for [`Taking::serve`], which then fails too.
    pub async fn serve_pieces(self: &Arc<Self>, rx: &mut FrameReceiver) -> Result<(), Problem> {
        let taken = self.take_pieces(rx).await;
        if let Err(problem) = &taken {
            self.state().failed = Some(problem.clone());
            self.changed.notify_waiters();
        }
        taken
    }

    async fn take_pieces(self: &Arc<Self>, rx: &mut FrameReceiver) -> Result<(), Problem> {
        let mut frame = unless_stalled(rx.pieces()).await?;
        while let Some(payload) = frame {
            let next = async { rx.pieces().await.map_err(Problem::from) };
            // Silence is for the first stream to judge.
            ((), frame) = tokio::try_join!(self.keep(payload), next)?;
        }
        Ok(())
    }

    /// Notes what is offered; returns what of it has to come.
    async fn consider(self: &Arc<Self>, offer: Offer) -> Result<Wanted, Problem> {
        let count = offer.chunks.len();
        let sizes = offer.chunks.iter().map(|chunk| chunk.bytes);
        if count > CHUNKS_PER_OFFER
            || !sizes
                .clone()
                .all(|size| (1..=MAX_CHUNK_BYTES).contains(&size))
        {
            return Err(protocol("an offer of impossible chunks came"));
        }
        let first = {
            let mut state = self.state();
            let first = state.known.len();
            state.offered_bytes += sizes.map(u64::from).sum::<u64>();
            if state.known.offered() + count > MAX_TREE_CHUNKS {
                return Err(protocol("more chunks were offered than a tree may have"));
            }
            check_announced(self.announced, 0, state.offered_bytes)?;
            state.known.add(&offer.chunks);
            u32::try_from(first).map_err(|_| protocol("too many chunks"))?
        };
        let keeper = Arc::clone(&self.keeper);
        let slots = self.keeper.slots();
        let looking = slots.run(move || {
            let lacks = keeper.lacks(&offer.chunks)?;
            let numbered = (first..).zip(&offer.chunks).zip(lacks);
            let lacking = numbered.filter_map(|(chunk, lacks)| lacks.then_some(chunk));
            let (numbers, sizes): (Vec<u32>, Vec<u64>) = lacking
                .map(|(number, chunk)| (number, u64::from(chunk.bytes)))
                .unzip();
            keeper.reserve(Bytes(sizes.into_iter().sum()))?;
            Ok(numbers)
        });
        let wanted: Vec<u32> = looking.await?;
        let mut state = self.state();
        if state.missing.len() + wanted.len() > MAX_MISSING {
            return Err(protocol(
                "too much is offered before what was asked for comes",
            ));
        }
        state.missing.extend(&wanted);
        Ok(Wanted {
            runs: Run::of(wanted),
        })
    }

    /// Checks pieces and hands them to the keeper.
    async fn keep(self: &Arc<Self>, payload: Buffer) -> Result<(), Problem> {
        let taking = Arc::clone(self);
        let slots = self.keeper.slots();
        let keeping = slots.run(move || {
            let pieces = read_pieces(payload).map_err(|error| protocol(error.to_string()))?;
            let mut numbered = Vec::with_capacity(pieces.len());
            {
                let mut state = taking.state();
                state.heard = Instant::now();
                for (number, piece) in pieces {
                    if !state.missing.contains(&number) {
                        return Err(protocol(format!("piece {number} came unasked")));
                    }
                    numbered.push((number, state.known.chunk(number), piece));
                }
            }
            let mut seen = HashSet::with_capacity(numbered.len());
            if let Some((number, ..)) = numbered.iter().find(|(number, ..)| !seen.insert(*number)) {
                return Err(protocol(format!("piece {number} came twice")));
            }
            Piece::check_all(numbered.iter().map(|(_, chunk, piece)| (chunk, piece)))
                .map_err(|at| mismatch(numbered[at].0))?;
            let numbers: Vec<u32> = numbered.iter().map(|(number, ..)| *number).collect();
            let checked = numbered.into_iter();
            let checked: Vec<_> = checked.map(|(_, chunk, piece)| (chunk, piece)).collect();
            taking.keeper.put(&checked)?;
            let mut state = taking.state();
            for number in numbers {
                state.missing.remove(&number);
            }
            if state.missing.is_empty() {
                taking.changed.notify_waiters();
            }
            Ok(())
        });
        keeping.await
    }

    async fn all_here(&self) {
        self.until(|state| state.missing.is_empty().then_some(()))
            .await;
    }

    /// Returns what ended the upload: a failure on one of its streams, or silence on all.
    async fn broken(&self) -> Problem {
        let failed = self.until(|state| state.failed.clone());
        let mut failed = pin!(failed);
        loop {
            if let Ok(problem) = tokio::time::timeout(STALL, &mut failed).await {
                return problem;
            }
            if self.state().heard.elapsed() >= STALL {
                return stalled();
            }
        }
    }

    async fn until<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            // What changes after the look wakes this up.
            changed.as_mut().enable();
            if let Some(seen) = look(&self.state()) {
                return seen;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of it is one step: it is whole whatever a thread that held it did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that no more came than was said at first, which is what room was given for.
fn check_announced(announced: Announced, files: u64, bytes: u64) -> Result<(), Problem> {
    if files <= announced.files && bytes <= announced.bytes.0 {
        return Ok(());
    }
    let what = "the data was not stored";
    let (bytes, most) = (Bytes(bytes), announced.bytes);
    let why = format!(
        "{bytes} in {files} files came, but {most} in {} were announced",
        announced.files
    );
    Err(Problem::new(Code::BadRequest, what, why))
}

fn stopped() -> Problem {
    protocol("the peer stopped before the tree was complete")
}
