//! The agent's cache of trees: read-only folders that jobs see, fetched once, given up by last use.
//!
//! `trees/<id>/` is a tree's plain content, sealed: nobody may write, everybody may read (the enclosing agent
//! folder is private, but in a sandbox the reader is another user). `manifests/<id>` says what it is, its time
//! when it was used last; `synced/<id>` that it has reached the disk, in the boot that `boot` names or an
//! earlier one; `temps/` is what comes and goes. What to give up is planned in [`agent_core::cache_plan`].

mod copy;
mod sealed;
mod shelf;

pub use self::copy::{Owner, copy_into};

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use agent_core::cache_plan::{Cached, make_room};
use common::{
    code::Code, id::TreeId, problem::Problem, time::Timestamp, units::Bytes,
    wire::agent::AgentStream,
};
use link::trees::{self, Manifest, Progress, io_problem, on_disk};

use self::shelf::{Kept, Shelf};
use super::{
    beneath::Folder,
    layout::free,
    stream::{open, or_refuse, prepare},
};

/// The cache of one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shelf: Shelf,
    state: Mutex<State>,
    /// Numbers arrivals and names of what is to be removed.
    next_number: AtomicU64,
}

#[derive(Debug)]
struct State {
    limit: Bytes,
    held: BTreeMap<TreeId, Held>,
    /// One for each tree that somebody asks for: who holds it may fetch or evict the tree.
    turns: BTreeMap<TreeId, Weak<tokio::sync::Mutex<()>>>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: Bytes,
    last_used: Timestamp,
    pins: u32,
    /// Which arrival this is; `None` while it is on its way and only its room is taken.
    arrival: Option<u64>,
}

/// A tree that stays in the cache for as long as this is held.
pub struct Pinned {
    shared: Arc<Shared>,
    tree: TreeId,
    path: PathBuf,
}

impl Pinned {
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// Returns the folder with the tree's content. Nothing may write to it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn manifest(&self) -> Result<Manifest, Problem> {
        self.shared.shelf.manifest(self.tree)
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({})", self.tree)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(held) = self.shared.state().held.get_mut(&self.tree) {
            held.pins -= 1;
            held.last_used = now();
        }
    }
}

