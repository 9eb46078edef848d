//! Gangs: tasks that start in one step on as many machines, and end together.

mod kept;

use common::{
    api::{explain::BlockerCode, job::RerunJob},
    code::Code,
    id::{AttemptId, IdempotencyKey, MachineId, UserId},
    job::{JobNumber, JobSpec, Retries},
    limits::Limits,
    status::{EndReason, JobStatus},
    time::Span,
    wire::agent::Goal,
};

use super::{
    invariants,
    limits::{lending, wants},
    world::{
        ALICE, BOB, CAROL, ORG, World, array, asking, bounds, capacity, job_id, machine_id,
        outcome, refused, report, spec, where_to,
    },
};
use crate::{Body, Event, assign, command::job::JobCommand};

fn gang(nodes: u32, spec: JobSpec) -> JobSpec {
    JobSpec {
        nodes: Some(nodes),
        ..spec
    }
}

/// Returns machines of four processors, by the numbers 10 and up.
fn pool(machines: u8) -> World {
    let mut world = World::new();
    for number in 0..machines {
        let called = format!("box-{number}");
        world.machine(10 + number, ALICE, &called, report(capacity(4, 16)));
    }
    world
}

fn codes(world: &World, number: u8) -> Vec<BlockerCode> {
    let blockers = world.why(number).blockers;
    blockers.iter().map(|blocker| blocker.code).collect()
}

fn status(world: &World, number: u8) -> JobStatus {
    world.state.progress[&job_id(number)].status()
}

/// Ends what was told to stop, as machines report it.
fn obey(world: &mut World) {
    for id in world.live() {
        let machine = world.state.attempts[&id].machine;
        let assigned = assign(&world.state, machine);
        let told = assigned.attempts.iter().find(|one| one.attempt == id);
        if let Some(Goal::Stop { reason }) = told.map(|one| one.goal) {
            world.end(id, outcome(reason, None));
        }
    }
}

/// Returns a gang of three that runs, and its attempts.
fn running(retries: Retries) -> (World, Vec<AttemptId>) {
    let mut world = pool(4);
    let spec = JobSpec { retries, ..spec() };
    world.submit(BOB, 30, gang(3, spec)).unwrap();
    let placed = world.schedule();
    let attempts: Vec<AttemptId> = placed.iter().map(|(id, _)| *id).collect();
    for id in &attempts {
        world.start(*id);
    }
    (world, attempts)
}

#[test]
fn all_of_it_starts_in_one_step_on_machines_of_their_own() {
    let mut world = pool(3);
    world.submit(BOB, 30, gang(3, asking(1, 1))).unwrap();
    // One command places all of it, however few it is to place.
    let events = world.must(crate::Actor::System, Body::Schedule { most: 1 });
    let placed: Vec<(AttemptId, MachineId)> = events
        .iter()
        .filter_map(|event| match event {
            Event::AttemptPlaced {
                attempt, machine, ..
            } => Some((*attempt, *machine)),
            _ => None,
        })
        .collect();
    let ranks: Vec<u32> = placed.iter().map(|(id, _)| id.task).collect();
    assert_eq!(ranks, [0, 1, 2]);
    let mut machines = where_to(&placed);
    machines.sort();
    assert_eq!(machines, [10, 11, 12].map(machine_id));
    // Each knows the others, by rank.
    let names: Vec<String> = placed
        .iter()
        .map(|(_, machine)| world.state.machines[machine].name.to_string())
        .collect();
    for (_, machine) in &placed {
        let assigned = assign(&world.state, *machine);
        let told = &assigned.attempts[0].spec;
        let nodes: Vec<String> = told.nodes.iter().map(ToString::to_string).collect();
        assert_eq!((nodes, told.task_count), (names.clone(), 3));
    }
    invariants::check(&world);
    for (attempt, _) in placed {
        assert_eq!(status(&world, 30), JobStatus::Running);
        world.succeed(attempt);
    }
    assert_eq!(status(&world, 30), JobStatus::Succeeded);
    invariants::check(&world);
}

