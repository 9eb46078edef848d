//! The one task that knows everything of this machine's attempts: what is wanted, what there is, what was said.
//!
//! Everything that happens comes to it as a [`Word`]; it writes the journal, asks [`reconcile`] what to do, orders
//! it, and says what is new. It never waits for the network or for an attempt.

mod adopt;
mod cached;
mod following;
mod held;
mod owner;
mod perform;
mod status;
mod tell;
mod timing;
mod yielding;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use agent_core::{
    attempt::Step,
    desired::{AssignmentRefused, Desired},
    lease::Lease,
    observed::Observed,
    owner::{Circumstances, Decision},
    reconcile::reconcile,
};
use common::{
    id::{AttemptId, TreeId},
    machine::Pause,
    problem::Problem,
    status::EndReason,
    time::Timestamp,
    wire::agent::{
        AgentMessage, Assignment, AssignmentUpdate, AttemptSpec, ReportStage, WantedTree,
    },
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::held::Held;
use crate::{
    attempts::Work,
    clock,
    control::{Asked, ConnectionState, ControlAnswer},
    freeze_file::FreezeFile,
    journal::{Journal, JournalError, Kept},
    lease_file::LeaseFile,
    machine::{Machine, Standing},
    probe::{Ruled, surroundings::Lookout},
    uplink::Uplink,
};

/// Words that wait for the keeper; who has more to say waits too.
const MAILBOX: usize = 1024;
/// Reports that wait for a session: more than all attempts together have to say at once.
pub(crate) const OUTBOX: usize = 4096;
/// The lease of a machine that has never been given one.
const FIRST_LEASE: Duration = Duration::from_secs(300);
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
    /// As [`Word::Assigned`], where a part of it is known.
    Updated(AssignmentUpdate),
    Acknowledged(Vec<(AttemptId, ReportStage)>),
    /// The coordinator answered what was sent at this moment since boot.
    Heard {
        sent_at: Duration,
    },
    Happened {
        attempt: AttemptId,
        step: Step,
    },
    /// What was accepted cannot be written down.
    Unwritten(JournalError),
    /// A tree that was only to be here is, or why it cannot be.
    Fetched {
        tree: TreeId,
        problem: Option<Problem>,
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
    wanted: watch::Sender<Vec<WantedTree>>,
    connection: watch::Receiver<ConnectionState>,
    started_at: Timestamp,
    /// `None` until the coordinator has spoken: nothing is launched on an old word.
    desired: Option<Desired>,
    /// Whether that came over the connection that there is.
    word_is_present: bool,
    journaled_generation: u64,
    held: BTreeMap<AttemptId, Held>,
    outbox: Option<mpsc::Sender<AgentMessage>>,
    lease: Lease,
    lease_file: Arc<LeaseFile>,
    /// What the owner commanded.
    paused: Option<Pause>,
    paused_gpus: BTreeMap<String, Pause>,
    /// What follows from the owner's rules.
    decision: Decision,
    freeze_file: FreezeFile,
    rules: watch::Receiver<Ruled>,
    circumstances: watch::Receiver<Circumstances>,
    lookout: Lookout,
    /// Nothing new is taken, and the agent ends with the last job.
    draining: bool,
    ending: Option<oneshot::Sender<ControlAnswer>>,
    stopping: CancellationToken,
    /// Removals of folders, which go on for a while.
    clearing: TaskTracker,
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
    pub(crate) standing: watch::Sender<Standing>,
    /// Data that is to be here before a job wants it.
    pub(crate) wanted: watch::Sender<Vec<WantedTree>>,
    pub(crate) lookout: Lookout,
    /// Ends the agent.
    pub(crate) stopping: CancellationToken,
}

impl Keeper {
    /// Takes over what earlier daemons left: attempts that run are watched on, the ends of others are told.
    pub(crate) fn new(parts: KeeperParts) -> (Self, KeeperHandle) {
        let (words, received) = mpsc::channel(MAILBOX);
        let handle = KeeperHandle {
            words,
            standing: parts.standing.subscribe(),
        };
        let Kept {
            generation,
            pause,
            gpu_pauses,
            attempts,
        } = parts.kept;
        let lease_file = LeaseFile::new(parts.machine.folder.lease());
        let lease = lease_file
            .read()
            .unwrap_or_else(|| Lease::new(FIRST_LEASE, clock::since_boot()));
        let freeze_file = FreezeFile::new(parts.machine.folder.frozen());
        let mut keeper = Self {
            journal_path: parts.machine.folder.journal(),
            rules: parts.machine.rules(),
            circumstances: parts.machine.circumstances(),
            lookout: parts.lookout,
            machine: parts.machine,
            uplink: parts.uplink,
            journal: Arc::new(parts.journal),
            handle: handle.clone(),
            words: received,
            asked: parts.asked,
            standing: parts.standing,
            wanted: parts.wanted,
            connection: parts.connection,
            started_at: clock::now(),
            desired: None,
            word_is_present: false,
            journaled_generation: generation,
            held: BTreeMap::new(),
            outbox: None,
            lease,
            lease_file: Arc::new(lease_file),
            paused: pause,
            paused_gpus: gpu_pauses,
            decision: freeze_file.read().map_or_else(Decision::default, |since| {
                Decision::resumed(since, clock::since_boot())
            }),
            freeze_file,
            draining: false,
            ending: None,
            stopping: parts.stopping,
            clearing: TaskTracker::new(),
        };
        for (attempt, spec) in attempts {
            keeper.adopt(attempt, Arc::new(spec));
        }
        keeper.remove_strays();
        keeper.decide();
        keeper.publish();
        (keeper, handle)
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
                    let heard = self.on_word(word);
                    heard.and_then(|()| self.on_words_that_wait())
                }
                Some(asked) = self.asked.recv() => self.on_asked(asked).await,
                Ok(()) = self.circumstances.changed() => {
                    self.decide();
                    Ok(())
                }
                Ok(()) = self.rules.changed() => {
                    self.decide();
                    Ok(())
                }
                () = sleep(tick.unwrap_or_default()), if tick.is_some() => self.on_tick().await,
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
        self.clearing.close();
        self.clearing.wait().await;
        Ok(())
    }

    fn on_word(&mut self, word: Word) -> Result<(), JournalError> {
        match word {
            Word::Connected {
                outbox,
                lease,
                sent_at,
            } => {
                self.lease.resize(lease);
                self.heard(sent_at);
                self.outbox = Some(outbox);
                self.word_is_present = false;
                for held in self.held.values_mut() {
                    held.said = None;
                }
            }
            Word::Disconnected => self.outbox = None,
            Word::Assigned(assignment) => {
                self.on_assigned(|desired| desired.replaced_by(assignment));
            }
            Word::Updated(update) => self.on_assigned(|desired| desired.updated_by(update)),
            Word::Acknowledged(acks) => {
                for (attempt, stage) in acks {
                    if let Some(held) = self.held.get_mut(&attempt) {
                        held.attempt.acknowledge(stage);
                    }
                }
            }
            Word::Heard { sent_at } => self.heard(sent_at),
            Word::Happened { attempt, step } => self.on_happened(attempt, step),
            Word::Unwritten(error) => return Err(error),
            Word::Fetched { tree, problem } => self.say_fetched(tree, problem),
            Word::Expelled => {
                self.desired = None;
                self.stop_all(EndReason::Cancelled);
                let (nobody, _) = oneshot::channel();
                self.ending.get_or_insert(nobody);
            }
        }
        Ok(())
    }

    fn heard(&mut self, sent_at: Duration) {
        self.lease.renew(sent_at);
        if self.held.values().any(|held| held.seen().may_run()) {
            drop(self.note_lease());
        }
    }

    /// Has the lease noted for supervisors, without waiting for that.
    fn note_lease(&self) -> JoinHandle<()> {
        let (file, lease) = (Arc::clone(&self.lease_file), self.lease);
        tokio::task::spawn_blocking(move || file.write(&lease))
    }

    fn on_assigned(&mut self, change: impl FnOnce(&Desired) -> Result<Desired, AssignmentRefused>) {
        let resumed = Desired::resumed(self.journaled_generation);
        match change(self.desired.as_ref().unwrap_or(&resumed)) {
            Ok(desired) => {
                let trees = desired.trees().to_vec();
                let none = |before: &Vec<WantedTree>| before.is_empty() && trees.is_empty();
                if !none(&self.wanted.borrow()) {
                    self.wanted.send_replace(trees);
                }
                self.note_followers(&desired);
                self.desired = Some(desired);
            }
            Err(refused) => {
                tracing::warn!(%refused, "an assignment is refused");
                if refused == AssignmentRefused::Unknown {
                    // All of it is said on the next connection.
                    self.outbox = None;
                }
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
            let mut actions = reconcile(desired, &observed);
            if self.lease.is_over(clock::since_boot()) || self.ending.is_some() {
                // The coordinator's last word does not hold any more; the next one renews the lease, too. And an agent
                // that ends begins nothing: what it gave back may be given to it at once.
                actions.retain(|action| !action.begins());
            }
            actions.retain(|action| self.may_follow(action));
            if actions.is_empty() {
                break;
            }
            self.perform(&actions).await?;
        }
        self.yield_to_owner();
        self.say();
        self.end_if_over();
        Ok(())
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
