//! What the cache knows of what is in it, and the room that all of it takes.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use agent_core::cache_plan::{self, Cached, FileNumber, Item, SharedFiles, make_room};
use common::{code::Code, problem::Problem, time::Timestamp, units::Bytes};
use link::trees::io_problem;

use super::{
    beside::Beside,
    now,
    rate::Rate,
    remove,
    shelf::{Kept, Shelf},
};
use crate::{
    peers::Peers,
    transfer::{beneath::Folder, layout::free},
};

pub(super) struct Shared {
    pub(super) shelf: Shelf,
    state: Mutex<State>,
    /// Numbers arrivals and names of what is to be removed.
    pub(super) next_number: AtomicU64,
    pub(super) rate: Rate,
    /// Who helps to fetch.
    pub(super) peers: OnceLock<Peers>,
    /// Whoever holds something beside, once there is such.
    pub(super) beside: OnceLock<Box<dyn Beside>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) limit: Bytes,
    /// Held beside, within the same limit.
    pub(super) beside: Bytes,
    pub(super) held: BTreeMap<Item, Held>,
    /// Files that several trees have.
    pub(super) files: SharedFiles,
    /// One for each item that somebody asks for: who holds it may fetch or evict the item.
    turns: BTreeMap<Item, Weak<tokio::sync::Mutex<()>>>,
}

#[derive(Debug, Clone)]
pub(super) struct Held {
    /// Room that it takes, without its shared files.
    pub(super) alone: Bytes,
    /// Each once.
    pub(super) shared: Vec<FileNumber>,
    pub(super) last_used: Timestamp,
    pub(super) pins: u32,
    /// Which arrival this is; `None` while it is on its way, or as far as it came.
    pub(super) arrival: Option<u64>,
    /// When all of it was last seen to be as it was sealed.
    pub(super) checked_at: Option<Instant>,
    /// What people call it; empty where that is not known.
    pub(super) name: String,
    /// It was seen not to be: nobody new gets it.
    pub(super) altered: bool,
}

impl Held {
    pub(super) fn is_whole(&self) -> bool {
        self.arrival.is_some() && !self.altered
    }
}

/// Keeps something in the cache, or its room, for as long as this is held.
pub(super) struct Pin {
    pub(super) shared: Arc<Shared>,
    pub(super) item: Item,
    /// Whether this counts as a use.
    is_use: bool,
}

