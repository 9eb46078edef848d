//! An org whose machines and jobs differ, driven by commands as the engine does it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use common::{
    api::job::SubmitJob,
    id::{AttemptId, IdempotencyKey, JobId, MachineId},
    job::{ArraySpec, AttemptUsage, JobSpec, Outcome},
    limits::Limits,
    resources::{GpuRequest, Request},
    status::{EndReason, Priority},
    time::Timestamp,
    units::{Bytes, MilliCpu},
    wire::agent::AttemptReport,
};
use coordinator_core::{Actor, Body, Command, Event, State, apply, decide};

use super::{
    MOST,
    machines::{MEMBERS, connect, kind},
    people::{ALICE, ORG, enrol, id, invitation, machine, member, name, register, spec},
};

const AT: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
pub(super) struct World {
    state: State,
    machines: u64,
    minted: u64,
    random: u64,
    running: VecDeque<(AttemptId, MachineId)>,
}

/// Of many placements.
pub(super) struct Bulk {
    pub(super) placed: usize,
    pub(super) deciding: Duration,
    pub(super) all: Duration,
}

/// Of single decisions.
pub(super) struct Steady {
    pub(super) placed: usize,
    pub(super) median: Duration,
    pub(super) p99: Duration,
    /// The end, the decision and what both change, on average.
    pub(super) all: Duration,
}

impl World {
    pub(super) fn new(machines: u64) -> Self {
        let mut world = Self {
            state: State::new(),
            machines,
            minted: 1 << 32,
            random: 7,
            running: VecDeque::new(),
        };
        world.must(
            Actor::System,
            Body::CreateOrg {
                org: ORG,
                name: name("lab"),
                owner: ALICE,
                handle: name("alice"),
            },
        );
        let limits = Body::ApplyLimits {
            org: ORG,
            limits: Box::new(Limits {
                max_machines_per_user: Some(u32::MAX),
                max_queued_jobs_per_user: Some(u32::MAX),
                ..Limits::default()
            }),
        };
        world.must(Actor::User(ALICE), limits);
        world.must(
            Actor::User(ALICE),
            invitation(1, u32::try_from(MEMBERS).expect("some hundred")),
        );
        for number in 0..MEMBERS as u64 {
            world.must(Actor::Stranger, enrol(1, number));
        }
        for number in 0..machines {
            world.must(Actor::User(ALICE), register(number));
            let approve = Body::ApproveMachine {
                org: ORG,
                name: name(&format!("box{number}")),
            };
            world.must(Actor::User(ALICE), approve);
            world.must(Actor::Machine(machine(number)), connect(number));
        }
        world
    }

    fn must(&mut self, actor: Actor, body: Body) -> Vec<Event> {
        let (events, _) = self.decide(actor, body);
        self.apply(&events);
        events
    }

    fn decide(&self, actor: Actor, body: Body) -> (Vec<Event>, Duration) {
        let command = Command {
            at: AT,
            actor,
            body,
        };
        let begun = Instant::now();
        let events = decide(&self.state, &command);
        let took = begun.elapsed();
        (events.expect("the command is good"), took)
    }

    fn apply(&mut self, events: &[Event]) {
        for event in events {
            apply(&mut self.state, event);
            if let Event::AttemptPlaced {
                attempt, machine, ..
            } = event
            {
                self.running.push_back((*attempt, *machine));
            }
        }
    }

