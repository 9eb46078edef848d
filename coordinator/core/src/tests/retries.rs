//! Tasks that are tried again: at once where a machine or its owner did it, after a while where the next machine may end
//! them the same way, with more memory where they had too little.

use common::{
    api::{Answer, Request, explain::BlockerCode, job::ShowJob},
    id::AttemptId,
    job::{JobDetail, JobNumber, JobSpec, Retries},
    limits::Limits,
    status::{EndReason, JobStatus},
    time::Span,
    units::Bytes,
};

use super::{
    invariants::{self, load, save},
    world::{
        ALICE, BOB, ORG, World, array, asking, bounds, capacity, job_id, machine_id, outcome,
        refused, report, spec, where_to,
    },
};
use crate::{
    Actor, Body, Event, event::TaskFate, lifecycle::attempt::AttemptState, state::job::JobProgress,
};

const OOM: EndReason = EndReason::OutOfMemory;

fn retrying(on: &[EndReason], spec: JobSpec) -> JobSpec {
    JobSpec {
        retries: Retries {
            max: 5,
            on: on.to_vec(),
            ..Retries::default()
        },
        ..spec
    }
}

/// Returns a job whose tries after too little memory get twice as much.
fn growing(spec: JobSpec) -> JobSpec {
    let retries = Retries {
        max: 5,
        memory: Some("2x".parse().unwrap()),
        ..Retries::default()
    };
    JobSpec { retries, ..spec }
}

fn end(world: &mut World, attempt: AttemptId, reason: EndReason) -> TaskFate {
    let events = world.end(attempt, outcome(reason, None));
    let fates = events.iter().find_map(|event| match event {
        Event::AttemptEnded { fate, .. } => Some(*fate),
        _ => None,
    });
    invariants::check(world);
    fates.expect("the attempt has ended")
}

/// Ends it and returns for how many seconds the task waits.
fn waits_after(world: &mut World, attempt: AttemptId, reason: EndReason) -> u64 {
    match end(world, attempt, reason) {
        TaskFate::Delayed { until, .. } => until.since(world.now).as_secs(),
        fate => panic!("{fate:?}"),
    }
}

fn wake(world: &mut World) -> Vec<Event> {
    let events = world.must(Actor::System, Body::Wake { most: 100 });
    invariants::check(world);
    events
}

fn progress(world: &World, number: u8) -> &JobProgress {
    &world.state.progress[&job_id(number)]
}

fn show(world: &World) -> JobDetail {
    let question = Request::ShowJob(ShowJob {
        org: ORG,
        number: JobNumber(1),
        task: None,
        attempts: 100,
        live: false,
    });
    match world.ask(BOB, &question) {
        Ok(Answer::Job(job)) => *job,
        other => panic!("{other:?}"),
    }
}

fn detail(world: &World, attempt: AttemptId) -> String {
    match &world.state.attempts[&attempt].state {
        AttemptState::Ended(outcome) => outcome.detail.clone().unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

fn one_machine() -> World {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 16)));
    world
}

#[test]
fn what_machines_do_is_tried_again_at_once_and_all_else_after_a_while() {
    for reason in [
        EndReason::MachineLost,
        EndReason::MachineOwner,
        EndReason::Preempted,
    ] {
        let mut world = one_machine();
        world.submit(BOB, 30, retrying(&[reason], spec())).unwrap();
        let (first, _) = world.schedule()[0];
        assert_eq!(end(&mut world, first, reason), TaskFate::Requeued);
        assert_eq!(world.schedule().len(), 1, "{reason}");
    }
    for reason in [
        EndReason::PrepareFailed,
        EndReason::RefusedByMachine,
        EndReason::CoordinatorError,
        EndReason::Exited,
        EndReason::Signalled,
        EndReason::TimeLimit,
        EndReason::DiskLimit,
        OOM,
    ] {
        let mut world = one_machine();
        world.submit(BOB, 30, retrying(&[reason], spec())).unwrap();
        let (first, _) = world.schedule()[0];
        assert_eq!(waits_after(&mut world, first, reason), 10, "{reason}");
        assert!(world.schedule().is_empty());
        world.wait(9);
        assert!(wake(&mut world).is_empty());
        world.wait(1);
        assert_eq!(wake(&mut world).len(), 1);
        assert_eq!(world.schedule().len(), 1, "{reason}");
    }
}

