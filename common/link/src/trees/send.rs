//! The sender's side of an upload: offers chunks as they are cut, sends those that are lacking while they are still in
//! memory, and describes the tree at the end. Every file is read once.

mod carry;
mod offered;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes as Buffer;
use common::{
    problem::Problem,
    tree::ChunkRef,
    units::Bytes,
    wire::{
        Message,
        data::{Announced, Based, CHUNKS_PER_OFFER, Offer, Run, Stored, Wanted},
    },
};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};

use self::{
    carry::{Lacking, carry, cost, costs, pack, reserve},
    offered::Offered,
};
use super::{
    MAX_STREAMS, Manifest, Progress, STALL, numbers::Numbers, on_disk, piece::Packer, protocol,
    size, stalled, unless_stalled,
};
use crate::frames::{FrameReceiver, FrameSender, RecvError};

/// Chunks are handed over about so many bytes at a time.
pub const CUT_BYTES: usize = 1 << 20;
/// So many hands full may wait.
pub const CUTS_AHEAD: usize = 4;
/// Bytes of chunks that are kept until it is known that they are not wanted, or they are sent.
const WINDOW_BYTES: u64 = 32 << 20;
/// Up to this much goes over the first stream itself.
const INLINE: Bytes = Bytes::mib(1);
/// From so many bytes on there is one more stream.
const STREAM_BYTES: u64 = 8 << 20;
/// How long to wait for the peer's reason once it takes no more: what it said is on the way already.
const REASON_WAIT: Duration = Duration::from_secs(5);

/// A chunk as it was cut.
pub type Cut = (ChunkRef, Buffer);

/// The streams of an upload: the first one, open, and how another of its streams begins.
#[derive(Debug)]
pub struct Lane<'a, M> {
    pub connection: &'a quinn::Connection,
    pub tx: &'a mut FrameSender,
    pub rx: &'a mut FrameReceiver,
    pub pieces: M,
    /// A tree that the peer has, see [`agree`].
    pub beside: Option<&'a Manifest>,
}

/// Hears whether the peer takes the tree that was announced as alike. To be called first where one was.
///
/// # Errors
/// The peer's refusal, or what broke the connection.
pub async fn agree(rx: &mut FrameReceiver) -> Result<bool, Problem> {
    let Based { tree } = unless_stalled(rx.expect()).await?;
    Ok(tree.is_some())
}

/// What travelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many chunks the peer lacked.
    pub chunks: usize,
    pub bytes: Bytes,
}

/// Sends what `cuts` brings, then the tree that `tree` yields once that has ended. Returns once the peer has said that
/// all is safe.
///
/// # Errors
/// The problem of `tree`, the peer's refusal, or what broke the connection.
pub async fn send<M: Message + Clone + Send + Sync + 'static>(
    lane: Lane<'_, M>,
    announced: Announced,
    cuts: mpsc::Receiver<Vec<Cut>>,
    tree: impl Future<Output = Result<Manifest, Problem>>,
    progress: &dyn Progress,
) -> Result<(Manifest, Sent), Problem> {
    progress.begin(announced.bytes, announced.bytes);
    let (done_tx, done) = mpsc::unbounded_channel();
    let (work, queue) = mpsc::channel(MAX_STREAMS);
    let queue = Arc::new(Mutex::new(queue));
    let mut streams = JoinSet::new();
    if announced.bytes > INLINE {
        let most = usize::try_from(announced.bytes.0.div_ceil(STREAM_BYTES)).unwrap_or(MAX_STREAMS);
        for _ in 0..most.min(MAX_STREAMS) {
            let stream = (lane.connection.clone(), lane.pieces.clone());
            streams.spawn(carry(stream, Arc::clone(&queue), done_tx.clone()));
        }
    }
    let mut sending = Sending {
        tx: lane.tx,
        rx: lane.rx,
        progress,
        numbers: lane.beside.cloned().map(Numbers::of).unwrap_or_default(),
        awaiting: VecDeque::new(),
        ready: VecDeque::new(),
        in_flight: 0,
        sent: Sent::default(),
    };
    let work = (!streams.is_empty()).then_some(work);
    sending.run(cuts, work, done).await?;
    let manifest = tree.await?;
    sending.describe(&manifest).await?;
    // Sealing takes as long as the other side's disk does; a dead connection is noticed by itself.
    let stored: Stored = sending.rx.expect().await?;
    if stored.tree != manifest.id() {
        return Err(protocol("the receipt is for another tree"));
    }
    Ok((manifest, sending.sent))
}

struct Sending<'a> {
    tx: &'a mut FrameSender,
    rx: &'a mut FrameReceiver,
    progress: &'a dyn Progress,
    /// Of what was offered, and what was there before.
    numbers: Numbers,
    /// Offers that were not answered, oldest first.
    awaiting: VecDeque<Offered>,
    /// What is lacking and not yet given to a stream.
    ready: VecDeque<Lacking>,
    /// What of [`WINDOW_BYTES`] is taken.
    in_flight: u64,
    sent: Sent,
}

