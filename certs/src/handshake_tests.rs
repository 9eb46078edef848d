//! Real handshakes over QUIC on loopback: who is let in, who is not, and what either side learns of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use common::{
    id::{Fingerprint, MachineId, UserId},
    time::Timestamp,
    wire::{ALPN_AGENT, ALPN_CLIENT, ALPN_JOIN},
};
use quinn::{
    Connection, ConnectionError, Endpoint, ReadError, ReadExactError,
    crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig},
};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use crate::{
    Authority, CertificateRequest, ClientTls, Identity, MEMBER_LIFE, PeerCertificate, PrivateKey,
    Refusal, SERVER_LIFE, Subject, client_config,
    identity::Credential,
    tls::{client_config_for, server_config_for},
};

const DAY: Duration = Duration::from_secs(86_400);
const USER: Subject = Subject::User(UserId::from_bytes([1; 16]));
const MACHINE: Subject = Subject::Machine(MachineId::from_bytes([2; 16]));

/// TLS alerts (RFC 8446, section 6), as QUIC carries them.
const UNSUPPORTED_CERTIFICATE: u64 = 0x100 + 43;
const CERTIFICATE_EXPIRED: u64 = 0x100 + 45;
/// What rustls says where the issuer's name is right and the signature is not.
const DECRYPT_ERROR: u64 = 0x100 + 51;
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap())
}

fn ago(span: Duration) -> Timestamp {
    Timestamp::from_unix_ms(now().unix_ms() - u64::try_from(span.as_millis()).unwrap())
}

struct Org {
    _dir: TempDir,
    authority: Authority,
}

impl Org {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = "lab".parse().unwrap();
        let authority = Authority::create(dir.path(), &name, ago(30 * DAY)).unwrap();
        Self {
            _dir: dir,
            authority,
        }
    }

    fn root(&self) -> Fingerprint {
        self.authority.fingerprint()
    }

    fn server(&self, at: Timestamp) -> Credential {
        self.authority
            .server_identity(at)
            .unwrap()
            .credential()
            .clone()
    }

    fn identity(&self, subject: Subject, at: Timestamp) -> Identity {
        let key = PrivateKey::generate().unwrap();
        let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
        let issued = self
            .authority
            .issue(&request, subject, at, MEMBER_LIFE)
            .unwrap();
        Identity::new(issued.chain, &key).unwrap()
    }
}

/// What each side saw.
struct Seen {
    client: Result<(), ConnectionError>,
    server: Result<(Option<PeerCertificate>, Vec<u8>), ConnectionError>,
}

fn listen(server: &Credential) -> Endpoint {
    let tls = server_config_for(server).unwrap();
    let crypto = QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

fn quic(tls: ClientTls) -> quinn::ClientConfig {
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls.config).unwrap()))
}

/// Connects, sends a byte and gets it back: only the answer proves that the server let us in.
async fn shake(server: &Credential, tls: ClientTls) -> Seen {
    let listener = listen(server);
    let address = listener.local_addr().unwrap();
    let serve = async {
        let connection = listener.accept().await.unwrap().accept()?.await?;
        let seen = (peer(&connection), alpn(&connection));
        let (mut send, mut recv) = connection.accept_bi().await?;
        let mut byte = [0];
        recv.read_exact(&mut byte).await.unwrap();
        send.write_all(&byte).await.unwrap();
        send.finish().unwrap();
        connection.closed().await;
        Ok(seen)
    };
    let (client, server) = tokio::join!(dial(address, tls), serve);
    Seen { client, server }
}