    /// Returns a number below `most`.
    fn below(&mut self, most: usize) -> usize {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % most as u64).expect("it is below that")
    }

    fn submit(&mut self, owner: u64, spec: JobSpec) {
        self.minted += 1;
        let body = Body::SubmitJob {
            job: JobId::from_bytes(id(self.minted)),
            request: SubmitJob {
                org: ORG,
                spec,
                key: IdempotencyKey::from_bytes(id(self.minted)),
                dry_run: false,
            },
        };
        self.must(Actor::User(member(owner)), body);
    }

    /// Queues so many jobs of one task each, of some dozen shapes, by all members, of all priorities.
    pub(super) fn queue(&mut self, tasks: u64) {
        for _ in 0..tasks {
            let cpu = [500, 1000, 1000, 2000, 4000, 8000, 16_000][self.below(7)];
            let gib_each = [1, 2, 4][self.below(3)];
            let gpu = match self.below(16) {
                0 => Some((1, None, None)),
                1 => Some((1, Some("rtx-4090"), None)),
                2 => Some((1, None, Some(Bytes::gib(8)))),
                _ => None,
            };
            let gpu = gpu.map(|(count, model, memory)| GpuRequest {
                count,
                model: model.map(str::to_owned),
                memory,
                share: memory.is_some(),
                memory_most: None,
            });
            let request = Request {
                cpu: MilliCpu(cpu),
                memory: Bytes::mib(u64::from(cpu) * gib_each),
                disk: Bytes::gib(1),
                gpu,
                exclusive: false,
            };
            let priority = match self.below(10) {
                0 => Priority::High,
                1..7 => Priority::Normal,
                _ => Priority::Low,
            };
            let owner = self.below(MEMBERS) as u64;
            let spec = JobSpec {
                request,
                priority,
                ..spec()
            };
            self.submit(owner, spec);
        }
    }

    /// Fills every machine with small tasks.
    pub(super) fn occupy(&mut self) {
        let processors: u64 = (0..self.machines)
            .map(|number| u64::from(kind(number).0))
            .sum();
        let mut left = u32::try_from(processors).expect("some 100,000");
        while left > 0 {
            let tasks = left.min(50_000);
            let spec = JobSpec {
                array: Some(ArraySpec::of(0, tasks - 1, None)),
                ..spec()
            };
            self.submit(0, spec);
            left -= tasks;
        }
        self.place_all(usize::MAX);
    }

    /// Places until nothing more fits, or about so many.
    pub(super) fn place_all(&mut self, most: usize) -> Bulk {
        let (before, begun) = (self.running.len(), Instant::now());
        let mut deciding = Duration::ZERO;
        while self.state.schedule_due() && self.running.len() - before < most {
            deciding += self.pass();
        }
        Bulk {
            placed: self.running.len() - before,
            deciding,
            all: begun.elapsed(),
        }
    }

    fn pass(&mut self) -> Duration {
        let (events, took) = self.decide(Actor::System, Body::Schedule { most: MOST });
        self.apply(&events);
        took
    }

    pub(super) fn end_one_by_one(&mut self, events: usize) -> Steady {
        let (mut times, mut placed) = (Vec::with_capacity(events), 0);
        let mut all = Duration::ZERO;
        for _ in 0..events {
            let begun = Instant::now();
            let place = self.below(self.running.len());
            let (attempt, machine) = self.running.swap_remove_back(place).expect("it is there");
            self.end(attempt, machine);
            let before = self.running.len();
            let mut took = Duration::ZERO;
            while self.state.schedule_due() {
                took += self.pass();
            }
            all += begun.elapsed();
            times.push(took);
            // As many wait and run at the next end.
            let started = self.running.len() - before;
            placed += started;
            self.queue(started as u64);
            if started == 0 {
                self.submit(
                    0,
                    JobSpec {
                        priority: Priority::High,
                        ..spec()
                    },
                );
            }
            self.place_all(usize::MAX);
        }
        let all = all / u32::try_from(events).expect("some thousands");
        times.sort_unstable();
        Steady {
            placed,
            median: times[events / 2],
            p99: times[events * 99 / 100],
            all,
        }
    }

    fn end(&mut self, attempt: AttemptId, machine: MachineId) {
        let report = AttemptReport::Ended {
            at: AT,
            outcome: Outcome {
                reason: EndReason::Exited,
                exit_code: Some(0),
                signal: None,
                detail: None,
                usage: AttemptUsage::default(),
                log_bytes: 0,
            },
            artifacts: false,
        };
        let body = Body::ReportAttempt {
            attempt,
            report,
            artifact_size: None,
        };
        self.must(Actor::Machine(machine), body);
    }
}
