//! Content-addressed bytes: the pieces and trees of datasets, work folders and artifacts.
//!
//! A folder of its own beside the book, and in it one for each org, which share nothing. An org's *store* has `packs/`,
//! files of many pieces each; `trees/<id>`, the descriptions; and `index.redb`, which says what is where. A commit of
//! the index makes a tree exist: it is made only after the packs and the description are on the disk. Whatever else is
//! found in the packs after a crash was sent by somebody who may try again. It does not know who may see a tree: the
//! doors ask the state before they call.
//!
//! An org's packs may live in a bucket of S3-compatible storage instead; index and descriptions are on the disk anyhow.
//!
//! In reading order: `record` and `packs` are the files, `depot` is a bucket, `index` says what they hold and where,
//! `journal` is what was written and is not in the index yet, `store`, `read` and `incoming` are what the doors use, on
//! the threads of `apart` where a bucket may have to answer, `count`, `holds`, `collect` and `compact` take away what
//! nothing needs, `shipping` and `moving` take packs to a bucket and back, `recover` is the start after
//! whatever happened, `scrub` looks through everything.

mod apart;
mod check;
mod collect;
mod compact;
mod count;
mod depot;
mod error;
mod holds;
mod home;
mod incoming;
mod index;
mod journal;
mod manifests;
mod moving;
mod object;
mod packs;
mod preview;
mod read;
mod record;
mod recover;
mod scrub;
mod serve;
mod shipping;
mod store;

pub(crate) use self::{
    check::{Unsound, check},
    collect::{Collected, KEEP_UNNAMED},
    depot::{Homes, Keys},
    error::BlobError,
    moving::Moved,
    preview::Preview,
    scrub::Scrubbed,
    serve::{Upload, serve_chunks, serve_description, serve_description_beside},
    store::Store,
};

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use common::{code::Code, id::OrgId, problem::Problem};
use link::trees::{Slots, io_problem};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::{home::Home, manifests::Manifests};
use crate::clock::Clock;

/// Orgs whose stores stay open though nobody uses them.
const MAX_IDLE: usize = 8;
/// How the folder of an org's store is called while it is being deleted.
const GOING: &str = "going-";
const NOT_OPENED: &str = "the org's data cannot be read";

/// Sizes of a store, smaller in tests.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Length of a pack, about.
    pack_bytes: u32,
    /// Length of one that goes to a bucket, about: it is in memory while it does.
    shipped_bytes: u32,
    /// Pieces that are written go into the index once there are so many, or so many bytes. A quarter more may come while
    /// they do, and as much again while a commit is under way: this is what memory holds of uploads, and what is looked
    /// through after a kill.
    pending_pieces: usize,
    pending_bytes: u64,
    /// The bytes at which they do where they live in a bucket: so much of the disk is taken on the way there.
    passing_bytes: u64,
    /// Pieces that hear in one commit that a tree has come or gone.
    told_pieces: usize,
}

const LIMITS: Limits = Limits {
    pack_bytes: 64 << 20,
    shipped_bytes: 16 << 20,
    pending_pieces: 1 << 17,
    pending_bytes: 2 << 30,
    passing_bytes: 1 << 30,
    told_pieces: 1 << 16,
};

/// The stores of all orgs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stores(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    clock: Arc<Clock>,
    limits: Limits,
    manifests: Arc<Manifests>,
    homes: Arc<dyn Homes>,
    /// Written while trees lose their names, see [`Stores::named`].
    naming: RwLock<()>,
    /// In the order in which they were used: longest ago first.
    orgs: Mutex<HashMap<OrgId, Arc<Slot>>>,
}

/// A place for one org's store; whoever opens it keeps others from doing so too.
#[derive(Debug, Default)]
struct Slot {
    store: Mutex<Option<Store>>,
    /// Those who wait for it to be opened, which may take a bucket's answer, hold no thread but one.
    opening: OnceLock<Slots>,
    /// When it was asked for, in a count of all.
    used: std::sync::atomic::AtomicU64,
}