#[test]
fn each_wait_is_twice_the_last_and_tries_of_other_kinds_do_not_count() {
    let mut world = one_machine();
    let mut asked = retrying(&[EndReason::Exited, EndReason::MachineOwner], spec());
    asked.retries.backoff = Some(Span::from_secs(240));
    world.submit(BOB, 30, asked).unwrap();
    for expect in [240, 480, 600] {
        let (attempt, _) = world.schedule()[0];
        assert_eq!(
            end(&mut world, attempt, EndReason::MachineOwner),
            TaskFate::Requeued
        );
        let (attempt, _) = world.schedule()[0];
        assert_eq!(waits_after(&mut world, attempt, EndReason::Exited), expect);
        world.wait(expect);
        wake(&mut world);
    }
    let mut asked = spec();
    asked.retries.backoff = Some(Span::from_secs(601));
    let problem = refused(world.submit(BOB, 31, asked));
    assert!(
        problem.why.contains("its retries wait 10m 1s at first"),
        "{problem}"
    );
}

#[test]
fn a_task_that_waits_for_its_moment_counts_as_queued() {
    let mut world = one_machine();
    let tasks = retrying(&[EndReason::Exited], array(3, None));
    world.submit(BOB, 30, tasks).unwrap();
    let placed = world.schedule();
    world.succeed(placed[0].0);
    assert_eq!(waits_after(&mut world, placed[1].0, EndReason::Exited), 10);
    world.wait(5);
    assert_eq!(waits_after(&mut world, placed[2].0, EndReason::Exited), 10);
    let counts = progress(&world, 30).counts;
    assert_eq!((counts.queued, counts.running), (2, 0));
    assert_eq!(progress(&world, 30).status(), JobStatus::Queued);
    let shown = show(&world);
    let told: Vec<_> = shown
        .delayed
        .iter()
        .map(|one| (one.task, one.after))
        .collect();
    assert_eq!(told, [(1, EndReason::Exited), (2, EndReason::Exited)]);
    assert_eq!(shown.delayed[0].until.since(world.now).as_secs(), 5);

    let why = world.why(30);
    let [blocker] = &why.blockers[..] else {
        panic!("{why:?}");
    };
    assert_eq!(blocker.code, BlockerCode::BackingOff);
    let until = shown.delayed[0].until;
    let text = format!(
        "task 1 ended with exited, and is tried again at {}; 1 more task later",
        until.to_second()
    );
    assert_eq!(blocker.text, text);
    assert_eq!(why.expected_start, Some(until));
    assert_eq!(
        why.smallest_change,
        Some(format!(
            "none is needed: it is tried again at {}",
            until.to_second()
        ))
    );

    // One task, then the rest.
    world.cancel(BOB, 1, Some(1)).unwrap();
    invariants::check(&world);
    assert_eq!(progress(&world, 30).counts.cancelled, 1);
    world.cancel(BOB, 1, None).unwrap();
    invariants::check(&world);
    assert_eq!(progress(&world, 30).status(), JobStatus::Cancelled);
    world.wait(100);
    assert!(wake(&mut world).is_empty());
}

#[test]
fn moments_survive_a_restart_and_one_command_wakes_so_many() {
    let mut world = one_machine();
    let tasks = retrying(&[EndReason::Exited], array(3, None));
    world.submit(BOB, 30, tasks).unwrap();
    for (attempt, _) in world.schedule() {
        end(&mut world, attempt, EndReason::Exited);
    }
    let due = world.now.saturating_add(std::time::Duration::from_secs(10));
    world.state = load(&save(&world.state));
    assert_eq!(world.state.next_waking(), Some(due));
    world.wait(10);
    world.must(Actor::System, Body::Wake { most: 2 });
    invariants::check(&world);
    assert_eq!(progress(&world, 30).in_queue(), 2);
    wake(&mut world);
    assert_eq!(progress(&world, 30).in_queue(), 3);
    assert_eq!(world.state.next_waking(), None);
    world.connect(10, report(capacity(4, 16)), &[]);
    assert_eq!(world.schedule().len(), 3);
}

#[test]
fn too_little_memory_is_followed_by_twice_as_much_until_nobody_lends_more() {
    let mut world = one_machine();
    world.submit(BOB, 30, growing(asking(1, 3))).unwrap();
    let mut given = Vec::new();
    let mut last = None;
    while let Some((attempt, _)) = world.schedule().first().copied() {
        given.push(world.state.attempts[&attempt].allocation.memory);
        end(&mut world, attempt, OOM);
        last = Some(attempt);
        world.wait(600);
        wake(&mut world);
    }
    // The last step is what there is to be had.
    assert_eq!(given, [3, 6, 12, 16].map(Bytes::gib));
    assert_eq!(progress(&world, 30).status(), JobStatus::Failed);
    assert_eq!(
        detail(&world, last.unwrap()),
        "there was no try with more memory: no machine that it could run on lends more than 16 GiB"
    );
}

