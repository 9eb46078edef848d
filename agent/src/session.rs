//! One connection to the coordinator: greeting, then reports and heartbeats up, assignments and
//! acknowledgements down. Decides nothing; what comes is passed to the keeper.

use std::{sync::Arc, time::Duration};

use certs::{Identity, PrivateKey};
use common::{
    code::Code,
    machine::{MachineLoad, MachineReport},
    problem::Problem,
    time::Span,
    usage::SAMPLE_PERIOD_MS,
    wire::{
        Hello, PROTOCOL,
        agent::{AgentHello, AgentMessage, CoordinatorHello, CoordinatorMessage},
    },
};
use link::frames::{FrameReceiver, FrameSender, split};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};

use crate::{
    clock,
    keeper::{KeeperHandle, OUTBOX, Word},
    machine::{Machine, Standing, is_news, local_problem},
};

/// Longest wait for the coordinator's greeting.
const GREETING: Duration = Duration::from_secs(10);
/// Bounds on how often the coordinator may ask to hear of us.
const HEARTBEATS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How often temperature and use of GPUs are told, though nothing else changed.
const REFRESH: Duration = Duration::from_secs(60);
/// Between two messages about what attempts use.
const USAGE_PERIOD: Duration = Duration::from_millis(SAMPLE_PERIOD_MS);
/// How long a look at the machine may hold up a heartbeat.
const LOOK: Duration = Duration::from_secs(2);
/// How long to leave a refused renewal alone.
const RENEW_AGAIN: Duration = Duration::from_secs(3600);
/// Heartbeats without an answer that are remembered.
const MAX_UNANSWERED: usize = 64;

/// What a session is held with.
pub(crate) struct Session<'a> {
    pub(crate) machine: &'a Arc<Machine>,
    pub(crate) keeper: &'a KeeperHandle,
    pub(crate) connection: &'a quinn::Connection,
    pub(crate) identity: &'a Identity,
}

/// The state of one conversation.
struct Conversation<'a> {
    machine: &'a Arc<Machine>,
    keeper: &'a KeeperHandle,
    standing: watch::Receiver<Standing>,
    tx: FrameSender,
    /// What the coordinator knows of the machine, and since when.
    told: (MachineReport, Instant),
    told_standing: Standing,
    sequence: u64,
    /// Heartbeats on their way, with the moment each was sent.
    unanswered: std::collections::VecDeque<(u64, Duration)>,
    renewal: Renewal,
}

/// The certificate's renewal.
struct Renewal {
    due: common::time::Timestamp,
    /// The fresh key that a certificate was asked for.
    pending: Option<PrivateKey>,
    not_before: Instant,
}

impl Session<'_> {
    /// Greets, then talks until the connection ends. `greeted` is called once the coordinator has taken the
    /// machine in.
    ///
    /// # Errors
    /// Why it ended; there is no other end.
    pub(crate) async fn hold(
        &self,
        greeted: impl FnOnce(),
    ) -> Result<std::convert::Infallible, Problem> {
        let opened = self.connection.open_bi().await;
        let (mut tx, mut rx) = split(opened.map_err(|error| link::close_problem(&error))?);
        let standing = self.keeper.standing();
        let now = standing.borrow().clone();
        let sample = self.look(&now).await;
        let report = self.machine.report(&sample, &now);
        let sent_at = clock::since_boot();
        tx.send(&AgentHello {
            hello: Hello::ours(),
            report: report.clone(),
            generation: now.generation,
            attempts: now.attempts.clone(),
        })
        .await?;
        let greeting = timeout(GREETING, rx.expect::<CoordinatorHello>()).await;
        let greeting = greeting.map_err(|_| {
            Problem::new(
                Code::Unreachable,
                "cannot talk to the coordinator",
                "it did not greet in time",
            )
        })??;
        if greeting.hello.protocol.common(PROTOCOL).is_none() {
            let why = format!("it is version {}", greeting.hello.build);
            return Err(Problem::new(
                Code::Version,
                "the coordinator speaks no version of the protocol that this agent knows",
                why,
            ));
        }
        let (outbox, reports) = mpsc::channel(OUTBOX);
        self.keeper
            .tell(Word::Connected {
                outbox,
                lease: greeting.lease.as_duration(),
                sent_at,
            })
            .await;
        self.machine.peers.greeted(greeting.now);
        greeted();
        let mut conversation = Conversation {
            machine: self.machine,
            keeper: self.keeper,
            standing,
            tx,
            told: (report, Instant::now()),
            told_standing: now,
            sequence: 0,
            unanswered: std::collections::VecDeque::new(),
            renewal: Renewal {
                due: self.identity.renew_at(),
                pending: None,
                not_before: Instant::now(),
            },
        };
        conversation
            .talk(&mut rx, reports, greeting.heartbeat)
            .await
    }

    async fn look(&self, standing: &Standing) -> crate::probe::Sample {
        let look = timeout(LOOK, self.machine.look(standing.held.clone())).await;
        look.ok().flatten().unwrap_or_else(|| self.machine.seen())
    }
}

