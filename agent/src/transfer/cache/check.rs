//! Whether a cached tree is still as it was sealed.
//!
//! A job does not wait for a walk over twenty thousand files that were looked at a moment ago. All of a tree is
//! looked at when the agent starts (which is when it may have been away), and again with its use: beside the job
//! if the last look was short ago, before the job if it was long ago. A small tree is looked at before each use. What was found to be altered goes to
//! no other job and is fetched again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use agent_core::cache_plan::Item;
use common::{code::Code, id::TreeId, problem::Problem};
use link::trees::on_disk;

use super::{Cache, Pinned, held::Shared, remove};

/// A look as old as this holds for one more use, and is then renewed beside it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// A look as old as this does not hold any more.
const LOOK_BEFORE: Duration = Duration::from_secs(3600);
/// A tree that is described in so few bytes is looked at before each use: that takes less than a millisecond.
const SMALL_BYTES: u64 = 64 << 10;

/// What has to be done before a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Before,
    Beside,
    No,
}

/// What is known of a tree's last look.
#[derive(Debug, Clone, Copy)]
struct LastLook {
    at: Option<Instant>,
    altered: bool,
    arrival: Option<u64>,
}

/// Returns what the age of the last look asks for; `None` is that there was none.
fn look(age: Option<Duration>, description_bytes: u64) -> Look {
    match age {
        _ if description_bytes <= SMALL_BYTES => Look::Before,
        None => Look::Before,
        Some(age) if age >= LOOK_BEFORE => Look::Before,
        Some(age) if age >= LOOK_AGAIN => Look::Beside,
        Some(_) => Look::No,
    }
}

impl Cache {
    /// Returns whether a tree may be used as it is, and notes that it is.
    pub(super) async fn is_usable(&self, pinned: &Pinned) -> Result<bool, Problem> {
        let (shared, tree) = (Arc::clone(&self.0), pinned.tree);
        on_disk(move || {
            shared.shelf.note_use(tree);
            let Some(last) = shared.last_look(tree) else {
                return Ok(false);
            };
            if last.altered || !shared.shelf.content(tree).is_dir() {
                return Ok(false);
            }
            let age = last.at.map(|at| at.elapsed());
            match look(age, shared.shelf.description_bytes(tree)) {
                Look::Before => Ok(shared.check(tree, last.arrival)),
                Look::Beside => {
                    // One at a time: whoever comes meanwhile finds it renewed.
                    shared.note_check(tree, last.arrival, true);
                    tokio::task::spawn_blocking(move || shared.check(tree, last.arrival));
                    Ok(true)
                }
                Look::No => Ok(true),
            }
        })
        .await
    }

    /// Gives up a tree that was altered.
    pub(super) async fn discard(&self, pinned: Pinned) -> Result<(), Problem> {
        let (shared, tree) = (Arc::clone(&self.0), pinned.tree);
        let item = Item::Tree(tree);
        drop(pinned);
        tracing::warn!(%tree, "a cached tree was altered; it is fetched again");
        on_disk(move || {
            let evicted = {
                let mut state = shared.state();
                if state.held.get(&item).is_some_and(|held| held.pins > 0) {
                    let why = format!("the cached copy of tree {tree} was altered and is in use");
                    let what = "the data cannot be used";
                    return Err(Problem::new(Code::Checksum, what, why));
                }
                shared.take_out(&mut state, &[item])
            };
            remove(&evicted);
            Ok(())
        })
        .await
    }
}

impl Shared {
    fn last_look(&self, tree: TreeId) -> Option<LastLook> {
        let state = self.state();
        let held = state.held.get(&Item::Tree(tree))?;
        Some(LastLook {
            at: held.checked_at,
            altered: held.altered,
            arrival: held.arrival,
        })
    }

    /// Looks at all of a tree. Blocks.
    fn check(&self, tree: TreeId, arrival: Option<u64>) -> bool {
        let intact = self.shelf.is_intact(tree);
        self.note_check(tree, arrival, intact);
        intact
    }

    /// Notes what was seen of a tree, unless it was fetched anew meanwhile.
    fn note_check(&self, tree: TreeId, arrival: Option<u64>, intact: bool) {
        let mut state = self.state();
        let held = state.held.get_mut(&Item::Tree(tree));
        let Some(held) = held.filter(|held| held.arrival == arrival) else {
            return;
        };
        if intact {
            held.checked_at = Some(Instant::now());
        } else {
            held.altered = true;
            tracing::warn!(%tree, "a cached tree is not as it was sealed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_waits_for_a_look_only_where_it_is_short_or_the_last_is_long_ago() {
        let age = |seconds| Some(Duration::from_secs(seconds));
        let large = SMALL_BYTES + 1;
        assert_eq!(look(None, large), Look::Before);
        assert_eq!(look(age(0), large), Look::No);
        assert_eq!(look(age(59), large), Look::No);
        assert_eq!(look(age(60), large), Look::Beside);
        assert_eq!(look(age(3599), large), Look::Beside);
        assert_eq!(look(age(3600), large), Look::Before);
        assert_eq!(look(age(0), SMALL_BYTES), Look::Before);
    }
}
