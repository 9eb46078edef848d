//! Steps of random histories that hold and cancel jobs with what waits for them, run them again and submit graphs.

use common::{
    api::{
        job::{CancelJob, GraphJob, HoldJob, RerunJob, SubmitGraph},
        machine::LabelMachine,
    },
    id::{IdempotencyKey, UserId},
    job::{After, ArraySpec, JobNumber, JobSpec, Retries, graph::Need},
    resources::Request,
    status::{Condition, EndReason},
    time::Span,
};
use proptest::{collection::vec, prelude::*};

use super::MACHINES;
use crate::{
    Body, Event, Rejection,
    command::job::JobCommand,
    tests::world::{ALICE, BOB, ORG, World, array, job_id, name, outcome, spec, tree},
};

#[derive(Debug, Clone)]
pub(super) enum JobStep {
    /// What is said of a machine by an admin, by its place in [`LABELS`].
    Label {
        machine: usize,
        set: Option<usize>,
        unset: Option<usize>,
    },
    CancelAll(u64),
    Hold {
        number: u64,
        release: bool,
        dependants: bool,
    },
    Rerun {
        number: u64,
        failed: bool,
        task: Option<u32>,
    },
    /// Each job needs those before it that its bits say.
    Graph {
        owner: usize,
        needs: Vec<(u8, usize)>,
    },
}

/// What machines are said to have.
pub(super) const LABELS: [&str; 3] = ["ssd", "zone=a", "zone=b"];
/// What jobs ask for of that.
const WANTED: [&str; 4] = ["ssd", "!ssd", "zone", "!zone=a"];

/// How a job lies on machines.
#[derive(Debug, Clone)]
pub(super) struct JobShape {
    label: Option<usize>,
    exclusive: bool,
    nodes: Option<u32>,
    checkpoint: bool,
    params: Option<u8>,
}

impl JobShape {
    pub(super) fn put_into(&self, spec: JobSpec) -> JobSpec {
        let labels = self.label.map(|label| WANTED[label].parse().unwrap());
        let array = spec.array.filter(|_| self.nodes.is_none());
        let params = self.params.filter(|_| array.is_some());
        JobSpec {
            labels: labels.into_iter().collect(),
            array,
            params: params.map(tree),
            nodes: self.nodes,
            checkpoint: self.checkpoint.then(|| "USR1:1m".parse().unwrap()),
            retries: Retries {
                memory: spec.retries.memory.filter(|_| self.nodes.is_none()),
                ..spec.retries
            },
            request: Request {
                exclusive: self.exclusive,
                ..spec.request
            },
            ..spec
        }
    }
}

pub(super) fn job_shape() -> impl Strategy<Value = JobShape> {
    let label = prop::option::weighted(0.15, 0..WANTED.len());
    let nodes = prop::option::weighted(0.25, 2..4u32);
    let checkpoint = prop::bool::weighted(0.25);
    // Of few trees, so that a dataset or an artifact may be the same.
    let params = prop::option::weighted(0.15, 1..4u8);
    let exclusive = prop::bool::weighted(0.15);
    let shape = (label, exclusive, nodes, checkpoint, params);
    shape.prop_map(|(label, exclusive, nodes, checkpoint, params)| JobShape {
        label,
        exclusive,
        nodes,
        checkpoint,
        params,
    })
}

/// What keeps a submitted job from the queue.
#[derive(Debug, Clone)]
pub(super) struct JobWait {
    /// Another job, and a condition about it.
    after: Option<(u64, usize)>,
    hold: bool,
}

impl JobWait {
    pub(super) fn put_into(&self, spec: JobSpec) -> JobSpec {
        let after = self.after.map(|(number, condition)| After {
            job: JobNumber(number),
            condition: Condition::ALL[condition],
        });
        JobSpec {
            after: after.into_iter().collect(),
            hold: self.hold,
            ..spec
        }
    }
}

pub(super) fn job_wait() -> impl Strategy<Value = JobWait> {
    let after = prop::option::weighted(0.3, (1..8u64, 0..Condition::ALL.len()));
    (after, prop::bool::weighted(0.1)).prop_map(|(after, hold)| JobWait { after, hold })
}

