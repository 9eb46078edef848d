//! Graphs of jobs: all of them or none, in an order in which each finds what it waits for.

use common::{
    api::job::{GraphJob, SubmitGraph},
    code::Code,
    id::{IdempotencyKey, JobId, OrgId, UserId},
    job::{After, JobNumber, JobSpec, MAX_AFTER, graph::Need},
    limits::Limits,
    status::{Condition, EndReason, JobStatus, Visibility},
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, array, asking, capacity, job_id, name, outcome, refused,
        report, spec,
    },
};
use crate::{Body, Event, Rejection, command::job::JobCommand};

/// Returns a job that needs those at these places to have succeeded.
fn job(called: &str, needs: &[u32]) -> GraphJob {
    let need = |place: &u32| Need {
        place: *place,
        condition: Condition::Succeeded,
    };
    GraphJob {
        name: name(called),
        spec: spec(),
        needs: needs.iter().map(need).collect(),
    }
}

/// Returns `prepare`, two that need it, and `report`, which needs both and stands first.
fn diamond() -> Vec<GraphJob> {
    vec![
        job("report", &[1, 2]),
        job("left", &[3]),
        job("right", &[3]),
        job("prepare", &[]),
    ]
}

/// Returns the ids that a graph of that key gets.
fn ids(key: u8, count: usize) -> Vec<JobId> {
    let places = 0..u8::try_from(count).unwrap();
    places.map(|place| job_id(key * 10 + place)).collect()
}

impl World {
    fn graph(&mut self, by: UserId, key: u8, jobs: Vec<GraphJob>) -> Result<Vec<Event>, Rejection> {
        let jobs_of = ids(key, jobs.len());
        let request = SubmitGraph {
            org: ORG,
            jobs,
            key: IdempotencyKey::from_bytes([key; 16]),
        };
        let command = JobCommand::SubmitGraph {
            jobs: jobs_of,
            request,
        };
        self.user_does(by, Body::Job(command))
    }

    fn number_of(&self, place: u8) -> u64 {
        self.state.jobs[&job_id(90 + place)].number.0
    }
}

fn world() -> World {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(64, 128)));
    world
}

#[test]
fn jobs_come_in_an_order_in_which_each_finds_what_it_waits_for() {
    let mut world = world();
    world.submit(CAROL, 1, spec()).unwrap();
    world.graph(BOB, 9, diamond()).unwrap();
    let numbers: Vec<u64> = (0..4).map(|place| world.number_of(place)).collect();
    assert_eq!(numbers, [5, 3, 4, 2], "numbers grow along the graph");
    let said: Vec<String> = world.state.jobs[&job_id(90)]
        .spec
        .after
        .iter()
        .map(After::to_string)
        .collect();
    assert_eq!(said, ["3:succeeded", "4:succeeded"]);
    invariants::check(&world);
    // Level by level.
    for expect in [vec![1, 93], vec![91, 92], vec![90]] {
        let placed = world.schedule();
        let jobs: Vec<JobId> = placed.iter().map(|(attempt, _)| attempt.job).collect();
        let expect: Vec<JobId> = expect.into_iter().map(job_id).collect();
        assert!(jobs.len() == expect.len() && expect.iter().all(|job| jobs.contains(job)));
        for (attempt, _) in placed {
            world.succeed(attempt);
        }
    }
    invariants::check(&world);
}

#[test]
fn one_that_fails_takes_those_along_that_need_its_success() {
    let mut world = world();
    let mut jobs = diamond();
    jobs[0].needs[1].condition = Condition::Ended;
    jobs[0].needs[0].condition = Condition::Failed;
    world.graph(BOB, 9, jobs).unwrap();
    let prepared = world.schedule();
    world.succeed(prepared[0].0);
    for (attempt, _) in world.schedule() {
        let code = i32::from(attempt.job == job_id(91));
        world.end(attempt, outcome(EndReason::Exited, Some(code)));
    }
    assert_eq!(world.schedule()[0].0.job, job_id(90));
}

