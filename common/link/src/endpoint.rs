//! QUIC endpoints: one that listens, one that dials, and every bound that holds for a connection.
//!
//! A peer can make us hold at most `STREAMS` streams of `STREAM_WINDOW_BYTES`, and never more than
//! `CONNECTION_WINDOW_BYTES` in all, per connection; how many connections there are is for the doors to bound.

pub mod peer;

mod congestion;

use std::{
    env, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use certs::{ClientTls, Refusal};
use common::{code::Code, problem::Problem};
use quinn::{
    Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, socket_with,
    sockopt::{set_ipv6_v6only, set_socket_recv_buffer_size, set_socket_send_buffer_size},
};
use tokio::{
    net::{UdpSocket, lookup_host},
    task::JoinSet,
    time,
};

use self::congestion::ByDistance;
use crate::close_problem;

/// How often a side that has nothing to say still says so: half of what home routers forget after, and several
/// times within [`IDLE_TIMEOUT`].
const KEEP_ALIVE: Duration = Duration::from_secs(8);
/// A peer that is not heard for so long is gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a dial may take, all addresses together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one address may be silent before the next is tried beside it.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Most bidirectional streams that a peer may have open; it waits for one to end before it opens more.
const STREAMS: VarInt = VarInt::from_u32(64);
/// Nothing in the protocol goes one way only.
const ONE_WAY_STREAMS: VarInt = VarInt::from_u32(0);
/// Most bytes of a stream in flight or unread: fills 1 Gbit/s at 16 ms twice over.
const STREAM_WINDOW_BYTES: VarInt = VarInt::from_u32(4 << 20);
/// The same for all streams of a connection together.
const CONNECTION_WINDOW_BYTES: VarInt = VarInt::from_u32(8 << 20);
/// Most bytes that we keep for sending again. What lies in one piece of memory with them stays too: at most a batch of
/// pieces for each stream.
const SEND_WINDOW_BYTES: u64 = 8 << 20;
/// Most bytes of a datagram, where the way to the peer takes so many: ten of them, which QUIC hands to the kernel at
/// once, are just less than the 64 KiB that the kernel takes at once. On one machine this is twice as fast as what
/// fits an Ethernet; elsewhere probing ends at what passes.
const MOST_DATAGRAM_BYTES: u16 = 6500;
/// What the kernel keeps for a socket, both ways, as far as it lets us: hundreds of connections share one.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Most handshake bytes of one connection that are kept out of order: a chain and a key share have a few thousand.
const CRYPTO_BUFFER_BYTES: usize = 32 << 10;
/// Most connections that have knocked and were not yet let in or turned away.
const MAX_INCOMING: usize = 1024;
/// Most bytes that are kept for one of them, and for all together.
const INCOMING_BYTES: u64 = 64 << 10;
const ALL_INCOMING_BYTES: u64 = 4 << 20;

/// Set to anything, it turns segmentation offload off, for network drivers that garble it.
pub const NO_GSO_VARIABLE: &str = "COMPUTE_SHARE_NO_GSO";

/// Listens at `addr`; port 0 is any free one.
///
/// # Errors
/// The address cannot be used.
pub fn listen(addr: SocketAddr, tls: rustls::ServerConfig) -> Result<Endpoint, ListenError> {
    socket(addr)
        .and_then(|socket| {
            let (config, server) = (endpoint_config(EndpointConfig::default()), server_tls(tls));
            Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
        })
        .map_err(|source| ListenError { addr, source })
}

/// Opens a UDP socket; one for IPv6 takes IPv4 too, where it listens at any address.
///
/// # Errors
/// The address cannot be used.
pub fn socket(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let family = match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    if addr.is_ipv6() {
        set_ipv6_v6only(&socket, false)?;
    }
    // As much as the machine's owner allows.
    let _ = set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let _ = set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    bind(&socket, &addr)?;
    Ok(socket.into())
}

/// Lets an endpoint take the largest datagrams that we send.
pub fn endpoint_config(mut config: EndpointConfig) -> EndpointConfig {
    config
        .max_udp_payload_size(MOST_DATAGRAM_BYTES)
        .expect("more than 1200 bytes");
    config
}

/// Returns what an endpoint's `set_server_config` takes, to change the certificate while it listens. Connections
/// that are there stay.
pub fn server_tls(tls: rustls::ServerConfig) -> quinn::ServerConfig {
    let crypto = QuicServerConfig::try_from(tls)
        .expect("certs offers TLS_AES_128_GCM_SHA256, which QUIC begins with");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport()))
        .migration(true)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(ALL_INCOMING_BYTES);
    config
}

