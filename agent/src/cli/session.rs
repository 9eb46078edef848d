//! What most commands begin and end with: a connection, and the org that they act in.

use common::{
    api::{Answer, Request, member::WhoAmI},
    code::Code,
    id::OrgId,
    name::Name,
    problem::Problem,
};

use super::{Context, moments};
use crate::client::{Client, credentials::Store, unexpected};

/// A connected member in an org.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) org: OrgId,
    pub(crate) org_name: Name,
    store: Store,
}

/// Asks, and takes the answer apart; any other answer is the coordinator's mistake.
macro_rules! ask {
    ($session:expr, $request:expr, $pattern:pat => $value:expr) => {
        crate::cli::session::ask_client!($session.client, $request, $pattern => $value)
    };
}
pub(crate) use ask;

/// As [`ask!`], of whoever is in no org yet.
macro_rules! ask_client {
    ($client:expr, $request:expr, $pattern:pat => $value:expr) => {
        match $client.ask(&$request).await? {
            $pattern => Ok($value),
            other => Err(crate::client::unexpected(&other)),
        }
    };
}
pub(crate) use ask_client;

impl Context {
    pub(super) fn store(&self) -> Store {
        Store::new(&self.folders.config)
    }

    /// Connects and finds the org.
    pub(super) async fn session(&self) -> Result<Session, Problem> {
        self.session_of(self.store()).await
    }

    /// As [`Context::session`], with other credentials than this computer's.
    pub(super) async fn session_of(&self, store: Store) -> Result<Session, Problem> {
        let client = Client::connect(&store).await?;
        let active = client.credentials();
        let (org, org_name) = match &self.org {
            Some(name) if *name != active.org_name => {
                (find_org(&client, name).await?, name.clone())
            }
            _ => (active.org, active.org_name.clone()),
        };
        Ok(Session {
            client,
            org,
            org_name,
            store,
        })
    }
}

impl Session {
    /// Ends the command's part over the network.
    pub(crate) async fn end(self) {
        // Not the command's business: the next one tries again, and a lost certificate says so itself.
        let _ = self.client.renew_if_due(&self.store, moments::now()).await;
        self.client.close().await;
    }
}

/// Returns the org of this name that the member belongs to.
pub(crate) async fn find_org(client: &Client, name: &Name) -> Result<OrgId, Problem> {
    let who = who_am_i(client).await?;
    let found = who.orgs.iter().find(|membership| membership.name == *name);
    found.map(|membership| membership.org).ok_or_else(|| {
        let orgs: Vec<&str> = who
            .orgs
            .iter()
            .map(|membership| membership.name.as_str())
            .collect();
        let why = format!("{} is a member of: {}", who.handle, orgs.join(", "));
        Problem::new(
            Code::NotFound,
            format!("there is no org {name} for you"),
            why,
        )
    })
}

pub(crate) async fn who_am_i(client: &Client) -> Result<WhoAmI, Problem> {
    match client.ask(&Request::WhoAmI).await? {
        Answer::WhoAmI(who) => Ok(who),
        other => Err(unexpected(&other)),
    }
}