#[test]
fn nothing_of_it_is_submitted_where_one_job_cannot_be() {
    let mut world = world();
    world.submit(CAROL, 1, spec()).unwrap();
    let wrong = |change: &dyn Fn(&mut Vec<GraphJob>)| {
        let mut jobs = diamond();
        change(&mut jobs);
        jobs
    };
    let after = |number| After {
        job: JobNumber(number),
        condition: Condition::Ended,
    };
    let many = Need {
        place: 3,
        condition: Condition::Ended,
    };
    for (jobs, code, text) in [
        (
            wrong(&|jobs| jobs[3].needs = job("x", &[0]).needs),
            Code::BadJobFile,
            "in a circle: report -> left -> prepare -> report",
        ),
        (
            wrong(&|jobs| jobs[3].needs = job("x", &[3]).needs),
            Code::BadJobFile,
            "in a circle: prepare -> prepare",
        ),
        (
            wrong(&|jobs| jobs[1].name = name("right")),
            Code::BadJobFile,
            "two of its jobs are called right",
        ),
        (
            wrong(&|jobs| jobs[1].needs[0].place = 4),
            Code::BadJobFile,
            "left waits for a job that is not in it",
        ),
        (Vec::new(), Code::BadJobFile, "it has no jobs"),
        (
            wrong(&|jobs| jobs[2].spec.command.clear()),
            Code::BadJobFile,
            "right in the graph: cannot run this job",
        ),
        // Somebody else's, another's of the graph by a guessed number, and one that is nowhere.
        (
            wrong(&|jobs| jobs[2].spec.after = vec![after(1)]),
            Code::NotFound,
            "right in the graph: no job 1",
        ),
        (
            wrong(&|jobs| jobs[2].spec.after = vec![after(2)]),
            Code::NotFound,
            "no job 2",
        ),
        (
            wrong(&|jobs| jobs[0].spec = asking(1000, 1)),
            Code::NeverFits,
            "report in the graph",
        ),
        (
            wrong(&|jobs| jobs[0].needs = vec![many; MAX_AFTER + 1]),
            Code::BadJobFile,
            "jobs to wait for: 257",
        ),
    ] {
        let before = world.state.clone();
        let problem = refused(world.graph(BOB, 9, jobs));
        assert_eq!(problem.code, code, "{problem}");
        assert!(problem.to_string().contains(text), "{text:?} in {problem}");
        assert!(world.state == before);
    }
    let elsewhere = SubmitGraph {
        org: OrgId::from_bytes([2; 16]),
        jobs: diamond(),
        key: IdempotencyKey::from_bytes([9; 16]),
    };
    let command = JobCommand::SubmitGraph {
        jobs: ids(9, 4),
        request: elsewhere,
    };
    assert_eq!(
        refused(world.user_does(BOB, Body::Job(command))).code,
        Code::NotFound
    );
}

#[test]
fn the_whole_graph_counts_against_what_may_wait() {
    let mut world = world();
    world.limit(Limits {
        max_queued_jobs_per_user: Some(5),
        ..Limits::default()
    });
    let mut jobs = diamond();
    jobs[1].spec = array(3, None);
    let problem = refused(world.graph(BOB, 9, jobs.clone()));
    assert_eq!(problem.code, Code::Limit);
    assert!(problem.to_string().contains("6 more tasks"), "{problem}");
    jobs[1].spec = array(2, None);
    world.graph(BOB, 9, jobs).unwrap();
}

#[test]
fn sent_again_it_is_the_same_graph_and_another_one_is_refused() {
    let mut world = world();
    world.graph(BOB, 9, diamond()).unwrap();
    world.schedule();
    assert_eq!(world.graph(BOB, 9, diamond()), Ok(Vec::new()));
    let mut longer = diamond();
    longer.push(job("more", &[]));
    let mut other = diamond();
    other[0].needs.pop();
    for jobs in [longer, other] {
        let problem = refused(world.graph(BOB, 9, jobs));
        assert_eq!(problem.code, Code::KeyConflict);
    }
    // The beginning of a graph is another one.
    let three = ["a", "b", "c"].map(|called| job(called, &[]));
    world.graph(BOB, 8, three.to_vec()).unwrap();
    let problem = refused(world.graph(BOB, 8, three[..2].to_vec()));
    assert_eq!(problem.code, Code::KeyConflict);
    let single = refused(world.submit(BOB, 9, asking(1, 1)));
    assert_eq!(single.code, Code::KeyConflict);
}

#[test]
fn a_job_of_it_may_be_held_or_wait_for_one_that_was_there() {
    let mut world = world();
    let shared = JobSpec {
        visibility: Some(Visibility::OrgRead),
        ..spec()
    };
    world.submit(ALICE, 1, shared).unwrap();
    let mut jobs = vec![job("first", &[]), job("second", &[0])];
    jobs[0].spec.after = vec![After {
        job: JobNumber(1),
        condition: Condition::Started,
    }];
    jobs[1].spec.hold = true;
    world.graph(BOB, 9, jobs).unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    world.start(placed[0].0);
    let placed = world.schedule();
    assert_eq!(placed[0].0.job, job_id(90));
    world.succeed(placed[0].0);
    assert_eq!(world.schedule(), []);
    assert_eq!(
        world.state.progress[&job_id(91)].status(),
        JobStatus::Queued
    );
    invariants::check(&world);
}
