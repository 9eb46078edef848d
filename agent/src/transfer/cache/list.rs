//! What lies in the cache, for its machine's owner, and taking single things out.

use std::cmp::Reverse;

use agent_core::cache_plan::Item;
use common::{id::TreeId, time::Timestamp, units::Bytes};

use super::{Cache, images::read_about, remove};

/// Something in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) item: Item,
    /// Empty where it is not known.
    pub(crate) name: String,
    pub(crate) alone: Bytes,
    /// What others have too.
    pub(crate) shared: Bytes,
    pub(crate) last_used: Timestamp,
    pub(crate) pinned: bool,
    pub(crate) whole: bool,
}

impl Cache {
    /// Returns what is there, what was used last first. Blocks.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let mut all: Vec<Listed> = {
            let state = self.0.state();
            let listed = state.held.iter().map(|(item, held)| Listed {
                item: *item,
                name: held.name.clone(),
                alone: held.alone,
                shared: state.shared_room(&held.shared),
                last_used: held.last_used,
                pinned: held.pins > 0,
                whole: held.is_whole(),
            });
            listed.collect()
        };
        for listed in &mut all {
            if let Item::Image(_) | Item::Imported(_) = listed.item
                && let Some(about) = read_about(&self.0.shelf.image(listed.item))
            {
                listed.name = about.reference;
            }
        }
        all.sort_by_key(|listed| (Reverse(listed.last_used), listed.item));
        all
    }

    /// Returns how much there may be.
    pub(crate) fn limit(&self) -> Bytes {
        self.0.state().limit
    }

    /// Takes out those of these that nobody uses; returns them. Blocks.
    pub(crate) fn evict(&self, items: &[Item]) -> Vec<Item> {
        let (idle, evicted) = {
            let mut state = self.0.state();
            let held = |item: &&Item| state.held.get(item).is_some_and(|held| held.pins == 0);
            let idle: Vec<Item> = items.iter().filter(held).copied().collect();
            let evicted = self.0.take_out(&mut state, &idle);
            (idle, evicted)
        };
        remove(&evicted);
        idle
    }

    /// Writes down what people call a tree that is there. Blocks.
    pub(crate) fn call(&self, tree: TreeId, name: &str) {
        {
            let mut state = self.0.state();
            match state.held.get_mut(&Item::Tree(tree)) {
                Some(held) if held.name != name => name.clone_into(&mut held.name),
                _ => return,
            }
        }
        self.0.shelf.call(tree, name);
    }
}
