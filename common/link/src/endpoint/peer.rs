//! Connections between machines: smaller than the coordinator's, since nobody should notice them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::{
    Connection, Endpoint, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use super::{ListenError, transport};

/// Streams that another machine may have open: blocks of a few trees.
const STREAMS: VarInt = VarInt::from_u32(32);
const STREAM_WINDOW_BYTES: VarInt = VarInt::from_u32(1 << 20);
const CONNECTION_WINDOW_BYTES: VarInt = VarInt::from_u32(4 << 20);
const SEND_WINDOW_BYTES: u64 = 2 << 20;
/// How long another machine may take to answer. In a local network it is milliseconds.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// Handshakes that wait.
const MAX_INCOMING: usize = 64;

/// Listens at `addr`, and is dialled from.
///
/// # Errors
/// The address cannot be used.
pub fn listen(addr: SocketAddr, tls: rustls::ServerConfig) -> Result<Endpoint, ListenError> {
    Endpoint::server(server(tls), addr).map_err(|source| ListenError { addr, source })
}

/// Returns what an endpoint's `set_server_config` takes.
pub fn server(tls: rustls::ServerConfig) -> quinn::ServerConfig {
    let crypto = QuicServerConfig::try_from(tls)
        .expect("certs offers TLS_AES_128_GCM_SHA256, which QUIC begins with");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(small()))
        .migration(false)
        .max_incoming(MAX_INCOMING);
    config
}

/// Returns what to dial with.
pub fn client(tls: rustls::ClientConfig) -> quinn::ClientConfig {
    let crypto = QuicClientConfig::try_from(tls)
        .expect("certs offers TLS_AES_128_GCM_SHA256, which QUIC begins with");
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(small()));
    config
}

/// Connects to one address.
///
/// # Errors
/// Nobody answers there in time, or somebody else.
pub async fn dial(
    from: &Endpoint,
    config: quinn::ClientConfig,
    address: SocketAddr,
) -> Result<Connection, NotReached> {
    let dialling = from.connect_with(config, address, certs::PEER_NAME);
    let dialling = dialling.map_err(|_| NotReached)?;
    let answer = tokio::time::timeout(DIAL_TIMEOUT, dialling).await;
    answer.ok().and_then(Result::ok).ok_or(NotReached)
}

/// There is no such machine at that address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the machine was not reached")]
pub struct NotReached;

fn small() -> TransportConfig {
    let mut config = transport();
    config
        .keep_alive_interval(None)
        .max_concurrent_bidi_streams(STREAMS)
        .stream_receive_window(STREAM_WINDOW_BYTES)
        .receive_window(CONNECTION_WINDOW_BYTES)
        .send_window(SEND_WINDOW_BYTES);
    config
}
