//! What the trees that are here have of one that is about to come.

use std::{cmp::Reverse, io, sync::Arc};

use agent_core::cache_plan::Item;
use common::{id::TreeId, units::Bytes};
use link::trees::Manifest;

use super::{
    held::{Pin, Shared},
    shelf,
};
use crate::transfer::donors::{Donors, Wishes};

/// Descriptions are read up to this part of the tree's size, so that looking never costs much beside fetching.
const READ_PART: u64 = 16;
/// Descriptions that are read for any tree, however small.
const READ_LEAST: u64 = 256 << 10;
/// Descriptions that are read for any tree, however large.
const READ_MOST: u64 = 256 << 20;

/// Donors that stay in the cache for as long as this is held.
pub(super) struct Lent {
    pub(super) donors: Donors,
    /// In the order of the donors' folders.
    pub(super) trees: Vec<TreeId>,
    pins: Vec<Pin>,
}

impl Lent {
    pub(super) fn nothing() -> Self {
        Self {
            donors: Donors::default(),
            trees: Vec::new(),
            pins: Vec::new(),
        }
    }
}

/// Returns the room that a tree takes beside files of these sizes that others have.
pub(super) fn beside(manifest: &Manifest, linked: impl Iterator<Item = Bytes>) -> Bytes {
    let linked: u64 = linked.map(|bytes| shelf::file_room(bytes).0).sum();
    Bytes(shelf::footprint(manifest.tree()).0.saturating_sub(linked))
}

impl Shared {
    /// Returns the trees that are here as a whole, those that were used last first.
    pub(super) fn latest(&self) -> Vec<TreeId> {
        let mut used: Vec<_> = {
            let state = self.state();
            let whole = state.held.iter().filter(|(_, held)| held.is_whole());
            let used = whole.filter_map(|(item, held)| match item {
                Item::Tree(tree) => Some((Reverse(held.last_used), *tree)),
                Item::Image(_) | Item::Imported(_) => None,
            });
            used.collect()
        };
        used.sort_unstable();
        used.into_iter().map(|(_, tree)| tree).collect()
    }

    /// Looks through the trees that are here, those that were used last first. Blocks.
    pub(super) fn lend(self: &Arc<Self>, manifest: &Manifest) -> io::Result<Lent> {
        let mut lent = Lent::nothing();
        let candidates = self.latest();
        if candidates.is_empty() {
            return Ok(lent);
        }
        let most = manifest.tree().bytes().0 / READ_PART;
        let mut may_read = most.clamp(READ_LEAST, READ_MOST);
        let mut wishes = Wishes::of(manifest);
        for tree in candidates {
            if wishes.are_met() {
                break;
            }
            let length = self.shelf.description_bytes(tree);
            if length > may_read {
                continue;
            }
            let Some(pin) = self.pin_donor(Item::Tree(tree)) else {
                continue;
            };
            may_read -= length;
            let Ok(described) = self.shelf.manifest(tree) else {
                continue;
            };
            if wishes.ask(&self.shelf.content(tree), described.tree())? {
                lent.trees.push(tree);
                lent.pins.push(pin);
            }
        }
        lent.donors = wishes.into_donors();
        Ok(lent)
    }
}