impl Conversation<'_> {
    async fn talk(
        &mut self,
        rx: &mut FrameReceiver,
        mut reports: mpsc::Receiver<AgentMessage>,
        heartbeat: Span,
    ) -> Result<std::convert::Infallible, Problem> {
        let period = heartbeat.as_duration().clamp(HEARTBEATS.0, HEARTBEATS.1);
        let mut beat = interval_at(Instant::now() + period, period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut usage = self.machine.usage_news();
        let mut door = self.machine.peers.door();
        // Said once, whatever it is.
        door.mark_changed();
        // Nothing runs, nothing is due.
        let mut usage_due: Option<Instant> = None;
        let mut usage_sent = Instant::now();
        loop {
            tokio::select! {
                message = rx.recv::<CoordinatorMessage>() => match message? {
                    Some(message) => self.on_message(message).await?,
                    None => return Err(Problem::new(
                        Code::Unreachable,
                        "cannot talk to the coordinator",
                        "it ended the conversation",
                    )),
                },
                report = reports.recv() => match report {
                    Some(report) => self.tx.send(&report).await?,
                    None => return Err(Problem::new(
                        Code::Cancelled,
                        "cannot talk to the coordinator",
                        "the agent gave the connection up",
                    )),
                },
                _ = beat.tick() => self.heartbeat().await?,
                Ok(()) = door.changed() => {
                    let door = door.borrow_and_update().clone();
                    self.tx.send(&AgentMessage::Door(door)).await?;
                }
                Ok(()) = usage.changed(), if usage_due.is_none() => {
                    usage_due = Some(usage_sent + USAGE_PERIOD);
                }
                () = sleep_until(usage_due.unwrap_or(usage_sent)), if usage_due.is_some() => {
                    usage_due = None;
                    usage_sent = Instant::now();
                    usage.mark_unchanged();
                    let samples = self.machine.usage();
                    self.tx.send(&AgentMessage::Usage { samples }).await?;
                }
                changed = self.standing.changed() => {
                    if changed.is_err() {
                        return Err(Problem::new(Code::Cancelled, "cannot go on", "the agent ends"));
                    }
                    if self.standing.borrow_and_update().is_urgent_after(&self.told_standing) {
                        self.heartbeat().await?;
                    }
                }
            }
        }
    }

    async fn on_message(&mut self, message: CoordinatorMessage) -> Result<(), Problem> {
        match message {
            CoordinatorMessage::Assignment(assignment) => {
                self.keeper.tell(Word::Assigned(assignment)).await;
            }
            CoordinatorMessage::Update(update) => {
                self.keeper.tell(Word::Updated(update)).await;
            }
            CoordinatorMessage::AttemptAck { attempt, stage } => {
                let acks = vec![(attempt, stage)];
                self.keeper.tell(Word::Acknowledged(acks)).await;
            }
            CoordinatorMessage::AttemptAcks { acks } => {
                self.keeper.tell(Word::Acknowledged(acks)).await;
            }
            CoordinatorMessage::HeartbeatAck { sequence } => {
                let mut answered = None;
                while self
                    .unanswered
                    .front()
                    .is_some_and(|(sent, _)| *sent <= sequence)
                {
                    answered = self.unanswered.pop_front();
                }
                if let Some((_, sent_at)) = answered.filter(|(sent, _)| *sent == sequence) {
                    self.keeper.tell(Word::Heard { sent_at }).await;
                }
            }
            CoordinatorMessage::Certificate { chain } => self.on_certificate(chain),
            CoordinatorMessage::Refused(problem) => {
                if self.renewal.pending.take().is_none() {
                    return Err(problem);
                }
                tracing::warn!(%problem, "the certificate was not renewed");
                self.renewal.not_before = Instant::now() + RENEW_AGAIN;
            }
        }
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<(), Problem> {
        let standing = self.standing.borrow_and_update().clone();
        let look = timeout(LOOK, self.machine.look(standing.held.clone())).await;
        let sample = look.ok().flatten().unwrap_or_else(|| self.machine.seen());
        let report = self.machine.report(&sample, &standing);
        let stale = self.told.1.elapsed() >= REFRESH && report != self.told.0;
        let news = is_news(&self.told.0, &report) || stale;
        self.told_standing = standing;
        self.sequence += 1;
        if self.unanswered.len() == MAX_UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered
            .push_back((self.sequence, clock::since_boot()));
        let message = AgentMessage::Heartbeat {
            sequence: self.sequence,
            load: MachineLoad {
                peers: self.machine.peers.load(),
                ..sample.load
            },
            report: news.then(|| Box::new(report.clone())),
        };
        self.tx.send(&message).await?;
        if news {
            self.told = (report, Instant::now());
        }
        self.renew_if_due().await
    }

    async fn renew_if_due(&mut self) -> Result<(), Problem> {
        let renewal = &mut self.renewal;
        let due = renewal.due <= clock::now() && Instant::now() >= renewal.not_before;
        if !due || renewal.pending.is_some() {
            return Ok(());
        }
        let what = "the certificate cannot be renewed";
        let key = PrivateKey::generate().map_err(|error| local_problem(what, &error))?;
        let csr = key.request().map_err(|error| local_problem(what, &error))?;
        renewal.pending = Some(key);
        Ok(self.tx.send(&AgentMessage::Renew { csr }).await?)
    }

    /// Keeps the new certificate; the next connection is made with it.
    fn on_certificate(&mut self, chain: Vec<Vec<u8>>) {
        let Some(key) = self.renewal.pending.take() else {
            tracing::warn!("a certificate came that was not asked for");
            return;
        };
        let saved = Identity::new(chain, &key).and_then(|identity| {
            identity.save(&self.machine.folder.identity())?;
            self.machine.peers.identify(&identity);
            Ok(identity.renew_at())
        });
        match saved {
            Ok(due) => {
                tracing::info!("the machine's certificate was renewed");
                self.renewal.due = due;
            }
            Err(error) => {
                tracing::warn!(%error, "the new certificate cannot be kept");
                self.renewal.not_before = Instant::now() + RENEW_AGAIN;
            }
        }
    }
}
