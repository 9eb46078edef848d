//! The socket at which other machines of the org fetch: open as long as the owner's rules want it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use agent_core::owner::PeerRules;
use certs::{Identity, peer_server_config};
use common::wire::{close, peer::PeerDoor};
use link::endpoint::peer;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Peers, addresses::reachable, serve::Server};
use crate::{probe::Ruled, proxy::interfaces, transfer::Cache};

/// How often it is looked whether the machine's addresses have changed.
const LOOK: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Door {
    pub(crate) peers: Peers,
    pub(crate) cache: Cache,
    pub(crate) rules: watch::Receiver<Ruled>,
    pub(crate) stopping: CancellationToken,
}

/// An open door; others are shown out when it is dropped.
struct Open {
    endpoint: quinn::Endpoint,
    address: Option<SocketAddr>,
    serving: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.endpoint.close(
            close::SHUTDOWN.into(),
            b"nothing can be fetched here any more",
        );
        self.serving.abort();
    }
}

impl Door {
    /// Opens and shuts it as the rules change, until the agent ends.
    pub(crate) async fn keep(mut self) {
        let mut identities = self.peers.0.identity.subscribe();
        let mut open = None;
        loop {
            let rules = self.rules.borrow_and_update().rules.peers;
            let news = identities.has_changed().unwrap_or(false);
            let identity = identities.borrow_and_update().clone();
            self.peers.0.pace.set(rules.rate);
            open = self.as_wanted(open, rules, identity.as_ref(), news);
            self.publish(open.as_ref());
            tokio::select! {
                changed = self.rules.changed() => if changed.is_err() { break },
                changed = identities.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(LOOK), if rules.on => {}
                () = self.stopping.cancelled() => break,
            }
            // Whoever waits for the change is to see it below.
            identities.mark_changed();
        }
        drop(open);
        self.publish(None);
    }

    fn as_wanted(
        &self,
        open: Option<Open>,
        rules: PeerRules,
        identity: Option<&Identity>,
        news: bool,
    ) -> Option<Open> {
        let identity = identity.filter(|_| rules.on)?;
        match open.filter(|open| open.address == rules.address) {
            Some(open) if !news => Some(open),
            Some(open) => {
                let tls = peer_server_config(identity).ok()?;
                open.endpoint.set_server_config(Some(peer::server(tls)));
                Some(open)
            }
            None => {
                let opened = self.open(rules.address, identity);
                opened
                    .inspect_err(|why| tracing::warn!(why, "other machines cannot fetch from here"))
                    .ok()
            }
        }
    }

    fn open(&self, address: Option<SocketAddr>, identity: &Identity) -> Result<Open, String> {
        let tls = || peer_server_config(identity).map_err(|error| error.to_string());
        let port = address.map_or(0, |address| address.port());
        let endpoint = match address.filter(|address| address.ip().is_loopback()) {
            Some(address) => peer::listen(address, tls()?),
            None => peer::listen((Ipv6Addr::UNSPECIFIED, port).into(), tls()?)
                .or(peer::listen((Ipv4Addr::UNSPECIFIED, port).into(), tls()?)),
        };
        let endpoint = endpoint.map_err(|error| error.source.to_string())?;
        let server = Server::new(self.peers.clone(), self.cache.clone());
        let serving = tokio::spawn(server.accept(endpoint.clone()));
        self.peers.0.dials.forget();
        Ok(Open {
            endpoint,
            address,
            serving,
        })
    }

    /// Says where others reach this machine now, and from where it reaches others.
    fn publish(&self, open: Option<&Open>) {
        let addresses = open.map(Open::addresses).unwrap_or_default();
        let dials = &self.peers.0.dials;
        dials.set_socket(open.map(|open| open.endpoint.clone()));
        let door = PeerDoor { addresses };
        self.peers.0.door.send_if_modified(|before| {
            let changed = *before != door;
            *before = door;
            changed
        });
    }
}

impl Open {
    fn addresses(&self) -> Vec<SocketAddr> {
        let port = self.endpoint.local_addr().map_or(0, |local| local.port());
        match self.address {
            Some(address) => vec![SocketAddr::new(address.ip(), port)],
            None => {
                let own: Vec<IpAddr> = interfaces::addresses().unwrap_or_default();
                reachable(own, port)
            }
        }
    }
}

/// Shakes hands with whoever knocks; `None` for one that is too slow or not let in.
pub(super) async fn shake_hands(
    incoming: quinn::Incoming,
    patience: Duration,
) -> Option<quinn::Connection> {
    let shaking = incoming.accept().ok()?;
    timeout(patience, shaking).await.ok()?.ok()
}
