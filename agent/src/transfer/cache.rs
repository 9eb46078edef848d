//! The agent's cache of trees and unpacked images: read-only folders that jobs see, fetched once, given up by
//! last use.
//!
//! `trees/<id>/` is a tree's plain content, sealed: nobody may write, everybody may read (the enclosing agent
//! folder is private, but in a sandbox the reader is another user). `manifests/<id>` says what it is, its time
//! when it was used last; `synced/<id>` that it has reached the disk, in the boot that `boot` names or an
//! earlier one; `images/` is described in [`images`]; `temps/` is what comes and goes. What to give up is planned in [`agent_core::cache_plan`].

mod copy;
mod images;
mod sealed;
mod shelf;

pub use self::copy::{Owner, copy_into};
pub(crate) use self::images::{About, ImageRoom, PinnedImage};

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

use agent_core::cache_plan::{Cached, Item, make_room};
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
    held: BTreeMap<Item, Held>,
    /// One for each item that somebody asks for: who holds it may fetch or evict the item.
    turns: BTreeMap<Item, Weak<tokio::sync::Mutex<()>>>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: Bytes,
    last_used: Timestamp,
    pins: u32,
    /// Which arrival this is; `None` while it is on its way and only its room is taken.
    arrival: Option<u64>,
}

/// Keeps something in the cache, or its room, for as long as this is held.
struct Pin {
    shared: Arc<Shared>,
    item: Item,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let Some(held) = state.held.get_mut(&self.item) else {
            return;
        };
        held.pins -= 1;
        held.last_used = now();
        // Its room is given back unless it arrived, which it may have although nobody could be told.
        if held.pins == 0 && held.arrival.is_none() {
            state.held.remove(&self.item);
        }
    }
}

/// A tree that stays in the cache for as long as this is held.
pub struct Pinned {
    pin: Pin,
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
        self.pin.shared.shelf.manifest(self.tree)
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({})", self.tree)
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
        let whole = |kept: Kept| {
            let arrival = Some(0);
            let (bytes, last_used) = (kept.bytes, kept.last_used);
            (
                kept.item,
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
            .filter_map(|(item, _)| match item {
                Item::Tree(tree) => Some(*tree),
                Item::Image(_) | Item::Imported(_) => None,
            })
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
        let pin = self.pin_item(Item::Tree(tree))?;
        let path = self.0.shelf.content(tree);
        Some(Pinned { pin, tree, path })
    }

    fn pin_item(&self, item: Item) -> Option<Pin> {
        self.0
            .state()
            .held
            .get_mut(&item)
            .filter(|held| held.arrival.is_some())?
            .pins += 1;
        let shared = Arc::clone(&self.0);
        Some(Pin { shared, item })
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
        let turn = self.turn(Item::Tree(tree));
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
            Ok(reserved)
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

    /// Returns the mutex of whoever fetches this.
    fn turn(&self, item: Item) -> Arc<tokio::sync::Mutex<()>> {
        let mut state = self.0.state();
        state.turns.retain(|_, turn| turn.strong_count() > 0);
        let known = state.turns.get(&item).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::default();
            state.turns.insert(item, Arc::downgrade(&turn));
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

    /// Takes room for a tree that is about to come, evicting what has to go.
    async fn reserve(&self, manifest: &Manifest) -> Result<Pinned, Problem> {
        let (shared, manifest) = (Arc::clone(&self.0), manifest.clone());
        on_disk(move || {
            let (tree, needed) = (manifest.id(), shelf::footprint(manifest.tree()));
            shared.clear_partials(&shared.state(), Some(tree));
            let pin = shared.reserve(Item::Tree(tree), needed)?;
            let path = shared.shelf.content(tree);
            Ok(Pinned { pin, tree, path })
        })
        .await
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is one assignment, so it is whole whatever a thread that held it did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for something on its way. Blocks.
    fn reserve(self: &Arc<Self>, item: Item, needed: Bytes) -> Result<Pin, Problem> {
        let absent = Held {
            bytes: Bytes::ZERO,
            last_used: now(),
            pins: 1,
            arrival: None,
        };
        self.state().held.insert(item, absent);
        let pin = Pin {
            shared: Arc::clone(self),
            item,
        };
        self.take_room(item, needed)?;
        Ok(pin)
    }

    /// Gives something that is held room up to `bytes`, evicting what has to go. Blocks.
    fn take_room(&self, item: Item, bytes: Bytes) -> Result<(), Problem> {
        let evicted = {
            let mut state = self.state();
            let disk = Folder::open(self.shelf.root()).and_then(|root| free(&root));
            let disk = disk.map_err(|error| io_problem("the data cannot be cached", &error))?;
            let used: u64 = state.held.values().map(|held| held.bytes.0).sum();
            let limit = state.limit.min(Bytes(used.saturating_add(disk.0)));
            let has = state.held.get(&item).map_or(0, |held| held.bytes.0);
            let more = Bytes(bytes.0.saturating_sub(has));
            let plan = make_room(&state.plan(), limit, more).map_err(|no_room| {
                let what = "the data cannot be cached";
                let help = "Free some space, let the owner lend more disk, or wait for the jobs \
                            that run there.";
                Problem::new(Code::DiskFull, what, no_room.to_string()).help(help)
            })?;
            let evicted = self.take_out(&mut state, &plan);
            if let Some(held) = state.held.get_mut(&item) {
                held.bytes = held.bytes.max(bytes);
            }
            evicted
        };
        remove(&evicted);
        Ok(())
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
        let item = Item::Tree(tree);
        self.state().held.entry(item).or_insert(absent).arrival = arrival;
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
            .get(&Item::Tree(tree))
            .is_some_and(|held| held.arrival == arrival);
        if let Err(error) = synced.and_then(|()| if here { self.shelf.mark(tree) } else { Ok(()) })
        {
            tracing::warn!(%tree, %error, "a cached tree is not marked as safe");
        }
    }

    /// Removes what transfers that nobody goes on with have left, except for `tree`.
    fn clear_partials(&self, state: &State, except: Option<TreeId>) {
        for (tree, path) in self.shelf.partials().unwrap_or_default() {
            if !state.held.contains_key(&Item::Tree(tree))
                && except != Some(tree)
                && let Err(error) = sealed::remove(&path)
            {
                tracing::warn!(%tree, %error, "an unfinished tree cannot be removed");
            }
        }
    }

    /// Takes things out of the cache. Their folders, under names of no meaning, are returned to be removed.
    fn take_out(&self, state: &mut State, items: &[Item]) -> Vec<PathBuf> {
        let mut gone = Vec::new();
        for &item in items {
            state.held.remove(&item);
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            let taken = match item {
                Item::Tree(tree) => self.shelf.take_out(tree, number),
                Item::Image(_) | Item::Imported(_) => self.shelf.take_out_image(item, number),
            };
            match taken {
                Ok(path) => gone.push(path),
                Err(error) => tracing::warn!(?item, %error, "a cached item cannot be removed"),
            }
        }
        gone
    }
}

impl State {
    fn plan(&self) -> Vec<Cached> {
        let cached = |(&item, held): (&Item, &Held)| Cached {
            item,
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
