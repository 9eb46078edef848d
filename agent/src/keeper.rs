//! The one task that knows everything of this machine's attempts: what is wanted, what there is, what was said.
//!
//! Everything that happens comes to it as a [`Word`]; it writes the journal, asks [`reconcile`] what to do, orders
//! it, and says what is new. It never waits for the network or for an attempt.

mod lease_file;
mod status;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use agent_core::{
    admit::{Lending, admit},
    attempt::{Attempt, Phase, Step},
    desired::Desired,
    lease::Lease,
    observed::{Observed, Seen},
    reconcile::{Action, reconcile},
};
use common::{
    id::AttemptId,
    machine::Pause,
    problem::Problem,
    resources::Allocation,
    status::EndReason,
    time::{Span, Timestamp},
    wire::agent::{AgentMessage, Assignment, AttemptSpec, ReportStage},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use self::lease_file::LeaseFile;
use crate::{
    attempts::{Performing, Stop, Work, died, never_ran},
    clock,
    control::{Asked, ConnectionState, ControlAnswer, ControlRequest},
    journal::{Journal, JournalError, Kept},
    machine::{Machine, Standing},
    scrap,
    supervise::{Adopted, Supervisor},
    uplink::Uplink,
};

/// Words that wait for the keeper; who has more to say waits too.
const MAILBOX: usize = 1024;
/// Reports that wait for a session: more than all attempts together have to say at once.
pub(crate) const OUTBOX: usize = 4096;
/// Longest time without a look at the clock while something depends on it: the machine may have slept.
const TICK: Duration = Duration::from_secs(10);
/// The lease of a machine that has never been given one.
const FIRST_LEASE: Duration = Duration::from_secs(300);
/// How long the ends of attempts may take to be said before the agent ends anyway.
const FAREWELL: Duration = Duration::from_secs(3);
/// Rounds of reconciling before something is wrong: every action brings its attempt a step further, and none
/// has more than a few.
const MAX_ROUNDS: usize = 8;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Word {
    /// A coordinator took the machine in. What is to be said goes into `outbox`.
    Connected {
        outbox: mpsc::Sender<AgentMessage>,
        lease: Duration,
        sent_at: Duration,
    },
    Disconnected,
    Assigned(Assignment),
    Acknowledged {
        attempt: AttemptId,
        stage: ReportStage,
    },
    /// The coordinator answered what was sent at this moment since boot.
    Heard {
        sent_at: Duration,
    },
    Happened {
        attempt: AttemptId,
        step: Step,
    },
    /// The coordinator has no place for this machine any more: everything ends, and then the agent.
    Expelled,
}

/// How everybody else reaches the keeper.
#[derive(Debug, Clone)]
pub(crate) struct KeeperHandle {
    words: mpsc::Sender<Word>,
    standing: watch::Receiver<Standing>,
}

impl KeeperHandle {
    /// Says something. Nothing happens once the agent ends.
    pub(crate) async fn tell(&self, word: Word) {
        // The keeper is the last to go; what is said after it is of no use to anybody.
        drop(self.words.send(word).await);
    }

    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }
}

/// What there is of one attempt.
#[derive(Debug)]
struct Held {
    spec: Arc<AttemptSpec>,
    attempt: Attempt,
    /// The last stage that was said over the present connection.
    said: Option<ReportStage>,
    performing: Option<Performing>,
    stopping: Option<EndReason>,
    journaled: bool,
}

impl Held {
    const fn new(spec: Arc<AttemptSpec>, attempt: Attempt, journaled: bool) -> Self {
        Self {
            spec,
            attempt,
            said: None,
            performing: None,
            stopping: None,
            journaled,
        }
    }

