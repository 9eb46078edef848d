//! A tree's description over a stream: all of it, or beside a tree that both sides have.

use common::{
    problem::Problem,
    tree::{ChunkRef, Entry, EntryKind},
    wire::{
        Kind,
        data::{
            Based, CHUNKS_PER_OFFER, CHUNKS_PER_PART, Offer, OfferedEntry, OfferedKind,
            OfferedPart, Run, TreePart,
        },
    },
};

use super::{
    Manifest,
    manifest::{Gathered, InvalidManifest, MAX_TREE_CHUNKS},
    numbers::Numbers,
    on_disk, protocol, unless_stalled,
};
use crate::frames::{FrameReceiver, FrameSender};

/// Sends the description of a tree.
///
/// # Errors
/// The stream broke.
pub async fn send_description(manifest: &Manifest, tx: &mut FrameSender) -> Result<(), Problem> {
    for part in manifest.parts() {
        tx.send(&part).await?;
    }
    Ok(())
}

/// Sends the description of a tree to a peer who has named trees that it has, of which `beside` is one.
///
/// # Errors
/// The stream broke.
pub async fn send_description_beside(
    manifest: &Manifest,
    beside: Option<&Manifest>,
    tx: &mut FrameSender,
) -> Result<(), Problem> {
    let tree = beside.map(Manifest::id);
    tx.send(&Based { tree }).await?;
    let Some(beside) = beside else {
        return send_description(manifest, tx).await;
    };
    let beside = beside.clone();
    let mut numbers = on_disk(move || Ok(Numbers::of(beside))).await?;
    for part in manifest.parts() {
        let mut fresh = Vec::new();
        for chunk in part.entries.iter().flat_map(|entry| entry.kind.chunks()) {
            let (_, new) = numbers.number(chunk)?;
            fresh.extend(new.then_some(*chunk));
        }
        for chunks in fresh.chunks(CHUNKS_PER_OFFER) {
            let chunks = chunks.to_vec();
            tx.send(&Offer { chunks }).await?;
        }
        tx.send(&numbers.part(part)?).await?;
    }
    Ok(())
}

/// Receives the description of a tree.
///
/// # Errors
/// It is not a tree, it is too large, or the stream broke.
pub async fn receive_description(rx: &mut FrameReceiver) -> Result<Manifest, Problem> {
    let mut gathered = Gathered::default();
    // What a job leaves may be on its way for long: there is no telling when the first part comes.
    gathered.add(rx.expect().await?).map_err(invalid)?;
    while !gathered.complete {
        let part: TreePart = unless_stalled(rx.expect()).await?;
        gathered.add(part).map_err(invalid)?;
    }
    on_disk(move || gathered.into_manifest().map_err(invalid)).await
}

/// Receives the description of a tree from a peer to whom trees that are here were named; `find` returns one of them.
///
/// # Errors
/// As for [`receive_description`]; the problem of `find`.
pub async fn receive_description_beside(
    rx: &mut FrameReceiver,
    find: impl FnOnce(common::id::TreeId) -> Result<Manifest, Problem> + Send + 'static,
) -> Result<Manifest, Problem> {
    let Based { tree } = unless_stalled(rx.expect()).await?;
    let Some(tree) = tree else {
        return receive_description(rx).await;
    };
    let tree = on_disk(move || {
        let tree = find(tree)?;
        // Numbered here, not on a thread that serves streams.
        tree.chunks();
        Ok(tree)
    });
    let mut known = Known::beside(Some(tree.await?));
    let mut gathered = Gathered::default();
    while !gathered.complete {
        match unless_stalled(rx.kind()).await? {
            Some(Kind::Offer) => {
                let offer: Offer = unless_stalled(rx.expect()).await?;
                if known.offered() + offer.chunks.len() > MAX_TREE_CHUNKS {
                    return Err(protocol("more chunks came than a tree may have"));
                }
                known.add(&offer.chunks);
            }
            Some(Kind::OfferedPart) => {
                let part: OfferedPart = unless_stalled(rx.expect()).await?;
                gathered.add(resolved(part, &known)?).map_err(invalid)?;
            }
            Some(other) => return Err(protocol(format!("a {other:?} frame came"))),
            None => return Err(protocol("the peer stopped before the tree was complete")),
        }
    }
    on_disk(move || gathered.into_manifest().map_err(invalid)).await
}

