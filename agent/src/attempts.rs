//! One attempt, performed: made ready, launched, watched, stopped. Each has a task of its own that does what
//! the keeper orders and tells it what happened; nothing is decided here.

pub(crate) mod image;
mod lazy;
mod network;
mod params;
mod prepare;
mod sandbox;
mod secrets;

use std::{path::Path, sync::Arc};

use agent_core::attempt::Step;
use common::{
    id::AttemptId,
    job::{AttemptUsage, Outcome},
    status::EndReason,
    time::Span,
    wire::agent::AttemptSpec,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use self::prepare::Pins;
use self::prepare::{Prepared, prepare};
pub(crate) use self::sandbox::Sandbox;
use crate::{
    artifacts, clock,
    keeper::{KeeperHandle, Word},
    logs::{self, Growth},
    machine::Machine,
    supervise::{Given, SandboxResult, Supervisor, SupervisorEvent, keep_result},
    uplink::Uplink,
};

/// Orders that wait for an attempt's task; each is one word to end.
const ORDERS: usize = 8;

/// Between SIGTERM and SIGKILL for who takes more of a GPU than its share: others are in want of it.
const OVERUSE_GRACE: Span = Span::from_secs(2);

/// A word to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) reason: EndReason,
    pub(crate) grace: Span,
}

/// What an attempt's task is told.
#[derive(Debug)]
struct Orders {
    stops: mpsc::Receiver<Stop>,
    /// Whether it should be frozen.
    freezes: watch::Receiver<bool>,
}

/// What is being written down while an attempt is made ready, and has to be before it starts.
#[derive(Debug)]
pub(crate) struct Noted {
    /// Whether its line in the journal is on the disk.
    pub(crate) attempt: watch::Receiver<bool>,
    pub(crate) lease: JoinHandle<()>,
}

impl Noted {
    /// Waits for it. Returns whether it was done; the agent ends where it cannot be.
    async fn wait(mut self) -> bool {
        self.attempt.wait_for(|written| *written).await.is_ok() && self.lease.await.is_ok()
    }
}

/// What an attempt's task is given.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) machine: Arc<Machine>,
    pub(crate) keeper: KeeperHandle,
    pub(crate) uplink: Uplink,
    pub(crate) attempt: AttemptId,
    pub(crate) spec: Arc<AttemptSpec>,
}

