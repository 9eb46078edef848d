//! What is lacking on its way: packed and sent over a further stream of the upload.

use std::sync::Arc;

use common::{
    problem::Problem,
    tree::ChunkRef,
    wire::{Message, data::Stored},
};
use tokio::sync::{Mutex, mpsc};

use super::Cut;
use crate::{
    close_problem,
    frames::split,
    trees::{
        on_disk,
        piece::Packer,
        pieces::{Parts, PiecesWriter},
        size, unless_stalled,
    },
};

/// What a chunk costs besides its bytes: a folder of tiny files must not make the window a list of millions.
const CHUNK_COST: u64 = 512;

/// What is lacking, on its way to one of the streams.
pub(super) type Lacking = Vec<(u32, Cut)>;

pub(super) async fn reserve(
    work: Option<&mpsc::Sender<Lacking>>,
) -> Option<mpsc::Permit<'_, Lacking>> {
    work?.reserve().await.ok()
}

/// Carries pieces over one more stream, opened when there is something for it.
pub(super) async fn carry<M: Message + Sync>(
    (connection, first): (quinn::Connection, M),
    queue: Arc<Mutex<mpsc::Receiver<Lacking>>>,
    done: mpsc::UnboundedSender<Result<(u64, u64), Problem>>,
) {
    let carrying = async {
        let mut stream = None;
        let mut packer = Packer::default();
        loop {
            let next = queue.lock().await.recv().await;
            let Some(lacking) = next else { break };
            let costs = costs(&lacking);
            let (frames, packed) = on_disk(move || {
                let frames = pack(lacking, &mut packer);
                Ok((frames, packer))
            })
            .await?;
            packer = packed;
            let (tx, _) = match &mut stream {
                Some(open) => open,
                None => {
                    let opened = connection.open_bi().await;
                    let mut opened = split(opened.map_err(|error| close_problem(&error))?);
                    opened.0.send(&first).await?;
                    stream.insert(opened)
                }
            };
            for frame in frames {
                tx.send_parts(frame).await?;
            }
            // Nobody hears it where the upload was given up.
            let _given_up = done.send(Ok(costs));
        }
        if let Some((mut tx, mut rx)) = stream {
            tx.finish();
            // The other side ends it once it has everything.
            let _end = unless_stalled(rx.recv::<Stored>()).await;
        }
        Ok::<_, Problem>(())
    };
    if let Err(problem) = carrying.await {
        let _given_up = done.send(Err(problem));
    }
}

pub(super) fn pack(lacking: Lacking, packer: &mut Packer) -> Vec<Parts> {
    let mut writer = PiecesWriter::default();
    for (number, (_, content)) in lacking {
        writer.push(number, &packer.pack(content));
    }
    writer.finish()
}

/// Returns the bytes of chunks and what they cost in the window.
pub(super) fn costs(lacking: &Lacking) -> (u64, u64) {
    let chunks: Vec<ChunkRef> = lacking.iter().map(|(_, (chunk, _))| *chunk).collect();
    (size(&chunks), cost(&chunks))
}

pub(super) fn cost(chunks: &[ChunkRef]) -> u64 {
    size(chunks) + chunks.len() as u64 * CHUNK_COST
}