/// Chunks by number: those of the tree that both sides have, then those that were offered.
#[derive(Debug, Default)]
pub(super) struct Known {
    beside: Option<Manifest>,
    offered: Vec<ChunkRef>,
}

impl Known {
    pub(super) const fn beside(tree: Option<Manifest>) -> Self {
        Self {
            beside: tree,
            offered: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, offered: &[ChunkRef]) {
        self.offered.extend_from_slice(offered);
    }

    pub(super) fn len(&self) -> usize {
        self.before().len() + self.offered.len()
    }

    /// Returns how many were offered.
    pub(super) const fn offered(&self) -> usize {
        self.offered.len()
    }

    /// Returns a chunk whose number is known to be below [`Known::len`].
    pub(super) fn chunk(&self, number: u32) -> ChunkRef {
        let (number, before) = (number as usize, self.before());
        match number.checked_sub(before.len()) {
            Some(offered) => self.offered[offered],
            None => before[number],
        }
    }

    fn before(&self) -> &[ChunkRef] {
        self.beside.as_ref().map_or(&[], Manifest::chunks)
    }
}

/// Returns a part with the chunks themselves in place of their numbers: no more than a part may name, since a few bytes
/// can stand for millions.
pub(super) fn resolved(part: OfferedPart, known: &Known) -> Result<TreePart, Problem> {
    let mut room = CHUNKS_PER_PART;
    let mut chunks_of = |runs: &[Run]| {
        let numbers = Run::numbers(runs, known.len(), room).ok_or_else(|| {
            protocol("a file of chunks that were not offered, or more than a part may name")
        })?;
        room -= numbers.len();
        let chunk = |number: u32| known.chunk(number);
        Ok::<Vec<ChunkRef>, Problem>(numbers.into_iter().map(chunk).collect())
    };
    let mut entries = Vec::with_capacity(part.entries.len());
    for OfferedEntry { path, kind } in part.entries {
        let kind = match kind {
            OfferedKind::Directory => EntryKind::Directory,
            OfferedKind::Symlink { target } => EntryKind::Symlink { target },
            OfferedKind::File { executable, chunks } => EntryKind::File {
                executable,
                chunks: chunks_of(&chunks)?,
            },
        };
        entries.push(Entry { path, kind });
    }
    let last = part.last;
    Ok(TreePart { entries, last })
}

pub(super) fn invalid(cause: impl Into<InvalidManifest>) -> Problem {
    protocol(format!("the tree is not valid: {}", cause.into()))
}

#[cfg(test)]
mod tests {
    use common::tree::chunk_id;

    use super::*;

    #[test]
    fn a_few_bytes_do_not_become_millions_of_chunks() {
        let chunk = ChunkRef {
            id: chunk_id(b"x"),
            bytes: 1,
        };
        let mut known = Known::default();
        known.add(&vec![chunk; CHUNKS_PER_PART]);
        let all = |path: &str, count: usize| OfferedEntry {
            path: path.parse().unwrap(),
            kind: OfferedKind::File {
                executable: false,
                chunks: Run::of(0..u32::try_from(count).unwrap()),
            },
        };
        let part = |entries| OfferedPart {
            entries,
            last: true,
        };
        let most = part(vec![all("a", CHUNKS_PER_PART - 1), all("b", 1)]);
        assert_eq!(resolved(most, &known).unwrap().entries.len(), 2);
        for entries in [
            vec![all("a", CHUNKS_PER_PART - 1), all("b", 2)],
            (0..1000)
                .map(|number| all(&number.to_string(), CHUNKS_PER_PART))
                .collect(),
        ] {
            let refused = resolved(part(entries), &known).unwrap_err();
            assert!(
                refused.why.contains("more than a part may name"),
                "{refused}"
            );
        }
    }
}
