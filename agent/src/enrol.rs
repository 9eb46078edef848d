//! The machine's certificate: claimed when there is none, waiting for an admin's approval where that is needed.

use certs::{Identity, PrivateKey, client_config};
use common::{
    code::Code,
    problem::Problem,
    wire::{
        ALPN_JOIN,
        join::{JoinAnswer, JoinRequest},
    },
};
use link::{endpoint::Dialer, frames::split};

use crate::{
    machine::local_problem,
    registration::{AgentFolder, Registration},
};

const WHAT: &str = "this machine has no certificate";

/// Returns the identity in the folder, or `None` where a new one has to be claimed: there is none, it cannot be
/// read, or it has expired.
pub(crate) fn stored(folder: &AgentFolder) -> Option<Identity> {
    let path = folder.identity();
    if !path.exists() {
        return None;
    }
    match Identity::load(&path) {
        Ok(identity) if identity.peer().expires_at > crate::clock::now() => Some(identity),
        Ok(_) => {
            tracing::info!("the machine's certificate has expired; asking for a new one");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the machine's certificate cannot be read; asking for a new one");
            None
        }
    }
}

/// Asks for a certificate for the registered key and waits until there is one. `waiting` is called when an
/// admin has to approve the machine first.
pub(crate) async fn claim(
    dialer: &Dialer,
    folder: &AgentFolder,
    registration: &Registration,
    waiting: impl Fn() + Send + Sync,
) -> Result<Identity, Problem> {
    let key = PrivateKey::load(&folder.machine_key()).map_err(|error| {
        local_problem("the machine's key cannot be read", &error)
            .help("Run `compute-share register` again.")
    })?;
    let csr = key.request().map_err(|error| local_problem(WHAT, &error))?;
    let tls = client_config(registration.fingerprint, None, ALPN_JOIN)
        .map_err(|error| local_problem(WHAT, &error))?;
    let connection = dialer.dial(&registration.address, tls).await?;
    let opened = connection.open_bi().await;
    let (mut tx, mut rx) = split(opened.map_err(|error| link::close_problem(&error))?);
    let machine = registration.machine;
    tx.send(&JoinRequest::ClaimMachine { machine, csr }).await?;
    tx.finish();
    loop {
        match rx.expect::<JoinAnswer>().await? {
            JoinAnswer::Waiting { .. } => waiting(),
            JoinAnswer::Approved { chain, .. } => {
                let identity =
                    Identity::new(chain, &key).map_err(|error| local_problem(WHAT, &error))?;
                let saved = identity.save(&folder.identity());
                saved.map_err(|error| local_problem(WHAT, &error))?;
                connection.close(common::wire::close::DONE.into(), b"");
                return Ok(identity);
            }
            JoinAnswer::Enrolled { .. }
            | JoinAnswer::Invitation(_)
            | JoinAnswer::Declined { .. } => {
                return Err(Problem::new(
                    Code::Protocol,
                    WHAT,
                    "the coordinator answered what was not asked",
                ));
            }
        }
    }
}
