//! What stands behind the doors: the engine and everything that is not in the book. One for each coordinator.

use std::sync::Arc;

use certs::{Authority, CertificateRequest, Issued, SealingKey, Subject};
use common::{
    code::Code,
    id::{AttemptId, CertificateSerial, MachineId, OrgId, UserId},
    problem::Problem,
    time::{Span, Timestamp},
};
use coordinator_core::{
    Actor, Body, Effect,
    command::{NewCertificate, WhoMayCreateOrgs},
    event::{Holder, LogState},
    query::{access, enrolment},
};

use link::pace::Pace;
use tokio::sync::Notify;

use crate::{
    blobs,
    clock::Clock,
    engine::Engine,
    guard::Guard,
    logs::Logs,
    machines::Machines,
    proofs::Hashing,
    receipts::Receipts,
    sessions::Sessions,
    store::Trail,
    swarms::Swarms,
    topics::{Awaited, Topics},
    usage::Usage,
};

/// Life of the certificate of a program that has an API token.
const PROGRAM_LIFE: Span = Span::from_secs(86_400);

/// Shared by all doors and loops.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<Clock>,
    pub(crate) authority: Authority,
    pub(crate) sealing_key: Arc<SealingKey>,
    pub(crate) hashing: Hashing,
    pub(crate) logs: Logs,
    pub(crate) blobs: blobs::Stores,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) trail: Trail,
    pub(crate) wires: Wires,
    pub(crate) guard: Guard,
    pub(crate) lease: Span,
    pub(crate) heartbeat: Span,
    /// How fast pieces of data go out, to everybody together.
    pub(crate) pace: Pace,
    pub(crate) who_may_create_orgs: WhoMayCreateOrgs,
}

/// Those who are told of what was committed.
#[derive(Debug, Clone)]
pub(crate) struct Wires {
    pub(crate) sessions: Sessions,
    pub(crate) machines: Arc<Machines>,
    pub(crate) topics: Topics,
    pub(crate) usage: Arc<Usage>,
    /// Files of a deleted org wait.
    pub(crate) sweep: Arc<Notify>,
    /// Bytes of an org are to live elsewhere.
    pub(crate) moves: Arc<Notify>,
    pub(crate) swarms: Arc<Swarms>,
}

impl Wires {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Sessions::default(),
            machines: Arc::new(Machines::new()),
            topics: Topics::default(),
            usage: Arc::default(),
            sweep: Arc::default(),
            moves: Arc::default(),
            swarms: Arc::default(),
        }
    }

    /// Does what an effect asks for, without waiting.
    pub(crate) fn publish(&self, effect: Effect) {
        match effect {
            Effect::Assign(machine) => self.machines.assign(machine),
            Effect::Close(serial) => self.sessions.close(serial),
            Effect::Wake(topic) => self.topics.wake(Awaited::Topic(topic)),
            Effect::Forget(attempt) => self.usage.forget(attempt),
            Effect::Sweep => self.sweep.notify_one(),
            Effect::Move => self.moves.notify_one(),
        }
    }
}

impl Desk {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns who a certificate speaks for, now.
    ///
    /// # Errors
    /// It is unknown, expired or revoked, whatever it says of itself.
    pub(crate) fn holder(&self, serial: CertificateSerial) -> Result<Holder, Problem> {
        enrolment::certificate(&self.engine.read(), serial, self.now())
    }

    /// Returns what the org has stored.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) async fn store(&self, org: OrgId) -> Result<blobs::Store, Problem> {
        self.blobs.open_org(org).await
    }

    /// Signs a certificate. It is good for nothing until the engine has committed it.
    ///
    /// # Errors
    /// Signing failed.
    pub(crate) fn issue(
        &self,
        request: &CertificateRequest,
        subject: Subject,
    ) -> Result<Signed, Problem> {
        let life = match subject {
            Subject::User(_) => certs::MEMBER_LIFE,
            Subject::Machine(_) => certs::MACHINE_LIFE,
        };
        self.issue_for(request, subject, life)
    }

    /// Signs a certificate for a program that has an API token: good for a day, and no longer than the token.
    ///
    /// # Errors
    /// Signing failed.
    pub(crate) fn issue_to_program(
        &self,
        request: &CertificateRequest,
        user: UserId,
        token_expires_at: Timestamp,
    ) -> Result<Signed, Problem> {
        let rest = Span::from(token_expires_at.since(self.now()));
        let life = rest.min(PROGRAM_LIFE);
        let mut signed = self.issue_for(request, Subject::User(user), life)?;
        // A moment has passed since.
        let expires_at = &mut signed.certificate.expires_at;
        *expires_at = token_expires_at.min(*expires_at);
        Ok(signed)
    }

    fn issue_for(
        &self,
        request: &CertificateRequest,
        subject: Subject,
        life: Span,
    ) -> Result<Signed, Problem> {
        let (now, system) = self.clock.both();
        let issued = self.authority.issue(request, subject, system, life);
        let issued = issued.map_err(|error| {
            let why = crate::store::chain(&error);
            Problem::new(Code::Internal, "The certificate could not be signed", why)
        })?;
        let Issued {
            chain,
            serial,
            key,
            expires_at,
        } = issued;
        Ok(Signed {
            chain,
            certificate: NewCertificate {
                serial,
                key,
                // The book goes by the org's time, which may be ahead.
                expires_at: expires_at.saturating_add(now.since(system)),
            },
        })
    }

    /// Tells the engine where an ended attempt's log is complete and safe.
    pub(crate) async fn complete_log(&self, machine: MachineId, attempt: AttemptId) {
        let log = access::machine_log(&self.engine.read(), machine, attempt);
        let Some(LogState::Awaited { bytes }) = log else {
            return;
        };
        let logs = self.logs.clone();
        let safe = blocking(move || {
            if bytes == 0 {
                return Ok(0);
            }
            logs.writer(attempt)?.sync()
        });
        match safe.await {
            Ok(safe) if safe >= bytes => {
                let complete = Body::CompleteLog { attempt };
                if let Ok(pending) = self.engine.post(Actor::System, complete).await {
                    // Refused where somebody else was faster.
                    let _ = pending.done().await;
                }
            }
            Ok(_) => {}
            Err(error) => {
                let error = crate::store::chain(&error);
                tracing::warn!(%attempt, error, "a log cannot be read");
            }
        }
    }
}

/// A certificate that was signed.
#[derive(Debug)]
pub(crate) struct Signed {
    /// Leaf first, DER.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) certificate: NewCertificate,
}

/// Reads a request for a certificate.
///
/// # Errors
/// It is not one, or its key is too weak.
pub(crate) fn parse_request(der: &[u8]) -> Result<CertificateRequest, Problem> {
    CertificateRequest::parse(der).map_err(|error| {
        let why = crate::store::chain(&error);
        Problem::new(
            Code::BadRequest,
            "The request for a certificate cannot be used",
            why,
        )
    })
}

/// Runs what waits for a disk off the event loop.
///
/// # Panics
/// If `work` does.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nobody waits for the answer any more.
            Err(_) => std::future::pending().await,
        },
    }
}
