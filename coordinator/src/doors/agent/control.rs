//! The control stream: the machine's reports up, its whole desired set down.
//!
//! Heartbeats stay in memory. Reports of attempts become commands, many in one commit, and are acknowledged after
//! it in the order in which they came.

use std::sync::Arc;

use certs::Subject;
use common::{
    code::Code,
    id::AttemptId,
    machine::MachineReport,
    problem::Problem,
    wire::{
        Hello,
        agent::{
            AgentHello, AgentMessage, CoordinatorHello, CoordinatorMessage,
            MAX_ATTEMPTS_PER_MACHINE, ReportStage,
        },
    },
};
use coordinator_core::{
    Actor, Body,
    command::dataset::WarmFailure,
    query::{access, enrolment},
};
use link::frames::{self, FrameReceiver, FrameSender};
use tokio::sync::{Notify, mpsc};

use super::{
    Agent,
    reports::{self, Posted},
    told::Told,
};
use crate::{
    desk::parse_request,
    doors::{HELLO_TIMEOUT, check_version, refuse},
    engine::NotDone,
};

/// Answers to one machine that may wait to be written. While they do, nothing more is read from it.
const OUTBOX: usize = 256;

/// What the writer is to say.
enum Outgoing {
    Message(CoordinatorMessage),
    /// Acknowledgements, once the reports are committed.
    Reports(Posted, Answer),
    /// The last words.
    Refuse(Problem),
}

/// How reports are acknowledged: as they came.
#[derive(Clone, Copy)]
enum Answer {
    One,
    Together,
}

/// Serves the stream until the machine leaves or is refused.
pub(super) async fn serve(
    agent: Arc<Agent>,
    stream: (quinn::SendStream, quinn::RecvStream),
) -> Result<(), Problem> {
    let (mut tx, mut rx) = frames::split(stream);
    let served = async {
        let hello = tokio::time::timeout(HELLO_TIMEOUT, rx.expect::<AgentHello>()).await;
        let hello = hello.map_err(|_| protocol("no hello came"))??;
        let version = check_version(&hello.hello)?;
        let attempts = hello.attempts.clone();
        let assignment = connect(&agent, hello).await?;
        greet(&agent, &mut tx).await?;
        for attempt in attempts {
            agent.desk.complete_log(agent.machine, attempt).await;
        }
        let told = Told::new(version);
        talk(&agent, (&mut tx, told), &mut rx, &assignment).await
    };
    let served: Result<(), Problem> = served.await;
    disconnect(&agent).await;
    if let Err(problem) = &served {
        refuse(&mut tx, problem).await;
    }
    served
}

/// Registers the machine as here, in the engine and for the effects.
async fn connect(agent: &Agent, hello: AgentHello) -> Result<Arc<Notify>, Problem> {
    if hello.attempts.len() > MAX_ATTEMPTS_PER_MACHINE {
        return Err(protocol("the hello names too many attempts"));
    }
    agent.authorise()?;
    let desk = &*agent.desk;
    let order = desk.wires.machines.order().await;
    let connection = agent.session.connection();
    let assignment = desk
        .wires
        .machines
        .attach(agent.machine, connection, desk.now());
    let body = Body::ConnectMachine {
        report: hello.report,
        attempts: hello.attempts,
    };
    let pending = desk.engine.post(Actor::Machine(agent.machine), body).await;
    drop(order);
    pending?.done().await?;
    Ok(assignment)
}

async fn greet(agent: &Agent, tx: &mut FrameSender) -> Result<(), Problem> {
    let desk = &*agent.desk;
    let names = enrolment::machine_names(&desk.engine.read(), agent.machine);
    let (machine, org) = names.ok_or_else(|| {
        let why = "it was removed just now";
        Problem::new(Code::CertificateRevoked, "The machine is not known", why)
    })?;
    tracing::info!(%machine, %org, "a machine is here");
    let hello = CoordinatorHello {
        hello: Hello::ours(),
        machine,
        org,
        lease: desk.lease,
        heartbeat: desk.heartbeat,
        now: desk.now(),
    };
    Ok(tx.send(&hello).await?)
}

/// Tells the engine that the machine is gone, unless it has connected again.
async fn disconnect(agent: &Agent) {
    let desk = &*agent.desk;
    let machine = agent.machine;
    let _order = desk.wires.machines.order().await;
    let connection = agent.session.connection();
    if desk.wires.machines.detach(machine, connection) {
        desk.wires.swarms.forget(machine);
        let body = Body::DisconnectMachine { machine };
        // Refused for a machine that was removed; an engine that has stopped has no use for it.
        let _ = desk.engine.post(Actor::System, body).await;
    }
}

/// Reads and writes side by side.
async fn talk(
    agent: &Agent,
    tx: (&mut FrameSender, Told),
    rx: &mut FrameReceiver,
    assignment: &Notify,
) -> Result<(), Problem> {
    let (outbox, outgoing) = mpsc::channel(OUTBOX);
    assignment.notify_one();
    tokio::select! {
        read = read(agent, rx, outbox) => read,
        written = write(agent, tx, outgoing, assignment) => written,
    }
}