impl Sending<'_> {
    /// Offers, hears and sends until everything that was cut is dealt with.
    async fn run(
        &mut self,
        mut cuts: mpsc::Receiver<Vec<Cut>>,
        work: Option<mpsc::Sender<Lacking>>,
        mut done: mpsc::UnboundedReceiver<Result<(u64, u64), Problem>>,
    ) -> Result<(), Problem> {
        let mut open = true;
        let mut carried = 0_usize;
        loop {
            let room = open && self.in_flight < WINDOW_BYTES;
            tokio::select! {
                came = done.recv(), if carried > 0 => {
                    let (bytes, cost) = match came {
                        Some(Ok(done)) => done,
                        Some(Err(seen)) => return Err(self.reason(seen).await),
                        None => return Err(protocol("the streams of the upload ended")),
                    };
                    carried -= 1;
                    self.in_flight -= cost;
                    self.progress.advance(Bytes(bytes));
                }
                permit = reserve(work.as_ref()), if work.is_some() && !self.ready.is_empty() => {
                    if let (Some(permit), Some(lacking)) = (permit, self.ready.pop_front()) {
                        permit.send(lacking);
                        carried += 1;
                    }
                }
                wanted = self.rx.recv::<Wanted>(), if !self.awaiting.is_empty() => {
                    self.hear(wanted?)?;
                    if work.is_none() {
                        self.carry_inline().await?;
                    }
                }
                // Begun anew with every turn: nothing has moved for so long.
                () = sleep(STALL), if carried > 0 || !self.awaiting.is_empty() => {
                    return Err(stalled());
                }
                batch = cuts.recv(), if room => match batch {
                    Some(batch) => self.offer(batch).await?,
                    None => open = false,
                },
                else => return Ok(()),
            }
        }
    }

    /// Offers what of a batch was not offered before.
    async fn offer(&mut self, batch: Vec<Cut>) -> Result<(), Problem> {
        let mut fresh = Vec::with_capacity(batch.len());
        let beside = batch.iter().map(|(_, bytes)| bytes.len()).sum();
        for (chunk, bytes) in batch {
            let (number, new) = self.numbers.number(&chunk)?;
            if new {
                fresh.push((number, (chunk, bytes)));
            } else {
                self.progress.skip(Bytes(u64::from(chunk.bytes)));
            }
        }
        while !fresh.is_empty() {
            let rest = fresh.split_off(fresh.len().min(CHUNKS_PER_OFFER));
            let chunks: Vec<ChunkRef> = fresh.iter().map(|(_, (chunk, _))| *chunk).collect();
            self.in_flight += cost(&chunks);
            if let Err(error) = self.tx.send(&Offer { chunks }).await {
                return Err(self.reason(error.into()).await);
            }
            let chunks = fresh;
            self.awaiting.push_back(Offered { chunks, beside });
            fresh = rest;
        }
        Ok(())
    }

    /// Takes the answer to the oldest offer.
    fn hear(&mut self, wanted: Option<Wanted>) -> Result<(), Problem> {
        let wanted =
            wanted.ok_or_else(|| protocol("the peer stopped before the tree was complete"))?;
        let offered = self.awaiting.pop_front().unwrap_or_default();
        let (first, end) = offered.numbers();
        let wanted = Run::numbers(&wanted.runs, end, end - first as usize);
        let split = wanted.and_then(|wanted| offered.split(wanted));
        let (wanted, others) = split.ok_or_else(|| {
            protocol("the peer asked for pieces that were not offered, or out of order")
        })?;
        self.in_flight -= cost(&others);
        self.progress.skip(Bytes(size(&others)));
        let (mut lacking, mut bytes) = (Vec::new(), 0);
        for (number, (chunk, content)) in wanted {
            bytes += content.len();
            self.sent.chunks += 1;
            self.sent.bytes.0 += content.len() as u64;
            lacking.push((number, (chunk, content)));
            if bytes >= CUT_BYTES {
                self.ready.push_back(std::mem::take(&mut lacking));
                bytes = 0;
            }
        }
        self.ready.extend((!lacking.is_empty()).then_some(lacking));
        Ok(())
    }

    /// Sends what is lacking over the first stream.
    async fn carry_inline(&mut self) -> Result<(), Problem> {
        while let Some(lacking) = self.ready.pop_front() {
            let (bytes, cost) = costs(&lacking);
            for frame in on_disk(move || Ok(pack(lacking, &mut Packer::default()))).await? {
                if let Err(error) = self.tx.send_parts(frame).await {
                    return Err(self.reason(error.into()).await);
                }
            }
            self.in_flight -= cost;
            self.progress.advance(Bytes(bytes));
        }
        Ok(())
    }

    /// Sends the description of what was offered.
    async fn describe(&mut self, manifest: &Manifest) -> Result<(), Problem> {
        for part in manifest.parts() {
            let part = self.numbers.part(part)?;
            if let Err(error) = self.tx.send(&part).await {
                return Err(self.reason(error.into()).await);
            }
        }
        Ok(())
    }

    /// Returns why the peer takes no more, if it says so; else what was seen here.
    async fn reason(&mut self, seen: Problem) -> Problem {
        let told = async {
            loop {
                match self.rx.recv::<Wanted>().await {
                    Ok(Some(_)) => {}
                    Err(RecvError::Refused(problem)) => return Some(problem),
                    _ => return None,
                }
            }
        };
        timeout(REASON_WAIT, told)
            .await
            .ok()
            .flatten()
            .unwrap_or(seen)
    }
}
