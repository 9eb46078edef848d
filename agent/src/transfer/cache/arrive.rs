//! How a tree's transfer ends: it gets its place, or what came of it is kept for the next try.

use std::{
    iter,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use agent_core::cache_plan::Item;
use common::{id::TreeId, problem::Problem, units::Bytes};

use super::{
    description::Description,
    held::{Held, Shared},
    now, remove, shelf,
};
use crate::transfer::layout::Layout;

/// How long a description stays in memory after its tree has come: the next version may follow.
const KEEP_DESCRIPTION: Duration = Duration::from_secs(600);

impl Shared {
    /// Gives a tree that was written its place. `donors` are the trees that files were linked from.
    pub(super) fn arrive(
        self: &Arc<Self>,
        description: &Description,
        layout: &Layout,
        donors: &[TreeId],
    ) -> Result<(), Problem> {
        self.shelf.complete(description, layout)?;
        let manifest = description.manifest();
        let linked = layout.linked();
        let tree = manifest.id();
        let links = linked.iter().map(|linked| (linked.file, linked.bytes));
        let empty = layout.empty().iter();
        let empty = empty.flat_map(|empty| iter::repeat_n((empty.file, Bytes::ZERO), empty.names));
        let (alone, files) = shelf::room(manifest.tree(), links.chain(empty).collect());
        let arrival = Some(self.next_number.fetch_add(1, Ordering::Relaxed));
        let mut state = self.state();
        for linked in linked {
            if let Some(donor) = donors.get(linked.donor) {
                state.share(
                    Item::Tree(*donor),
                    linked.file,
                    shelf::file_room(linked.bytes),
                );
            }
        }
        for (file, room) in &files {
            state.files.take(*file, *room);
        }
        // Whoever fetched it may have given up a moment ago; it is here all the same.
        let pins = state
            .held
            .get(&Item::Tree(tree))
            .map_or(0, |held| held.pins);
        let here = Held {
            alone,
            shared: files.into_iter().map(|(file, _)| file).collect(),
            last_used: now(),
            pins,
            arrival,
            checked_at: Some(Instant::now()),
            name: String::new(),
            altered: false,
        };
        state.held.insert(Item::Tree(tree), here);
        drop(state);
        // The job need not wait for the disk: a tree that is not marked is fetched again after a crash.
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || shared.settle(tree, arrival));
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(KEEP_DESCRIPTION).await;
            shared.shelf.forget(tree);
        });
        Ok(())
    }

    /// Marks a tree as safe once it is, unless it is gone or was fetched anew meanwhile.
    pub(super) fn settle(&self, tree: TreeId, arrival: Option<u64>) {
        let synced = self.shelf.sync();
        let state = self.state();
        let here = state
            .held
            .get(&Item::Tree(tree))
            .is_some_and(|held| held.arrival == arrival);
        if let Err(error) = synced.and_then(|()| if here { self.shelf.mark(tree) } else { Ok(()) })
        {
            tracing::warn!(%tree, %error, "a cached tree is not marked as safe");
        }
    }

    /// Counts what a transfer that was broken off has left, as it is; without `keep` it is removed. Blocks.
    pub(super) fn broken_off(&self, tree: TreeId, keep: bool) {
        let item = Item::Tree(tree);
        let begun = self.shelf.begun(tree).map(|begun| begun.alone);
        let evicted = {
            let mut state = self.state();
            let Some(held) = state.held.get_mut(&item) else {
                return;
            };
            if held.arrival.is_some() || held.pins > 0 {
                return;
            }
            match begun {
                Ok(bytes) if keep => {
                    held.alone = bytes;
                    Vec::new()
                }
                Ok(_) => self.take_out(&mut state, &[item]),
                Err(_) => {
                    state.held.remove(&item);
                    Vec::new()
                }
            }
        };
        remove(&evicted);
    }
}