#[test]
fn a_limit_bounds_what_a_try_may_have() {
    let mut world = one_machine();
    world.limit(Limits {
        max_job_memory: Some(Bytes::gib(4)),
        ..Limits::default()
    });
    world.submit(BOB, 30, growing(asking(1, 3))).unwrap();
    let (first, _) = world.schedule()[0];
    end(&mut world, first, OOM);
    world.wait(10);
    wake(&mut world);
    let (second, _) = world.schedule()[0];
    assert_eq!(
        world.state.attempts[&second].allocation.memory,
        Bytes::gib(4)
    );
    assert_eq!(end(&mut world, second, OOM), TaskFate::Failed);
    assert_eq!(
        detail(&world, second),
        "there was no try with more memory: the org's max_job_memory is 4 GiB"
    );
    world.limit(Limits {
        concurrent: bounds(&[("memory", 5 << 30)]),
        ..Limits::default()
    });
    world.submit(BOB, 31, growing(asking(1, 3))).unwrap();
    let (third, _) = world.schedule()[0];
    assert_eq!(end(&mut world, third, OOM), TaskFate::Failed);
    assert_eq!(
        detail(&world, third),
        "there was no try with more memory: limits let no task hold 6 GiB"
    );
}

#[test]
fn more_memory_is_kept_when_the_machine_is_lost() {
    let mut world = one_machine();
    world.submit(BOB, 30, growing(asking(1, 3))).unwrap();
    let (first, _) = world.schedule()[0];
    end(&mut world, first, OOM);
    world.wait(10);
    wake(&mut world);
    let (second, _) = world.schedule()[0];
    assert_eq!(
        end(&mut world, second, EndReason::MachineLost),
        TaskFate::Requeued
    );
    let (third, _) = world.schedule()[0];
    assert_eq!(
        world.state.attempts[&third].allocation.memory,
        Bytes::gib(6)
    );
}

#[test]
fn a_task_that_asks_for_more_than_is_free_holds_up_nobody() {
    let mut world = one_machine();
    world.submit(BOB, 30, growing(array(3, Some(2)))).unwrap();
    world.submit(BOB, 31, asking(1, 1)).unwrap();
    world.submit(ALICE, 32, asking(1, 13)).unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 4, "two of the array, and the others");
    let of = |number: u8, task: u32| {
        let found = placed
            .iter()
            .find(|(id, _)| id.job == job_id(number) && id.task == task);
        found.unwrap().0
    };
    assert_eq!(waits_after(&mut world, of(30, 0), OOM), 10);
    world.wait(10);
    wake(&mut world);
    // A gibibyte is free, and the first task asks for two now.
    let third = world.schedule();
    assert_eq!(where_to(&third), [machine_id(10)]);
    assert_eq!((third[0].0.task, third[0].0.number), (2, 1));
    world.succeed(third[0].0);
    world.succeed(of(31, 0));
    let again = world.schedule();
    assert_eq!(again.len(), 1, "two gibibytes are free");
    assert_eq!((again[0].0.task, again[0].0.number), (0, 2));
    invariants::check(&world);
}

#[test]
fn a_large_task_in_front_is_told_with_what_it_asks_for_now() {
    let mut world = one_machine();
    let tasks = JobSpec {
        request: asking(1, 6).request,
        ..array(3, None)
    };
    world.submit(BOB, 30, growing(tasks)).unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 2);
    end(&mut world, placed[0].0, OOM);
    world.wait(10);
    let third = world.schedule()[0].0;
    wake(&mut world);
    assert!(world.schedule().is_empty(), "4 GiB are free");
    let why = world.why(30);
    assert_eq!(why.blockers[0].code, BlockerCode::BusyMemory);
    let text = &why.blockers[0].text;
    assert!(text.starts_with("asks for 12 GiB"), "{text}");
    // One behind it that asks for as much as the job says is not held up.
    end(&mut world, placed[1].0, EndReason::MachineOwner);
    let again = world.schedule();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].0.task, placed[1].0.task);
    world.succeed(again[0].0);
    world.succeed(third);
    assert_eq!(world.schedule().len(), 1);
    invariants::check(&world);
}