impl Cache {
    /// Opens the cache in `folder`, which is made if needed, and removes what an earlier process or a crash of
    /// the machine left incomplete. Blocks.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path, limit: Bytes) -> Result<Self, Problem> {
        let what = format!("the cache {} cannot be used", folder.display());
        let opened = Shelf::open(folder).map_err(|error| io_problem(what, &error))?;
        let (shelf, found) = opened;
        let whole = |Kept {
                         tree,
                         bytes,
                         last_used,
                     }| {
            let arrival = Some(0);
            (
                tree,
                Held {
                    bytes,
                    last_used,
                    pins: 0,
                    arrival,
                },
            )
        };
        let held = found.into_iter().map(whole).collect();
        let state = Mutex::new(State {
            limit,
            held,
            turns: BTreeMap::new(),
        });
        Ok(Self(Arc::new(Shared {
            shelf,
            state,
            next_number: AtomicU64::new(1),
        })))
    }

    /// Returns every tree that is there as a whole.
    pub fn ids(&self) -> Vec<TreeId> {
        let state = self.0.state();
        state
            .held
            .iter()
            .filter(|(_, held)| held.arrival.is_some())
            .map(|(tree, _)| *tree)
            .collect()
    }

    /// Returns the room that the cache takes, trees on their way counted whole.
    pub fn used(&self) -> Bytes {
        Bytes(self.0.state().held.values().map(|held| held.bytes.0).sum())
    }

    /// Changes how much the cache may hold and evicts what is too much, except what is in use. Blocks.
    pub fn set_limit(&self, limit: Bytes) {
        let evicted = {
            let mut state = self.0.state();
            state.limit = limit;
            let in_use = state.held.values().filter(|held| held.pins > 0);
            let pinned = in_use.map(|held| held.bytes.0).sum();
            let limit = Bytes(limit.0.max(pinned));
            let plan = make_room(&state.plan(), limit, Bytes::ZERO).unwrap_or_default();
            self.0.take_out(&mut state, &plan)
        };
        remove(&evicted);
    }

    /// Pins a tree if it is there; for attempts that were running before the agent was restarted.
    pub fn pin(&self, tree: TreeId) -> Option<Pinned> {
        self.0
            .state()
            .held
            .get_mut(&tree)
            .filter(|held| held.arrival.is_some())?
            .pins += 1;
        Some(Pinned {
            shared: Arc::clone(&self.0),
            tree,
            path: self.0.shelf.content(tree),
        })
    }

    /// Returns the tree, fetched over `connection` unless it is there. Whoever asks for the same at once waits
    /// for one transfer.
    ///
    /// # Errors
    /// `disk_full` if it does not fit beside what is in use; the coordinator's refusal; a lost connection, after
    /// which another try goes on where this one was.
    pub async fn fetch(
        &self,
        connection: &quinn::Connection,
        tree: TreeId,
        progress: &dyn Progress,
    ) -> Result<Pinned, Problem> {
        let turn = self.turn(tree);
        let _turn = turn.lock().await;
        if let Some(pinned) = self.pin(tree) {
            if self.intact(&pinned).await? {
                return Ok(pinned);
            }
            self.discard(pinned).await?;
        }
        let first = AgentStream::Download { tree };
        let (mut tx, mut rx) = open(connection, &first).await?;
        let received = async {
            let manifest = trees::receive_description(&mut rx).await?;
            if manifest.id() != tree {
                let what = "the data cannot be fetched";
                let why = format!("tree {} came instead of {tree}", manifest.id());
                return Err(Problem::new(Code::Protocol, what, why));
            }
            let reserved = self.reserve(&manifest).await?;
            let (shared, describing) = (Arc::clone(&self.0), manifest.clone());
            let layout = on_disk(move || {
                let arriving = (Arc::clone(&shared), describing.clone());
                let finish = move |_: &Path| arriving.0.arrive(&arriving.1);
                let made = shared
                    .shelf
                    .partial(tree)
                    .and_then(|partial| prepare(&partial, &describing, finish));
                made.map_err(|error| io_problem("the data cannot be cached", &error))
            })
            .await?;
            trees::receive(&manifest, &layout, &mut tx, &mut rx, progress).await?;
            Ok(reserved.into_pinned())
        };
        let received = received.await;
        if received
            .as_ref()
            .is_err_and(|problem| problem.code == Code::DiskFull)
        {
            // What lies there would only stand in the way of others.
            let shared = Arc::clone(&self.0);
            on_disk(move || {
                shared.clear_partials(&shared.state(), None);
                Ok(())
            })
            .await?;
        }
        or_refuse(received, &mut tx).await
    }

    /// Returns the mutex of whoever fetches this tree.
    fn turn(&self, tree: TreeId) -> Arc<tokio::sync::Mutex<()>> {
        let mut state = self.0.state();
        state.turns.retain(|_, turn| turn.strong_count() > 0);
        let known = state.turns.get(&tree).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::default();
            state.turns.insert(tree, Arc::downgrade(&turn));
            turn
        })
    }

    /// Returns whether the folder is as it was sealed, and notes that it is used.
    async fn intact(&self, pinned: &Pinned) -> Result<bool, Problem> {
        let (shared, tree) = (Arc::clone(&self.0), pinned.tree);
        on_disk(move || Ok(shared.shelf.is_intact(tree))).await
    }

    /// Gives up a tree that was altered.
    async fn discard(&self, pinned: Pinned) -> Result<(), Problem> {
        let (shared, tree) = (Arc::clone(&self.0), pinned.tree);
        drop(pinned);
        tracing::warn!(%tree, "a cached tree was altered; it is fetched again");
        on_disk(move || {
            let evicted = {
                let mut state = shared.state();
                if state.held.get(&tree).is_some_and(|held| held.pins > 0) {
                    let why = format!("the cached copy of tree {tree} was altered and is in use");
                    let what = "the data cannot be used";
                    return Err(Problem::new(Code::Checksum, what, why));
                }
                shared.take_out(&mut state, &[tree])
            };
            remove(&evicted);
            Ok(())
        })
        .await
    }

    /// Takes room for a tree that is about to come, evicting what has to go.
    async fn reserve(&self, manifest: &Manifest) -> Result<Reserved, Problem> {
        let (shared, manifest) = (Arc::clone(&self.0), manifest.clone());
        on_disk(move || {
            let (tree, needed) = (manifest.id(), shelf::footprint(manifest.tree()));
            let failed = |error| io_problem("the data cannot be cached", &error);
            let evicted = {
                let mut state = shared.state();
                shared.clear_partials(&state, Some(tree));
                let disk = Folder::open(shared.shelf.root()).and_then(|root| free(&root));
                let disk = disk.map_err(failed)?;
                let used: u64 = state.held.values().map(|held| held.bytes.0).sum();
                let limit = state.limit.min(Bytes(used.saturating_add(disk.0)));
                let plan = make_room(&state.plan(), limit, needed).map_err(|no_room| {
                    let what = "the data cannot be cached";
                    let help = "Free some space, let the owner lend more disk, or wait for the jobs \
                                that run there.";
                    Problem::new(Code::DiskFull, what, no_room.to_string()).help(help)
                })?;
                let evicted = shared.take_out(&mut state, &plan);
                let held = Held { bytes: needed, last_used: now(), pins: 1, arrival: None };
                state.held.insert(tree, held);
                evicted
            };
            remove(&evicted);
            let path = shared.shelf.content(tree);
            Ok(Reserved(Some(Pinned { shared, tree, path })))
        })
        .await
    }
}