pub(super) fn job_step() -> impl Strategy<Value = JobStep> {
    let needs = vec((any::<u8>(), 0..Condition::ALL.len()), 1..4);
    prop_oneof![
        1 => (1..8u64).prop_map(JobStep::CancelAll),
        3 => (1..8u64, any::<bool>(), any::<bool>())
            .prop_map(|(number, release, dependants)| JobStep::Hold { number, release, dependants }),
        2 => (1..8u64, any::<bool>(), prop::option::of(0..4u32))
            .prop_map(|(number, failed, task)| JobStep::Rerun { number, failed, task }),
        1 => (0..MACHINES.len(), prop::option::of(0..LABELS.len()), prop::option::of(0..LABELS.len()))
            .prop_map(|(machine, set, unset)| JobStep::Label { machine, set, unset }),
        1 => (0..3usize, needs).prop_map(|(owner, needs)| JobStep::Graph { owner, needs }),
    ]
}

/// Lets a job of short tasks begin, so that some wait behind others.
pub(super) fn begin_quick(world: &mut World) {
    world.submit(BOB, 99, array(12, None)).unwrap();
    let first = world.schedule()[0].0;
    world.start(first);
    world.wait(1);
    let mut outcome = outcome(EndReason::Exited, Some(0));
    outcome.usage.wall = Span::from_millis(10);
    world.end(first, outcome);
    world.schedule();
}

pub(super) fn take(
    world: &mut World,
    users: &[UserId; 3],
    submitted: &mut u8,
    step: &JobStep,
) -> Result<Vec<Event>, Rejection> {
    match step {
        JobStep::Label {
            machine,
            set,
            unset,
        } => {
            let label = |label: &Option<usize>| {
                let label = label.map(|label| LABELS[label].parse().unwrap());
                label.into_iter().collect()
            };
            let request = LabelMachine {
                org: ORG,
                name: name(MACHINES[*machine].1),
                set: label(set),
                unset: label(unset),
            };
            world.user_does(ALICE, Body::LabelMachine(request))
        }
        JobStep::CancelAll(number) => {
            let body = Body::CancelJob(CancelJob {
                org: ORG,
                number: JobNumber(*number),
                task: None,
                dependants: true,
            });
            world.user_does(ALICE, body)
        }
        JobStep::Hold {
            number,
            release,
            dependants,
        } => {
            let request = HoldJob {
                org: ORG,
                number: JobNumber(*number),
                dependants: *dependants,
            };
            let command = match release {
                true => JobCommand::Release(request),
                false => JobCommand::Hold(request),
            };
            world.user_does(ALICE, Body::Job(command))
        }
        JobStep::Rerun {
            number,
            failed,
            task,
        } => {
            *submitted += 1;
            let request = RerunJob {
                org: ORG,
                number: JobNumber(*number),
                failed: *failed,
                tasks: task.map(|task| ArraySpec::of(task, task, None)),
                key: IdempotencyKey::from_bytes([*submitted; 16]),
            };
            let job = job_id(*submitted);
            world.user_does(ALICE, Body::Job(JobCommand::Rerun { job, request }))
        }
        // There are no more ids than fit into a byte.
        JobStep::Graph { .. } if *submitted > 180 => Ok(Vec::new()),
        JobStep::Graph { owner, needs } => {
            let body = graph(submitted, needs);
            world.user_does(users[*owner], body)
        }
    }
}

fn graph(submitted: &mut u8, needs: &[(u8, usize)]) -> Body {
    let begin = *submitted + 1;
    *submitted += u8::try_from(needs.len()).unwrap();
    let job = |(place, (bits, condition)): (usize, &(u8, usize))| {
        let before = (0..place).filter(|before| bits & (1 << before) != 0);
        let need = |before| Need {
            place: u32::try_from(before).unwrap(),
            condition: Condition::ALL[*condition],
        };
        GraphJob {
            name: name(&format!("n{place}")),
            spec: spec(),
            needs: before.map(need).collect(),
        }
    };
    let request = SubmitGraph {
        org: ORG,
        jobs: needs.iter().enumerate().map(job).collect(),
        key: IdempotencyKey::from_bytes([begin; 16]),
    };
    let jobs = (begin..=*submitted).map(job_id).collect();
    Body::Job(JobCommand::SubmitGraph { jobs, request })
}
