//! A coordinator on loopback and somebody who speaks the bare protocol to it.

use std::path::Path;

use certs::{Identity, PrivateKey, client_config};
use common::{
    api::{Answer, Request, member::CreateInvitations},
    code::Code,
    id::OrgId,
    join_link::{JoinLink, LinkPurpose},
    name::Name,
    problem::Problem,
    status::Role,
    time::Span,
    wire::{
        ALPN_CLIENT, ALPN_JOIN, Hello,
        client::ClientStream,
        join::{JoinAnswer, JoinRequest},
    },
};
use coordinator::{Config, InitOptions, Running};
use link::{endpoint::Dialer, frames};

/// A coordinator of its own, in a folder that goes with it.
struct Lab {
    _folder: tempfile::TempDir,
    config: Config,
    running: Running,
    owner_link: JoinLink,
}

/// Somebody who was let in.
struct Signed {
    org: OrgId,
    handle: Name,
    role: Role,
    identity: Identity,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn options(data: &Path) -> InitOptions {
    InitOptions {
        data: data.to_owned(),
        org: name("lab"),
        owner: name("alice"),
        listen: "127.0.0.1:0".parse().unwrap(),
        address: "127.0.0.1:1".to_owned(),
    }
}

impl Lab {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let owner_link = coordinator::init(&options(&data)).unwrap().link;
        let config = Config::load(&data).unwrap();
        let running = coordinator::run(config.clone()).await.unwrap();
        Self {
            _folder: folder,
            config,
            running,
            owner_link,
        }
    }

    async fn enrol(
        &self,
        secret: &str,
        purpose: LinkPurpose,
        handle: Option<&str>,
        key: &PrivateKey,
    ) -> Result<Signed, Problem> {
        let tls = client_config(self.running.fingerprint(), None, ALPN_JOIN).unwrap();
        let address = self.running.address().to_string();
        let connection = Dialer::new().unwrap().dial(&address, tls).await?;
        let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
        let request = JoinRequest::Enrol {
            secret: secret.to_owned(),
            purpose,
            handle: handle.map(name),
            csr: key.request().unwrap(),
        };
        tx.send(&request).await?;
        tx.finish();
        let answer: JoinAnswer = rx.expect().await?;
        let JoinAnswer::Enrolled {
            handle,
            org,
            role,
            chain,
            ..
        } = answer
        else {
            panic!("{answer:?}");
        };
        Ok(Signed {
            org,
            handle,
            role,
            identity: Identity::new(chain, key).unwrap(),
        })
    }

    async fn owner(&self) -> Signed {
        let key = PrivateKey::generate().unwrap();
        let secret = &self.owner_link.secret;
        let signed = self.enrol(secret, LinkPurpose::Login, None, &key).await;
        signed.unwrap()
    }

    async fn connect(&self, who: &Signed) -> quinn::Connection {
        let root = self.running.fingerprint();
        let tls = client_config(root, Some(&who.identity), ALPN_CLIENT).unwrap();
        let address = self.running.address().to_string();
        let connection = Dialer::new().unwrap().dial(&address, tls).await.unwrap();
        let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
        tx.send(&Hello::ours()).await.unwrap();
        assert_eq!(rx.expect::<Hello>().await.unwrap(), Hello::ours());
        connection
    }
}

async fn ask(connection: &quinn::Connection, request: Request) -> Result<Answer, Problem> {
    let stream = connection.open_bi().await;
    let (mut tx, mut rx) = frames::split(stream.map_err(|error| link::close_problem(&error))?);
    tx.send(&ClientStream::Request).await?;
    tx.send(&request).await?;
    tx.finish();
    Ok(rx.expect().await?)
}

async fn invite(connection: &quinn::Connection, org: OrgId) -> (String, String) {
    let request = CreateInvitations {
        org,
        role: Role::Member,
        ttl: Span::from_secs(3600),
        uses: 1,
        count: 1,
    };
    let answer = ask(connection, Request::CreateInvitations(request)).await;
    let Answer::Invited(mut invited) = answer.unwrap() else {
        panic!("not invited");
    };
    assert_eq!(invited.len(), 1);
    let one = invited.remove(0);
    (one.code, one.secret)
}

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

    let Lab {
        running,
        config,
        _folder,
        owner_link,
    } = lab;
    running.stop().await;
    let running = coordinator::run(config.clone()).await.unwrap();
    let lab = Lab {
        _folder,
        config,
        running,
        owner_link,
    };
    let connection = lab.connect(&bob).await;
    let answer = ask(&connection, Request::WhoAmI).await.unwrap();
    assert!(matches!(answer, Answer::WhoAmI(me) if me.handle == name("bob")));
    lab.running.stop().await;
}

#[tokio::test]
async fn wrong_codes_are_counted() {
    let lab = Lab::start().await;
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
    let link = coordinator::login_link(&lab.config, None);
    assert_eq!(link.err().unwrap().code, Code::StoreLocked);
    let config = lab.config.clone();
    lab.running.stop().await;

    assert_eq!(coordinator::check(&config.data).unwrap().version, 1);
    let fresh = coordinator::login_link(&config, None).unwrap();
    assert_eq!(fresh.purpose, LinkPurpose::Login);
    assert_ne!(fresh.secret, lab.owner_link.secret);
    let unknown = coordinator::login_link(&config, Some(&name("other")));
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
