//! The agent's cache of trees and unpacked images: read-only folders that jobs see, fetched once, given up by
//! last use.
//!
//! `trees/<id>/` is a tree's plain content, sealed: nobody may write, everybody may read (the enclosing agent
//! folder is private, but in a sandbox the reader is another user). Equal files of several trees are one file with
//! several names. `manifests/<id>` says what it is, its time when it was used last; `synced/<id>` that it has
//! reached the disk, in the boot that `boot` names or an earlier one; `images/` is described in [`images`];
//! `temps/` is what comes and goes, `temps/<id>` a tree on its way, `temps/description-<number>` what is to say what
//! it is. What to give up is planned in [`agent_core::cache_plan`].

mod arrive;
mod beside;
mod check;
mod copy;
mod description;
mod held;
mod images;
mod lend;
mod list;
mod rate;
mod sealed;
mod shelf;

pub(crate) use self::beside::Beside;
pub use self::copy::{Owner, copy_into};
pub(crate) use self::{
    images::{About, ImageRoom, PinnedImage},
    list::Listed,
    sealed::{FOLDER_MODE, SEALED_AT, file_mode, seal_file},
};

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Instant, SystemTime},
};

use agent_core::cache_plan::Item;
use common::{
    code::Code,
    id::TreeId,
    problem::Problem,
    time::Timestamp,
    units::Bytes,
    wire::{agent::AgentStream, data::MAX_BESIDE},
};
use link::trees::{self, Fetcher, Manifest, Progress, Received, io_problem, on_disk};

use self::{
    description::Description,
    held::{Pin, Shared},
    lend::Lent,
    shelf::Shelf,
};
use super::{
    layout::{Layout, Leave},
    route::{MachineTree, Origin as _},
    stock::Stock,
    stream::{describe, open, prepare},
};
use crate::peers::{Gathering, Peers};

