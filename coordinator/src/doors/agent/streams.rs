//! An agent's further streams: each begins by saying what it is for.

use std::sync::Arc;

use common::{
    code::Code,
    id::{AttemptId, OrgId, TreeId},
    problem::Problem,
    seal::RegistryLogin,
    secret::SecretValue,
    wire::{
        agent::{AgentStream, RegistryAnswer, SecretsAnswer},
        data::MAX_BESIDE,
    },
};
use coordinator_core::{Actor, query::access};
use link::frames::{self, FrameReceiver, FrameSender};

use super::{Agent, log, swarm};
use crate::{
    blobs::{self, Upload},
    doors::refuse,
};

pub(super) async fn serve(agent: Arc<Agent>, stream: (quinn::SendStream, quinn::RecvStream)) {
    let (mut tx, mut rx) = frames::split(stream);
    match serve_one(&agent, &mut tx, &mut rx).await {
        Ok(()) => tx.finish(),
        Err(problem) => {
            tracing::debug!(machine = %agent.machine, %problem, "a stream was refused");
            refuse(&mut tx, &problem).await;
        }
    }
}

async fn serve_one(
    agent: &Agent,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    let desk = &*agent.desk;
    let purpose: AgentStream = rx.expect().await?;
    agent.authorise()?;
    match purpose {
        AgentStream::Log { attempt } => log::receive(agent, attempt, tx, rx).await,
        AgentStream::Download { tree, beside } => {
            may_fetch(agent, tree)()?;
            let org = org(agent)?;
            let store = desk.store(org).await?;
            if beside.len() > MAX_BESIDE {
                let why = format!("it named {} trees, at most {MAX_BESIDE}", beside.len());
                let what = "the tree is not described";
                return Err(Problem::new(Code::BadRequest, what, why));
            }
            if beside.is_empty() {
                return blobs::serve_description(&store, tree, tx).await;
            }
            let beside = access::alike(&desk.engine.read(), org, tree, &beside);
            blobs::serve_description_beside(&store, tree, beside, tx).await
        }
        AgentStream::Chunks { tree } => {
            let may = may_fetch(agent, tree);
            may()?;
            let store = desk.store(org(agent)?).await?;
            blobs::serve_chunks(&store, tree, may, &desk.pace, tx, rx).await
        }
        AgentStream::Swarm { tree, blocks } => {
            let may = may_fetch(agent, tree);
            may()?;
            swarm::serve(agent, tree, blocks, may, tx, rx).await
        }
        AgentStream::RegistryLogin { attempt } => {
            let login = registry_login(agent, attempt)?;
            Ok(tx.send(&RegistryAnswer { login }).await?)
        }
        AgentStream::Secrets { attempt } => Ok(tx.send(&secrets(agent, attempt)?).await?),
        AgentStream::Pieces { upload } => agent.uploads.pieces(upload, rx).await,
        AgentStream::Upload { attempt, announced } => {
            if !access::machine_may_upload(&desk.engine.read(), agent.machine, attempt) {
                return Err(not_wanted());
            }
            let (receipts, clock) = (Arc::clone(&desk.receipts), Arc::clone(&desk.clock));
            let from = Actor::Machine(agent.machine);
            let org = org(agent)?;
            let stored = move |tree| receipts.give(from, org, tree, clock.now());
            let upload = Upload::begin(&desk.store(org).await?, Ok(()), stored);
            agent
                .uploads
                .take(upload, (announced, None), tx, rx)
                .await
                .map(drop)
        }
    }
}

/// Returns what says whether the machine may have the tree: now, and as long as it fetches.
fn may_fetch(
    agent: &Agent,
    tree: TreeId,
) -> impl Fn() -> Result<(), Problem> + Send + Sync + use<> {
    let (engine, machine) = (agent.desk.engine.clone(), agent.machine);
    move || {
        let may = access::machine_may_fetch(&engine.read(), machine, tree);
        may.then_some(()).ok_or_else(not_wanted)
    }
}

/// Opens what the attempt's submitter, or somebody for the org, has sealed. Neither it nor whose it is appears in a
/// log.
fn registry_login(agent: &Agent, attempt: AttemptId) -> Result<RegistryLogin, Problem> {
    let desk = &*agent.desk;
    let state = desk.engine.read();
    let found = access::registry_login(&state, agent.machine, attempt)?;
    let key = &desk.sealing_key;
    let opened = key.unseal_login(found.context.as_bytes(), found.registry, found.sealed);
    opened.map_err(|error| {
        let what = format!("The login to {} cannot be opened", found.registry);
        Problem::new(Code::RegistryRefused, what, error.to_string())
            .help("Submit the job again: its login was sealed for another coordinator or registry.")
    })
}

/// Opens the secrets of the attempt's job as they are now. No value appears in a log.
fn secrets(agent: &Agent, attempt: AttemptId) -> Result<SecretsAnswer, Problem> {
    let desk = &*agent.desk;
    let state = desk.engine.read();
    let sealed = access::secrets(&state, agent.machine, attempt)?;
    let opened = sealed.into_iter().map(|secret| {
        let unreadable = |why: String| {
            let what = format!("Secret {} cannot be opened", secret.name);
            Problem::new(Code::WrongState, what, why).help(format!(
                "Set it again with `compute-share secret set {}`.",
                secret.name
            ))
        };
        let context = secret.context.as_bytes();
        let value = desk.sealing_key.unseal(context, secret.sealed);
        let value = value.map_err(|error| unreadable(error.to_string()))?;
        let text = std::str::from_utf8(&value);
        Ok(SecretValue {
            name: secret.name.clone(),
            value: text
                .map_err(|_| unreadable("it is no text".to_owned()))?
                .to_owned(),
        })
    });
    let secrets = opened.collect::<Result<_, Problem>>()?;
    Ok(SecretsAnswer { secrets })
}

/// Returns the org that the machine is in.
fn org(agent: &Agent) -> Result<OrgId, Problem> {
    access::org_of_machine(&agent.desk.engine.read(), agent.machine).ok_or_else(not_wanted)
}

/// What the machine asks for is not, or no longer, part of its desired set.
pub(super) fn not_wanted() -> Problem {
    let why = "it does not belong to what this machine runs now";
    Problem::new(Code::NotFound, "The stream is not wanted", why)
}