    fn seen(&self) -> Seen {
        if self.attempt.has_ended() {
            Seen::Ended
        } else if self.stopping.is_some() {
            Seen::Stopping
        } else if self.performing.is_some() {
            Seen::Live
        } else {
            Seen::Idle
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Keeper {
    machine: Arc<Machine>,
    uplink: Uplink,
    journal: Arc<Journal>,
    journal_path: PathBuf,
    handle: KeeperHandle,
    words: mpsc::Receiver<Word>,
    asked: mpsc::Receiver<Asked>,
    standing: watch::Sender<Standing>,
    connection: watch::Receiver<ConnectionState>,
    started_at: Timestamp,
    /// `None` until the coordinator has spoken: nothing is launched on an old word.
    desired: Option<Desired>,
    journaled_generation: u64,
    held: BTreeMap<AttemptId, Held>,
    outbox: Option<mpsc::Sender<AgentMessage>>,
    lease: Lease,
    lease_file: LeaseFile,
    pause: Option<Pause>,
    ending: Option<oneshot::Sender<ControlAnswer>>,
    stopping: CancellationToken,
}

/// What a keeper is made of.
#[derive(Debug)]
pub(crate) struct KeeperParts {
    pub(crate) machine: Arc<Machine>,
    pub(crate) uplink: Uplink,
    pub(crate) journal: Journal,
    pub(crate) kept: Kept,
    pub(crate) asked: mpsc::Receiver<Asked>,
    pub(crate) connection: watch::Receiver<ConnectionState>,
    /// Ends the agent.
    pub(crate) stopping: CancellationToken,
}

impl Keeper {
    /// Takes over what earlier daemons left: attempts that run are watched on, the ends of others are told.
    pub(crate) fn new(parts: KeeperParts) -> (Self, KeeperHandle) {
        let (words, received) = mpsc::channel(MAILBOX);
        let (standing, watched) = watch::channel(Standing::default());
        let handle = KeeperHandle {
            words,
            standing: watched,
        };
        let Kept {
            generation,
            pause,
            attempts,
        } = parts.kept;
        let lease_file = LeaseFile::new(parts.machine.folder.lease());
        let lease = lease_file
            .read()
            .unwrap_or_else(|| Lease::new(FIRST_LEASE, clock::since_boot()));
        let mut keeper = Self {
            journal_path: parts.machine.folder.journal(),
            machine: parts.machine,
            uplink: parts.uplink,
            journal: Arc::new(parts.journal),
            handle: handle.clone(),
            words: received,
            asked: parts.asked,
            standing,
            connection: parts.connection,
            started_at: clock::now(),
            desired: None,
            journaled_generation: generation,
            held: BTreeMap::new(),
            outbox: None,
            lease,
            lease_file,
            pause,
            ending: None,
            stopping: parts.stopping,
        };
        for (attempt, spec) in attempts {
            keeper.adopt(attempt, Arc::new(spec));
        }
        keeper.remove_strays();
        keeper.publish();
        (keeper, handle)
    }

    fn adopt(&mut self, attempt: AttemptId, spec: Arc<AttemptSpec>) {
        let mut held = Held::new(Arc::clone(&spec), Attempt::accepted(), true);
        let folder = self.machine.folder.attempt(attempt);
        let work = self.work(attempt, spec);
        let adopted = if folder.exists() {
            Supervisor::adopt(&folder)
        } else {
            Ok(Adopted::NeverStarted)
        };
        held.performing = match adopted {
            Ok(Adopted::Running(supervisor)) => {
                tracing::info!(%attempt, "an attempt runs on and is watched again");
                Some(work.watch(supervisor))
            }
            Ok(Adopted::Ended(result)) => Some(work.conclude(result)),
            Ok(Adopted::NeverStarted) => None,
            Ok(Adopted::Died) => Some(work.conclude(died(None, None, &folder.join("log")))),
            Err(error) => {
                let problem =
                    crate::machine::local_problem("an attempt cannot be looked at", &error);
                tracing::warn!(%attempt, %problem, "an attempt is given up");
                Some(work.conclude(died(None, None, &folder.join("log"))))
            }
        };
        self.held.insert(attempt, held);
    }

    /// Removes folders of attempts that the journal does not know: what is left where forgetting one was cut
    /// short. None of them runs.
    fn remove_strays(&self) {
        let Ok(entries) = std::fs::read_dir(self.machine.folder.attempts()) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let known = name
                .to_str()
                .and_then(|name| name.parse::<AttemptId>().ok())
                .is_some_and(|attempt| self.held.contains_key(&attempt));
            let runs = || matches!(Supervisor::adopt(&entry.path()), Ok(Adopted::Running(_)));
            if !known && !runs() {
                remove(entry.path());
            }
        }
    }

    fn work(&self, attempt: AttemptId, spec: Arc<AttemptSpec>) -> Work {
        Work {
            machine: Arc::clone(&self.machine),
            keeper: self.handle.clone(),
            uplink: self.uplink.clone(),
            attempt,
            spec,
        }
    }

    /// Runs until the agent ends.
    ///
    /// # Errors
    /// The journal cannot be written: an agent that cannot remember what it accepted must not go on.
    pub(crate) async fn run(mut self) -> Result<(), Problem> {
        loop {
            let stopping = self.stopping.clone();
            let tick = self.next_tick();
            let step = tokio::select! {
                () = stopping.cancelled() => break,
                Some(word) = self.words.recv() => {
                    self.on_word(word);
                    Ok(())
                }
                Some(asked) = self.asked.recv() => self.on_asked(asked).await,
                () = sleep(tick.unwrap_or(TICK)), if tick.is_some() => self.on_tick().await,
            };
            let step = match step {
                Ok(()) => self.settle().await,
                failed => failed,
            };
            if let Err(error) = step {
                return Err(error.into_problem(&self.journal_path));
            }
            self.publish();
        }
        Ok(())
    }

    fn on_word(&mut self, word: Word) {
        match word {
            Word::Connected {
                outbox,
                lease,
                sent_at,
            } => {
                self.lease.resize(lease);
                self.heard(sent_at);
                self.outbox = Some(outbox);
                for held in self.held.values_mut() {
                    held.said = None;
                }
            }
            Word::Disconnected => self.outbox = None,
            Word::Assigned(assignment) => self.on_assigned(assignment),
            Word::Acknowledged { attempt, stage } => {
                if let Some(held) = self.held.get_mut(&attempt) {
                    held.attempt.acknowledge(stage);
                }
            }
            Word::Heard { sent_at } => self.heard(sent_at),
            Word::Happened { attempt, step } => self.on_happened(attempt, step),
            Word::Expelled => {
                self.desired = None;
                self.stop_all(EndReason::Cancelled);
                let (nobody, _) = oneshot::channel();
                self.ending.get_or_insert(nobody);
            }
        }
    }

    fn stop_all(&mut self, reason: EndReason) {
        let live: Vec<(AttemptId, Span)> = self
            .held
            .iter()
            .filter(|(_, held)| held.seen() == Seen::Live)
            .map(|(attempt, held)| (*attempt, held.spec.grace))
            .collect();
        for (attempt, grace) in live {
            tracing::info!(%attempt, %reason, "the attempt is ended");
            self.stop(attempt, reason, grace);
        }
    }

    fn heard(&mut self, sent_at: Duration) {
        self.lease.renew(sent_at);
        if self.held.values().any(|held| held.seen().may_run()) {
            self.lease_file.write(&self.lease);
        }
    }

    fn on_assigned(&mut self, assignment: Assignment) {
        let resumed = Desired::resumed(self.journaled_generation);
        match self
            .desired
            .as_ref()
            .unwrap_or(&resumed)
            .replaced_by(assignment)
        {
            Ok(desired) => self.desired = Some(desired),
            Err(refused) => tracing::warn!(%refused, "an assignment is refused"),
        }
    }

    fn on_happened(&mut self, attempt: AttemptId, step: Step) {
        let Some(held) = self.held.get_mut(&attempt) else {
            return;
        };
        match held.attempt.after(step) {
            Ok(after) => held.attempt = after,
            Err(illegal) => {
                tracing::error!(%attempt, %illegal, "an attempt took an impossible step")
            }
        }
    }

    /// Does what there is to do until nothing is, and says what is new.
    async fn settle(&mut self) -> Result<(), JournalError> {
        for _ in 0..MAX_ROUNDS {
            let Some(desired) = &self.desired else {
                break;
            };
            let observed: Observed = self
                .held
                .iter()
                .map(|(attempt, held)| (*attempt, held.seen()))
                .collect();
            let actions = reconcile(desired, &observed);
            if actions.is_empty() {
                break;
            }
            self.perform(&actions).await?;
        }
        self.say();
        self.end_if_over();
        Ok(())
    }

    async fn perform(&mut self, actions: &[Action]) -> Result<(), JournalError> {
        let mut accepted = Vec::new();
        let mut forgotten = Vec::new();
        for action in actions {
            match *action {
                Action::Accept { attempt } => accepted.push(attempt),
                Action::Launch { attempt } => self.launch(attempt),
                Action::Stop {
                    attempt,
                    reason,
                    grace,
                } => self.stop(attempt, reason, grace),
                Action::EndUnstarted { attempt, reason } => self.end_unstarted(attempt, reason),
                Action::Lose { attempt } => self.lose(attempt),
                Action::Forget { attempt } => forgotten.push(attempt),
            }
        }
        if !forgotten.is_empty() {
            self.forget(forgotten).await?;
        }
        if !accepted.is_empty() {
            self.accept(accepted).await?;
        }
        Ok(())
    }

    async fn accept(&mut self, attempts: Vec<AttemptId>) -> Result<(), JournalError> {
        let Some(desired) = &self.desired else {
            return Ok(());
        };
        let generation = desired.generation();
        let rows: Vec<(AttemptId, AttemptSpec)> = desired
            .attempts()
            .filter(|assigned| attempts.contains(&assigned.attempt))
            .map(|assigned| (assigned.attempt, assigned.spec.clone()))
            .collect();
        let journal = Arc::clone(&self.journal);
        let rows = blocking(move || {
            journal.accept(generation, &rows)?;
            Ok(rows)
        })
        .await?;
        self.journaled_generation = generation;
        for (attempt, spec) in rows {
            let held = Held::new(Arc::new(spec), Attempt::accepted(), true);
            self.held.insert(attempt, held);
        }
        Ok(())
    }

    fn launch(&mut self, attempt: AttemptId) {
        let lending = match self.pause {
            None => Lending::Open,
            Some(_) => Lending::Paused,
        };
        let Some(held) = self.held.get(&attempt) else {
            return;
        };
        let spec = Arc::clone(&held.spec);
        match admit(&spec, self.machine.isolation.level, lending) {
            Ok(()) => {
                let performing = self.work(attempt, spec).launch();
                if let Some(held) = self.held.get_mut(&attempt) {
                    held.performing = Some(performing);
                }
                self.lease_file.write(&self.lease);
            }
            Err(refusal) => self.end_without_run(attempt, refusal.reason, &refusal.detail),
        }
    }

    fn stop(&mut self, attempt: AttemptId, reason: EndReason, grace: Span) {
        if let Some(held) = self.held.get_mut(&attempt) {
            held.stopping = Some(reason);
            if let Some(performing) = &held.performing {
                performing.stop(Stop { reason, grace });
            }
        }
    }

    fn end_unstarted(&mut self, attempt: AttemptId, reason: EndReason) {
        if !self.held.contains_key(&attempt) {
            let wanted = self.desired.iter().flat_map(Desired::attempts);
            let Some(spec) = wanted
                .filter(|assigned| assigned.attempt == attempt)
                .map(|assigned| Arc::new(assigned.spec.clone()))
                .next()
            else {
                return;
            };
            // Not worth a line in the journal: if it is forgotten, it is just ended again.
            self.held
                .insert(attempt, Held::new(spec, Attempt::accepted(), false));
        }
        self.end_without_run(attempt, reason, "it ended before it began");
    }

    /// Ends an attempt of which nothing ever ran, the way every other ends: its empty log is told, too.
    fn end_without_run(&mut self, attempt: AttemptId, reason: EndReason, detail: &str) {
        let Some(spec) = self.held.get(&attempt).map(|held| Arc::clone(&held.spec)) else {
            return;
        };
        let step = Step::End {
            at: clock::now(),
            outcome: *never_ran(reason, detail),
            files: false,
        };
        self.on_happened(attempt, step);
        let performing = self.work(attempt, spec).ship_nothing();
        if let Some(held) = self.held.get_mut(&attempt) {
            held.performing = Some(performing);
        }
    }

    fn lose(&mut self, attempt: AttemptId) {
        let wanted = self.desired.iter().flat_map(Desired::attempts);
        let spec = wanted
            .filter(|assigned| assigned.attempt == attempt)
            .map(|assigned| Arc::new(assigned.spec.clone()))
            .next();
        if let Some(spec) = spec {
            let journaled = self.held.get(&attempt).is_some_and(|held| held.journaled);
            self.held
                .insert(attempt, Held::new(spec, Attempt::gone(), journaled));
        }
    }

    async fn forget(&mut self, attempts: Vec<AttemptId>) -> Result<(), JournalError> {
        let mut journaled = Vec::new();
        for attempt in attempts {
            if let Some(held) = self.held.remove(&attempt) {
                if held.journaled {
                    journaled.push(attempt);
                }
                drop(held.performing);
                remove(self.machine.folder.attempt(attempt));
            }
        }
        if journaled.is_empty() {
            return Ok(());
        }
        let journal = Arc::clone(&self.journal);
        blocking(move || journal.forget(&journaled)).await
    }

    /// Says everything that was not yet said over this connection.
    fn say(&mut self) {
        let Some(outbox) = &self.outbox else {
            return;
        };
        for (attempt, held) in &mut self.held {
            for report in held.attempt.unacknowledged() {
                let stage = report.stage();
                if Some(stage) <= held.said {
                    continue;
                }
                let message = AgentMessage::Attempt {
                    attempt: *attempt,
                    report,
                };
                if outbox.try_send(message).is_err() {
                    // A session that does not send has lost its connection; the next one says it all again.
                    self.outbox = None;
                    return;
                }
                held.said = Some(stage);
            }
        }
    }

    /// Returns how long to wait for the clock; `None` while nothing depends on it.
    fn next_tick(&self) -> Option<Duration> {
        let lease = self
            .held
            .values()
            .any(|held| held.seen().may_run())
            .then(|| self.lease.left(clock::since_boot()));
        let pause = self
            .pause
            .as_ref()
            .and_then(|pause| pause.until)
            .map(|until| until.since(clock::now()));
        let farewell = self.ending.as_ref().map(|_| FAREWELL);
        let least = Duration::from_millis(10);
        [lease, pause, farewell]
            .into_iter()
            .flatten()
            .min()
            .map(|wait| wait.clamp(least, TICK))
    }

    async fn on_tick(&mut self) -> Result<(), JournalError> {
        if self.lease.is_over(clock::since_boot()) {
            self.stop_all(EndReason::MachineLost);
        }
        let over = |pause: &Pause| pause.until.is_some_and(|until| until <= clock::now());
        if self.pause.as_ref().is_some_and(over) {
            self.set_pause(None).await?;
        }
        if self.ending.is_some() && !self.anything_runs() {
            self.end();
        }
        Ok(())
    }

    async fn set_pause(&mut self, pause: Option<Pause>) -> Result<(), JournalError> {
        let journal = Arc::clone(&self.journal);
        let written = pause.clone();
        blocking(move || journal.pause(written.as_ref())).await?;
        self.pause = pause;
        Ok(())
    }

    async fn on_asked(&mut self, asked: Asked) -> Result<(), JournalError> {
        let Asked { request, reply } = asked;
        let answer = match request {
            ControlRequest::Status => ControlAnswer::Status(Box::new(self.status())),
            ControlRequest::Pause { span } => {
                let until = span.map(|span| clock::now().saturating_add(span.as_duration()));
                self.set_pause(Some(Pause { until })).await?;
                ControlAnswer::Paused(self.pause.clone())
            }
            ControlRequest::Resume => {
                self.set_pause(None).await?;
                ControlAnswer::Paused(None)
            }
            ControlRequest::Stop { end_jobs: true } if self.anything_runs() => {
                self.stop_all(EndReason::MachineOwner);
                self.ending = Some(reply);
                return Ok(());
            }
            ControlRequest::Stop { .. } => {
                self.ending = Some(reply);
                self.end();
                return Ok(());
            }
        };
        // Whoever asked may have gone away.
        drop(reply.send(answer));
        Ok(())
    }

    fn anything_runs(&self) -> bool {
        self.held.values().any(|held| held.seen().may_run())
    }

    /// Ends the agent once everything that was to end has ended and said so.
    fn end_if_over(&mut self) {
        let said = self.outbox.is_none()
            || self
                .held
                .values()
                .all(|held| held.attempt.unacknowledged().is_empty());
        if self.ending.is_some() && !self.anything_runs() && said {
            self.end();
        }
    }

    fn end(&mut self) {
        let running = self
            .held
            .values()
            .filter(|held| held.seen().may_run())
            .count();
        if let Some(reply) = self.ending.take() {
            let jobs_left = u32::try_from(running).unwrap_or(u32::MAX);
            drop(reply.send(ControlAnswer::Stopping { jobs_left }));
        }
        self.stopping.cancel();
    }

    /// Tells everybody who watches.
    fn publish(&self) {
        let mut held = Allocation::default();
        for one in self.held.values().filter(|one| !one.attempt.has_ended()) {
            held = held.checked_add(&one.spec.allocation).unwrap_or(held);
        }
        let standing = Standing {
            generation: self
                .desired
                .as_ref()
                .map_or(self.journaled_generation, Desired::generation),
            pause: self.pause.clone(),
            held,
            attempts: self.held.keys().copied().collect(),
        };
        self.standing.send_if_modified(|before| {
            let changed = *before != standing;
            *before = standing;
            changed
        });
    }

    fn started_at(held: &Held) -> Option<Timestamp> {
        match held.attempt.phase() {
            Phase::Running { at } => Some(*at),
            _ => None,
        }
    }
}

/// Does what may wait for the disk away from the runtime's threads.
async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    match tokio::task::spawn_blocking(task).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Deletes an attempt's folder, in its own time.
fn remove(folder: PathBuf) {
    tokio::task::spawn_blocking(move || {
        if let Err(error) = scrap::remove(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "an attempt's folder cannot be removed");
        }
    });
}
