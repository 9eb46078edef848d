//! A machine towards the real coordinator whose agent runs nothing: what it is to run has started and ended as soon as
//! it is told of it. So what is measured with it is the coordinator's alone.

use std::{collections::BTreeSet, fs, path::Path, time::Instant};

use anyhow::{Result, bail, ensure};
use certs::{Identity, PrivateKey, client_config, install_crypto};
use common::{
    id::{AttemptId, Fingerprint, MachineId},
    job::{AttemptUsage, Outcome},
    machine::{Isolation, MachineLoad, MachineReport, SystemInfo},
    resources::Capacity,
    status::{EndReason, IsolationLevel},
    time::Timestamp,
    units::{Bytes, MilliCpu},
    wire::{
        ALPN_AGENT, ALPN_JOIN, Hello,
        agent::{
            AgentHello, AgentMessage, Assigned, AttemptReport, CoordinatorHello,
            CoordinatorMessage, Goal, MAX_ATTEMPTS_PER_MACHINE, MAX_REPORTS, ReportStage,
        },
        join::{JoinAnswer, JoinRequest},
    },
};
use link::{
    endpoint::Dialer,
    frames::{FrameReceiver, FrameSender, split},
};
use serde::Deserialize;
use tokio::{sync::mpsc, time::interval};

use super::member::PROCESSORS;
use crate::quic::runtime;

/// Reports that wait to be written: a start and an end of everything that a machine may have, and heartbeats.
const OUTBOX: usize = 2 * MAX_ATTEMPTS_PER_MACHINE + 64;

/// What is needed of a registration, as the agent keeps it.
#[derive(Debug, Deserialize)]
struct Registration {
    machine: MachineId,
    address: String,
    fingerprint: Fingerprint,
}

/// Lends `slots` tasks' room until the process is ended, or until so many have ended.
pub(super) fn run(folder: &Path, slots: u32, until: Option<u32>) -> Result<()> {
    install_crypto();
    let registration = fs::read(folder.join("registration.json"))?;
    let registration: Registration = serde_json::from_slice(&registration)?;
    runtime()?.block_on(async {
        let dialer = Dialer::new()?;
        let identity = identity(&dialer, folder, &registration).await?;
        let tls = client_config(registration.fingerprint, Some(&identity), ALPN_AGENT)?;
        let connection = dialer.dial(&registration.address, tls).await?;
        let (mut tx, mut rx) = split(connection.open_bi().await?);
        tx.send(&AgentHello {
            hello: Hello::ours(),
            report: report(slots),
            generation: 0,
            attempts: Vec::new(),
        })
        .await?;
        let greeting: CoordinatorHello = rx.expect().await?;
        println!("ready");
        let begin = Instant::now();
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        tokio::select! {
            written = write(tx, outgoing, &greeting) => written?,
            ended = until_ended(rx, outbox, until) => ended?,
        }
        println!("{:.6}", begin.elapsed().as_secs_f64());
        Ok(())
    })
}

/// Returns the certificate that was claimed before, or claims one.
async fn identity(dialer: &Dialer, folder: &Path, registration: &Registration) -> Result<Identity> {
    let path = folder.join("machine.pem");
    if path.exists() {
        return Ok(Identity::load(&path)?);
    }
    let key = PrivateKey::load(&folder.join("machine-key.pem"))?;
    let tls = client_config(registration.fingerprint, None, ALPN_JOIN)?;
    let connection = dialer.dial(&registration.address, tls).await?;
    let (mut tx, mut rx) = split(connection.open_bi().await?);
    let (machine, csr) = (registration.machine, key.request()?);
    tx.send(&JoinRequest::ClaimMachine { machine, csr }).await?;
    tx.finish();
    match rx.expect().await? {
        JoinAnswer::Approved { chain, .. } => {
            let identity = Identity::new(chain, &key)?;
            identity.save(&path)?;
            Ok(identity)
        }
        other => bail!("the machine is not approved: {other:?}"),
    }
}

fn report(slots: u32) -> MachineReport {
    let capacity = Capacity {
        cpu: MilliCpu(PROCESSORS.0 * slots),
        memory: Bytes::gib(1024),
        disk: Bytes::gib(1024),
        gpus: Vec::new(),
    };
    let isolation = Isolation::of(IsolationLevel::A);
    MachineReport::lending_all(capacity, isolation, SystemInfo::default())
}

/// Writes reports, and heartbeats between them.
async fn write(
    mut tx: FrameSender,
    mut outgoing: mpsc::Receiver<AgentMessage>,
    greeting: &CoordinatorHello,
) -> Result<()> {
    let mut beat = interval(greeting.heartbeat.as_duration());
    let mut sequence = 0;
    loop {
        tokio::select! {
            message = outgoing.recv() => match message {
                Some(message) => tx.send(&message).await?,
                None => return std::future::pending().await,
            },
            _ = beat.tick() => {
                sequence += 1;
                let (load, report) = (MachineLoad::default(), None);
                tx.send(&AgentMessage::Heartbeat { sequence, load, report }).await?;
            }
        }
    }
}

/// Takes assignments and acknowledgements until so many attempts have ended.
async fn until_ended(
    mut rx: FrameReceiver,
    outbox: mpsc::Sender<AgentMessage>,
    until: Option<u32>,
) -> Result<()> {
    let mut known = BTreeSet::new();
    let mut ended = 0;
    while until != Some(ended) {
        match rx.expect().await? {
            CoordinatorMessage::Assignment(set) => {
                known.extend(live(&set.attempts, &outbox).await?);
            }
            CoordinatorMessage::Update(update) => {
                known = update.known.iter().map(|known| known.attempt).collect();
                known.extend(live(&update.new, &outbox).await?);
            }
            CoordinatorMessage::AttemptAck { stage, .. } => {
                ended += u32::from(stage == ReportStage::Ended);
            }
            CoordinatorMessage::AttemptAcks { acks } => {
                let ends = acks
                    .iter()
                    .filter(|(_, stage)| *stage == ReportStage::Ended);
                ended += u32::try_from(ends.count())?;
            }
            CoordinatorMessage::Refused(problem) => return Err(problem.into()),
            CoordinatorMessage::HeartbeatAck { .. } | CoordinatorMessage::Certificate { .. } => {}
        }
        ensure!(known.len() <= MAX_ATTEMPTS_PER_MACHINE, "too many attempts");
    }
    Ok(())
}

fn whole_life() -> [AttemptReport; 2] {
    let at = now();
    let outcome = Outcome {
        reason: EndReason::Exited,
        exit_code: Some(0),
        signal: None,
        detail: None,
        usage: AttemptUsage::default(),
        log_bytes: 0,
    };
    let ended = AttemptReport::Ended {
        at,
        outcome,
        artifacts: false,
    };
    [AttemptReport::Started { at }, ended]
}

fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Reports the whole life of each that is to run, at once. Returns all of them.
async fn live(
    attempts: &[Assigned],
    outbox: &mpsc::Sender<AgentMessage>,
) -> Result<Vec<AttemptId>> {
    let mut reports = Vec::new();
    for assigned in attempts {
        // What takes no time is never followed by another one in its place.
        ensure!(assigned.after.is_none(), "an attempt waits behind another");
        if assigned.goal == Goal::Run {
            let lives = whole_life().into_iter();
            reports.extend(lives.map(|report| (assigned.attempt, report)));
        }
    }
    for reports in reports.chunks(MAX_REPORTS) {
        let reports = reports.to_vec();
        outbox.send(AgentMessage::Attempts { reports }).await?;
    }
    Ok(attempts.iter().map(|assigned| assigned.attempt).collect())
}
