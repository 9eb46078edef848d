//! Who gets in, and for what.

use certs::peer_client_config;
use common::{
    code::Code,
    id::{CertificateSerial, UserId},
};
use link::trees::Fetcher;

use super::*;

/// Fetches everything of a tree from a machine, over a connection that is made for it.
async fn fetch(agent: &Agent, contact: &Contact, data: &Data) -> Result<usize, Code> {
    let connection = agent.peers.reach(contact).await.ok_or(Code::Unreachable)?;
    let first = PeerStream::Chunks {
        grant: contact.grant.clone(),
    };
    let fetcher = Fetcher::new(connection, first, data.manifest.clone());
    let sink = Arc::new(Sink::default());
    let fetched = fetcher.complete(&sink, &()).await;
    fetched
        .map(|_| sink.count())
        .map_err(|problem| problem.code)
}

#[tokio::test]
async fn a_grant_opens_what_it_names_to_whom_it_names() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let far = Agent::start(&org, FAR, open_rules()).await;
    let (data, other) = (Data::new(1), Data::new(2));
    let _stock = far.offer(&data);
    let at = far.addresses(true).await;
    let good = || org.grant(data.id(), FAR, &near);
    let contact = |grant| org.contact(at.clone(), grant);
    assert_eq!(fetch(&near, &contact(good()), &data).await, Ok(CHUNKS));
    assert_eq!(far.peers.load().served.0 >> 20, 8, "it was counted");

    let not_here = contact(org.grant(other.id(), FAR, &near));
    assert_eq!(fetch(&near, &not_here, &other).await, Err(Code::NotFound));
    let long_ago = Timestamp::from_unix_ms(now().unix_ms() - 1);
    let other_serial = CertificateSerial::new([9; 16]);
    for (what, grant) in [
        (
            "it has expired",
            Grant {
                expires_at: long_ago,
                ..good()
            },
        ),
        (
            "it is for another certificate",
            Grant {
                certificate: other_serial,
                ..good()
            },
        ),
        (
            "it was given to another machine",
            Grant { to: FAR, ..good() },
        ),
    ] {
        let refused = fetch(&near, &contact(grant), &data).await;
        assert_eq!(refused, Err(Code::Permission), "{what}");
    }
    let mut forged = contact(good());
    forged.grant.grant.expires_at = Timestamp::from_unix_ms(u64::MAX);
    assert_eq!(fetch(&near, &forged, &data).await, Err(Code::Permission));
    let theirs = Org::new().contact(at.clone(), good());
    assert_eq!(fetch(&near, &theirs, &data).await, Err(Code::Permission));
    let mut replayed = contact(good());
    replayed.grant.grant.from = NEAR;
    assert_eq!(
        fetch(&near, &replayed, &data).await,
        Err(Code::Unreachable),
        "another answers"
    );
}

#[tokio::test]
async fn nobody_else_comes_in() {
    let (org, elsewhere) = (Org::new(), Org::new());
    let far = Agent::start(&org, FAR, open_rules()).await;
    let data = Data::new(1);
    let _stock = far.offer(&data);
    let at = far.addresses(true).await;
    let stranger = Agent::start(&elsewhere, NEAR, open_rules()).await;
    let contact = org.contact(at.clone(), org.grant(data.id(), FAR, &stranger));
    let refused = fetch(&stranger, &contact, &data).await;
    assert_eq!(refused, Err(Code::Unreachable), "of another coordinator");

    let member = org.identity(Subject::User(UserId::from_bytes([1; 16])));
    let socket = quinn::Endpoint::client(local()).unwrap();
    let config = peer::client(peer_client_config(&member, FAR).unwrap());
    let connection = peer::dial(&socket, config, at[0]).await.unwrap();
    let reason = connection.closed().await.to_string();
    assert!(reason.contains("only machines"), "{reason}");
}

#[tokio::test]
async fn the_door_follows_the_owners_rules() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let far = Agent::start(&org, FAR, open_rules()).await;
    let data = Data::new(1);
    let _stock = far.offer(&data);
    let contact = |at| org.contact(at, org.grant(data.id(), FAR, &near));
    let before = contact(far.addresses(true).await);
    assert_eq!(fetch(&near, &before, &data).await, Ok(CHUNKS));
    let off = PeerRules {
        on: false,
        ..open_rules()
    };
    far.rules.send_replace(ruled(off));
    assert!(far.addresses(false).await.is_empty());
    assert!(!far.peers.load().serves && !far.peers.may_dial());
    let shut = fetch(&near, &before, &data).await;
    assert!(shut.is_err(), "{shut:?}");
    far.rules.send_replace(ruled(open_rules()));
    far.addresses(true).await;
    assert!(far.peers.load().serves);
}

#[tokio::test]
async fn a_renewed_certificate_takes_the_place_of_the_old_one() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let far = Agent::start(&org, FAR, open_rules()).await;
    let data = Data::new(1);
    let _stock = far.offer(&data);
    let at = far.addresses(true).await;
    far.peers.identify(&org.identity(Subject::Machine(FAR)));
    let contact = org.contact(at, org.grant(data.id(), FAR, &near));
    assert_eq!(fetch(&near, &contact, &data).await, Ok(CHUNKS));
}