impl Pin {
    /// Returns a pin that is counted already.
    pub(super) fn of(shared: &Arc<Shared>, item: Item) -> Self {
        Self {
            shared: Arc::clone(shared),
            item,
            is_use: true,
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let Some(held) = state.held.get_mut(&self.item) else {
            return;
        };
        held.pins -= 1;
        if self.is_use {
            held.last_used = now();
        }
        // It may have arrived although nobody could be told.
        if held.pins > 0 || held.arrival.is_some() {
            return;
        }
        match self.item {
            // What came of it is kept for the next try, and goes before anything else.
            Item::Tree(_) if held.alone > Bytes::ZERO => {
                held.last_used = Timestamp::from_unix_ms(0);
            }
            _ => drop(state.held.remove(&self.item)),
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(shelf: Shelf, found: Vec<Kept>, limit: Bytes) -> Self {
        let (mut held, mut files) = (BTreeMap::new(), SharedFiles::default());
        for kept in found {
            for (file, bytes) in &kept.shared {
                files.take(*file, *bytes);
            }
            let there = Held {
                alone: kept.alone,
                shared: kept.shared.into_iter().map(|(file, _)| file).collect(),
                last_used: kept.last_used,
                pins: 0,
                arrival: kept.whole.then_some(0),
                checked_at: kept.whole.then(Instant::now),
                name: kept.name,
                altered: false,
            };
            // What is whole wins over what was begun of it.
            if kept.whole || !held.contains_key(&kept.item) {
                held.insert(kept.item, there);
            }
        }
        let state = Mutex::new(State {
            limit,
            beside: Bytes::ZERO,
            held,
            files,
            turns: BTreeMap::new(),
        });
        Self {
            shelf,
            state,
            next_number: AtomicU64::new(1),
            rate: Rate::default(),
            peers: OnceLock::new(),
            beside: OnceLock::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole whatever a thread that held it did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pins something that is there, for somebody who uses it.
    pub(super) fn pin(self: &Arc<Self>, item: Item) -> Option<Pin> {
        self.state()
            .held
            .get_mut(&item)
            .filter(|held| held.arrival.is_some())?
            .pins += 1;
        Some(Pin::of(self, item))
    }

    /// Pins something that is there and whole, for something else that is fetched.
    pub(super) fn pin_donor(self: &Arc<Self>, item: Item) -> Option<Pin> {
        let mut state = self.state();
        let held = state.held.get_mut(&item);
        held.filter(|held| held.is_whole())?.pins += 1;
        let shared = Arc::clone(self);
        Some(Pin {
            shared,
            item,
            is_use: false,
        })
    }

    /// Returns the mutex of whoever fetches this.
    pub(super) fn turn(&self, item: Item) -> Arc<tokio::sync::Mutex<()>> {
        let mut state = self.state();
        state.turns.retain(|_, turn| turn.strong_count() > 0);
        let known = state.turns.get(&item).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::default();
            state.turns.insert(item, Arc::downgrade(&turn));
            turn
        })
    }

    /// Returns the room that everything takes, with what is held beside.
    pub(super) fn used(&self) -> Bytes {
        let state = self.state();
        Bytes(state.used().0.saturating_add(state.beside.0))
    }

    /// Changes how much may be held and evicts what is too much, except what is in use. Blocks.
    pub(super) fn set_limit(&self, limit: Bytes) {
        let evicted = {
            let mut state = self.state();
            state.limit = limit;
            let all = state.plan();
            let limit = limit.max(cache_plan::pinned(&all, &state.files));
            let plan = make_room(&all, &state.files, limit, Bytes::ZERO).unwrap_or_default();
            self.take_out(&mut state, &plan)
        };
        remove(&evicted);
        self.crowd_out(Bytes::ZERO);
    }

    /// Takes room for something on its way. Blocks.
    pub(super) fn reserve(self: &Arc<Self>, item: Item, needed: Bytes) -> Result<Pin, Problem> {
        {
            let mut state = self.state();
            let absent = Held {
                alone: Bytes::ZERO,
                shared: Vec::new(),
                last_used: now(),
                pins: 0,
                arrival: None,
                checked_at: None,
                name: String::new(),
                altered: false,
            };
            // What an earlier try left keeps its room.
            let held = state.held.entry(item).or_insert(absent);
            held.pins += 1;
            held.last_used = now();
        }
        let pin = Pin::of(self, item);
        self.take_room(item, needed)?;
        Ok(pin)
    }

    /// Gives something that is held room up to `bytes`, evicting what has to go. Blocks.
    pub(super) fn take_room(&self, item: Item, bytes: Bytes) -> Result<(), Problem> {
        let has = |state: &State| state.held.get(&item).map_or(0, |held| held.alone.0);
        let more = Bytes(bytes.0.saturating_sub(has(&self.state())));
        self.crowd_out(more);
        let evicted = {
            let mut state = self.state();
            let disk = Folder::open(self.shelf.root()).and_then(|root| free(&root));
            let disk = disk.map_err(|error| io_problem("the data cannot be cached", &error))?;
            let limit = Bytes(state.limit.0.saturating_sub(state.beside.0))
                .min(Bytes(state.used().0.saturating_add(disk.0)));
            let more = Bytes(bytes.0.saturating_sub(has(&state)));
            let plan = make_room(&state.plan(), &state.files, limit, more);
            let plan = plan.map_err(|no_room| {
                let what = "the data cannot be cached";
                let help = "Free some space, let the owner lend more disk, or wait for the jobs \
                            that run there.";
                Problem::new(Code::DiskFull, what, no_room.to_string()).help(help)
            })?;
            let evicted = self.take_out(&mut state, &plan);
            if let Some(held) = state.held.get_mut(&item) {
                held.alone = held.alone.max(bytes);
            }
            evicted
        };
        remove(&evicted);
        Ok(())
    }

    /// Takes things out of the cache. Their folders, under names of no meaning, are returned to be removed.
    pub(super) fn take_out(&self, state: &mut State, items: &[Item]) -> Vec<PathBuf> {
        let mut gone = Vec::new();
        for &item in items {
            let Some(held) = state.held.remove(&item) else {
                continue;
            };
            for file in &held.shared {
                state.files.give_back(*file);
            }
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            let taken = match item {
                Item::Tree(tree) if held.arrival.is_none() => {
                    self.shelf.take_out_partial(tree, number)
                }
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
    pub(super) fn plan(&self) -> Vec<Cached<'_>> {
        self.cached().collect()
    }

    fn cached(&self) -> impl Iterator<Item = Cached<'_>> {
        self.held.iter().map(|(&item, held)| Cached {
            item,
            alone: held.alone,
            shared: &held.shared,
            last_used: held.last_used,
            pinned: held.pins > 0,
        })
    }

    pub(super) fn used(&self) -> Bytes {
        cache_plan::used(self.cached(), &self.files)
    }

    /// Returns the room that these files take, whoever else has them.
    pub(super) fn shared_room(&self, files: &[FileNumber]) -> Bytes {
        Bytes(files.iter().map(|file| self.files.bytes(*file).0).sum())
    }

    /// Notes that another has a donor's file too: from now on it is counted apart from the donor.
    pub(super) fn share(&mut self, donor: Item, file: FileNumber, room: Bytes) {
        if self.files.holders(file) == 0
            && let Some(held) = self.held.get_mut(&donor)
        {
            held.alone = Bytes(held.alone.0.saturating_sub(room.0));
            held.shared.push(file);
            self.files.take(file, room);
        }
    }
}