impl Stores {
    /// Opens the folder of all stores, which is made if needed, and finishes deletions. No org's store is opened yet.
    /// The caller sees to it that no other process uses the folder.
    ///
    /// # Errors
    /// The folder cannot be made or read; it was written by a build from before packs.
    pub(crate) fn open(
        folder: &Path,
        clock: Arc<Clock>,
        homes: Arc<dyn Homes>,
    ) -> Result<Self, Problem> {
        Self::open_with(folder, clock, homes, LIMITS)
    }

    fn open_with(
        folder: &Path,
        clock: Arc<Clock>,
        homes: Arc<dyn Homes>,
        limits: Limits,
    ) -> Result<Self, Problem> {
        let what = || format!("the data folder {} cannot be used", folder.display());
        if folder.join("chunks").is_dir() {
            let why =
                "it was written by an earlier build, which kept every piece in a file of its own";
            let help = "Move it away, or delete it where nothing in it is needed, and start again; datasets and artifacts have to be uploaded again.";
            return Err(Problem::new(Code::WrongState, what(), why).help(help));
        }
        let tidy = || {
            fs::create_dir_all(folder)?;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let going = entry.file_name().to_string_lossy().starts_with(GOING);
                // What one has in a bucket goes once it is asked for again, and knows from here where that is.
                let has_bucket = |home: Home| home.bucket.is_some();
                if going && !Home::read(&entry.path())?.is_some_and(has_bucket) {
                    fs::remove_dir_all(entry.path())?;
                }
            }
            Ok(())
        };
        tidy().map_err(|error| io_problem(what(), &error))?;
        Ok(Self(Arc::new(Shared {
            root: folder.to_owned(),
            clock,
            limits,
            manifests: Arc::default(),
            homes,
            naming: RwLock::default(),
            orgs: Mutex::default(),
        })))
    }

    /// Returns an org's store, which is made if there is none. Opened once and kept while it is used. Blocks on files.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn org(&self, org: OrgId) -> Result<Store, Problem> {
        let slot = self.slot(org);
        let mut place = slot.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*place {
            return Ok(store.clone());
        }
        let opened = Store::open(org, &self.folder(org), &self.0);
        let store = opened.map_err(|error| error.problem(NOT_OPENED))?;
        *place = Some(store.clone());
        drop(place);
        self.close_idle();
        Ok(store)
    }

    /// Does as [`Stores::org`], for whoever may not block.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) async fn open_org(&self, org: OrgId) -> Result<Store, Problem> {
        let slot = self.slot(org);
        if let Ok(place) = slot.store.try_lock()
            && let Some(store) = &*place
        {
            return Ok(store.clone());
        }
        let (stores, disk) = (self.clone(), Slots::of_disk());
        let opened = disk.run(move || match stores.waits_for_bucket(org) {
            true => Ok(None),
            false => stores.org(org).map(Some),
        });
        if let Some(store) = opened.await? {
            return Ok(store);
        }
        let opening = match slot.opening.get() {
            Some(opening) => opening.clone(),
            None => {
                let slots = depot::slots(1).map_err(|error| io_problem(NOT_OPENED, &error))?;
                slot.opening.get_or_init(|| slots).clone()
            }
        };
        let stores = self.clone();
        opening.run(move || stores.org(org)).await
    }

    /// Returns the orgs that have a store.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn orgs(&self) -> io::Result<Vec<OrgId>> {
        orgs_in(&self.0.root)
    }

    /// Returns whether a bucket may have to answer before the org's store is open.
    fn waits_for_bucket(&self, org: OrgId) -> bool {
        !self.0.homes.place(org).is_local() || self.has_bucket(org)
    }

    /// Returns whether the org's store has, or had, something in a bucket.
    pub(crate) fn has_bucket(&self, org: OrgId) -> bool {
        let home = Home::read(&self.folder(org));
        home.is_ok_and(|home| home.is_some_and(|home| home.bucket.is_some()))
    }

    /// Deletes everything of an org, if there is anything: after a crash too, once this has returned. What a bucket has
    /// of it stays where that cannot be used any more, as its keys go with the org: the log says where.
    ///
    /// # Errors
    /// The folder cannot be written; what is left goes when the coordinator starts next.
    pub(crate) fn remove(&self, org: OrgId) -> io::Result<()> {
        let slot = self.slot(org);
        let mut place = slot.store.lock().unwrap_or_else(PoisonError::into_inner);
        let store = place.take();
        // What an earlier try has left goes first.
        self.remove_going(org, store.as_ref())?;
        // From here on there is no index that names what goes from the bucket.
        step();
        there(fs::rename(self.folder(org), self.going(org)))?;
        sync_folder(&self.0.root)?;
        self.remove_going(org, store.as_ref())?;
        drop(place);
        self.slots().remove(&org);
        Ok(())
    }

    fn remove_going(&self, org: OrgId, store: Option<&Store>) -> io::Result<()> {
        let going = self.going(org);
        if let Some(home) = Home::read(&going)?
            && let Some(bucket) = home.bucket()
        {
            // The one that is open has the keys still.
            let open = store.and_then(Store::depot);
            let depot = open.or_else(|| home.depot(org, &self.0.homes).map(Arc::new));
            if let Some(Err(error)) = depot.map(|depot| depot.clear()) {
                tracing::error!(%org, %bucket, %error, "objects of a deleted org are left in its bucket, in the folder of its id: delete them there");
            }
        }
        step();
        there(fs::remove_dir_all(&going))
    }

    /// Returns a guard while which no tree loses its name: held from the look whether a tree is here to the commit that
    /// names it.
    pub(crate) async fn named(&self) -> RwLockReadGuard<'_, ()> {
        self.0.naming.read().await
    }

    /// Returns the guard while which nobody names a tree, for [`Store::doom`].
    pub(crate) async fn unnamed(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.naming.write().await
    }

    /// Returns the orgs whose stores are open.
    pub(crate) fn open_orgs(&self) -> Vec<OrgId> {
        let slots = self.slots();
        // One that is being opened counts for the next time.
        let open = |slot: &Slot| slot.store.try_lock().is_ok_and(|place| place.is_some());
        let open = slots.iter().filter(|(_, slot)| open(slot));
        open.map(|(org, _)| *org).collect()
    }

    /// Forgets what nobody asked for of late.
    pub(crate) fn tidy(&self) {
        self.0.manifests.tidy();
        self.close_idle();
    }

    fn slot(&self, org: OrgId) -> Arc<Slot> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static USED: AtomicU64 = AtomicU64::new(0);
        let slot = Arc::clone(self.slots().entry(org).or_default());
        slot.used
            .store(USED.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        slot
    }

    /// Closes the stores that were used longest ago and that nobody uses now.
    fn close_idle(&self) {
        let mut slots = self.slots();
        let mut by_use: Vec<_> = slots
            .iter()
            .map(|(org, slot)| (slot.used.load(std::sync::atomic::Ordering::Relaxed), *org))
            .collect();
        by_use.sort_unstable();
        let surplus = by_use.len().saturating_sub(MAX_IDLE);
        for (_, org) in by_use.into_iter().take(surplus) {
            let Some(slot) = slots.get(&org).filter(|slot| Arc::strong_count(slot) == 1) else {
                continue;
            };
            // Whoever opens it now waits for the table, which is held.
            let idle = slot
                .store
                .try_lock()
                .is_ok_and(|place| place.as_ref().is_none_or(Store::is_idle));
            if idle {
                slots.remove(&org);
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<OrgId, Arc<Slot>>> {
        // The table is whole whatever a thread that held it did.
        self.0.orgs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the folder of a store that is being deleted.
    fn going(&self, org: OrgId) -> PathBuf {
        self.0.root.join(format!("{GOING}{org}"))
    }

    fn folder(&self, org: OrgId) -> PathBuf {
        self.0.root.join(org.to_string())
    }
}

/// Returns the orgs that have a store in this folder, without opening it.
///
/// # Errors
/// The folder cannot be read.
fn orgs_in(folder: &Path) -> io::Result<Vec<OrgId>> {
    let mut orgs = Vec::new();
    for entry in fs::read_dir(folder)? {
        if let Some(org) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            orgs.push(org);
        }
    }
    Ok(orgs)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// What is not there need not go.
fn there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Called before each step whose order matters to whoever comes after a kill.
#[cfg(not(test))]
const fn step() {}
#[cfg(test)]
pub(crate) use self::tests::all_local;
#[cfg(test)]
use self::tests::killed::step;

#[cfg(test)]
mod tests;
