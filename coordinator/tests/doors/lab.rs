//! A coordinator on loopback, and the bare protocol towards it.

use std::path::Path;

use certs::{Identity, PrivateKey, client_config};
use common::{
    api::{Answer, Request, member::CreateInvitations},
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
pub(crate) struct Lab {
    _folder: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) running: Running,
    pub(crate) owner_link: JoinLink,
}

/// The folder of a coordinator that does not run.
pub(crate) struct Stopped {
    folder: tempfile::TempDir,
    pub(crate) config: Config,
    owner_link: JoinLink,
}

impl Stopped {
    pub(crate) async fn start_again(self) -> Lab {
        Lab {
            running: coordinator::run(self.config.clone()).await.unwrap(),
            _folder: self.folder,
            config: self.config,
            owner_link: self.owner_link,
        }
    }
}

/// Somebody who was let in.
pub(crate) struct Signed {
    pub(crate) org: OrgId,
    pub(crate) handle: Name,
    pub(crate) role: Role,
    pub(crate) identity: Identity,
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn options(data: &Path) -> InitOptions {
    InitOptions {
        data: data.to_owned(),
        org: name("lab"),
        owner: name("alice"),
        listen: "127.0.0.1:0".parse().unwrap(),
        address: "127.0.0.1:1".to_owned(),
    }
}

impl Lab {
    pub(crate) async fn start() -> Self {
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

    /// Stops it and starts it anew on the same folder, at another port.
    pub(crate) async fn restart(self) -> Self {
        self.stop().await.start_again().await
    }

    pub(crate) async fn stop(self) -> Stopped {
        self.running.stop().await;
        Stopped {
            folder: self._folder,
            config: self.config,
            owner_link: self.owner_link,
        }
    }

    pub(crate) async fn enrol(
        &self,
        secret: &str,
        purpose: LinkPurpose,
        handle: Option<&str>,
        key: &PrivateKey,
    ) -> Result<Signed, Problem> {
        let request = JoinRequest::Enrol {
            secret: secret.to_owned(),
            purpose,
            handle: handle.map(name),
            csr: key.request().unwrap(),
            device: name("laptop"),
            code: None,
        };
        let answer = self.stranger_asks(&request).await?;
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

    /// Asks at the join door.
    pub(crate) async fn stranger_asks(&self, request: &JoinRequest) -> Result<JoinAnswer, Problem> {
        let tls = client_config(self.running.fingerprint(), None, ALPN_JOIN).unwrap();
        let address = self.running.address().to_string();
        let connection = Dialer::new().unwrap().dial(&address, tls).await?;
        let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
        tx.send(request).await?;
        tx.finish();
        Ok(rx.expect().await?)
    }

    pub(crate) async fn owner(&self) -> Signed {
        let key = PrivateKey::generate().unwrap();
        let secret = &self.owner_link.secret;
        let signed = self.enrol(secret, LinkPurpose::Login, None, &key).await;
        signed.unwrap()
    }

    /// Returns why somebody is not let in.
    pub(crate) async fn refusal(&self, who: &Signed) -> Problem {
        let root = self.running.fingerprint();
        let tls = client_config(root, Some(&who.identity), ALPN_CLIENT).unwrap();
        let address = self.running.address().to_string();
        let connection = Dialer::new().unwrap().dial(&address, tls).await.unwrap();
        let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
        tx.send(&Hello::ours()).await.unwrap();
        match rx.expect::<Hello>().await {
            Err(frames::RecvError::Refused(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn connect(&self, who: &Signed) -> quinn::Connection {
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

pub(crate) async fn ask(
    connection: &quinn::Connection,
    request: Request,
) -> Result<Answer, Problem> {
    let stream = connection.open_bi().await;
    let (mut tx, mut rx) = frames::split(stream.map_err(|error| link::close_problem(&error))?);
    tx.send(&ClientStream::Request).await?;
    tx.send(&request).await?;
    tx.finish();
    Ok(rx.expect().await?)
}

pub(crate) async fn invite(connection: &quinn::Connection, org: OrgId) -> (String, String) {
    let request = CreateInvitations {
        org,
        role: Role::Member,
        ttl: Span::from_secs(3600),
        uses: 1,
        count: 1,
        invitee: None,
    };
    let answer = ask(connection, Request::CreateInvitations(request)).await;
    let Answer::Invited(mut invited) = answer.unwrap() else {
        panic!("not invited");
    };
    assert_eq!(invited.len(), 1);
    let secrets = invited.remove(0).secrets.unwrap();
    (secrets.code, secrets.secret)
}
