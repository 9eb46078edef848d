//! The one UDP port: shakes hands, looks at what the connection is for, and gives it to its door.

use std::{sync::Arc, time::Duration};

use certs::PeerCertificate;
use common::wire::{ALPN_AGENT, ALPN_CLIENT, ALPN_JOIN, close};
use quinn::crypto::rustls::HandshakeData;
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{agent, client, join};
use crate::desk::Desk;

/// Connections at once, of all kinds.
const MAX_CONNECTIONS: usize = 20_000;
/// Handshakes at once; beyond that, newcomers are told to come back.
const MAX_HANDSHAKES: usize = 512;
/// From so many open handshakes on, a newcomer first proves that its address is its own.
const HANDSHAKES_BEFORE_PROOF: usize = 64;
/// Connections of strangers at once.
const MAX_STRANGERS: usize = 1024;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many of each there may still be.
#[derive(Debug, Clone)]
struct Room {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// Takes connections until `stop`, then waits until those that are there have ended.
pub(crate) async fn accept(desk: Arc<Desk>, endpoint: quinn::Endpoint, stop: CancellationToken) {
    let room = Room {
        connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
        strangers: Arc::new(Semaphore::new(MAX_STRANGERS)),
    };
    let tasks = TaskTracker::new();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            () = stop.cancelled() => break,
        };
        let Some(incoming) = incoming else { break };
        let open = MAX_HANDSHAKES - room.handshakes.available_permits();
        if open >= HANDSHAKES_BEFORE_PROOF && !incoming.remote_address_validated() {
            // An error says that it was validated after all, which was just seen not to be so.
            let _ = incoming.retry();
            continue;
        }
        let (Ok(connection), Ok(handshake)) = (
            Arc::clone(&room.connections).try_acquire_owned(),
            Arc::clone(&room.handshakes).try_acquire_owned(),
        ) else {
            incoming.refuse();
            continue;
        };
        let (desk, room) = (Arc::clone(&desk), room.clone());
        tasks.spawn(async move {
            if let Some(shaken) = shake_hands(incoming, handshake).await {
                welcome(desk, shaken, &room).await;
            }
            drop(connection);
        });
    }
    endpoint.close(close::SHUTDOWN.into(), b"the coordinator stops");
    tasks.close();
    tasks.wait().await;
}

async fn shake_hands(
    incoming: quinn::Incoming,
    _permit: OwnedSemaphorePermit,
) -> Option<quinn::Connection> {
    let from = incoming.remote_address();
    let handshake = async { incoming.accept().ok()?.await.ok() };
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await;
    let connection = shaken.ok().flatten();
    if connection.is_none() {
        tracing::debug!(%from, "a handshake failed");
    }
    connection
}

async fn welcome(desk: Arc<Desk>, connection: quinn::Connection, room: &Room) {
    match protocol(&connection).as_deref() {
        Some(ALPN_JOIN) => match room.strangers.try_acquire() {
            Ok(_permit) => join::serve(&desk, &connection).await,
            Err(_) => connection.close(close::TOO_MUCH.into(), b"too many others want to join"),
        },
        Some(ALPN_CLIENT) => match certificate(&connection) {
            Some(peer) => client::serve(desk, connection, peer).await,
            None => connection.close(close::UNAUTHORISED.into(), b"a certificate is needed"),
        },
        Some(ALPN_AGENT) => match certificate(&connection) {
            Some(peer) => agent::serve(desk, connection, peer).await,
            None => connection.close(close::UNAUTHORISED.into(), b"a certificate is needed"),
        },
        _ => connection.close(close::PROTOCOL.into(), b"unknown protocol"),
    }
}

fn protocol(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    data.downcast::<HandshakeData>().ok()?.protocol
}

/// Returns what the peer's certificate says. The handshake has checked its signatures and times.
fn certificate(connection: &quinn::Connection) -> Option<PeerCertificate> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    PeerCertificate::parse(chain.first()?).ok()
}