async fn dial(address: SocketAddr, tls: ClientTls) -> Result<(), ConnectionError> {
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let connection = endpoint
        .connect_with(quic(tls), address, "any.example")
        .unwrap()
        .await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    // A refusal may already be here; the read says so.
    let _sent = send.write_all(b"x").await;
    match recv.read_exact(&mut [0]).await {
        Ok(()) => {
            connection.close(0_u32.into(), b"");
            endpoint.wait_idle().await;
            Ok(())
        }
        Err(ReadExactError::ReadError(ReadError::ConnectionLost(error))) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

fn peer(connection: &Connection) -> Option<PeerCertificate> {
    let chain = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .unwrap();
    Some(PeerCertificate::parse(&chain[0]).unwrap())
}

fn alpn(connection: &Connection) -> Vec<u8> {
    let data = connection.handshake_data().unwrap();
    data.downcast::<HandshakeData>().unwrap().protocol.unwrap()
}

/// What the client says of a server.
async fn refusal(pin: Fingerprint, server: &Credential) -> Refusal {
    let tls = client_config(pin, None, ALPN_JOIN).unwrap();
    let verdict = Arc::clone(&tls.verdict);
    let seen = shake(server, tls).await;
    assert!(seen.client.is_err());
    assert!(seen.server.is_err());
    verdict.refusal().unwrap()
}

/// The alert with which the server turns a client away.
async fn alert(org: &Org, client: &Credential) -> u64 {
    let tls = client_config_for(org.root(), Some(client), ALPN_AGENT).unwrap();
    let verdict = Arc::clone(&tls.verdict);
    let seen = shake(&org.server(now()), tls).await;
    assert!(seen.server.is_err());
    assert_eq!(
        verdict.refusal(),
        None,
        "the client had nothing to object to"
    );
    match seen.client {
        Err(ConnectionError::ConnectionClosed(close)) => close.error_code.into(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_member_and_a_machine_are_known_by_their_certificates() {
    let org = Org::new();
    for (subject, alpn) in [(USER, ALPN_CLIENT), (MACHINE, ALPN_AGENT)] {
        let identity = org.identity(subject, now());
        let tls = client_config(org.root(), Some(&identity), alpn).unwrap();
        let verdict = Arc::clone(&tls.verdict);
        let seen = shake(&org.server(now()), tls).await;
        seen.client.unwrap();
        assert_eq!(
            seen.server.unwrap(),
            (Some(*identity.peer()), alpn.to_vec())
        );
        assert_eq!(verdict.refusal(), None);
    }
}

#[tokio::test]
async fn a_missing_client_certificate_can_be_told_by_the_door() {
    let org = Org::new();
    for alpn in [ALPN_JOIN, ALPN_AGENT, ALPN_CLIENT] {
        let tls = client_config(org.root(), None, alpn).unwrap();
        let seen = shake(&org.server(now()), tls).await;
        seen.client.unwrap();
        assert_eq!(seen.server.unwrap(), (None, alpn.to_vec()));
    }
}

#[tokio::test]
async fn another_authority_is_a_wrong_fingerprint_even_under_the_same_name() {
    let (ours, theirs) = (Org::new(), Org::new());
    assert_eq!(
        refusal(ours.root(), &theirs.server(now())).await,
        Refusal::WrongFingerprint {
            expected: ours.root(),
            presented: Some(theirs.root()),
        }
    );
    let pin = Fingerprint::new([7; 32]);
    assert!(matches!(
        refusal(pin, &ours.server(now())).await,
        Refusal::WrongFingerprint { expected, .. } if expected == pin
    ));
}

#[tokio::test]
async fn showing_the_pinned_root_is_not_enough() {
    let (ours, theirs) = (Org::new(), Org::new());
    let server = theirs.server(now());
    // Our root, which everybody may know, in place of theirs.
    let forged = server.with_root(ours.server(now()).root().unwrap().clone());
    assert!(matches!(
        refusal(ours.root(), &forged).await,
        Refusal::Untrusted(_)
    ));
}

#[tokio::test]
async fn an_expired_or_future_coordinator_is_told_with_both_times() {
    let org = Org::new();
    let long_ago = ago(8 * DAY);
    match refusal(org.root(), &org.server(long_ago)).await {
        Refusal::Expired { now, expired_at } => {
            let end = long_ago.saturating_add(SERVER_LIFE.as_duration());
            assert_eq!(expired_at.unix_ms(), end.unix_ms() / 1000 * 1000);
            assert!(now.since(expired_at) >= DAY - Duration::from_secs(2));
        }
        other => panic!("{other:?}"),
    }
    let tomorrow = now().saturating_add(DAY);
    match refusal(org.root(), &org.server(tomorrow)).await {
        Refusal::NotYetValid { now, not_before } => {
            assert!(not_before.since(now) > DAY - Duration::from_secs(600));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_clock_five_minutes_behind_is_forgiven() {
    let org = Org::new();
    let soon = now().saturating_add(Duration::from_secs(4 * 60));
    let identity = org.identity(MACHINE, soon);
    let tls = client_config(org.root(), Some(&identity), ALPN_AGENT).unwrap();
    shake(&org.server(soon), tls).await.client.unwrap();
}

#[tokio::test]
async fn no_member_or_machine_can_pretend_to_be_the_coordinator() {
    let org = Org::new();
    for subject in [USER, MACHINE] {
        let impostor = org.identity(subject, now());
        assert_eq!(
            refusal(org.root(), impostor.credential()).await,
            Refusal::NotTheCoordinator
        );
    }
}

#[tokio::test]
async fn the_coordinators_certificate_is_no_client_certificate() {
    let org = Org::new();
    assert_eq!(
        alert(&org, &org.server(now())).await,
        UNSUPPORTED_CERTIFICATE
    );
}

#[tokio::test]
async fn clients_of_another_authority_or_of_yesterday_are_turned_away() {
    let (ours, theirs) = (Org::new(), Org::new());
    let stranger = theirs.identity(MACHINE, now());
    assert_eq!(alert(&ours, stranger.credential()).await, DECRYPT_ERROR);
    let expired = ours.identity(MACHINE, ago(8 * DAY));
    assert_eq!(
        alert(&ours, expired.credential()).await,
        CERTIFICATE_EXPIRED
    );
    let future = ours.identity(MACHINE, now().saturating_add(DAY));
    assert_eq!(alert(&ours, future.credential()).await, CERTIFICATE_EXPIRED);
}

#[tokio::test]
async fn another_protocol_version_is_turned_away() {
    let org = Org::new();
    let tls = client_config(org.root(), None, b"compute-share-client/2").unwrap();
    match shake(&org.server(now()), tls).await.client {
        Err(ConnectionError::ConnectionClosed(close)) => {
            assert_eq!(u64::from(close.error_code), NO_APPLICATION_PROTOCOL);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_is_resumed_and_nothing_sent_early() {
    let org = Org::new();
    let identity = org.identity(USER, now());
    let config = quic(client_config(org.root(), Some(&identity), ALPN_CLIENT).unwrap());
    let listener = listen(&org.server(now()));
    let address = listener.local_addr().unwrap();
    let client = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    for _ in 0..2 {
        let connecting = client.connect_with(config.clone(), address, "x").unwrap();
        let Err(connecting) = connecting.into_0rtt() else {
            panic!("early data was possible");
        };
        let accept = async { listener.accept().await.unwrap().await };
        let (ours, theirs) = tokio::join!(connecting, accept);
        let theirs = theirs.unwrap();
        assert!(theirs.peer_identity().is_some(), "the certificate was seen");
        ours.unwrap().close(0_u32.into(), b"");
        theirs.closed().await;
    }
}
