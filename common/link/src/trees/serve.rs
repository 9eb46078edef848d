//! The side that has a tree's chunks: sends those that the peer asks for.

use std::sync::Arc;

use bytes::Bytes as Buffer;
use common::{
    problem::Problem,
    tree::ChunkRef,
    units::Bytes,
    wire::data::{CHUNKS_PER_ASK, ChunkAsk, Run},
};

use super::{
    BATCH_BYTES, Manifest, PieceSource,
    pieces::{Parts, PiecesWriter},
    protocol, unless_stalled,
};
use crate::{
    frames::{FrameReceiver, FrameSender},
    pace::Pace,
};

/// What travelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    pub chunks: usize,
    /// Of the chunks themselves; fewer travelled where they were compressed.
    pub bytes: Bytes,
}

/// Sends what the peer asks for over a stream whose first frame was read, until the peer ends it, as fast as `pace`
/// lets all who share it.
///
/// # Errors
/// The source's problem, a peer that asks for what there is not, or what broke the stream.
pub async fn serve_chunks<S: PieceSource>(
    manifest: &Manifest,
    source: &Arc<S>,
    pace: &Pace,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<Served, Problem> {
    let mut served = Served::default();
    while let Some(ask) = unless_stalled(rx.recv::<ChunkAsk>()).await? {
        let all = manifest.chunks();
        let wanted = match ask {
            ChunkAsk::Wanted(wanted) => wanted,
            ChunkAsk::Damaged { ordinal } => {
                let chunk = *all.get(ordinal as usize).ok_or_else(none_such)?;
                let (suspected, slots) = (Arc::clone(source), source.slots());
                let looking = slots.run(move || {
                    suspected.suspect(&chunk);
                    Ok(())
                });
                looking.await?;
                continue;
            }
        };
        let numbers =
            Run::numbers(&wanted.runs, all.len(), CHUNKS_PER_ASK).ok_or_else(none_such)?;
        let numbered = numbers
            .into_iter()
            .map(|number| (number, all[number as usize]));
        let wanted: Vec<(u32, ChunkRef)> = numbered.collect();
        served.chunks += wanted.len();
        served.bytes.0 += wanted
            .iter()
            .map(|(_, chunk)| u64::from(chunk.bytes))
            .sum::<u64>();
        let mut batches = batches(wanted).into_iter();
        let mut frames = read(source, batches.next()).await?;
        while !frames.is_empty() {
            let sending = async {
                for frame in frames {
                    pace.pass(frame.iter().map(Buffer::len).sum()).await;
                    tx.send_parts(frame).await?;
                }
                Ok::<_, Problem>(())
            };
            // Never given up halfway: the peer is told about a failed read, and that needs whole frames before it.
            let (sent, next) = tokio::join!(sending, read(source, batches.next()));
            sent?;
            frames = next?;
        }
    }
    Ok(served)
}

/// Cuts a list of chunks into what is handled as one piece of work.
fn batches(wanted: Vec<(u32, ChunkRef)>) -> Vec<Vec<(u32, ChunkRef)>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for (number, chunk) in wanted {
        if !batch.is_empty() && bytes + u64::from(chunk.bytes) > BATCH_BYTES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += u64::from(chunk.bytes);
        batch.push((number, chunk));
    }
    batches.extend((!batch.is_empty()).then_some(batch));
    batches
}

async fn read<S: PieceSource>(
    source: &Arc<S>,
    batch: Option<Vec<(u32, ChunkRef)>>,
) -> Result<Vec<Parts>, Problem> {
    let Some(batch) = batch else {
        return Ok(Vec::new());
    };
    let (source, slots) = (Arc::clone(source), source.slots());
    let reading = slots.run(move || {
        let chunks: Vec<ChunkRef> = batch.iter().map(|(_, chunk)| *chunk).collect();
        let pieces = source.pieces(&chunks)?;
        let mut writer = PiecesWriter::default();
        for ((number, _), piece) in batch.iter().zip(&pieces) {
            writer.push(*number, piece);
        }
        Ok(writer.finish())
    });
    reading.await
}

fn none_such() -> Problem {
    protocol("the peer asked for pieces that there are not, or for too many at once")
}