async fn write(
    agent: &Agent,
    (tx, mut told): (&mut FrameSender, Told),
    mut outgoing: mpsc::Receiver<Outgoing>,
    assignment: &Notify,
) -> Result<(), Problem> {
    loop {
        let next = tokio::select! {
            () = assignment.notified() => None,
            next = outgoing.recv() => match next {
                Some(next) => Some(next),
                // The reader has ended, and says how.
                None => return std::future::pending().await,
            },
        };
        match next {
            None => {
                let set = told.next(&agent.desk.engine.read(), agent.machine);
                tx.send(&set).await?;
            }
            Some(Outgoing::Message(message)) => tx.send(&message).await?,
            Some(Outgoing::Refuse(problem)) => {
                let last = CoordinatorMessage::Refused(problem.clone());
                tx.send(&last).await?;
                return Err(problem);
            }
            Some(Outgoing::Reports(posted, answer)) => {
                let acks = posted.done().await?;
                let ended = |ack: &&(AttemptId, ReportStage)| ack.1 == ReportStage::Ended;
                let ended: Vec<_> = acks.iter().filter(ended).map(|ack| ack.0).collect();
                match (answer, acks.as_slice()) {
                    (Answer::One, [(attempt, stage)]) => {
                        let (attempt, stage) = (*attempt, *stage);
                        tx.send(&CoordinatorMessage::AttemptAck { attempt, stage })
                            .await?;
                    }
                    _ => tx.send(&CoordinatorMessage::AttemptAcks { acks }).await?,
                }
                for attempt in ended {
                    agent.desk.complete_log(agent.machine, attempt).await;
                }
            }
        }
    }
}

async fn read(
    agent: &Agent,
    rx: &mut FrameReceiver,
    outbox: mpsc::Sender<Outgoing>,
) -> Result<(), Problem> {
    let desk = &*agent.desk;
    while let Some(message) = rx.recv::<AgentMessage>().await? {
        let answer = match message {
            AgentMessage::Heartbeat {
                sequence,
                load,
                report,
            } => {
                desk.wires
                    .machines
                    .heard(agent.machine, Some(load), desk.now());
                if let Some(report) = report {
                    report_machine(agent, *report).await?;
                }
                match agent.authorise() {
                    Ok(()) => Outgoing::Message(CoordinatorMessage::HeartbeatAck { sequence }),
                    Err(problem) => Outgoing::Refuse(problem),
                }
            }
            AgentMessage::Usage { samples } => {
                if samples.len() > MAX_ATTEMPTS_PER_MACHINE {
                    return Err(protocol("it samples more attempts than a machine has"));
                }
                let state = desk.engine.read();
                desk.wires.usage.keep(&samples, desk.now(), |attempt| {
                    access::runs_on(&state, agent.machine, attempt)
                });
                continue;
            }
            AgentMessage::Attempt { attempt, report } => {
                let answer = Answer::One;
                Outgoing::Reports(reports::post(agent, vec![(attempt, report)]).await?, answer)
            }
            AgentMessage::Attempts { reports } => {
                Outgoing::Reports(reports::post(agent, reports).await?, Answer::Together)
            }
            AgentMessage::Door(door) => {
                let seen = agent.session.connection().remote_address().ip();
                let swarms = &desk.wires.swarms;
                swarms.set_door(agent.machine, door.addresses, seen);
                continue;
            }
            AgentMessage::Fetched { tree, problem } => {
                let failed = problem.map(|problem| WarmFailure {
                    why: format!("{}: {}", problem.what, problem.why),
                    kind: problem.code,
                });
                let body = Body::ReportFetched { tree, failed };
                // Refused where it was taken out of the pool; then it is not wanted either.
                drop(
                    desk.engine
                        .post(Actor::Machine(agent.machine), body)
                        .await?,
                );
                continue;
            }
            AgentMessage::Renew { csr } => Outgoing::Message(match renew(agent, &csr).await {
                Ok(chain) => CoordinatorMessage::Certificate { chain },
                Err(problem) => CoordinatorMessage::Refused(problem),
            }),
        };
        if outbox.send(answer).await.is_err() {
            // The writer has ended, and says how.
            return std::future::pending().await;
        }
    }
    Ok(())
}

async fn report_machine(agent: &Agent, report: MachineReport) -> Result<(), Problem> {
    let body = Body::ReportMachine { report };
    let actor = Actor::Machine(agent.machine);
    let pending = agent.desk.engine.post(actor, body).await?;
    match pending.done().await {
        Ok(_) => Ok(()),
        Err(NotDone::Rejected(rejection)) => {
            tracing::warn!(machine = %agent.machine, ?rejection, "a machine's report was refused");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

async fn renew(agent: &Agent, csr: &[u8]) -> Result<Vec<Vec<u8>>, Problem> {
    let desk = &*agent.desk;
    let signed = desk.issue(&parse_request(csr)?, Subject::Machine(agent.machine))?;
    let body = Body::RenewCertificate {
        old: agent.session.serial(),
        new: signed.certificate,
    };
    let pending = desk
        .engine
        .post(Actor::Machine(agent.machine), body)
        .await?;
    pending.done().await?;
    let new = signed.certificate;
    agent.session.renewed(new.serial, new.expires_at);
    Ok(signed.chain)
}

pub(super) fn protocol(why: &str) -> Problem {
    Problem::new(Code::Protocol, "The agent was not understood", why)
}
