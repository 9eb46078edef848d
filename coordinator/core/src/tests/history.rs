//! Random histories: whatever is asked in whatever order, the invariants hold after each command.

mod data;
mod jobs;
mod placements;
mod rules;

pub(super) use self::placements::check_preemptions;

use common::{
    api::org::{OrgAnswer, OrgRequest},
    id::UserId,
    job::JobSpec,
    limits::Limits,
    machine::MachineReport,
    org::departure::DeparturePreview,
    project::Grantee,
    resources::GpuRequest,
    status::{Access, EndReason, IsolationLevel, MinIsolation, Priority, Role},
    time::Span,
    units::Bytes,
    wire::agent::AttemptReport,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use self::{
    data::{DataStep, data_step},
    jobs::{JobShape, JobStep, JobWait, job_shape, job_step, job_wait},
    placements::check_placements,
    rules::{needing, retrying, ruled},
};
use super::{
    departure, invariants,
    world::{ALICE, BOB, CAROL, ORG, World, array, capacity, machine_id, name, outcome, report},
};
use crate::{Actor, Body, Event};

/// Machines, and each one's name.
const MACHINES: [(u8, &str); 3] = [(10, "ten"), (11, "eleven"), (12, "twelve")];

#[derive(Debug, Clone)]
enum Step {
    Register(usize, usize),
    Remove(usize),
    Connect {
        machine: usize,
        cpus: u32,
        weak: bool,
        paused: bool,
        forgets: bool,
        /// Bits of what the machine can and its owner allows.
        rules: u8,
    },
    Disconnect(usize),
    Expire(usize),
    /// All that it runs ends by its own making.
    Breaks(usize),
    Readmit {
        machine: usize,
        by: usize,
    },
    Submit {
        owner: usize,
        tasks: u32,
        cpus: u32,
        parallel: Option<u32>,
        priority: usize,
        /// Bits of after what it is tried again.
        retries: u8,
        /// Bits of what it needs, and the gibibytes of a share of a GPU, 0 for a whole one.
        needs: u8,
        gpu: Option<u64>,
        waits: JobWait,
        shape: JobShape,
    },
    Cancel {
        number: u64,
        task: Option<u32>,
    },
    Jobs(JobStep),
    Limits {
        concurrent: Option<u32>,
        memory: Option<u64>,
        isolation: Option<usize>,
    },
    Report {
        attempt: Index,
        what: usize,
        log: u64,
    },
    CompleteLog(Index),
    RemoveMember(usize),
    Rejoin(usize),
    Schedule(u32),
    Wake(u32),
    Wait(u64),
    Data(DataStep),
}

fn step() -> impl Strategy<Value = Step> {
    let machine = 0..MACHINES.len();
    prop_oneof![
        2 => (machine.clone(), 0..3usize).prop_map(|(m, o)| Step::Register(m, o)),
        1 => machine.clone().prop_map(Step::Remove),
        4 => (machine.clone(), 1..6u32, prop::bool::weighted(0.2), prop::bool::weighted(0.2), any::<bool>(), any::<u8>())
            .prop_map(|(machine, cpus, weak, paused, forgets, rules)| Step::Connect { machine, cpus, weak, paused, forgets, rules }),
        2 => machine.clone().prop_map(Step::Disconnect),
        2 => machine.clone().prop_map(Step::Expire),
        4 => machine.clone().prop_map(Step::Breaks),
        1 => (machine, 0..3usize).prop_map(|(machine, by)| Step::Readmit { machine, by }),
        5 => (0..3usize, 1..5u32, 1..4u32, prop::option::of(1..3u32), 0..3usize, any::<u8>(), any::<u8>(), prop::option::of(0..20u64), (job_wait(), job_shape()))
            .prop_map(|(owner, tasks, cpus, parallel, priority, retries, needs, gpu, (waits, shape))| Step::Submit { owner, tasks, cpus, parallel, priority, retries, needs, gpu, waits, shape }),
        2 => (1..8u64, prop::option::of(0..4u32)).prop_map(|(number, task)| Step::Cancel { number, task }),
        4 => job_step().prop_map(Step::Jobs),
        2 => (prop::option::of(1..4u32), prop::option::of(1..3u64), prop::option::weighted(0.3, 0..4usize))
            .prop_map(|(concurrent, memory, isolation)| Step::Limits { concurrent, memory, isolation }),
        9 => (any::<Index>(), 0..16usize, 0..2u64).prop_map(|(attempt, what, log)| Step::Report { attempt, what, log }),
        2 => any::<Index>().prop_map(Step::CompleteLog),
        1 => (1..3usize).prop_map(Step::RemoveMember),
        1 => (1..3usize).prop_map(Step::Rejoin),
        5 => (1..9u32).prop_map(Step::Schedule),
        3 => (0..4u32).prop_map(Step::Wake),
        2 => (1..4000u64).prop_map(Step::Wait),
        9 => data_step().prop_map(Step::Data),
    ]
}

/// The three members, under whatever id they have now.
struct People {
    users: [UserId; 3],
    handles: [String; 3],
}

fn take(world: &mut World, people: &mut People, submitted: &mut u8, step: &Step) -> Vec<Event> {
    let machine = |index: usize| Actor::Machine(machine_id(MACHINES[index].0));
    let result = match step {
        Step::Register(index, owner) => {
            let (number, called) = MACHINES[*index];
            if world.state.machines.contains_key(&machine_id(number)) {
                return Vec::new();
            }
            let registered = world.register(number, people.users[*owner], called);
            let approve = Body::ApproveMachine {
                org: ORG,
                name: name(called),
            };
            registered.and_then(|_| world.user_does(ALICE, approve))
        }
        Step::Remove(index) => {
            let body = Body::RemoveMachine {
                org: ORG,
                name: name(MACHINES[*index].1),
            };
            world.user_does(ALICE, body)
        }
        Step::Connect {
            machine: index,
            cpus,
            weak,
            paused,
            forgets,
            rules,
        } => {
            let mut report: MachineReport = ruled(*cpus, *rules);
            if *weak {
                report.isolation.level = IsolationLevel::D;
            }
            report.paused = paused.then_some(common::machine::Pause {
                until: None,
                reason: String::new(),
                by: common::machine::PausedBy::Command,
            });
            let id = machine_id(MACHINES[*index].0);
            let used = world.state.index.machines.get(&id);
            let known = used
                .filter(|_| !forgets)
                .map(|used| used.desired.iter().copied().collect());
            let attempts = known.unwrap_or_default();
            world.run(machine(*index), Body::ConnectMachine { report, attempts })
        }
        Step::Disconnect(index) => {
            let machine = machine_id(MACHINES[*index].0);
            world.run(Actor::System, Body::DisconnectMachine { machine })
        }
        Step::Expire(index) => {
            let machine = machine_id(MACHINES[*index].0);
            world.run(Actor::System, Body::ExpireLease { machine })
        }
        Step::Breaks(index) => {
            let used = world
                .state
                .index
                .machines
                .get(&machine_id(MACHINES[*index].0));
            let live: Vec<_> = used.map_or(Vec::new(), |used| used.live.iter().copied().collect());
            let broken = outcome(EndReason::RefusedByMachine, None);
            Ok(live
                .into_iter()
                .flat_map(|id| world.end(id, broken.clone()))
                .collect())
        }
        Step::Readmit { machine, by } => {
            let name = name(MACHINES[*machine].1);
            world.user_does(people.users[*by], Body::ReadmitMachine { org: ORG, name })
        }
        Step::Submit {
            owner,
            tasks,
            cpus,
            parallel,
            priority,
            retries,
            needs,
            gpu,
            waits,
            shape,
        } => {
            *submitted += 1;
            let mut spec = JobSpec {
                priority: Priority::ALL[*priority],
                array: array(*tasks, *parallel).array,
                retries: retrying(*retries),
                ..waits.put_into(needing(*cpus, *needs))
            };
            spec = shape.put_into(spec);
            spec.request.gpu = gpu.map(|share| GpuRequest {
                count: 1,
                model: None,
                memory: (share > 0).then(|| Bytes::gib(share)),
                share: share > 0,
                memory_most: None,
            });
            world.submit(people.users[*owner], *submitted, spec)
        }
        Step::Cancel { number, task } => world.cancel(ALICE, *number, *task),
        Step::Jobs(step) => jobs::take(world, &people.users, submitted, step),
        Step::Limits {
            concurrent,
            memory,
            isolation,
        } => {
            let limits = Limits {
                min_isolation: isolation.map(|index| MinIsolation::ALL[index]),
                max_concurrent_jobs_per_user: *concurrent,
                max_job_memory: memory.map(|gib| Bytes::gib(gib).max(Bytes::mib(900))),
                ..Limits::default()
            };
            let limits = Box::new(limits);
            world.user_does(ALICE, Body::ApplyLimits { org: ORG, limits })
        }
        Step::Report { attempt, what, log } => {
            let all: Vec<_> = world.state.attempts.keys().copied().collect();
            if all.is_empty() {
                return Vec::new();
            }
            let ended = |reason, code, artifacts| {
                let mut outcome = outcome(reason, code);
                outcome.log_bytes = *log;
                AttemptReport::Ended {
                    at: world.now,
                    outcome,
                    artifacts,
                }
            };
            let report = match what {
                0 => AttemptReport::Preparing,
                1 => AttemptReport::Started { at: world.now },
                2 => ended(EndReason::Exited, Some(0), true),
                3 => ended(EndReason::Exited, Some(1), false),
                4 => ended(EndReason::MachineOwner, None, *log > 0),
                5 => ended(EndReason::Cancelled, None, true),
                8 => ended(EndReason::OutOfMemory, None, false),
                11 => AttemptReport::Returned,
                12..=14 => {
                    let mut outcome = outcome(EndReason::Exited, Some(0));
                    outcome.usage.wall = Span::from_millis(10 * *log);
                    let (at, artifacts) = (world.now, false);
                    AttemptReport::Ended {
                        at,
                        outcome,
                        artifacts,
                    }
                }
                9 => ended(EndReason::PrepareFailed, None, false),
                10 => ended(EndReason::Signalled, None, false),
                15 => ended(EndReason::PeerEnded, None, false),
                6 => AttemptReport::Artifacts {
                    tree: super::world::tree(1),
                },
                _ => AttemptReport::ArtifactsLost,
            };
            world.report(all[attempt.index(all.len())], report)
        }
        Step::CompleteLog(attempt) => {
            let all: Vec<_> = world.state.attempts.keys().copied().collect();
            if all.is_empty() {
                return Vec::new();
            }
            let attempt = all[attempt.index(all.len())];
            world.run(Actor::System, Body::CompleteLog { attempt })
        }
        Step::RemoveMember(index) => {
            let body = Body::RemoveMember {
                org: ORG,
                handle: name(&people.handles[*index]),
            };
            world.user_does(ALICE, body)
        }
        Step::Rejoin(index) => {
            if world
                .state
                .members
                .contains_key(&(ORG, people.users[*index]))
            {
                return Vec::new();
            }
            let number = world.mint();
            people.users[*index] = super::world::user(number);
            people.handles[*index] = format!("user-{number}");
            world.join(number, &people.handles[*index].clone(), Role::Member);
            Ok(Vec::new())
        }
        Step::Data(step) => {
            *submitted += 1;
            data::take(world, &people.users, *submitted, step)
        }
        Step::Schedule(most) => world.run(Actor::System, Body::Schedule { most: *most }),
        Step::Wake(most) => world.run(Actor::System, Body::Wake { most: *most }),
        Step::Wait(seconds) => {
            world.wait(*seconds);
            Ok(Vec::new())
        }
    };
    result.unwrap_or_default()
}

/// Returns who is about to be removed, where they are a member, and what is shown of it.
fn shown_before(
    world: &World,
    people: &People,
    index: usize,
) -> Option<(UserId, Box<DeparturePreview>)> {
    let handle = name(&people.handles[index]);
    let question = OrgRequest::PreviewRemoval { org: ORG, handle };
    match departure::ask(world, ALICE, question) {
        Ok(OrgAnswer::Departure(shown)) => Some((people.users[index], shown)),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_in_every_history(quick in any::<bool>(), steps in vec(step(), 1..60)) {
        let mut world = World::new();
        let mut people = People {
            users: [ALICE, BOB, CAROL],
            handles: ["alice", "bob", "carol"].map(str::to_owned),
        };
        let mut submitted = 100;
        // A pool that works, so that histories are about more than getting there.
        world.project(ALICE, 1, rules::PROJECT);
        world.grant(ALICE, rules::PROJECT, Grantee::Everyone, Access::Contribute).unwrap();
        world.machine(10, BOB, "ten", report(capacity(4, 8)));
        world.machine(11, CAROL, "eleven", report(capacity(3, 8)));
        if quick {
            jobs::begin_quick(&mut world);
        }
        for step in &steps {
            let before = world.clone();
            let goes = match step {
                Step::RemoveMember(index) => shown_before(&world, &people, *index),
                _ => None,
            };
            let unblocked = invariants::unblocked(&world);
            let events = take(&mut world, &mut people, &mut submitted, step);
            check_placements(&before, &world, &events);
            check_preemptions(&before, &events);
            if let Some((who, shown)) = goes {
                departure::check_went(&before.state, &world.state, world.now, who, &shown);
            }
            invariants::check(&world);
            if let (Step::Schedule(_), Some(job), true) = (step, unblocked, before.state.schedule_due()) {
                let placed = events.iter().any(|event| matches!(event, Event::AttemptPlaced { attempt, .. } if attempt.job == job));
                // Where priorities rise, the next pass places.
                let rose = events.iter().any(|event| matches!(event, Event::JobRaised { .. }));
                prop_assert!(placed || rose, "nothing was in the way of {job} and yet it was not placed");
            }
        }
        world.schedule();
        invariants::check(&world);
        invariants::check_waiting_is_explained(&world);
    }
}
