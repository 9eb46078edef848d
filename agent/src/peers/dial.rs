//! Connections to other machines: made beside the transfers that need them, kept while they live, and not tried again
//! for a while where they could not be made.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use certs::{Identity, peer_client_config};
use common::{
    id::MachineId,
    wire::peer::{Contact, MAX_DOOR_ADDRESSES},
};
use link::endpoint::peer;

use super::{Peers, lock};

/// For so long a machine that could not be reached is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(300);
/// Most machines of which anything is remembered.
const MAX_KNOWN: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Dials {
    socket: Mutex<Option<quinn::Endpoint>>,
    known: Mutex<BTreeMap<MachineId, Known>>,
}

#[derive(Debug, Clone)]
enum Known {
    Connected(quinn::Connection),
    Failed(Instant),
}

impl Dials {
    /// From now on machines are dialled from this socket; without one, none is.
    pub(super) fn set_socket(&self, socket: Option<quinn::Endpoint>) {
        *lock(&self.socket) = socket;
    }

    /// Forgets everybody: the network or this machine's certificate is another one.
    pub(super) fn forget(&self) {
        lock(&self.known).clear();
    }
}

impl Peers {
    /// Returns whether there is a socket from which others are dialled.
    pub(super) fn may_dial(&self) -> bool {
        lock(&self.0.dials.socket).is_some()
    }

    /// Returns a connection to a machine; `None` where there is none to be had.
    pub(super) async fn reach(&self, contact: &Contact) -> Option<quinn::Connection> {
        let machine = contact.grant.grant.from;
        match lock(&self.0.dials.known).get(&machine).cloned() {
            Some(Known::Connected(connection)) if connection.close_reason().is_none() => {
                return Some(connection);
            }
            Some(Known::Failed(at)) if at.elapsed() < LEFT_ALONE => return None,
            _ => {}
        }
        let socket = lock(&self.0.dials.socket).clone()?;
        let identity = self.0.identity.borrow().clone()?;
        let reached = dial(&socket, &identity, contact).await;
        tracing::debug!(%machine, addresses = ?contact.addresses, reached = reached.is_some(), "another machine was dialled");
        let known = match &reached {
            Some(connection) => Known::Connected(connection.clone()),
            None => Known::Failed(Instant::now()),
        };
        let mut all = lock(&self.0.dials.known);
        if all.len() >= MAX_KNOWN {
            all.retain(
                |_, known| matches!(known, Known::Connected(live) if live.close_reason().is_none()),
            );
        }
        if all.len() < MAX_KNOWN {
            all.insert(machine, known);
        }
        reached
    }
}

/// Tries all addresses at once and takes the first that answers as that machine.
async fn dial(
    socket: &quinn::Endpoint,
    identity: &Identity,
    contact: &Contact,
) -> Option<quinn::Connection> {
    let tls = peer_client_config(identity, contact.grant.grant.from);
    let tls = tls.inspect_err(|error| tracing::debug!(%error, "others cannot be dialled"));
    let config = peer::client(tls.ok()?);
    let tries = contact.addresses.iter().take(MAX_DOOR_ADDRESSES);
    let tries = tries.map(|address| Box::pin(peer::dial(socket, config.clone(), *address)));
    let tries: Vec<_> = tries.collect();
    if tries.is_empty() {
        return None;
    }
    let (connection, _) = futures_util::future::select_ok(tries).await.ok()?;
    Some(connection)
}
