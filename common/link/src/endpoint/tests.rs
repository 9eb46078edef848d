use certs::client_config;
use common::wire::{ALPN_AGENT, Hello, close};
use quinn::Incoming;

use super::*;
use crate::{
    frames::{RecvError, split},
    refuse,
    test_org::{DAY, Org, ago, now},
};

/// Lets everybody in and says hello back on every stream.
pub(super) fn serve(endpoint: &Endpoint) {
    async fn greet(incoming: Incoming) -> Option<()> {
        let connection = incoming.await.ok()?;
        while let Ok(stream) = connection.accept_bi().await {
            let (mut send, mut recv) = split(stream);
            let hello: Hello = recv.expect().await.ok()?;
            send.send(&hello).await.ok()?;
            send.finish();
        }
        None
    }
    let endpoint = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(greet(incoming));
        }
    });
}

pub(super) async fn greet(connection: &Connection) -> Result<Hello, RecvError> {
    let (mut send, mut recv) = split(
        connection
            .open_bi()
            .await
            .map_err(|error| RecvError::Lost(quinn::ReadError::ConnectionLost(error)))?,
    );
    let _sent = send.send(&Hello::ours()).await;
    recv.expect().await
}

async fn refused(address: &str, tls: ClientTls) -> Problem {
    let dialer = Dialer::new().unwrap();
    dialer.dial(address, tls).await.unwrap_err()
}

#[tokio::test]
async fn a_dialled_connection_carries_messages() {
    let org = Org::new();
    let (endpoint, address) = org.listen(now());
    serve(&endpoint);
    let dialer = Dialer::new().unwrap();
    let connection = dialer.dial(&address, org.machine(now())).await.unwrap();
    assert_eq!(greet(&connection).await.unwrap(), Hello::ours());
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let org = Org::new();
    let (endpoint, _) = org.listen(now());
    serve(&endpoint);
    // This may be [::1] first, where nothing listens.
    let address = format!("localhost:{}", endpoint.local_addr().unwrap().port());
    let dialer = Dialer::new().unwrap();
    let connection = dialer.dial(&address, org.stranger()).await.unwrap();
    assert_eq!(greet(&connection).await.unwrap(), Hello::ours());
}

