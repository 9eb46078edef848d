//! Strangers become members, and stop being members.

use certs::PrivateKey;
use common::{
    api::{Answer, Request},
    code::Code,
    join_link::LinkPurpose,
    status::Role,
};
use coordinator::{Config, Whom};

use crate::lab::{Lab, ask, invite, name, options};

#[tokio::test]
async fn the_owner_signs_in_and_is_known() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    assert_eq!((alice.handle.as_str(), alice.role), ("alice", Role::Owner));
    let connection = lab.connect(&alice).await;
    let answer = ask(&connection, Request::WhoAmI).await.unwrap();
    let Answer::WhoAmI(me) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(me.handle, name("alice"));
    assert_eq!(me.orgs[0].name, name("lab"));
    lab.running.stop().await;
    let closed = connection.closed().await;
    let problem = link::close_problem(&closed);
    assert_eq!(problem.code, Code::Unreachable);
}

#[tokio::test]
async fn an_invited_member_joins_once_and_is_remembered_over_a_restart() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let connection = lab.connect(&alice).await;
    let (code, secret) = invite(&connection, alice.org).await;
    let key = PrivateKey::generate().unwrap();
    // Read aloud and typed: small letters, no dashes.
    let typed = code.to_lowercase().replace('-', "");
    let bob = lab
        .enrol(&typed, LinkPurpose::Join, Some("bob"), &key)
        .await
        .unwrap();
    assert_eq!((bob.handle.as_str(), bob.role), ("bob", Role::Member));
    // The answer was lost: the same key asks again.
    let again = lab
        .enrol(&typed, LinkPurpose::Join, Some("bob"), &key)
        .await
        .unwrap();
    assert_eq!(again.handle, bob.handle);
    // Somebody else holds the link of the same invitation.
    let other = PrivateKey::generate().unwrap();
    let late = lab
        .enrol(&secret, LinkPurpose::Join, Some("carol"), &other)
        .await;
    assert_eq!(late.err().unwrap().code, Code::CodeUsed);

    let lab = lab.restart().await;
    let connection = lab.connect(&bob).await;
    let answer = ask(&connection, Request::WhoAmI).await.unwrap();
    assert!(matches!(answer, Answer::WhoAmI(me) if me.handle == name("bob")));
    lab.running.stop().await;
}

#[tokio::test]
async fn wrong_codes_are_counted_over_a_restart_and_a_good_link_is_not_locked_out() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let connection = lab.connect(&alice).await;
    let (code, _) = invite(&connection, alice.org).await;
    let (_, secret) = invite(&connection, alice.org).await;
    let key = PrivateKey::generate().unwrap();
    let mut codes = Vec::new();
    loop {
        let tried = lab
            .enrol("0000-0000-0000", LinkPurpose::Join, Some("eve"), &key)
            .await;
        codes.push(tried.err().unwrap().code);
        if codes.last() == Some(&Code::TooManyTries) {
            break;
        }
        assert!(codes.len() < 50, "{codes:?}");
    }
    let wrong = codes.iter().filter(|code| **code == Code::CodeInvalid);
    assert_eq!(wrong.count(), codes.len() - 1);
    assert!(codes.len() > 2);

    let lab = lab.restart().await;
    for wrong in ["0000-0000-0000", &code] {
        let refused = lab.enrol(wrong, LinkPurpose::Join, Some("eve"), &key).await;
        assert_eq!(refused.err().unwrap().code, Code::TooManyTries, "{wrong}");
    }
    let guessed = "0".repeat(26);
    let refused = lab.enrol(&guessed, LinkPurpose::Join, Some("eve"), &key);
    assert_eq!(refused.await.err().unwrap().code, Code::TooManyTries);
    let dora = lab
        .enrol(&secret, LinkPurpose::Join, Some("dora"), &key)
        .await;
    assert_eq!(dora.unwrap().handle, name("dora"));
    lab.running.stop().await;
}

#[tokio::test]
async fn a_removed_member_is_cut_off_at_once() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let owner = lab.connect(&alice).await;
    let (_, secret) = invite(&owner, alice.org).await;
    let key = PrivateKey::generate().unwrap();
    let bob = lab
        .enrol(&secret, LinkPurpose::Join, Some("bob"), &key)
        .await
        .unwrap();
    let member = lab.connect(&bob).await;
    let removal = Request::RemoveMember {
        org: alice.org,
        handle: name("bob"),
    };
    assert_eq!(ask(&owner, removal).await.unwrap(), Answer::Done);
    let closed = member.closed().await;
    assert_eq!(link::close_problem(&closed).code, Code::CertificateRevoked);
    lab.running.stop().await;
}

#[tokio::test]
async fn one_folder_has_one_coordinator() {
    let lab = Lab::start().await;
    let second = coordinator::run(lab.config.clone()).await;
    assert_eq!(second.err().unwrap().code, Code::StoreLocked);
    let again = coordinator::init(&options(&lab.config.data));
    assert_eq!(again.err().unwrap().code, Code::AlreadyInitialised);
    let checked = coordinator::check(&lab.config.data);
    assert_eq!(checked.err().unwrap().code, Code::StoreLocked);
    let link = coordinator::login_link(&lab.config, &Whom::default());
    assert_eq!(link.err().unwrap().code, Code::StoreLocked);
    let config = lab.config.clone();
    lab.running.stop().await;

    assert_eq!(coordinator::check(&config.data).unwrap().version, 4);
    let fresh = coordinator::login_link(&config, &Whom::default()).unwrap();
    assert_eq!(fresh.purpose, LinkPurpose::Login);
    assert_ne!(fresh.secret, lab.owner_link.secret);
    let other = Whom {
        org: Some(name("other")),
        ..Whom::default()
    };
    let unknown = coordinator::login_link(&config, &other);
    assert_eq!(unknown.err().unwrap().code, Code::NotFound);
}

#[tokio::test]
async fn there_is_nothing_to_run_before_init() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::load(folder.path());
    assert_eq!(config.err().unwrap().code, Code::NotInitialised);
    let checked = coordinator::check(folder.path());
    assert_eq!(checked.err().unwrap().code, Code::NotInitialised);
}
