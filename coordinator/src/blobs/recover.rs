//! The start of a store after whatever happened to the process before.
//!
//! The index is the truth; packs may have more at their ends, which was written and not committed. Whole pieces of that
//! are taken in, checked, so that whoever sent them need not do so again; the rest is cut off. Where there is no index,
//! or it is damaged, it is made anew from packs and descriptions, those in the org's bucket included.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use common::id::{ChunkId, TreeId};
use link::trees::{Piece, manifest::MAX_MANIFEST_BYTES};

use super::{
    Limits,
    depot::Depot,
    error::BlobError,
    index::{Change, Index, NEW, Place, RECOUNT, TreeRow},
    journal::Journal,
    object::Object,
    packs::{PACKS, Packs, Step},
    shipping::{TREES, description},
    store::read_description,
    sync_folder, there,
};
use crate::store::StoreError;

/// What a store begins with.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) packs: Packs,
    pub(super) journal: Journal,
}

/// Opens the index of the store in `folder` and brings it up to what is on the disk; a new one up to what is in the
/// depot as well.
pub(super) fn recover(
    folder: &Path,
    limits: Limits,
    depot: Option<Arc<Depot>>,
    minute: u32,
) -> Result<Recovered, BlobError> {
    for entry in fs::read_dir(folder.join("temps"))? {
        fs::remove_file(entry?.path())?;
    }
    let index = open_index(&folder.join("index.redb"))?;
    let view = index.view()?;
    let new = view.note(NEW)?.is_some();
    let packs = Packs::new(folder.join("packs"), depot.clone(), view.away()?);
    if let Some(depot) = depot.filter(|_| new) {
        take_objects(folder, &index, &packs, &depot, minute)?;
    }
    let known = index.view()?.packs()?;
    for (number, _) in known.iter().filter(|(_, pack)| pack.bytes == 0) {
        // What is in a depot, collection deletes.
        packs.remove_file(*number)?;
        if !packs.is_away(*number) {
            index.write(|change| change.forget_pack(*number))?;
        }
    }
    let numbers = packs.numbers()?;
    for number in &numbers {
        if packs.is_away(*number) {
            packs.remove_file(*number)?;
            continue;
        }
        let row = known.iter().find(|(known, _)| known == number);
        let indexed = row.map_or(0, |(_, pack)| pack.bytes);
        take_tail(&index, &packs, *number, indexed, minute)?;
    }
    for (number, _) in known.iter().filter(|(_, pack)| pack.bytes > 0) {
        if !numbers.contains(number) && !packs.is_away(*number) {
            tracing::error!(pack = number, folder = %folder.display(), "a pack is missing");
        }
    }
    take_trees(folder, &index, new, minute)?;
    if index.view()?.note(RECOUNT)?.is_some() {
        recount(folder, &index, minute)?;
    }
    if new {
        index.write(|change| change.note(NEW, b""))?;
    }
    let last = packs.numbers()?.last().copied();
    let next = known
        .last()
        .map(|(number, _)| *number)
        .max(last)
        .map_or(1, |last| last + 1);
    let writer = match last {
        Some(last) => match u32::try_from(packs.length(last)?) {
            Ok(length) if length < limits.pack_bytes => Some(packs.writer(last, length)?),
            _ => None,
        },
        None => None,
    };
    let journal = Journal::new(limits, writer, next);
    Ok(Recovered {
        index,
        packs,
        journal,
    })
}

/// Takes into a new index what the depot has: packs that are not on the disk as a whole, and descriptions.
fn take_objects(
    folder: &Path,
    index: &Index,
    packs: &Packs,
    depot: &Depot,
    minute: u32,
) -> Result<(), BlobError> {
    // Of several of one pack, the longest is what it became in the end.
    let mut objects = BTreeMap::new();
    for (name, length) in depot.list(PACKS)? {
        if let Some(object) = Object::parse(&name) {
            let longest = objects.entry(object.pack).or_insert((length, object));
            if length > longest.0 {
                *longest = (length, object);
            }
        }
    }
    for (number, (length, object)) in objects {
        // One that is on the disk was not said to be in the depot yet, or has come back: unless it is torn.
        let here = packs.length(number).unwrap_or(0);
        if packs.is_away(number) || here >= length {
            continue;
        }
        packs.went(object)?;
        let (pieces, end) = whole_pieces(packs, number, 0, length)?;
        take_pieces(index, number, end, &pieces, minute, |change| {
            change.send_away(object)
        })?;
    }
    for (name, _) in depot.list(TREES)? {
        let Ok(tree) = name.parse::<TreeId>() else {
            continue;
        };
        let path = folder.join("trees").join(tree.to_string());
        if path.exists() {
            continue;
        }
        let temp = folder.join("temps").join(&name);
        let mut file = fs::File::create(&temp)?;
        file.write_all(&depot.get(&description(tree), MAX_MANIFEST_BYTES)?)?;
        file.sync_all()?;
        fs::rename(&temp, &path)?;
    }
    sync_folder(&folder.join("trees"))?;
    Ok(())
}

