//! The machines that are connected now, and what is heard from them between commands: last contact and load.
//! In memory only; the engine hears of *connected*, *disconnected* and *lost*.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use common::{id::MachineId, machine::MachineLoad, time::Timestamp, wire::close};
use coordinator_core::query::Contact;
use tokio::sync::Notify;

/// What is said to the older of two connections of one machine.
const SUPERSEDED: &[u8] = b"the machine has connected again";

/// What is said to a machine that has said nothing for longer than its lease, should it hear it after all.
const SILENT: &[u8] = b"nothing was heard from the machine for longer than its lease";

/// What is known of the machines besides the state.
#[derive(Debug)]
pub(crate) struct Machines {
    started: Instant,
    contacts: Mutex<HashMap<MachineId, Presence>>,
    /// Held while a machine's coming or going is put into the mailbox, so that the engine hears of them in the
    /// order in which they happened.
    order: tokio::sync::Mutex<()>,
}

/// One machine that was heard since the coordinator started.
#[derive(Debug, Clone)]
struct Presence {
    heard: Instant,
    contact: Contact,
    attached: Option<Attached>,
}

/// A machine's control stream.
#[derive(Debug, Clone)]
struct Attached {
    connection: quinn::Connection,
    /// Wakes the stream's writer: the desired set has changed.
    assignment: Arc<Notify>,
}

impl Machines {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            contacts: Mutex::default(),
            order: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the guard under which machines come and go.
    pub(crate) async fn order(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.order.lock().await
    }

    /// The machine has said hello; an older connection of it is closed. Called under [`Machines::order`].
    pub(crate) fn attach(
        &self,
        machine: MachineId,
        connection: &quinn::Connection,
        now: Timestamp,
    ) -> Arc<Notify> {
        let assignment = Arc::new(Notify::new());
        let attached = Attached {
            connection: connection.clone(),
            assignment: Arc::clone(&assignment),
        };
        let contact = Presence {
            heard: Instant::now(),
            contact: Contact {
                at: now,
                load: None,
            },
            attached: Some(attached),
        };
        let before = self.lock().insert(machine, contact);
        if let Some(old) = before.and_then(|contact| contact.attached) {
            old.connection.close(close::SUPERSEDED.into(), SUPERSEDED);
        }
        assignment
    }

    /// The connection has ended. Returns whether the machine is gone with it: false where it has connected
    /// again. Called under [`Machines::order`].
    pub(crate) fn detach(&self, machine: MachineId, connection: &quinn::Connection) -> bool {
        let mut contacts = self.lock();
        let Some(contact) = contacts.get_mut(&machine) else {
            return false;
        };
        let current = contact
            .attached
            .as_ref()
            .is_some_and(|attached| attached.connection.stable_id() == connection.stable_id());
        if current {
            contact.attached = None;
        }
        current
    }

    /// The machine was heard.
    pub(crate) fn heard(&self, machine: MachineId, load: Option<MachineLoad>, now: Timestamp) {
        if let Some(contact) = self.lock().get_mut(&machine) {
            contact.heard = Instant::now();
            contact.contact.at = now;
            contact.contact.load = load.or(contact.contact.load);
        }
    }

    /// The machine's desired set has changed. Never waits.
    pub(crate) fn assign(&self, machine: MachineId) {
        let contacts = self.lock();
        let attached = contacts
            .get(&machine)
            .and_then(|contact| contact.attached.as_ref());
        if let Some(attached) = attached {
            attached.assignment.notify_one();
        }
    }

    /// Closes the connection of a machine that no longer says anything. Returns whether there was one.
    pub(crate) fn cut_off(&self, machine: MachineId) -> bool {
        let contacts = self.lock();
        let attached = contacts
            .get(&machine)
            .and_then(|contact| contact.attached.as_ref());
        if let Some(attached) = attached {
            attached.connection.close(close::DONE.into(), SILENT);
        }
        attached.is_some()
    }

    /// Returns for how long nothing was heard; after a start, since then.
    pub(crate) fn silent_for(&self, machine: MachineId) -> Duration {
        let heard = self.lock().get(&machine).map(|contact| contact.heard);
        heard.unwrap_or(self.started).elapsed()
    }

    /// Returns what was heard of every machine.
    pub(crate) fn contacts(&self) -> BTreeMap<MachineId, Contact> {
        let contacts = self.lock();
        let all = contacts.iter();
        all.map(|(machine, presence)| (*machine, presence.contact))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, Presence>> {
        self.contacts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