#[test]
fn it_never_starts_by_halves_and_says_how_many_machines_have_room() {
    let mut world = pool(4);
    world.submit(CAROL, 30, asking(4, 1)).unwrap();
    world.submit(CAROL, 31, asking(3, 1)).unwrap();
    let busy = world.schedule();
    world.submit(BOB, 32, gang(4, asking(2, 2))).unwrap();
    // Others go on meanwhile.
    world.submit(BOB, 33, asking(1, 1)).unwrap();
    let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(33)]);
    let why = world.why(32);
    let first = &why.blockers[0];
    assert_eq!(
        (first.code, first.text.as_str()),
        (BlockerCode::TooFewMachines, "2 of 4 machines have room")
    );
    assert!(codes(&world, 32).contains(&BlockerCode::BusyCpu));
    assert!(why.smallest_change.is_some() && !why.never);
    invariants::check_waiting_is_explained(&world);
    world.succeed(busy[0].0);
    assert!(world.schedule().is_empty());
    world.succeed(busy[1].0);
    assert_eq!(world.schedule().len(), 4);
    invariants::check(&world);
}

#[test]
fn what_never_has_enough_machines_is_refused() {
    let mut world = pool(2);
    let problem = refused(world.submit(BOB, 30, gang(3, spec())));
    assert_eq!(problem.code, Code::NeverFits);
    let all = format!("{} {}", problem.why, problem.help);
    for expect in ["2 of 3 machines have room", "ask for at most 2 nodes"] {
        assert!(all.contains(expect), "{problem}");
    }
    for (bad, expect) in [
        (gang(0, spec()), "1 to 64 are possible"),
        (gang(65, spec()), "1 to 64 are possible"),
        (gang(2, array(4, None)), "it can be one of both"),
    ] {
        let problem = refused(world.submit(BOB, 31, bad));
        assert!(problem.why.contains(expect), "{problem}");
    }
    let mut grows = gang(2, spec());
    grows.retries.memory = Some("2x".parse().unwrap());
    let problem = refused(world.submit(BOB, 31, grows));
    assert!(
        problem.why.contains("more memory with each try"),
        "{problem}"
    );
    // One machine is no gang.
    world.submit(BOB, 31, gang(1, array(2, None))).unwrap();
    assert_eq!(world.schedule().len(), 2);
}

#[test]
fn when_one_fails_the_others_end_and_the_job_has_failed() {
    let (mut world, attempts) = running(Retries::default());
    world.succeed(attempts[0]);
    world.end(attempts[1], outcome(EndReason::Exited, Some(1)));
    let reason = EndReason::PeerEnded;
    let machine = world.state.attempts[&attempts[2]].machine;
    let goal = assign(&world.state, machine).attempts[0].goal;
    assert_eq!(goal, Goal::Stop { reason });
    assert_eq!(status(&world, 30), JobStatus::Running);
    obey(&mut world);
    let job = world.seen_by(BOB, 1);
    assert_eq!(job.summary.status, JobStatus::Failed);
    let tasks = job.summary.tasks;
    assert_eq!((tasks.succeeded, tasks.failed, tasks.cancelled), (1, 1, 1));
    assert!(world.schedule().is_empty());
    invariants::check(&world);
}

#[test]
fn a_lost_machine_has_all_of_it_tried_again_elsewhere() {
    let (mut world, attempts) = running(Retries::default());
    let lost = world.state.attempts[&attempts[1]].machine;
    world.succeed(attempts[0]);
    // What misses its peer fails by itself, before anybody knows why.
    world.end(attempts[2], outcome(EndReason::Exited, Some(1)));
    world.disconnect(lost.as_bytes()[0]);
    assert!(world.schedule().is_empty(), "it waits for the lease");
    world.expire(lost.as_bytes()[0]);
    invariants::check(&world);
    let placed = world.schedule();
    let tries: Vec<(u32, u32)> = placed.iter().map(|(id, _)| (id.task, id.number)).collect();
    assert_eq!(tries, [(0, 2), (1, 2), (2, 2)], "all of it");
    assert!(!where_to(&placed).contains(&lost));
    for (attempt, _) in placed {
        world.succeed(attempt);
    }
    assert_eq!(status(&world, 30), JobStatus::Succeeded);
    invariants::check(&world);
}

#[test]
fn its_tries_are_counted_together_and_wait_where_tasks_would() {
    let retries = Retries {
        max: 1,
        on: vec![EndReason::Exited, EndReason::MachineOwner],
        backoff: Some(Span::from_secs(60)),
        memory: None,
    };
    let (mut world, attempts) = running(retries);
    // A machine that its owner takes back is no try.
    world.end(attempts[1], outcome(EndReason::MachineOwner, None));
    obey(&mut world);
    let second = world.schedule();
    assert_eq!(second.len(), 3);
    world.end(second[0].0, outcome(EndReason::Exited, Some(1)));
    obey(&mut world);
    assert!(world.schedule().is_empty());
    assert_eq!(world.seen_by(BOB, 1).delayed.len(), 3);
    assert!(codes(&world, 30).contains(&BlockerCode::BackingOff));
    invariants::check(&world);
    world.wait(120);
    // Never by halves, also where one command wakes few.
    world.must(crate::Actor::System, Body::Wake { most: 1 });
    invariants::check(&world);
    let third = world.schedule();
    assert_eq!(third.len(), 3);
    world.end(third[2].0, outcome(EndReason::Exited, Some(1)));
    obey(&mut world);
    assert_eq!(status(&world, 30), JobStatus::Failed);
    invariants::check(&world);
}

