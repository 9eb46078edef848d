//! Looking at the bytes of a version, a part at a time, so that nobody waits long for anybody's.

use std::collections::BTreeSet;

use common::{
    api::data::{MAX_DAMAGED_NAMED, VerifiedPart, VerifyDataset},
    id::{ChunkId, TreeId, UserId},
    problem::Problem,
    tree::TreePath,
    units::Bytes,
    wire::client::DownloadSource,
};
use coordinator_core::query::{
    access::{self, Readable},
    dataset,
};

use crate::{blobs::Store, desk::Desk};

/// Most bytes of one part: they are read in less than a second.
const MAX_BYTES: u64 = 256 << 20;
/// Most pieces of one part.
const MAX_CHUNKS: usize = 64 << 10;

/// Reads and hashes one part. For whoever may fetch the version.
pub(super) async fn part(
    desk: &Desk,
    user: UserId,
    request: VerifyDataset,
) -> Result<VerifiedPart, Problem> {
    let VerifyDataset { org, dataset, from } = request;
    let (version, tree) = {
        let state = desk.engine.read();
        let version = dataset::pinned(&state, user, org, &dataset)?;
        let source = DownloadSource::Dataset {
            name: dataset.name,
            version: Some(version),
        };
        match access::readable_tree(&state, user, org, &source)? {
            Readable::Tree(tree) => (version, tree),
            Readable::Waiting(_) => unreachable!("a dataset is never waited for"),
        }
    };
    let store = desk.store(org).await?;
    let slots = store.slots();
    slots.run(move || look(&store, version, tree, from)).await
}

fn look(store: &Store, version: u32, tree: TreeId, from: u32) -> Result<VerifiedPart, Problem> {
    let manifest = store.load_tree(tree)?;
    let chunks = manifest.chunks();
    let rest = chunks.get(from as usize..).unwrap_or_default();
    let mut damaged: BTreeSet<ChunkId> = BTreeSet::new();
    let (mut bytes, mut count) = (0, 0);
    for chunk in rest.iter().take(MAX_CHUNKS) {
        if store.suspect(chunk)? {
            damaged.insert(chunk.id);
        }
        bytes += u64::from(chunk.bytes);
        count += 1;
        if bytes >= MAX_BYTES {
            break;
        }
    }
    let files = manifest.tree().files();
    let hit: Vec<&TreePath> = files
        .filter(|(_, chunks)| chunks.iter().any(|chunk| damaged.contains(&chunk.id)))
        .map(|(path, _)| path)
        .collect();
    let next = from.saturating_add(count);
    Ok(VerifiedPart {
        version,
        files: manifest.tree().file_count(),
        total: Bytes(chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum()),
        bytes: Bytes(bytes),
        damaged_files: hit.len() as u64,
        damaged: hit.into_iter().take(MAX_DAMAGED_NAMED).cloned().collect(),
        next: (count > 0 && (next as usize) < chunks.len()).then_some(next),
    })
}
