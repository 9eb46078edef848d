//! The sender's side: describes the tree, hears what is lacking, sends just that.

use std::{ops::Range, sync::Arc, time::Duration};

use common::{
    problem::Problem,
    tree::ChunkRef,
    units::Bytes,
    wire::data::{Stored, Wanted},
};
use tokio::time::timeout;

use super::{BATCH_BYTES, ChunkSource, Manifest, Progress, on_disk, protocol};
use crate::frames::{FrameReceiver, FrameSender, RecvError};

/// How long to wait for the peer's reason once it takes no more: what it said is on the way already.
const REASON_WAIT: Duration = Duration::from_secs(5);

/// What travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How many chunks the peer lacked.
    pub chunks: usize,
    pub bytes: Bytes,
}

/// Sends the tree and returns once the peer has said that it is safe.
///
/// # Errors
/// The source's problem, the peer's refusal, or what broke the stream.
pub async fn send<S: ChunkSource>(
    manifest: &Manifest,
    source: &Arc<S>,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
    progress: &dyn Progress,
) -> Result<Sent, Problem> {
    for part in manifest.parts() {
        if let Err(error) = tx.send(&part).await {
            return Err(reason(rx, error.into()).await);
        }
    }
    let wanted = Arc::new(receive_wanted(rx, manifest.chunks().len()).await?);
    let size = |&ordinal: &u32| u64::from(manifest.chunks()[ordinal as usize].bytes);
    let missing = Bytes(wanted.iter().map(size).sum());
    progress.begin(manifest.tree().bytes(), missing);

    let mut start = 0;
    let mut batch = read(manifest, source, &wanted, start).await?;
    while !batch.is_empty() {
        start += batch.len();
        let sent = async {
            for (ordinal, bytes) in &batch {
                if let Err(error) = tx.send_chunk(*ordinal, bytes).await {
                    return Err(reason(rx, error.into()).await);
                }
                progress.advance(Bytes(bytes.len() as u64));
            }
            Ok(())
        };
        // Never given up halfway: the peer is told about a failed read, and that needs whole frames before it.
        let (sent, next) = tokio::join!(sent, read(manifest, source, &wanted, start));
        sent?;
        batch = next?;
    }
    let stored: Stored = rx.expect().await?;
    if stored.tree != manifest.id() {
        return Err(protocol("the receipt is for another tree"));
    }
    Ok(Sent {
        chunks: wanted.len(),
        bytes: missing,
    })
}

/// Reads the chunks of `wanted` from `start` on, as many as make a batch; none at the end.
async fn read<S: ChunkSource>(
    manifest: &Manifest,
    source: &Arc<S>,
    wanted: &Arc<Vec<u32>>,
    start: usize,
) -> Result<Vec<(u32, Vec<u8>)>, Problem> {
    let range = batch(manifest.chunks(), wanted, start);
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let (manifest, source, wanted) = (manifest.clone(), Arc::clone(source), Arc::clone(wanted));
    on_disk(move || {
        let read = |&ordinal: &u32| {
            let bytes = source.read(ordinal, &manifest.chunks()[ordinal as usize])?;
            Ok((ordinal, bytes))
        };
        wanted[range].iter().map(read).collect()
    })
    .await
}

/// Returns which of `wanted` from `start` on are handled as one piece of work: at least one, if one is left.
pub(super) fn batch(chunks: &[ChunkRef], wanted: &[u32], start: usize) -> Range<usize> {
    let mut bytes = 0;
    let mut end = start;
    while end < wanted.len() && bytes < BATCH_BYTES {
        bytes += u64::from(chunks[wanted[end] as usize].bytes);
        end += 1;
    }
    start..end
}

/// Receives the ordinals that the peer lacks: ascending, each once, each of a chunk that there is.
async fn receive_wanted(rx: &mut FrameReceiver, count: usize) -> Result<Vec<u32>, Problem> {
    let mut wanted: Vec<u32> = Vec::new();
    loop {
        let part: Wanted = rx.expect().await?;
        if part.ordinals.is_empty() && !part.last {
            return Err(protocol("the peer asked for nothing without end"));
        }
        for ordinal in part.ordinals {
            if ordinal as usize >= count {
                return Err(protocol(format!(
                    "the peer asked for piece {ordinal} of {count}"
                )));
            }
            if wanted.last().is_some_and(|&last| last >= ordinal) {
                return Err(protocol("the peer asked for pieces out of order"));
            }
            wanted.push(ordinal);
        }
        if part.last {
            return Ok(wanted);
        }
    }
}

/// Returns why the peer takes no more, if it says so; else what was seen here.
async fn reason(rx: &mut FrameReceiver, seen: Problem) -> Problem {
    match timeout(REASON_WAIT, rx.expect::<Stored>()).await {
        Ok(Err(RecvError::Refused(problem))) => problem,
        _ => seen,
    }
}