#[test]
fn cancelling_one_of_it_cancels_all() {
    let (mut world, attempts) = running(Retries::default());
    world.cancel(BOB, 1, Some(2)).unwrap();
    obey(&mut world);
    assert_eq!(status(&world, 30), JobStatus::Cancelled);
    assert_eq!(attempts.len(), 3);
    world.submit(BOB, 31, gang(4, asking(4, 16))).unwrap();
    world.cancel(BOB, 2, Some(1)).unwrap();
    assert_eq!(status(&world, 31), JobStatus::Cancelled);
    assert_eq!(
        refused(world.cancel(BOB, 2, Some(7))).code,
        Code::WrongState
    );
    invariants::check(&world);
}

#[test]
fn limits_hold_for_all_of_it_at_once() {
    let mut world = pool(4);
    world.limit(Limits {
        max_concurrent_jobs_per_user: Some(3),
        per_user: bounds(&[("cpu", 6000)]),
        ..Limits::default()
    });
    world.submit(BOB, 30, asking(1, 1)).unwrap();
    world.submit(BOB, 31, gang(3, asking(1, 1))).unwrap();
    world.submit(BOB, 32, asking(1, 1)).unwrap();
    let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(30), job_id(32)]);
    assert_eq!(codes(&world, 31), [BlockerCode::MemberConcurrentLimit]);
    invariants::check_waiting_is_explained(&world);
    for attempt in world.live() {
        world.succeed(attempt);
    }
    assert_eq!(world.schedule().len(), 3);
    invariants::check(&world);
    // Three times three processors are more than a member ever has, and four tasks, too.
    let problem = refused(world.submit(BOB, 33, gang(3, asking(3, 1))));
    assert!(problem.to_string().contains("9 CPUs"), "{problem}");
    let problem = refused(world.submit(BOB, 34, gang(4, asking(1, 1))));
    assert!(
        problem.to_string().contains("4 more running tasks"),
        "{problem}"
    );
}

#[test]
fn limits_on_models_hold_for_all_of_it_too() {
    let mut world = World::new();
    for number in 10..13 {
        let called = format!("box-{number}");
        world.machine(number, ALICE, &called, lending(&["h200", "rtx-4090"]));
    }
    world.limit(Limits {
        per_user: bounds(&[("h200", 1), ("rtx-4090", 1)]),
        ..Limits::default()
    });
    world.submit(BOB, 30, gang(2, wants(1, None))).unwrap();
    world.submit(BOB, 31, gang(3, wants(1, None))).unwrap();
    let placed = world.schedule();
    let mut models: Vec<&str> = placed
        .iter()
        .map(|(id, _)| world.state.attempts[id].gpu_models[0].as_str())
        .collect();
    models.sort_unstable();
    assert_eq!(models, ["h200", "rtx-4090"]);
    invariants::check(&world);
    invariants::check_waiting_is_explained(&world);
}

fn rerun(
    world: &mut World,
    by: UserId,
    job: u8,
    task: Option<u32>,
) -> Result<Vec<Event>, crate::Rejection> {
    let request = RerunJob {
        org: ORG,
        number: JobNumber(1),
        failed: task.is_none(),
        tasks: task.map(|task| common::job::ArraySpec::of(task, task, None)),
        key: IdempotencyKey::from_bytes([job; 16]),
    };
    let job = job_id(job);
    world.user_does(by, Body::Job(JobCommand::Rerun { job, request }))
}

#[test]
fn it_runs_again_as_a_whole() {
    let (mut world, attempts) = running(Retries::default());
    world.succeed(attempts[0]);
    world.end(attempts[1], outcome(EndReason::Exited, Some(1)));
    obey(&mut world);
    let problem = refused(rerun(&mut world, BOB, 31, Some(1)));
    assert!(
        problem.why.contains("whose tasks run together"),
        "{problem}"
    );
    rerun(&mut world, BOB, 32, None).unwrap();
    assert_eq!(world.schedule().len(), 3);
    invariants::check(&world);
}
