//! What is held beside the cache's own things, within the same limit: parts of lazily mounted trees.
//!
//! Things that jobs use come first, then what is held beside, then what is idle, except that the first quarter of the
//! limit beside is never an idle tree's: one large lazy mount does not sweep the cache clean, and a full cache does
//! not make lazy mounts slow.

use agent_core::cache_plan::{self, make_room};
use common::units::Bytes;

use super::{
    Cache,
    held::{Shared, State},
    remove,
};
use crate::{
    lazy::Room,
    transfer::{beneath::Folder, layout::free},
};

/// Part of the limit for which idle trees make way.
const SHARE: u64 = 4;

/// Whoever holds it. Called on threads that may block, without any lock held.
pub(crate) trait Beside: Send + Sync {
    /// Gives up what is more than `most`, as far as that is possible; returns what is held still.
    fn shrink_to(&self, most: Bytes) -> Bytes;
}

impl Room for Cache {
    fn lend(&self, wanted: Bytes) -> Bytes {
        self.0.lend_beside(wanted)
    }
}

impl Shared {
    /// Lets `wanted` be held beside, as far as there is room; returns how much may be. Blocks.
    fn lend_beside(&self, wanted: Bytes) -> Bytes {
        let disk = Folder::open(self.shelf.root()).and_then(|root| free(&root));
        // A disk that does not say is taken for full.
        let disk = disk.unwrap_or_default();
        let (evicted, may) = {
            let mut state = self.state();
            let on_disk = state
                .used()
                .0
                .saturating_add(state.beside.0)
                .saturating_add(disk.0);
            let limit = state.limit.0.min(on_disk);
            let share = Bytes(limit.saturating_sub(wanted.0.min(limit / SHARE)));
            let evicted = self.evict_idle(&mut state, share);
            let may = Bytes(limit.saturating_sub(state.used().0));
            state.beside = wanted.min(may);
            (evicted, may)
        };
        remove(&evicted);
        may
    }

    /// Takes idle things out until everything is within `limit`, as far as that is possible.
    fn evict_idle(&self, state: &mut State, limit: Bytes) -> Vec<std::path::PathBuf> {
        let all = state.plan();
        let limit = limit.max(cache_plan::pinned(&all, &state.files));
        let plan = make_room(&all, &state.files, limit, Bytes::ZERO).unwrap_or_default();
        self.take_out(state, &plan)
    }

    /// Has so much given up of what is held beside that `more` fits beside what is in use; returns whether anything
    /// was. Blocks.
    pub(super) fn crowd_out(&self, more: Bytes) -> bool {
        let most = {
            let state = self.state();
            let all = state.plan();
            let pinned = cache_plan::pinned(&all, &state.files);
            let most = state
                .limit
                .0
                .saturating_sub(pinned.0.saturating_add(more.0));
            if state.beside.0 <= most {
                return false;
            }
            Bytes(most)
        };
        let Some(beside) = self.beside.get() else {
            return false;
        };
        let left = beside.shrink_to(most);
        self.state().beside = left;
        true
    }
}