/// The running task of an attempt. Its program lives on when this is dropped; what sends its log and files
/// does not.
#[derive(Debug)]
pub(crate) struct Performing {
    orders: mpsc::Sender<Stop>,
    frozen: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Performing {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Performing {
    /// Passes a word to end on. One that finds the attempt over is as good as obeyed.
    pub(crate) fn stop(&self, stop: Stop) {
        if let Err(error) = self.orders.try_send(stop) {
            tracing::debug!(%error, "a word to end came too late or too often");
        }
    }

    /// Holds everything in the sandbox still, or lets it go on; what is not there yet, as soon as it is. The last
    /// word counts. An attempt that is taken over from an earlier daemon may be frozen still, so whoever does
    /// that says here what holds now.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

impl Work {
    /// Makes the attempt ready, and runs it once it is written down.
    pub(crate) fn launch(self, noted: Noted) -> Performing {
        self.perform(|work, orders, growth| async move {
            work.run(noted, orders, &growth).await;
        })
    }

    /// Watches an attempt that an earlier daemon launched.
    pub(crate) fn watch(self, mut supervisor: Supervisor) -> Performing {
        self.perform(|work, mut orders, growth| async move {
            if let Err(error) = supervisor.settle().await {
                tracing::debug!(attempt = %work.attempt, %error, "it is ending already");
            }
            let pins = prepare::pin_again(&work);
            prepare::reach_disk(&work).await;
            let (result, supervisor) = work.follow(supervisor, &mut orders, &growth).await;
            drop((supervisor, pins));
            work.end(result, None, &growth).await;
        })
    }

    /// Tells the end of an attempt that ended while no daemon ran, and sends what is left of it.
    pub(crate) fn conclude(self, result: SandboxResult) -> Performing {
        self.perform(|work, _orders, growth| async move {
            if let Some(at) = result.started_at {
                work.happened(Step::Start { at }).await;
            }
            prepare::reach_disk(&work).await;
            work.end(result, None, &growth).await;
        })
    }

    /// Tells the coordinator that an attempt that never ran has no log.
    pub(crate) fn ship_nothing(self) -> Performing {
        self.perform(|_work, _orders, growth| async move {
            growth.send_replace(Growth {
                bytes: 0,
                total: Some(0),
            });
            growth.closed().await;
        })
    }

    fn perform<F>(self, task: impl FnOnce(Self, Orders, watch::Sender<Growth>) -> F) -> Performing
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (orders, stops) = mpsc::channel(ORDERS);
        let (frozen, freezes) = watch::channel(false);
        let received = Orders { stops, freezes };
        let (growth, grown) = watch::channel(Growth::default());
        let spool = self.spool();
        let (attempt, uplink) = (self.attempt, self.uplink.clone());
        let shipping = tokio::spawn(async move {
            logs::ship(attempt, &spool, grown, uplink).await;
        });
        let performing = tokio::spawn(task(self, received, growth));
        Performing {
            orders,
            frozen,
            tasks: vec![performing, shipping],
        }
    }

    fn spool(&self) -> std::path::PathBuf {
        self.machine.folder.attempt(self.attempt).join("log")
    }

    async fn run(self, noted: Noted, mut orders: Orders, growth: &watch::Sender<Growth>) {
        let prepared = tokio::select! {
            prepared = prepare(&self, noted.attempt.clone()) => prepared,
            Some(stop) = orders.stops.recv() => Err(never_ran(stop.reason, "it ended before it was ready")),
        };
        if !noted.wait().await {
            return;
        }
        let started = prepared.and_then(|prepared| {
            let folder = self.machine.folder.attempt(self.attempt);
            let first = prepared.plan.shared;
            let (supervisor, pins) = self.start(&folder, prepared)?;
            Ok((supervisor, pins, first))
        });
        let (result, sandbox) = match started {
            Ok((supervisor, pins, first)) => {
                let (result, supervisor) = self.follow(supervisor, &mut orders, growth).await;
                let sandbox = self.take_back(supervisor, first, pins);
                (result, sandbox)
            }
            Err(outcome) => {
                let result = SandboxResult {
                    started_at: None,
                    at: clock::now(),
                    outcome: *outcome,
                };
                (result, None)
            }
        };
        self.end(result, sandbox, growth).await;
    }

    fn make_ahead(&self) {
        let (machine, disk) = (Arc::clone(&self.machine), self.spec.allocation.disk);
        tokio::task::spawn_blocking(move || machine.make_ahead(disk));
    }

    fn start(&self, folder: &Path, prepared: Prepared) -> Result<(Supervisor, Pins), Box<Outcome>> {
        let Prepared {
            plan,
            given,
            supervisor,
            pins,
        } = prepared;
        let networks = self.machine.networks.as_ref();
        // Where there is a sandbox, it has its network.
        let network = networks.filter(|_| supervisor.is_none());
        let network = network.and_then(|networks| networks.take(&plan));
        let given = Given { network, ..given };
        let supervisors = &self.machine.supervisors;
        let launched = supervisors.launch(folder, &plan, given, supervisor);
        let launched = launched.map(|supervisor| (supervisor, pins));
        launched.map_err(|error| {
            let problem = crate::machine::local_problem("the sandbox cannot be started", &error);
            never_ran(EndReason::PrepareFailed, &problem.why)
        })
    }

    /// Watches a supervisor to its end.
    async fn follow(
        &self,
        mut supervisor: Supervisor,
        orders: &mut Orders,
        growth: &watch::Sender<Growth>,
    ) -> (SandboxResult, Supervisor) {
        let mut ordered = None;
        let mut started_at = None;
        let gpus = &self.machine.gpus;
        let mut hold = gpus.hold(self.attempt, &self.spec.allocation);
        let mut result = loop {
            let event = tokio::select! {
                event = supervisor.next() => event,
                detail = hold.overuse() => {
                    let (reason, grace) = (EndReason::OutOfMemory, OVERUSE_GRACE.min(self.spec.grace));
                    ordered = Some(reason);
                    if let Err(error) = supervisor.stop_for(reason, detail, grace).await {
                        tracing::debug!(attempt = %self.attempt, %error, "it is ending already");
                    }
                    continue;
                }
                Ok(()) = orders.freezes.changed() => {
                    let frozen = *orders.freezes.borrow_and_update();
                    if let Err(error) = supervisor.freeze(frozen).await {
                        tracing::debug!(attempt = %self.attempt, %error, "it is ending already");
                    }
                    continue;
                }
                Some(stop) = orders.stops.recv() => {
                    ordered = Some(stop.reason);
                    if let Err(error) = supervisor.stop(stop.reason, stop.grace).await {
                        tracing::debug!(attempt = %self.attempt, %error, "it is ending already");
                    }
                    continue;
                }
            };
            match event {
                SupervisorEvent::Started { at } => {
                    started_at = Some(at);
                    self.happened(Step::Start { at }).await;
                    // Not before: it would take its time from this attempt.
                    self.make_ahead();
                }
                SupervisorEvent::Logged { bytes } => {
                    growth.send_modify(|growth| growth.bytes = bytes);
                }
                SupervisorEvent::Used(sample) => {
                    self.machine.note_usage(self.attempt, Some(sample));
                }
                SupervisorEvent::Ended(result) => {
                    if let (None, Some(at)) = (started_at, result.started_at) {
                        self.happened(Step::Start { at }).await;
                    }
                    break result;
                }
                SupervisorEvent::Died => break died(started_at, ordered, &self.spool()),
            }
        };
        // Its end is told once its GPUs are seen free, or known not to be.
        result.outcome.usage.peak_gpu_memory = hold.let_go().await;
        (result, supervisor)
    }

    /// Tells the end, and then sends what the attempt left.
    async fn end(
        &self,
        result: SandboxResult,
        sandbox: Option<Sandbox>,
        growth: &watch::Sender<Growth>,
    ) {
        self.machine.note_usage(self.attempt, None);
        let total = result.outcome.log_bytes;
        growth.send_replace(Growth {
            bytes: total,
            total: Some(total),
        });
        let folder = self.machine.files_of(self.attempt);
        let files = result.started_at.is_some() && artifacts::any(&folder, &self.spec.outputs);
        if let Some(sandbox) = sandbox {
            self.leave(sandbox, files).await;
        }
        if files {
            self.keep_result().await;
        }
        let SandboxResult { at, outcome, .. } = result;
        let outcome = Box::new(outcome);
        self.happened(Step::End { at, outcome, files }).await;
        if files {
            let uplink = self.uplink.clone();
            let step = artifacts::send(&self.machine, self.attempt, &self.spec, uplink).await;
            self.happened(step).await;
        }
        // The log's receiver may still be at work; whoever drops the attempt ends it.
        growth.closed().await;
    }

    /// Has the result flushed, so that the files that it belongs to are still wanted after a fall of the machine.
    async fn keep_result(&self) {
        let folder = self.machine.folder.attempt(self.attempt);
        let kept = tokio::task::spawn_blocking(move || keep_result(&folder));
        if let Err(error) = kept.await.unwrap_or_else(|error| Err(error.into())) {
            tracing::debug!(attempt = %self.attempt, %error, "a result may be lost with the machine");
        }
    }

    async fn happened(&self, step: Step) {
        let attempt = self.attempt;
        self.keeper.tell(Word::Happened { attempt, step }).await;
    }
}

/// Returns the outcome of what never ran.
pub(crate) fn never_ran(reason: EndReason, detail: &str) -> Box<Outcome> {
    Box::new(Outcome {
        reason,
        exit_code: None,
        signal: None,
        detail: Some(detail.to_owned()),
        usage: AttemptUsage::default(),
        log_bytes: 0,
    })
}

/// Returns the end of an attempt whose supervisor was killed. With it everything in the sandbox is gone.
pub(crate) fn died(
    started_at: Option<common::time::Timestamp>,
    ordered: Option<EndReason>,
    spool: &Path,
) -> SandboxResult {
    let at = clock::now();
    SandboxResult {
        started_at,
        at,
        outcome: Outcome {
            reason: ordered.unwrap_or(EndReason::MachineLost),
            exit_code: None,
            signal: None,
            detail: Some("its supervisor was killed".to_owned()),
            usage: AttemptUsage {
                wall: started_at
                    .map(|start| at.since(start).into())
                    .unwrap_or_default(),
                ..AttemptUsage::default()
            },
            log_bytes: logs::whole_length(spool),
        },
    }
}
