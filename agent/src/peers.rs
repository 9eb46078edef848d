//! Other machines of the org: what of this machine's cache they fetch, and what it fetches from them.
//!
//! The coordinator says who may and who should; see [`common::wire::peer`]. One UDP socket ([`door`]) serves others and
//! is dialled from ([`dial`]); [`gather`] fetches a tree from the coordinator and from others at once. All of it falls
//! back to the coordinator alone, silently: nothing here is ever the reason why data does not come.

mod addresses;
mod dial;
mod door;
mod gather;
mod serve;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use certs::Identity;
use common::{
    bit_rate::BitRate,
    id::{MachineId, TreeId},
    time::Timestamp,
    units::Bytes,
    wire::peer::{PeerDoor, PeerLoad},
};
use link::pace::Pace;
use tokio::sync::watch;

use self::dial::Dials;
pub(crate) use self::{door::Door, gather::Gathering};
use crate::{clock, control::PeerStatus, transfer::Stock};

/// Shared by all who fetch and serve. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    machine: MachineId,
    identity: watch::Sender<Option<Identity>>,
    door: watch::Sender<PeerDoor>,
    /// The coordinator's time, and since boot, when it greeted.
    greeted: Mutex<Option<(Timestamp, Duration)>>,
    /// Trees that are on their way, which others may have parts of already.
    filling: Mutex<BTreeMap<TreeId, Weak<Stock>>>,
    dials: Dials,
    /// What goes out to others.
    pace: Pace,
    fetched: AtomicU64,
}

impl Peers {
    pub(crate) fn new(machine: MachineId) -> Self {
        Self(Arc::new(Shared {
            machine,
            identity: watch::Sender::default(),
            door: watch::Sender::default(),
            greeted: Mutex::default(),
            filling: Mutex::default(),
            dials: Dials::default(),
            pace: Pace::default(),
            fetched: AtomicU64::new(0),
        }))
    }

    /// Takes the certificate with which this machine is connected to the coordinator, now and after each renewal.
    pub(crate) fn identify(&self, identity: &Identity) {
        self.0.identity.send_replace(Some(identity.clone()));
    }

    /// Takes the coordinator's time.
    pub(crate) fn greeted(&self, now: Timestamp) {
        *lock(&self.0.greeted) = Some((now, clock::since_boot()));
    }

    /// Returns where others reach this machine, now and as it changes.
    pub(crate) fn door(&self) -> watch::Receiver<PeerDoor> {
        self.0.door.subscribe()
    }

    /// Returns what went to others and came from them since the agent started.
    pub(crate) fn load(&self) -> PeerLoad {
        PeerLoad {
            serves: !self.0.door.borrow().addresses.is_empty(),
            served: self.0.pace.sent(),
            fetched: Bytes(self.0.fetched.load(Ordering::Relaxed)),
        }
    }

    /// Returns what the owner is shown.
    pub(crate) fn status(&self, rate: Option<BitRate>) -> PeerStatus {
        let load = self.load();
        PeerStatus {
            addresses: self.0.door.borrow().addresses.clone(),
            rate,
            served: load.served,
            fetched: load.fetched,
        }
    }

    /// Returns the coordinator's time; grants are judged by it. This machine's own until it has greeted.
    fn now(&self) -> Timestamp {
        match *lock(&self.0.greeted) {
            Some((then, at)) => then.saturating_add(clock::since_boot().saturating_sub(at)),
            None => clock::now(),
        }
    }

    /// Lets others have what has come of a tree, for as long as the caller holds the stock.
    fn offer(&self, stock: &Arc<Stock>) {
        let mut filling = lock(&self.0.filling);
        filling.retain(|_, stock| stock.strong_count() > 0);
        filling.insert(stock.manifest().id(), Arc::downgrade(stock));
    }

    fn filling(&self, tree: TreeId) -> Option<Arc<Stock>> {
        lock(&self.0.filling).get(&tree).and_then(Weak::upgrade)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