/// Room taken for a tree on its way; given back unless the tree arrives.
struct Reserved(Option<Pinned>);

impl Reserved {
    fn into_pinned(mut self) -> Pinned {
        self.0.take().expect("only this takes it")
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(Pinned { shared, tree, .. }) = &self.0 {
            let mut state = shared.state();
            // It may have arrived although the coordinator could not be told.
            if state
                .held
                .get(tree)
                .is_some_and(|held| held.arrival.is_none())
            {
                state.held.remove(tree);
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one assignment, so it is whole whatever a thread that held it did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a tree that was written its place.
    fn arrive(self: &Arc<Self>, manifest: &Manifest) -> Result<(), Problem> {
        self.shelf.complete(manifest)?;
        let (tree, bytes) = (manifest.id(), shelf::footprint(manifest.tree()));
        let arrival = Some(self.next_number.fetch_add(1, Ordering::Relaxed));
        // Whoever fetched it may have given up a moment ago; it is here all the same.
        let absent = Held {
            bytes,
            last_used: now(),
            pins: 0,
            arrival,
        };
        self.state().held.entry(tree).or_insert(absent).arrival = arrival;
        // The job need not wait for the disk: a tree that is not marked is fetched again after a crash.
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || shared.settle(tree, arrival));
        Ok(())
    }

    /// Marks a tree as safe once it is, unless it is gone or was fetched anew meanwhile.
    fn settle(&self, tree: TreeId, arrival: Option<u64>) {
        let synced = self.shelf.sync();
        let state = self.state();
        let here = state
            .held
            .get(&tree)
            .is_some_and(|held| held.arrival == arrival);
        if let Err(error) = synced.and_then(|()| if here { self.shelf.mark(tree) } else { Ok(()) })
        {
            tracing::warn!(%tree, %error, "a cached tree is not marked as safe");
        }
    }

    /// Removes what transfers that nobody goes on with have left, except for `tree`.
    fn clear_partials(&self, state: &State, except: Option<TreeId>) {
        for (tree, path) in self.shelf.partials().unwrap_or_default() {
            if !state.held.contains_key(&tree)
                && except != Some(tree)
                && let Err(error) = sealed::remove(&path)
            {
                tracing::warn!(%tree, %error, "an unfinished tree cannot be removed");
            }
        }
    }

    /// Takes trees out of the cache. Their folders, under names of no meaning, are returned to be removed.
    fn take_out(&self, state: &mut State, trees: &[TreeId]) -> Vec<PathBuf> {
        let mut gone = Vec::new();
        for &tree in trees {
            state.held.remove(&tree);
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            match self.shelf.take_out(tree, number) {
                Ok(path) => gone.push(path),
                Err(error) => tracing::warn!(%tree, %error, "a cached tree cannot be removed"),
            }
        }
        gone
    }
}

impl State {
    fn plan(&self) -> Vec<Cached> {
        let cached = |(&tree, held): (&TreeId, &Held)| Cached {
            tree,
            bytes: held.bytes,
            last_used: held.last_used,
            pinned: held.pins > 0,
        };
        self.held.iter().map(cached).collect()
    }
}

fn remove(folders: &[PathBuf]) {
    for folder in folders {
        if let Err(error) = sealed::remove(folder) {
            tracing::warn!(folder = %folder.display(), %error, "an evicted tree cannot be removed");
        }
    }
}

fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
