//! For the tests of this crate: an org with real certificates on loopback.

use std::{
    net::Ipv4Addr,
    time::{Duration, SystemTime},
};

use certs::{
    Authority, CertificateRequest, ClientTls, Identity, MACHINE_LIFE, PrivateKey, Subject,
    client_config, server_config,
};
use common::{
    id::MachineId,
    time::Timestamp,
    wire::{ALPN_AGENT, ALPN_JOIN},
};
use quinn::{Connection, Endpoint};
use tempfile::TempDir;

use crate::endpoint::{Dialer, listen};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// An org's authority, and what its coordinator and clients speak TLS with.
pub(crate) struct Org {
    _dir: TempDir,
    pub(crate) authority: Authority,
}

impl Org {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = "lab".parse().unwrap();
        let authority = Authority::create(dir.path(), &name, ago(30 * DAY)).unwrap();
        Self {
            _dir: dir,
            authority,
        }
    }

    pub(crate) fn listen(&self, at: Timestamp) -> (Endpoint, String) {
        let endpoint = listen((Ipv4Addr::LOCALHOST, 0).into(), self.server(at)).unwrap();
        let address = endpoint.local_addr().unwrap().to_string();
        (endpoint, address)
    }

    pub(crate) fn server(&self, at: Timestamp) -> rustls::ServerConfig {
        server_config(&self.authority.server_identity(at).unwrap()).unwrap()
    }

    pub(crate) fn stranger(&self) -> ClientTls {
        client_config(self.authority.fingerprint(), None, ALPN_JOIN).unwrap()
    }

    pub(crate) fn identity(&self, at: Timestamp) -> Identity {
        let key = PrivateKey::generate().unwrap();
        let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
        let subject = Subject::Machine(MachineId::from_bytes([2; 16]));
        let issued = self
            .authority
            .issue(&request, subject, at, MACHINE_LIFE)
            .unwrap();
        Identity::new(issued.chain, &key).unwrap()
    }

    pub(crate) fn machine(&self, at: Timestamp) -> ClientTls {
        let identity = self.identity(at);
        client_config(self.authority.fingerprint(), Some(&identity), ALPN_AGENT).unwrap()
    }
}

pub(crate) fn ago(span: Duration) -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        - span;
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap())
}

pub(crate) fn now() -> Timestamp {
    ago(Duration::ZERO)
}

/// A connection, and the endpoints that must live as long.
pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    _dialer: Dialer,
    _endpoint: Endpoint,
}

pub(crate) async fn pair() -> Pair {
    let org = Org::new();
    let (endpoint, address) = org.listen(now());
    let dialer = Dialer::new().unwrap();
    let accept = async { endpoint.accept().await.unwrap().await.unwrap() };
    let (client, server) = tokio::join!(dialer.dial(&address, org.machine(now())), accept);
    Pair {
        client: client.unwrap(),
        server,
        _dialer: dialer,
        _endpoint: endpoint,
    }
}
