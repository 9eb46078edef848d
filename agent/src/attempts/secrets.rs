//! The secrets of an attempt's job: asked for when it is about to start, and kept in memory alone.

use std::{os::fd::OwnedFd, time::Duration};

use common::{
    code::Code,
    problem::Problem,
    wire::agent::{AgentStream, SecretsAnswer},
};
use link::trees::io_problem;
use tokio::time::timeout;

use super::{Work, prepare};
use crate::{supervise::Secrets, transfer};

/// Longest wait for the coordinator's answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// What did not work.
const WHAT: &str = "the job's secrets cannot be had";

/// Returns the secrets as they are now, for the attempt's supervisor; `None` where the job uses none.
pub(super) async fn fetch(work: &Work) -> Result<Option<OwnedFd>, Problem> {
    let names = &work.spec.secrets;
    if names.is_empty() {
        return Ok(None);
    }
    let attempt = work.attempt;
    let answer = prepare::over_uplink(work, |connection| async move {
        let asked = async {
            let (mut tx, mut rx) =
                transfer::open(&connection, &AgentStream::Secrets { attempt }).await?;
            tx.finish();
            let answer: SecretsAnswer = rx.expect().await?;
            Ok::<_, Problem>(answer)
        };
        let late = |_| Problem::new(Code::Busy, WHAT, "the coordinator does not answer");
        timeout(ANSWER_WAIT, asked).await.map_err(late)?
    });
    let SecretsAnswer { secrets } = answer.await?;
    if !secrets.iter().map(|secret| &secret.name).eq(names) {
        let why = "other secrets came than the job uses";
        return Err(Problem::new(Code::Protocol, WHAT, why));
    }
    let packed = Secrets::new(secrets).pack();
    packed.map(Some).map_err(|error| io_problem(WHAT, &error))
}