/// The address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {addr}")]
pub struct ListenError {
    pub addr: SocketAddr,
    #[source]
    pub source: io::Error,
}

/// Connects to coordinators. One is enough for a process.
#[derive(Debug, Clone)]
pub struct Dialer {
    endpoint: Endpoint,
    transport: Arc<TransportConfig>,
}

impl Dialer {
    /// Opens a socket for all connections, for IPv6 and IPv4, or for IPv4 alone where there is no other.
    ///
    /// # Errors
    /// No socket can be had.
    pub fn new() -> io::Result<Self> {
        let socket = socket((Ipv6Addr::UNSPECIFIED, 0).into())
            .or_else(|_| socket((Ipv4Addr::UNSPECIFIED, 0).into()))?;
        let config = endpoint_config(EndpointConfig::default());
        let endpoint = Endpoint::new(config, None, socket, Arc::new(TokioRuntime))?;
        Ok(Self {
            endpoint,
            transport: Arc::new(transport()),
        })
    }

    /// Connects to `address` (`HOST:PORT`), at whichever of its addresses answers first.
    ///
    /// The coordinator has judged our own certificate only once it has said something: a refusal of it comes with
    /// the first read.
    ///
    /// # Errors
    /// [`Code::Unreachable`], naming each address that was tried; [`Code::WrongFingerprint`] or
    /// [`Code::CertificateExpired`] if the coordinator's certificate is not to be believed.
    pub async fn dial(&self, address: &str, tls: ClientTls) -> Result<Connection, Problem> {
        let what = format!("cannot reach the coordinator at {address}");
        let unreachable = |why: String| Problem::new(Code::Unreachable, what.clone(), why);
        let ClientTls { config, verdict } = tls;
        let crypto = QuicClientConfig::try_from(config)
            .map_err(|error| Problem::new(Code::Internal, what.clone(), error.to_string()))?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::clone(&self.transport));

        let deadline = time::Instant::now() + CONNECT_TIMEOUT;
        let addresses: Vec<SocketAddr> =
            match time::timeout_at(deadline, lookup_host(address)).await {
                Ok(Ok(found)) => found.take(MAX_ADDRESSES).collect(),
                Ok(Err(error)) => {
                    return Err(unreachable(format!("the name cannot be resolved: {error}")));
                }
                Err(_) => {
                    return Err(unreachable(
                        "the name cannot be resolved in time".to_owned(),
                    ));
                }
            };
        let tried = match self.race(&addresses, &config, deadline).await {
            Ok(connection) => return Ok(connection),
            Err(tried) => tried,
        };
        if let Some(refusal) = verdict.refusal() {
            return Err(refusal_problem(what, &refusal));
        }
        // One that answered and refused says more than others that are silent.
        if let Some(problem) = tried.iter().find_map(Attempt::answer) {
            return Err(problem);
        }
        let lines: Vec<String> = tried.iter().map(Attempt::to_string).collect();
        Err(unreachable(if lines.is_empty() {
            "the name has no address".to_owned()
        } else {
            lines.join("\n")
        }))
    }

    /// Tries the addresses in order, the next one beside those that are silent, and takes the first that works.
    async fn race(
        &self,
        addresses: &[SocketAddr],
        config: &quinn::ClientConfig,
        deadline: time::Instant,
    ) -> Result<Connection, Vec<Attempt>> {
        let mut waiting = addresses.iter();
        let mut running: JoinSet<Result<Connection, Attempt>> = JoinSet::new();
        let mut tried = Vec::with_capacity(addresses.len());
        loop {
            if let Some(&address) = waiting.next() {
                match self
                    .endpoint
                    .connect_with(config.clone(), address, certs::SERVER_NAME)
                {
                    Err(error) => {
                        tried.push(Attempt::new(address, Failure::NotTried(error.to_string())));
                        continue;
                    }
                    Ok(connecting) => {
                        running.spawn(async move {
                            tokio::select! {
                                ended = time::timeout_at(deadline, connecting) => match ended {
                                    Ok(Ok(connection)) => Ok(connection),
                                    Ok(Err(error)) => {
                                        Err(Attempt::new(address, Failure::Ended(error)))
                                    }
                                    Err(_) => Err(Attempt::new(address, Failure::Silent)),
                                },
                                () = port_is_closed(address) => {
                                    Err(Attempt::new(address, Failure::Closed))
                                }
                            }
                        });
                    }
                }
            }
            let patience = if waiting.len() == 0 {
                CONNECT_TIMEOUT
            } else {
                NEXT_ADDRESS_AFTER
            };
            match time::timeout(patience, running.join_next()).await {
                Ok(Some(Ok(Ok(connection)))) => return Ok(connection),
                Ok(Some(Ok(Err(attempt)))) => tried.push(attempt),
                Ok(Some(Err(_))) | Err(_) => {}
                Ok(None) if waiting.len() == 0 => return Err(tried),
                Ok(None) => {}
            }
        }
    }
}

