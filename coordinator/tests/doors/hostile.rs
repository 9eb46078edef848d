//! Peers that do not keep to the protocol: each is told, or closed with the right code, and everybody else is
//! served as before.

use std::time::Duration;

use certs::{Identity, client_config};
use common::{
    api::{Answer, Request},
    code::Code,
    problem::Problem,
    wire::{
        ALPN_AGENT, ALPN_CLIENT, ALPN_JOIN, Hello,
        client::ClientStream,
        close, encode,
        frame::{CODEC_BINCODE, Header, Kind},
    },
};
use link::{
    endpoint::Dialer,
    frames::{FrameReceiver, RecvError},
};
use quinn::{ConnectionError, VarInt, crypto::rustls::QuicClientConfig};
use tokio::task::JoinSet;

use crate::{
    lab::{Lab, ask},
    machine::{Control, machine},
};

/// Longer than the coordinator gives anybody for last words.
const SOON: Duration = Duration::from_secs(8);

/// Bytes that are no message that any door waits for.
fn bad() -> Vec<(&'static str, Vec<u8>)> {
    let header = |length, codec, kind: u16, version: u16| {
        let header = Header {
            length,
            codec,
            kind: Kind::Hello,
            version,
        };
        let mut bytes = header.to_bytes();
        bytes[5..7].copy_from_slice(&kind.to_be_bytes());
        bytes.to_vec()
    };
    let hello = Kind::Hello as u16;
    let whole = encode(&Hello::ours()).unwrap();
    vec![
        ("nothing", Vec::new()),
        ("half a header", whole[..4].to_vec()),
        ("half a message", whole[..whole.len() - 1].to_vec()),
        ("too long", header(u32::MAX, CODEC_BINCODE, hello, 1)),
        ("an unknown kind", header(8, CODEC_BINCODE, 999, 1)),
        ("an unknown codec", header(8, 77, hello, 1)),
        ("another kind", encode(&Answer::Done).unwrap()),
        ("noise", vec![0xa5; 4096]),
    ]
}

async fn dial(lab: &Lab, identity: Option<&Identity>, alpn: &[u8]) -> quinn::Connection {
    let tls = client_config(lab.running.fingerprint(), identity, alpn).unwrap();
    let address = lab.running.address().to_string();
    Dialer::new().unwrap().dial(&address, tls).await.unwrap()
}

/// Sends bytes on a stream of their own and returns what the coordinator says.
async fn say(connection: &quinn::Connection, bytes: &[u8]) -> Problem {
    let (mut tx, rx) = connection.open_bi().await.unwrap();
    // Refused before all of it was sent: so be it.
    let _ = tx.write_all(bytes).await;
    let _ = tx.finish();
    match FrameReceiver::new(rx).expect::<Answer>().await {
        Err(RecvError::Refused(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

async fn close_code(connection: &quinn::Connection) -> u32 {
    match tokio::time::timeout(SOON, connection.closed()).await {
        Ok(ConnectionError::ApplicationClosed(closed)) => {
            closed.error_code.into_inner().try_into().unwrap()
        }
        other => panic!("{other:?}"),
    }
}

async fn is_served(member: &quinn::Connection) {
    let answer = tokio::time::timeout(SOON, ask(member, Request::WhoAmI)).await;
    assert!(matches!(answer, Ok(Ok(Answer::WhoAmI(_)))), "{answer:?}");
}

#[tokio::test]
async fn what_is_no_hello_is_told_so_and_closed() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let bystander = lab.connect(&owner).await;
    let machine = machine(&lab, &owner).await;
    let mut told = JoinSet::new();
    for (what, bytes) in bad() {
        for (identity, alpn) in [
            (&owner.identity, ALPN_CLIENT),
            (&machine.identity, ALPN_AGENT),
        ] {
            // A member's hello that is whole is no machine's.
            let connection = dial(&lab, Some(identity), alpn).await;
            let bytes = bytes.clone();
            told.spawn(async move {
                let problem = say(&connection, &bytes).await;
                assert_eq!(problem.code, Code::Protocol, "{what}: {problem}");
                assert_eq!(close_code(&connection).await, close::PROTOCOL, "{what}");
            });
        }
    }
    while let Some(done) = told.join_next().await {
        done.unwrap();
    }
    is_served(&bystander).await;
    lab.running.stop().await;
}

#[tokio::test]
async fn a_request_before_the_hello_is_refused() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let connection = dial(&lab, Some(&owner.identity), ALPN_CLIENT).await;
    let refused = ask(&connection, Request::WhoAmI).await.unwrap_err();
    assert_eq!(refused.code, Code::Protocol);
    assert_eq!(close_code(&connection).await, close::PROTOCOL);
    lab.running.stop().await;
}

#[tokio::test]
async fn a_bad_stream_costs_itself_only() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let machine = machine(&lab, &owner).await;
    let control = Control::open(&lab, &machine, Vec::new()).await;
    for (what, bytes) in bad() {
        // One connection of a stranger takes as many mistakes as come, one by one.
        let stranger = dial(&lab, None, ALPN_JOIN).await;
        for connection in [&member, &control.connection, &stranger] {
            let problem = say(connection, &bytes).await;
            assert_eq!(problem.code, Code::Protocol, "{what}: {problem}");
        }
        is_served(&member).await;
        assert!(control.connection.close_reason().is_none());
        assert!(stranger.close_reason().is_none());
    }
    // After a good first frame too.
    let request = encode(&ClientStream::Request).unwrap();
    for (what, bytes) in bad() {
        let problem = say(&member, &[request.as_slice(), &bytes].concat()).await;
        assert_eq!(problem.code, Code::Protocol, "{what}: {problem}");
    }
    is_served(&member).await;
    lab.running.stop().await;
}

#[tokio::test]
async fn nonsense_on_the_control_stream_ends_the_connection() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let machine = machine(&lab, &owner).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    control.tx.send(&Answer::Done).await.unwrap();
    assert_eq!(close_code(&control.connection).await, close::PROTOCOL);
    is_served(&member).await;
    Control::open(&lab, &machine, Vec::new()).await;
    lab.running.stop().await;
}