/// The cache of one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Shared>);

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
    /// Opens the cache in `folder`, which is made if needed, and removes what is not as it was sealed or what a
    /// crash of the machine left incomplete. Looks at every file. Blocks.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path, limit: Bytes) -> Result<Self, Problem> {
        let what = format!("the cache {} cannot be used", folder.display());
        let opened = Shelf::open(folder).map_err(|error| io_problem(what, &error))?;
        let (shelf, found) = opened;
        Ok(Self(Arc::new(Shared::new(shelf, found, limit))))
    }

    /// Returns every tree that is there as a whole.
    pub fn ids(&self) -> Vec<TreeId> {
        let state = self.0.state();
        let whole = state.held.iter().filter(|(_, held)| held.is_whole());
        let trees = whole.filter_map(|(item, _)| match item {
            Item::Tree(tree) => Some(*tree),
            Item::Image(_) | Item::Imported(_) => None,
        });
        trees.collect()
    }

    /// Returns the room that the cache takes, trees on their way counted whole.
    pub fn used(&self) -> Bytes {
        self.0.used()
    }

    /// Returns how many bytes a second came lately; `None` while nothing large came.
    pub fn fetch_rate(&self) -> Option<Bytes> {
        self.0.rate.per_second()
    }

    /// From now on other machines help to fetch.
    pub(crate) fn fetch_with(&self, peers: &Peers) {
        // The first stays: there is one for an agent.
        let _set = self.0.peers.set(peers.clone());
    }

    /// Opens a whole tree for other machines. Blocks.
    ///
    /// # Errors
    /// It is not here, or cannot be read.
    pub(crate) fn stock(&self, tree: TreeId) -> Result<Stock, Problem> {
        let pinned = self.pin(tree).ok_or_else(|| {
            let what = "The data cannot be sent";
            Problem::new(Code::NotFound, what, "it is not in the cache any more")
        })?;
        let manifest = pinned.manifest()?;
        let stock = Stock::whole(&manifest, pinned);
        stock.map_err(|error| io_problem("the cache cannot be read", &error))
    }

    /// Changes how much the cache may hold and evicts what is too much, except what is in use. Blocks.
    pub fn set_limit(&self, limit: Bytes) {
        self.0.set_limit(limit);
    }

    /// Hears of whoever holds something beside, within the same limit. Only the first is heard of.
    pub(crate) fn make_way_for(&self, beside: impl Beside + 'static) {
        let _first = self.0.beside.set(Box::new(beside));
    }

    /// Pins a tree if it is there; for attempts that were running before the agent was restarted.
    pub fn pin(&self, tree: TreeId) -> Option<Pinned> {
        let pin = self.0.pin(Item::Tree(tree))?;
        let path = self.0.shelf.content(tree);
        Some(Pinned { pin, tree, path })
    }

    /// Returns the tree, fetched over `connection` unless it is there. What other trees here have of it is linked
    /// or copied and does not come again. Whoever asks for the same at once waits for one transfer.
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
        let turn = self.0.turn(Item::Tree(tree));
        let _turn = turn.lock().await;
        if let Some(pinned) = self.pin(tree) {
            if self.is_usable(&pinned).await? {
                return Ok(pinned);
            }
            self.discard(pinned).await?;
        }
        let manifest = self.describe(connection, tree).await?;
        if manifest.id() != tree {
            let what = "the data cannot be fetched";
            let why = format!("tree {} came instead of {tree}", manifest.id());
            return Err(Problem::new(Code::Protocol, what, why));
        }
        let number = self.0.next_number.fetch_add(1, Ordering::Relaxed);
        let description = Arc::new(self.0.shelf.describe(&manifest, number));
        let received = async {
            let (reserved, layout) = self.prepare(&description).await?;
            let begun = Instant::now();
            let first = MachineTree(tree).chunks(tree);
            let fetcher = Fetcher::new(connection.clone(), first, manifest.clone());
            let received = self
                .receive(connection, &fetcher, &layout, progress)
                .await?;
            self.0.rate.note(received.bytes, begun.elapsed());
            Ok(reserved)
        };
        let received: Result<Pinned, Problem> = received.await;
        if let Err(problem) = &received {
            // What lies there on a full disk would only stand in the way of others.
            let keep = problem.code != Code::DiskFull;
            let shared = Arc::clone(&self.0);
            on_disk(move || {
                description.give_up();
                shared.broken_off(tree, keep);
                Ok(())
            })
            .await?;
        }
        received
    }

    /// Fetches a tree's description, beside those of trees that are here: of the next version little of it comes.
    async fn describe(
        &self,
        connection: &quinn::Connection,
        tree: TreeId,
    ) -> Result<Manifest, Problem> {
        let mut beside = self.0.latest();
        beside.truncate(MAX_BESIDE);
        if !beside.is_empty() {
            let (mut tx, mut rx) =
                open(connection, &AgentStream::Download { tree, beside }).await?;
            tx.finish();
            let shared = Arc::clone(&self.0);
            let find = move |tree| shared.shelf.manifest(tree);
            match trees::receive_description_beside(&mut rx, find).await {
                // One of those that were named has just been evicted, or is damaged.
                Err(problem) if [Code::Io, Code::Checksum].contains(&problem.code) => {}
                described => return described,
            }
        }
        describe(connection, &MachineTree(tree)).await
    }

    /// Fetches what the layout lacks: from other machines too, where there are such.
    async fn receive(
        &self,
        connection: &quinn::Connection,
        fetcher: &Fetcher<AgentStream>,
        sink: &Arc<Layout>,
        progress: &dyn Progress,
    ) -> Result<Received, Problem> {
        let Some(peers) = self.0.peers.get() else {
            return fetcher.complete(sink, progress).await;
        };
        let layout = Arc::clone(sink);
        let stock = move || layout.stock();
        let gathering = Gathering {
            fetcher,
            connection,
            sink,
            progress,
        };
        peers.complete(gathering, stock).await
    }

    /// Takes room for a tree that is about to come, and puts what is here of it in its place.
    async fn prepare(
        &self,
        description: &Arc<Description>,
    ) -> Result<(Pinned, Arc<Layout>), Problem> {
        let (shared, description) = (Arc::clone(&self.0), Arc::clone(description));
        on_disk(move || {
            let manifest = description.manifest();
            let tree = manifest.id();
            let failed = |error| io_problem("the data cannot be cached", &error);
            let lent = shared.lend(manifest).map_err(failed)?;
            let (pin, lent) = reserve(&shared, manifest, lent)?;
            let path = shared.shelf.content(tree);
            let pinned = Pinned { pin, tree, path };
            let partial = shared.shelf.partial(tree).map_err(failed)?;
            // The donors stay until the tree has arrived.
            let lent = Arc::new(lent);
            let arriving = (
                Arc::clone(&shared),
                Arc::clone(&description),
                Arc::clone(&lent),
            );
            let finish = move |layout: &Layout| {
                let (shared, description, lent) = &arriving;
                shared.arrive(description, layout, &lent.trees)
            };
            // Beside everything else. Whether it succeeded is asked when the tree has come.
            let writing = Arc::clone(&description);
            tokio::task::spawn_blocking(move || writing.write());
            let layout = prepare(&partial, manifest, &lent.donors, Leave::Sealed, finish);
            let mut layout = layout.map_err(failed)?;
            // Not everything that could be linked need have been.
            let linked = layout.linked().iter().map(|linked| linked.bytes);
            shared.take_room(Item::Tree(tree), lend::beside(manifest, linked))?;
            layout.copy_from(&lent.donors).map_err(failed)?;
            Ok((pinned, Arc::new(layout)))
        })
        .await
    }
}

/// Takes room for a tree beside what is lent; where there is not enough while its donors stay, without them. Blocks.
fn reserve(shared: &Arc<Shared>, manifest: &Manifest, lent: Lent) -> Result<(Pin, Lent), Problem> {
    let item = Item::Tree(manifest.id());
    let linked = lent.donors.linked();
    match shared.reserve(item, lend::beside(manifest, linked)) {
        Err(problem) if problem.code == Code::DiskFull && !lent.donors.is_empty() => {
            drop(lent);
            let whole = shelf::footprint(manifest.tree());
            Ok((shared.reserve(item, whole)?, Lent::nothing()))
        }
        pin => Ok((pin?, lent)),
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
