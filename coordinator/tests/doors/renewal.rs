//! Certificates over a live connection: renewed, and revoked under it.

use std::time::Duration;

use crate::{
    lab::{Lab, Signed, ask, invite, name},
    machine::{Control, machine_of},
};
use certs::{Identity, PrivateKey};
use common::{
    api::{Answer, Request},
    code::Code,
    join_link::LinkPurpose,
};

/// How long a connection may outlive its certificate.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn renewed(connection: &quinn::Connection, who: &Signed, key: &PrivateKey) -> Signed {
    let csr = key.request().unwrap();
    let answer = ask(connection, Request::RenewCertificate { csr }).await;
    let Ok(Answer::Certificate { chain }) = answer else {
        panic!("{answer:?}");
    };
    Signed {
        org: who.org,
        handle: who.handle.clone(),
        role: who.role,
        identity: Identity::new(chain, key).unwrap(),
    }
}

#[tokio::test]
async fn a_member_renews_over_a_live_connection_and_removal_ends_all_of_them() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let owner = lab.connect(&alice).await;
    let (_, secret) = invite(&owner, alice.org).await;
    let key = PrivateKey::generate().unwrap();
    let bob = lab
        .enrol(&secret, LinkPurpose::Join, Some("bob"), &key)
        .await;
    let bob = bob.unwrap();

    let first = lab.connect(&bob).await;
    let fresh = renewed(&first, &bob, &key).await;
    assert_ne!(fresh.identity.peer().serial, bob.identity.peer().serial);
    assert_eq!(fresh.identity.peer().subject, bob.identity.peer().subject);
    let Ok(Answer::WhoAmI(me)) = ask(&first, Request::WhoAmI).await else {
        panic!("the connection goes on");
    };
    assert_eq!(me.certificate_expires_at, fresh.identity.peer().expires_at);
    // The old one is good for a while yet, and the new one renews again.
    let second = lab.connect(&bob).await;
    let third = lab.connect(&fresh).await;
    let fresher = renewed(&third, &bob, &key).await;
    let fourth = lab.connect(&fresher).await;
    let machine = machine_of(&lab, &bob, &alice, "box").await;
    let machine = Control::open(&lab, &machine, Vec::new()).await;

    let removal = Request::RemoveMember {
        org: alice.org,
        handle: name("bob"),
    };
    assert_eq!(ask(&owner, removal).await, Ok(Answer::Done));
    for connection in [&first, &second, &third, &fourth, &machine.connection] {
        let closed = tokio::time::timeout(AT_ONCE, connection.closed()).await;
        let problem = link::close_problem(&closed.unwrap());
        assert_eq!(problem.code, Code::CertificateRevoked);
    }
    for who in [&bob, &fresh, &fresher] {
        assert_eq!(lab.refusal(who).await.code, Code::CertificateRevoked);
    }
    assert!(ask(&owner, Request::WhoAmI).await.is_ok());

    // Nor does a restart forget it.
    let lab = lab.restart().await;
    assert_eq!(lab.refusal(&fresher).await.code, Code::CertificateRevoked);
    lab.running.stop().await;
}