#[tokio::test]
async fn without_the_right_certificate_nobody_comes_in() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let machine = machine(&lab, &owner).await;
    for (identity, alpn) in [
        (None, ALPN_CLIENT),
        (None, ALPN_AGENT),
        (Some(&owner.identity), ALPN_AGENT),
        (Some(&machine.identity), ALPN_CLIENT),
    ] {
        let connection = dial(&lab, identity, alpn).await;
        assert_eq!(close_code(&connection).await, close::UNAUTHORISED);
    }
    is_served(&lab.connect(&owner).await).await;
    lab.running.stop().await;
}

#[tokio::test]
async fn streams_that_are_opened_and_never_written_keep_nobody_else_waiting() {
    const STREAMS: usize = 1000;
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let bystander = lab.connect(&owner).await;
    let greedy = lab.connect(&owner).await;
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let connection = greedy.clone();
        streams.spawn(async move {
            let (mut tx, rx) = connection.open_bi().await?;
            // The least that makes a stream known to the other side.
            let _ = tx.write_all(&[0]).await;
            Ok::<_, ConnectionError>((tx, rx))
        });
    }
    let mut open = Vec::new();
    while open.len() < 32 {
        open.push(streams.join_next().await.unwrap().unwrap().unwrap());
    }
    is_served(&bystander).await;
    is_served(&lab.connect(&owner).await).await;
    assert!(greedy.close_reason().is_none());
    greedy.close(close::DONE.into(), b"");
    let refused = streams.join_all().await.into_iter().filter(Result::is_err);
    assert!(refused.count() > STREAMS / 2, "most were never let in");
    is_served(&bystander).await;
    lab.running.stop().await;
}

#[tokio::test]
async fn a_stranger_who_reads_nothing_is_not_waited_for() {
    let lab = Lab::start().await;
    let tls = client_config(lab.running.fingerprint(), None, ALPN_JOIN).unwrap();
    let mut deaf = quinn::TransportConfig::default();
    deaf.stream_receive_window(VarInt::from_u32(0));
    let mut config = quinn::ClientConfig::new(std::sync::Arc::new(
        QuicClientConfig::try_from(tls.config).unwrap(),
    ));
    config.transport_config(std::sync::Arc::new(deaf));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let dialled = endpoint.connect_with(config, lab.running.address(), certs::SERVER_NAME);
    let connection = dialled.unwrap().await.unwrap();
    let (mut tx, _rx) = connection.open_bi().await.unwrap();
    tx.write_all(&[0xa5; 64]).await.unwrap();
    // The stream is let go of once nobody waits any longer to say what is wrong with it.
    let let_go = tokio::time::timeout(SOON, tx.stopped()).await;
    assert!(matches!(let_go, Ok(Ok(Some(_)))), "{let_go:?}");
    lab.running.stop().await;
}