/// Opens the index; one that is damaged is put aside, as a person may want to look at it.
fn open_index(path: &Path) -> Result<Index, BlobError> {
    match Index::open(path) {
        Err(BlobError::Index(error)) if matches!(error.innermost(), StoreError::Damaged(_)) => {
            let aside = path.with_extension("redb.damaged");
            tracing::error!(path = %path.display(), aside = %aside.display(), error = crate::store::chain(&error), "an index is damaged and is made anew");
            fs::rename(path, aside)?;
            Index::open(path)
        }
        opened => opened,
    }
}

/// Takes in what a pack has behind what the index knows of it.
fn take_tail(
    index: &Index,
    packs: &Packs,
    number: u32,
    indexed: u32,
    minute: u32,
) -> Result<(), BlobError> {
    let length = packs.length(number)?;
    if length < u64::from(indexed) {
        tracing::error!(
            pack = number,
            length,
            indexed,
            "a pack is shorter than it was"
        );
        return Ok(());
    }
    if length == 0 {
        // It was only just begun.
        packs.remove_file(number)?;
    }
    if length == u64::from(indexed) {
        return Ok(());
    }
    let (pieces, end) = whole_pieces(packs, number, indexed, length)?;
    // Behind the last whole piece nothing stays, nor is anything lost: nobody was told that it is here.
    drop(packs.writer(number, end)?);
    packs.sync(number)?;
    packs.sync_names()?;
    take_pieces(index, number, end, &pieces, minute, |_| Ok(()))?;
    tracing::info!(
        pack = number,
        pieces = pieces.len(),
        "pieces of an upload that broke off were found"
    );
    Ok(())
}

/// Returns the pieces of a pack between these places, up to the first that is not whole, and where that begins.
fn whole_pieces(
    packs: &Packs,
    number: u32,
    from: u32,
    length: u64,
) -> Result<(Vec<(ChunkId, Place)>, u32), BlobError> {
    let until = u32::try_from(length).unwrap_or(u32::MAX);
    let mut pieces = Vec::new();
    let end = packs.walk(number, from, until, |offset, header, bytes| {
        let piece = Piece::from_parts(header.encoding, bytes);
        if piece.open(&header.chunk).is_err() {
            return Ok::<_, io::Error>(Step::Stop);
        }
        pieces.push((header.chunk.id, Place::of(number, offset, header)));
        Ok(Step::On)
    })?;
    Ok((pieces, end))
}

/// Puts pieces of a pack into the index, with `more` in the same commit.
fn take_pieces(
    index: &Index,
    number: u32,
    end: u32,
    pieces: &[(ChunkId, Place)],
    minute: u32,
    more: impl FnOnce(&mut Change<'_>) -> Result<(), BlobError>,
) -> Result<(), BlobError> {
    index.write(|change| {
        change.grow_pack(number, end)?;
        for (id, place) in pieces {
            change.arrive(*id, *place, minute)?;
        }
        more(change)
    })
}

/// Removes descriptions that no tree has; where the index is new, they are what it is made from.
fn take_trees(folder: &Path, index: &Index, new: bool, minute: u32) -> Result<(), BlobError> {
    let view = index.view()?;
    let doomed = view.doomed()?;
    for entry in fs::read_dir(folder.join("trees"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(tree) = name.and_then(|name| name.parse::<TreeId>().ok()) else {
            tracing::warn!(path = %path.display(), "a file among the trees is none");
            continue;
        };
        if view.tree(tree)?.is_some() || doomed.iter().any(|one| one.tree == tree) {
            continue;
        }
        if !new {
            there(fs::remove_file(&path))?;
            continue;
        }
        let described = read_description(&path, tree)?;
        let row = match &described {
            Ok(manifest) => TreeRow {
                bytes: manifest.tree().bytes(),
                files: manifest.tree().file_count(),
                since: minute,
                damaged: false,
            },
            Err(why) => {
                tracing::error!(%tree, why, "a stored tree is damaged");
                continue;
            }
        };
        index.write(|change| {
            change.put_tree(tree, row)?;
            change.note(RECOUNT, b"1")
        })?;
    }
    Ok(())
}

/// Counts anew how many trees have each chunk. A chunk that a tree has and no pack is noted as missing.
pub(super) fn recount(folder: &Path, index: &Index, minute: u32) -> Result<(), BlobError> {
    let view = index.view()?;
    index.write(|change| {
        change.reset_references(minute)?;
        for (tree, row) in view.trees()? {
            let counted = !row.damaged && refer_from(change, folder, tree, 0)?;
            // One whose description comes anew is counted then.
            change.note_counted(tree, (!counted).then_some(0))?;
        }
        for doomed in view.doomed()? {
            let counted = refer_from(change, folder, doomed.tree, doomed.heard)?;
            change.recount_doomed(doomed.tree, counted)?;
        }
        change.note(RECOUNT, b"")
    })
}

/// Notes that a tree has its chunks from this one on; returns whether its description says which those are.
fn refer_from(
    change: &mut Change<'_>,
    folder: &Path,
    tree: TreeId,
    first: u32,
) -> Result<bool, BlobError> {
    let path = folder.join("trees").join(tree.to_string());
    match read_description(&path, tree)? {
        Ok(manifest) => {
            for chunk in manifest.chunks().iter().skip(first as usize) {
                change.refer(chunk.id)?;
            }
            Ok(true)
        }
        Err(why) => {
            tracing::error!(%tree, why, "a stored tree is damaged");
            Ok(false)
        }
    }
}
