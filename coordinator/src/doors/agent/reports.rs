//! Reports of attempts: those of one message become commands of one commit, and are acknowledged after it.

use common::{
    code::Code,
    id::{AttemptId, OrgId, TreeId},
    problem::Problem,
    units::Bytes,
    wire::agent::{AttemptReport, MAX_REPORTS, ReportStage},
};
use coordinator_core::{Actor, Body, query::access};

use super::{Agent, control::protocol};
use crate::{blobs::Store, desk::blocking, engine::Together};

/// Reports that are on their way into the book.
pub(super) struct Posted {
    acks: Vec<(AttemptId, ReportStage)>,
    together: Together,
}

impl Posted {
    /// Waits for the commit. Returns what to acknowledge: what was refused is not to be said again either.
    ///
    /// # Errors
    /// The engine has stopped.
    pub(super) async fn done(self) -> Result<Vec<(AttemptId, ReportStage)>, Problem> {
        let replies = self.together.done().await?;
        for ((attempt, stage), reply) in self.acks.iter().zip(replies) {
            if let Err(rejection) = reply {
                tracing::info!(%attempt, ?stage, ?rejection, "a report was refused");
            }
        }
        Ok(self.acks)
    }
}

/// Puts reports into the engine's mailbox.
///
/// # Errors
/// They are too many, the engine has stopped, or files that one of them names cannot be looked at now.
pub(super) async fn post(
    agent: &Agent,
    reports: Vec<(AttemptId, AttemptReport)>,
) -> Result<Posted, Problem> {
    if reports.len() > MAX_REPORTS {
        return Err(protocol("it reports too much at once"));
    }
    let desk = &*agent.desk;
    desk.wires.machines.heard(agent.machine, None, desk.now());
    let _named = desk.blobs.named().await;
    let acks = reports
        .iter()
        .map(|(attempt, report)| (*attempt, report.stage()));
    let acks = acks.collect();
    let (mut bodies, mut arrived) = (Vec::new(), Vec::new());
    for (attempt, report) in reports {
        let (body, tree) = command(agent, attempt, report).await?;
        bodies.push(body);
        arrived.extend(tree);
    }
    let actor = Actor::Machine(agent.machine);
    let together = desk.engine.post_together(actor, bodies).await?;
    // Whoever looks for what nothing needs waits for what is in the mailbox.
    for (store, tree) in arrived {
        store.release(tree);
    }
    Ok(Posted { acks, together })
}

/// Returns the command that a report is, and the tree that it says has arrived.
async fn command(
    agent: &Agent,
    attempt: AttemptId,
    report: AttemptReport,
) -> Result<(Body, Option<(Store, TreeId)>), Problem> {
    let desk = &*agent.desk;
    let org = access::org_of_machine(&desk.engine.read(), agent.machine);
    let (report, arrived) = match report {
        AttemptReport::Artifacts { tree } if !sent(agent, org, tree) => {
            tracing::warn!(machine = %agent.machine, %attempt, %tree, "artifacts were named that it has not sent");
            (AttemptReport::ArtifactsLost, None)
        }
        AttemptReport::Artifacts { tree } => (report, org.map(|org| (org, tree))),
        report => (report, None),
    };
    let arrived = match arrived {
        Some((org, tree)) => Some((desk.store(org).await?, tree)),
        None => None,
    };
    let artifact_size = match &arrived {
        Some((store, tree)) => size(agent, store, *tree).await?,
        None => None,
    };
    let body = Body::ReportAttempt {
        attempt,
        report,
        artifact_size,
    };
    Ok((body, arrived))
}

/// Returns whether the machine has sent the tree. After a restart it may be said later than it was sent: what nothing
/// else names is nobody else's.
fn sent(agent: &Agent, org: Option<OrgId>, tree: TreeId) -> bool {
    let desk = &*agent.desk;
    let from = Actor::Machine(agent.machine);
    org.is_some_and(|org| {
        desk.receipts.has(from, org, tree, desk.now())
            || !access::is_named(&desk.engine.read(), org, tree)
    })
}

/// Returns the size of a tree that has arrived, and how many files it has; `None` if it is not here, or not whole.
///
/// # Errors
/// It cannot be read now: the machine says it again when it comes back.
async fn size(agent: &Agent, store: &Store, tree: TreeId) -> Result<Option<(Bytes, u64)>, Problem> {
    let store = store.clone();
    let stored = blocking(move || store.size(tree)).await;
    match stored {
        Ok(size) => Ok(Some(size)),
        Err(problem) if matches!(problem.code, Code::NotFound | Code::Checksum) => {
            tracing::warn!(machine = %agent.machine, %tree, %problem, "artifacts are not here");
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}
