//! From a target to a connection: resolve, judge, dial what passed.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use agent_core::address::{Forbidden, check};
use common::units::Bytes;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{
    interfaces,
    target::{self, Target},
};

/// How long all of it may take, and how long one address may be silent.
const MOST: Duration = Duration::from_secs(30);
const ONE_ADDRESS: Duration = Duration::from_secs(8);
/// Most addresses of one name that are looked at, and most that are dialled.
const MAX_RESOLVED: usize = 64;
const MAX_DIALLED: usize = 4;

/// What is outside of the sandbox. In tests names and servers are made up.
pub(super) trait Outside {
    /// Returns the addresses of a name.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;

    /// Connects to exactly this address.
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream>;

    /// Returns this machine's own addresses.
    fn own(&self) -> io::Result<Vec<IpAddr>>;
}

/// The machine's network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotDialled {
    /// Said to the job and in its log.
    #[error("a job may not reach {target}: {address} is {why}")]
    Forbidden {
        target: Target,
        address: IpAddr,
        why: Forbidden,
    },
    #[error("the job has moved all of the {most} that it may move over the network")]
    Spent { most: Bytes },
    #[error("{name} cannot be resolved: {source}")]
    Unresolved { name: String, source: io::Error },
    #[error("no answer in {} s", MOST.as_secs())]
    TooSlow,
    #[error("cannot connect: {0}")]
    Unconnected(io::Error),
    #[error("the machine's own addresses are not known: {0}")]
    Interfaces(io::Error),
}

/// Connects to a target, wherever it may be reached.
pub(super) async fn dial(
    outside: &impl Outside,
    target: &Target,
    denied: &[IpAddr],
) -> Result<TcpStream, NotDialled> {
    let tried = timeout(MOST, async {
        let open = judged(outside, target, denied).await?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in open.into_iter().take(MAX_DIALLED) {
            let address = SocketAddr::new(address, target.port);
            match timeout(ONE_ADDRESS, outside.connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(NotDialled::Unconnected(last))
    });
    tried.await.unwrap_or(Err(NotDialled::TooSlow))
}

/// Returns the addresses of a target that a job may reach.
async fn judged(
    outside: &impl Outside,
    target: &Target,
    denied: &[IpAddr],
) -> Result<Vec<IpAddr>, NotDialled> {
    let found = match &target.host {
        target::Host::Address(address) => vec![*address],
        target::Host::Name(name) => {
            let unresolved = |source| NotDialled::Unresolved {
                name: name.clone(),
                source,
            };
            let found = outside.resolve(name).await.map_err(unresolved)?;
            if found.is_empty() {
                return Err(unresolved(io::ErrorKind::NotFound.into()));
            }
            found
        }
    };
    // As they are now: an interface may come up at any time.
    let own = outside.own().map_err(NotDialled::Interfaces)?;
    let (mut open, mut closed) = (Vec::new(), None);
    for address in found.into_iter().take(MAX_RESOLVED) {
        match check(address, &own, denied) {
            Ok(address) => open.push(address),
            Err(why) => closed = closed.or(Some((address, why))),
        }
    }
    match closed {
        Some((address, why)) if open.is_empty() => Err(NotDialled::Forbidden {
            target: target.clone(),
            address,
            why,
        }),
        _ => Ok(open),
    }
}

impl Outside for Host {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }

    fn own(&self) -> io::Result<Vec<IpAddr>> {
        interfaces::addresses()
    }
}