/// What came of one address.
#[derive(Debug)]
struct Attempt {
    address: SocketAddr,
    failure: Failure,
}

#[derive(Debug)]
enum Failure {
    Silent,
    /// The computer answers that nothing listens there.
    Closed,
    NotTried(String),
    Ended(ConnectionError),
}

impl Attempt {
    const fn new(address: SocketAddr, failure: Failure) -> Self {
        Self { address, failure }
    }

    /// Returns what somebody at that address said, if anybody did.
    fn answer(&self) -> Option<Problem> {
        match &self.failure {
            Failure::Ended(ConnectionError::TimedOut | ConnectionError::Reset)
            | Failure::Silent
            | Failure::Closed
            | Failure::NotTried(_) => None,
            Failure::Ended(error) => Some(close_problem(error)),
        }
    }
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.address;
        match &self.failure {
            Failure::Silent => {
                let seconds = CONNECT_TIMEOUT.as_secs();
                write!(f, "no answer from {address} within {seconds} s")
            }
            Failure::Closed => write!(f, "nothing listens at {address}"),
            Failure::NotTried(error) => write!(f, "{address}: {error}"),
            Failure::Ended(error) => write!(f, "{address}: {error}"),
        }
    }
}

/// Returns once the other computer says that nothing listens at `address`, which is never if it says nothing.
///
/// A QUIC socket talks to many peers and so does not hear this; without it a coordinator that does not run would
/// only be known by its silence, [`CONNECT_TIMEOUT`] later. The empty datagram means nothing to one that does.
async fn port_is_closed(address: SocketAddr) {
    let local: SocketAddr = if address.is_ipv6() {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    };
    let answer = async {
        let socket = UdpSocket::bind(local).await?;
        socket.connect(address).await?;
        socket.send(&[]).await?;
        socket.recv(&mut [0]).await
    };
    match answer.await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => std::future::pending().await,
    }
}

fn refusal_problem(what: String, refusal: &Refusal) -> Problem {
    let code = match refusal {
        Refusal::WrongFingerprint { .. } | Refusal::NotTheCoordinator | Refusal::Untrusted(_) => {
            Code::WrongFingerprint
        }
        Refusal::Expired { .. } | Refusal::NotYetValid { .. } => Code::CertificateExpired,
    };
    let problem = Problem::new(code, what, refusal.to_string());
    match refusal {
        Refusal::Expired { .. } | Refusal::NotYetValid { .. } => problem.help(
            "Compare the clocks of this computer and the coordinator's; the coordinator renews its own \
             certificate while it runs.",
        ),
        _ => problem,
    }
}

fn transport() -> TransportConfig {
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).expect("30 s are far from QUIC's bound");
    let mut probing = MtuDiscoveryConfig::default();
    probing.upper_bound(MOST_DATAGRAM_BYTES);
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(probing))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(STREAMS)
        .max_concurrent_uni_streams(ONE_WAY_STREAMS)
        .stream_receive_window(STREAM_WINDOW_BYTES)
        .receive_window(CONNECTION_WINDOW_BYTES)
        .send_window(SEND_WINDOW_BYTES)
        .crypto_buffer_size(CRYPTO_BUFFER_BYTES)
        // Everything travels on streams; a datagram would only be memory.
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(ByDistance))
        .enable_segmentation_offload(env::var_os(NO_GSO_VARIABLE).is_none());
    config
}

#[cfg(test)]
mod tests;