#[tokio::test]
async fn a_coordinator_that_does_not_run_is_told_at_once_with_the_address() {
    // Bound once, so that nobody else has it, and closed again.
    let address = {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.local_addr().unwrap().to_string()
    };
    let org = Org::new();
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let begun = time::Instant::now();
    let problem = refused(&format!("localhost:{port}"), org.stranger()).await;
    assert!(begun.elapsed() < CONNECT_TIMEOUT);
    assert_eq!(problem.code, Code::Unreachable);
    assert!(problem.why.contains(&address), "{}", problem.why);
    assert!(problem.what.contains("localhost:"), "{}", problem.what);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_silent_is_given_up() {
    // Holds the port and says nothing.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let problem = refused(&address, Org::new().stranger()).await;
    assert_eq!(problem.code, Code::Unreachable);
    assert_eq!(problem.why, format!("no answer from {address} within 10 s"));
}

#[tokio::test]
async fn an_address_that_is_none_is_unreachable() {
    for address in [
        "",
        "no-port",
        "127.0.0.1:notaport",
        "127.0.0.1:0",
        "no.such.host.invalid:1",
    ] {
        let problem = refused(address, Org::new().stranger()).await;
        assert_eq!(problem.code, Code::Unreachable, "{address}: {problem}");
    }
}

#[tokio::test]
async fn a_coordinator_that_is_not_to_be_believed_says_why() {
    let (ours, theirs) = (Org::new(), Org::new());
    let (_endpoint, address) = {
        let (endpoint, address) = theirs.listen(now());
        serve(&endpoint);
        (endpoint, address)
    };
    let problem = refused(&address, ours.stranger()).await;
    assert_eq!(problem.code, Code::WrongFingerprint);
    for fingerprint in [ours.authority.fingerprint(), theirs.authority.fingerprint()] {
        assert!(problem.why.contains(&fingerprint.to_string()), "{problem}");
    }

    let (endpoint, address) = ours.listen(ago(8 * DAY));
    serve(&endpoint);
    let problem = refused(&address, ours.stranger()).await;
    assert_eq!(problem.code, Code::CertificateExpired);
    assert_eq!(problem.why.matches("Z").count(), 2, "{problem}");

    let (endpoint, address) = ours.listen(now().saturating_add(DAY));
    serve(&endpoint);
    let problem = refused(&address, ours.stranger()).await;
    assert_eq!(problem.code, Code::CertificateExpired);
}

#[tokio::test]
async fn a_certificate_of_ours_that_is_not_accepted_is_told_by_the_first_read() {
    let (ours, theirs) = (Org::new(), Org::new());
    let (endpoint, address) = ours.listen(now());
    serve(&endpoint);
    let dialer = Dialer::new().unwrap();
    let told = async |tls: ClientTls| match dialer.dial(&address, tls).await {
        Err(problem) => problem.code,
        Ok(connection) => Problem::from(greet(&connection).await.unwrap_err()).code,
    };
    assert_eq!(
        told(ours.machine(ago(8 * DAY))).await,
        Code::CertificateExpired
    );
    let stranger = theirs.identity(now());
    let mixed = client_config(ours.authority.fingerprint(), Some(&stranger), ALPN_AGENT).unwrap();
    assert_eq!(told(mixed).await, Code::NotSignedIn);
    let other_version = client_config(ours.authority.fingerprint(), None, b"x/2").unwrap();
    assert_eq!(told(other_version).await, Code::Version);
}

#[tokio::test]
async fn whoever_is_refused_learns_the_stable_code() {
    let org = Org::new();
    let (endpoint, address) = org.listen(now());
    tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let problem = Problem::new(Code::MachineRejected, "no", "x".repeat(4000));
        refuse(&connection, close::UNAUTHORISED, &problem);
        endpoint.wait_idle().await;
    });
    let dialer = Dialer::new().unwrap();
    let connection = dialer.dial(&address, org.machine(now())).await.unwrap();
    let problem = Problem::from(greet(&connection).await.unwrap_err());
    assert_eq!(problem.code, Code::MachineRejected);
    assert!(problem.why.starts_with("xxx"));
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_stay() {
    let org = Org::new();
    let (endpoint, address) = org.listen(now());
    serve(&endpoint);
    let dialer = Dialer::new().unwrap();
    let before = dialer.dial(&address, org.machine(now())).await.unwrap();
    endpoint.set_server_config(Some(server_tls(org.server(now()))));
    let after = dialer.dial(&address, org.machine(now())).await.unwrap();
    greet(&before).await.unwrap();
    greet(&after).await.unwrap();
    let shown = |connection: &Connection| {
        let chain = connection.peer_identity().unwrap();
        chain
            .downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>()
            .unwrap()
    };
    assert_ne!(shown(&before)[0], shown(&after)[0]);
}

#[tokio::test]
async fn a_connection_survives_a_new_address_of_the_client() {
    let org = Org::new();
    let (endpoint, address) = org.listen(now());
    serve(&endpoint);
    let dialer = Dialer::new().unwrap();
    let connection = dialer.dial(&address, org.machine(now())).await.unwrap();
    greet(&connection).await.unwrap();
    let mut elsewhere = dialer.endpoint.local_addr().unwrap();
    elsewhere.set_port(0);
    let socket = std::net::UdpSocket::bind(elsewhere).unwrap();
    dialer.endpoint.rebind(socket).unwrap();
    greet(&connection).await.unwrap();
}

#[tokio::test]
async fn a_peer_cannot_open_more_streams_than_allowed() {
    let org = Org::new();
    let (endpoint, address) = org.listen(now());
    let dialer = Dialer::new().unwrap();
    let accept = async { endpoint.accept().await.unwrap().await.unwrap() };
    let (client, server) = tokio::join!(dialer.dial(&address, org.machine(now())), accept);
    let client = client.unwrap();
    let mut open = Vec::new();
    for _ in 0..STREAMS.into_inner() {
        open.push(client.open_bi().await.unwrap());
    }
    let one_more = time::timeout(Duration::ZERO, client.open_bi()).await;
    assert!(one_more.is_err());
    assert!(
        time::timeout(Duration::ZERO, client.open_uni())
            .await
            .is_err()
    );
    drop(server);
}

#[test]
fn an_address_in_use_is_told_with_the_address() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let org = Org::new();
    let (endpoint, address) = org.listen(now());
    let taken = endpoint.local_addr().unwrap();
    let error = listen(taken, org.server(now())).unwrap_err();
    assert!(error.to_string().contains(&address));
}
