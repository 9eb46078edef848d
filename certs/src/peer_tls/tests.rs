//! Real handshakes between machines on loopback.

use std::{
    net::Ipv4Addr,
    time::{Duration, SystemTime},
};

use common::{id::UserId, time::Timestamp};
use quinn::{
    Connection, Endpoint,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use super::*;
use crate::{Authority, CertificateRequest, MACHINE_LIFE, PrivateKey, client_config};

const DAY: Duration = Duration::from_secs(86_400);
const ONE: MachineId = MachineId::from_bytes([1; 16]);
const TWO: MachineId = MachineId::from_bytes([2; 16]);

fn ago(span: Duration) -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let then = since.unwrap() - span;
    Timestamp::from_unix_ms(u64::try_from(then.as_millis()).unwrap())
}

struct Org {
    _dir: tempfile::TempDir,
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

    fn identity(&self, subject: Subject, at: Timestamp) -> Identity {
        let key = PrivateKey::generate().unwrap();
        let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
        let issued = self.authority.issue(&request, subject, at, MACHINE_LIFE);
        Identity::new(issued.unwrap().chain, &key).unwrap()
    }

    fn machine(&self, machine: MachineId) -> Identity {
        self.identity(Subject::Machine(machine), ago(Duration::ZERO))
    }
}

/// Lets `dialler` dial `listener` with this configuration. Returns whether a byte went there and back.
async fn shake(listener: &Identity, dialler: ClientConfig) -> bool {
    let tls = peer_server_config(listener).unwrap();
    let tls = QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let server = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let client = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let tls = Arc::new(QuicClientConfig::try_from(dialler).unwrap());
    let config = quinn::ClientConfig::new(tls);
    let address = server.local_addr().unwrap();
    let serve = async {
        let connection: Connection = server.accept().await?.accept().ok()?.await.ok()?;
        let (mut tx, mut rx) = connection.accept_bi().await.ok()?;
        rx.read_to_end(9).await.ok()?;
        tx.write_all(b"x").await.ok()?;
        tx.finish().ok()?;
        connection.closed().await;
        Some(())
    };
    let dial = async {
        let dialling = client.connect_with(config, address, PEER_NAME).ok()?;
        let connection = dialling.await.ok()?;
        let (mut tx, mut rx) = connection.open_bi().await.ok()?;
        tx.write_all(b"x").await.ok()?;
        tx.finish().ok()?;
        let back = rx.read_to_end(9).await.ok();
        connection.close(0_u32.into(), b"");
        back
    };
    let (back, _served) = tokio::join!(dial, serve);
    back == Some(b"x".to_vec())
}

#[tokio::test]
async fn two_machines_of_one_coordinator_know_one_another() {
    let org = Org::new();
    let (one, two) = (org.machine(ONE), org.machine(TWO));
    assert!(shake(&one, peer_client_config(&two, ONE).unwrap()).await);
}

#[tokio::test]
async fn nobody_else_is_talked_to() {
    let (ours, theirs) = (Org::new(), Org::new());
    let (one, two) = (ours.machine(ONE), ours.machine(TWO));
    let stranger = theirs.machine(TWO);
    let old = ours.identity(Subject::Machine(TWO), ago(8 * DAY));
    let member = Subject::User(UserId::from_bytes([2; 16]));
    let member = ours.identity(member, ago(Duration::ZERO));
    let root = ours.authority.fingerprint();
    for (what, listener, dialler) in [
        (
            "another machine listens",
            &one,
            peer_client_config(&two, TWO),
        ),
        (
            "another coordinator's dials",
            &one,
            peer_client_config(&stranger, ONE),
        ),
        (
            "another coordinator's listens",
            &stranger,
            peer_client_config(&one, TWO),
        ),
        (
            "one of last week dials",
            &one,
            peer_client_config(&old, ONE),
        ),
        (
            "one of last week listens",
            &old,
            peer_client_config(&one, TWO),
        ),
        ("a member listens", &member, peer_client_config(&one, TWO)),
        (
            "it is taken for the coordinator",
            &one,
            client_config(root, Some(&two), ALPN_PEER).map(|tls| tls.config),
        ),
        (
            "somebody without a certificate dials",
            &one,
            client_config(root, None, ALPN_PEER).map(|tls| tls.config),
        ),
    ] {
        assert!(!shake(listener, dialler.unwrap()).await, "{what}");
    }
}
