//! The receiver's side: takes the description, asks for what it lacks, checks every chunk.

use std::sync::Arc;

use bytes::Bytes as Buffer;
use common::{
    code::Code,
    problem::Problem,
    tree::{ChunkRef, chunk_id},
    units::Bytes,
    wire::data::{ORDINALS_PER_PART, Stored, TreePart, Wanted},
};

use super::{
    ChunkSink, Manifest, Progress,
    manifest::{Gathered, InvalidManifest},
    on_disk, protocol,
    send::batch,
};
use crate::frames::{FrameReceiver, FrameSender};

/// What travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How many chunks were lacking.
    pub chunks: usize,
    pub bytes: Bytes,
}

/// Receives the description of a tree.
///
/// # Errors
/// It is not a tree, it is too large, or the stream broke.
pub async fn receive_description(rx: &mut FrameReceiver) -> Result<Manifest, Problem> {
    let invalid = |cause: InvalidManifest| protocol(format!("the tree is not valid: {cause}"));
    let mut gathered = Gathered::default();
    while !gathered.complete {
        let part: TreePart = rx.expect().await?;
        gathered.add(part).map_err(invalid)?;
    }
    on_disk(move || gathered.into_manifest().map_err(invalid)).await
}

/// Receives what `sink` lacks of the tree that was described, and sends the receipt once it is sealed.
///
/// # Errors
/// The sink's problem, the peer's refusal, a chunk that is not what it should be, or what broke the stream.
pub async fn receive<K: ChunkSink>(
    manifest: &Manifest,
    sink: &Arc<K>,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
    progress: &dyn Progress,
) -> Result<Received, Problem> {
    let wanted = lacking(manifest, sink).await?;
    let size = |&ordinal: &u32| u64::from(manifest.chunks()[ordinal as usize].bytes);
    let missing = Bytes(wanted.iter().map(size).sum());
    let reserving = Arc::clone(sink);
    on_disk(move || reserving.reserve(missing)).await?;
    ask(tx, &wanted).await?;
    progress.begin(manifest.tree().bytes(), missing);

    let mut start = 0;
    let mut pieces = Vec::new();
    loop {
        let next = batch(manifest.chunks(), &wanted, start);
        start = next.end;
        let arriving = arrive(manifest.chunks(), &wanted[next], rx, progress);
        let ((), arrived) = tokio::try_join!(keep(manifest, sink, pieces), arriving)?;
        if arrived.is_empty() {
            break;
        }
        pieces = arrived;
    }
    let sealing = Arc::clone(sink);
    on_disk(move || sealing.seal()).await?;
    tx.send(&Stored {
        tree: manifest.id(),
    })
    .await?;
    Ok(Received {
        chunks: wanted.len(),
        bytes: missing,
    })
}

/// Returns the ordinals that `sink` does not have.
async fn lacking<K: ChunkSink>(manifest: &Manifest, sink: &Arc<K>) -> Result<Vec<u32>, Problem> {
    let (manifest, sink) = (manifest.clone(), Arc::clone(sink));
    on_disk(move || {
        let numbered = (0..).zip(manifest.chunks());
        let lacking = numbered.filter(|(ordinal, chunk)| !sink.has(*ordinal, chunk));
        Ok(lacking.map(|(ordinal, _)| ordinal).collect())
    })
    .await
}

async fn ask(tx: &mut FrameSender, wanted: &[u32]) -> Result<(), Problem> {
    let mut rest = wanted;
    loop {
        let (part, after) = rest.split_at(rest.len().min(ORDINALS_PER_PART));
        let last = after.is_empty();
        tx.send(&Wanted {
            ordinals: part.to_vec(),
            last,
        })
        .await?;
        if last {
            return Ok(());
        }
        rest = after;
    }
}

/// Takes just these chunks, in this order, from the stream.
async fn arrive(
    chunks: &[ChunkRef],
    wanted: &[u32],
    rx: &mut FrameReceiver,
    progress: &dyn Progress,
) -> Result<Vec<(u32, Buffer)>, Problem> {
    let mut arrived = Vec::with_capacity(wanted.len());
    for &expected in wanted {
        let Some((ordinal, bytes)) = rx.recv_chunk().await? else {
            return Err(protocol("the peer stopped before the tree was complete"));
        };
        if ordinal != expected {
            return Err(protocol(format!(
                "piece {ordinal} came where {expected} was asked for"
            )));
        }
        let should = chunks[ordinal as usize].bytes;
        if bytes.len() as u64 != u64::from(should) {
            let why = format!(
                "piece {ordinal} came with {} bytes, not {should}",
                bytes.len()
            );
            return Err(mismatch(why));
        }
        progress.advance(Bytes(bytes.len() as u64));
        arrived.push((ordinal, bytes));
    }
    Ok(arrived)
}

/// Checks the chunks and hands them to `sink`.
async fn keep<K: ChunkSink>(
    manifest: &Manifest,
    sink: &Arc<K>,
    pieces: Vec<(u32, Buffer)>,
) -> Result<(), Problem> {
    if pieces.is_empty() {
        return Ok(());
    }
    let (manifest, sink) = (manifest.clone(), Arc::clone(sink));
    on_disk(move || {
        for (ordinal, bytes) in pieces {
            let chunk = &manifest.chunks()[ordinal as usize];
            if chunk_id(&bytes) != chunk.id {
                return Err(mismatch(format!(
                    "piece {ordinal} is not what its checksum says"
                )));
            }
            sink.put(ordinal, chunk, &bytes)?;
        }
        Ok(())
    })
    .await
}

fn mismatch(why: String) -> Problem {
    Problem::new(Code::Checksum, "what arrived is damaged", why)
}
