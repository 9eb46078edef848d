//! The cache of trees and unpacked images as a plan: what it takes, and what to give up for what is to come.
//!
//! Equal files of several trees are one file on the disk. It is counted once, and it goes with the last tree that
//! has it. Knows sizes, last uses and what is in use; touches no file. The agent's cache performs it.

mod shared;

use std::collections::{BTreeMap, BTreeSet};

use common::{id::TreeId, image::ImageDigest, time::Timestamp, units::Bytes};

pub use self::shared::{FileNumber, SharedFiles};

/// What the cache can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    Tree(TreeId),
    /// Unpacked, from a registry, by the digest that the job pinned.
    Image(ImageDigest),
    /// Unpacked, from a tree that is an OCI image layout.
    Imported(TreeId),
}

/// Something in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached<'a> {
    pub item: Item,
    /// Room on the disk that goes when this goes, whatever else is there.
    pub alone: Bytes,
    /// What it has in common with others; each once.
    pub shared: &'a [FileNumber],
    pub last_used: Timestamp,
    /// Somebody uses it or it is on its way: it cannot go.
    pub pinned: bool,
}

/// Returns the room that all of this takes.
pub fn used<'a>(cached: impl IntoIterator<Item = Cached<'a>>, files: &SharedFiles) -> Bytes {
    let alone = |sum: u64, cached: Cached<'_>| sum.saturating_add(cached.alone.0);
    let alone = cached.into_iter().fold(0, alone);
    Bytes(alone.saturating_add(files.total().0))
}

/// Returns the room that what is in use takes.
pub fn pinned(cached: &[Cached<'_>], files: &SharedFiles) -> Bytes {
    let pinned = || cached.iter().filter(|cached| cached.pinned);
    let alone = pinned().fold(0, |sum: u64, cached| sum.saturating_add(cached.alone.0));
    let shared: BTreeSet<&FileNumber> = pinned().flat_map(|cached| cached.shared).collect();
    let size = |sum: u64, file: &FileNumber| sum.saturating_add(files.bytes(*file).0);
    Bytes(shared.into_iter().fold(alone, size))
}

/// Returns what to evict, longest unused first and no more than necessary, so that `needed` more bytes fit
/// within `limit`.
///
/// # Errors
/// What is in use leaves too little room. Nothing is to be evicted then.
pub fn make_room(
    cached: &[Cached<'_>],
    files: &SharedFiles,
    limit: Bytes,
    needed: Bytes,
) -> Result<Vec<Item>, NoRoom> {
    let mut used = used(cached.iter().copied(), files).0;
    let fits = |used: u64| used.saturating_add(needed.0) <= limit.0;
    if fits(used) {
        return Ok(Vec::new());
    }
    let pinned = pinned(cached, files);
    if !fits(pinned.0) {
        return Err(NoRoom {
            needed,
            limit,
            pinned,
        });
    }
    let mut idle: Vec<&Cached<'_>> = cached.iter().filter(|cached| !cached.pinned).collect();
    idle.sort_by_key(|cached| (cached.last_used, cached.item));
    let mut evicted = Vec::new();
    let mut gone: BTreeMap<FileNumber, u32> = BTreeMap::new();
    for cached in idle {
        if fits(used) {
            break;
        }
        used -= cached.alone.0;
        for file in cached.shared {
            let gone = gone.entry(*file).or_default();
            *gone += 1;
            if *gone == files.holders(*file) {
                used -= files.bytes(*file).0;
            }
        }
        evicted.push(cached.item);
    }
    Ok(evicted)
}

/// The cache cannot take something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{needed} are needed, but the cache may hold {limit} and {pinned} of that are in use")]
pub struct NoRoom {
    pub needed: Bytes,
    pub limit: Bytes,
    pub pinned: Bytes,
}

#[cfg(test)]
mod tests;
