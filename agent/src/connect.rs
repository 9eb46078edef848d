//! Keeps the machine connected: certificate, dial, session, and again with growing waits whenever one of them
//! ends, until the coordinator says that there is no place for this machine.

use std::{sync::Arc, time::Duration};

use certs::{Identity, client_config};
use common::{
    code::Code,
    problem::Problem,
    wire::{ALPN_AGENT, close},
};
use link::{backoff::Backoff, endpoint::Dialer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    control::ConnectionState,
    enrol,
    keeper::{KeeperHandle, Word},
    machine::{Machine, local_problem},
    session::Session,
    uplink::{Live, UplinkSource},
};

/// Waits between tries; with jitter, so that many agents do not come back at once.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MOST_WAIT: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Connector {
    machine: Arc<Machine>,
    keeper: KeeperHandle,
    dialer: Dialer,
    uplink: UplinkSource,
    state: watch::Sender<ConnectionState>,
}

impl Connector {
    pub(crate) const fn new(
        machine: Arc<Machine>,
        keeper: KeeperHandle,
        dialer: Dialer,
        uplink: UplinkSource,
        state: watch::Sender<ConnectionState>,
    ) -> Self {
        Self {
            machine,
            keeper,
            dialer,
            uplink,
            state,
        }
    }

    /// Runs until `stopping`.
    ///
    /// # Errors
    /// The coordinator does not want this machine.
    pub(crate) async fn run(self, stopping: CancellationToken) -> Result<(), Problem> {
        let stopped = stopping.clone();
        tokio::select! {
            () = stopped.cancelled() => Ok(()),
            problem = self.keep_connected() => {
                tracing::error!(%problem, "the agent ends");
                self.state.send_replace(ConnectionState::Ended {
                    problem: problem.clone(),
                });
                Err(problem)
            }
        }
    }

    /// Returns only when trying again is of no use.
    async fn keep_connected(&self) -> Problem {
        let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
        let mut serial = 0;
        loop {
            serial += 1;
            let problem = match self.connect_once(serial, &mut backoff).await {
                Ok(never) => match never {},
                Err(problem) => problem,
            };
            self.uplink.lost();
            self.keeper.tell(Word::Disconnected).await;
            if is_final(&problem) {
                return problem;
            }
            if gives_up_identity(&problem) {
                self.give_up_identity();
            }
            tracing::warn!(%problem, "not connected");
            self.state.send_replace(ConnectionState::Connecting {
                since: clock::now(),
                problem: Some(problem),
            });
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn connect_once(
        &self,
        serial: u64,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, Problem> {
        let identity = self.identity().await?;
        self.machine.peers.identify(&identity);
        let fingerprint = self.machine.registration.fingerprint;
        let tls = client_config(fingerprint, Some(&identity), ALPN_AGENT)
            .map_err(|error| local_problem("the machine's certificate cannot be used", &error))?;
        let connection = self
            .dialer
            .dial(&self.machine.registration.address, tls)
            .await?;
        let closing = CloseOnDrop(&connection);
        let session = Session {
            machine: &self.machine,
            keeper: &self.keeper,
            connection: closing.0,
            identity: &identity,
        };
        session
            .hold(|| {
                backoff.reset();
                tracing::info!(address = self.machine.registration.address, "connected");
                self.state.send_replace(ConnectionState::Connected {
                    since: clock::now(),
                });
                self.uplink.connected(Live {
                    connection: connection.clone(),
                    serial,
                });
            })
            .await
    }

    async fn identity(&self) -> Result<Identity, Problem> {
        if let Some(identity) = enrol::stored(&self.machine.folder) {
            return Ok(identity);
        }
        let waiting = || {
            tracing::info!("an admin has to approve this machine");
            self.state
                .send_replace(ConnectionState::WaitingForApproval {
                    since: clock::now(),
                });
        };
        let machine = &self.machine;
        enrol::claim(
            &self.dialer,
            &machine.folder,
            &machine.registration,
            waiting,
        )
        .await
    }

    /// Lets the next try claim a certificate anew.
    fn give_up_identity(&self) {
        if let Err(error) = std::fs::remove_file(self.machine.folder.identity())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the machine's certificate cannot be removed");
        }
    }
}

/// Returns whether the coordinator has no place for this machine.
const fn is_final(problem: &Problem) -> bool {
    matches!(
        problem.code,
        Code::MachineRejected | Code::CertificateRevoked | Code::NotFound | Code::Permission
    )
}

/// Returns whether another certificate may be judged otherwise.
const fn gives_up_identity(problem: &Problem) -> bool {
    matches!(problem.code, Code::MachineNotApproved | Code::NotSignedIn)
}

/// Says goodbye however the session ends, the agent's own end included.
struct CloseOnDrop<'a>(&'a quinn::Connection);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close(close::DONE.into(), b"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_verdict_about_the_machine_ends_the_agent() {
        let of = |code: Code| is_final(&Problem::new(code, "", ""));
        assert!(of(Code::MachineRejected) && of(Code::CertificateRevoked) && of(Code::NotFound));
        for passing in [
            Code::Unreachable,
            Code::Version,
            Code::Busy,
            Code::CertificateExpired,
        ] {
            assert!(!of(passing));
        }
    }
}
