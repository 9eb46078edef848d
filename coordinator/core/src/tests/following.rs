//! Short tasks that wait behind running ones of their job, and what becomes of them in every order of words.

use std::time::Duration;

use common::{
    api::{explain::BlockerCode, job::HoldJob},
    code::Code,
    id::AttemptId,
    job::{JobNumber, Outcome, Retries},
    limits::{Limits, StorageLimits},
    machine::{Pause, PausedBy},
    status::{EndReason, JobStatus, Priority},
    time::Span,
    units::{Bytes, MilliCpu},
    wire::agent::{AttemptReport, Goal},
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, array, asking, capacity, job_id, machine_id, outcome,
        refused, report,
    },
};
use crate::{
    Actor, Body, Event, assign, command::job::JobCommand, lifecycle::attempt::AttemptState,
};

/// The first attempt of a task of job 30.
fn attempt(task: u32) -> AttemptId {
    numbered(task, 1)
}

fn numbered(task: u32, number: u32) -> AttemptId {
    AttemptId {
        job: job_id(30),
        task,
        number,
    }
}

/// The end of a program that did well for so long.
fn ran(ms: u64) -> Outcome {
    let mut outcome = outcome(EndReason::Exited, Some(0));
    outcome.usage.wall = Span::from_millis(ms);
    outcome
}

impl World {
    fn run_for(&mut self, attempt: AttemptId, ms: u64) -> Vec<Event> {
        self.start(attempt);
        self.now = self.now.saturating_add(Duration::from_millis(ms));
        self.end(attempt, ran(ms))
    }

    /// Returns which tasks of job 30 wait behind an attempt, and whether each is wanted back.
    fn behind(&self, attempt: AttemptId) -> Vec<(u32, bool)> {
        let behind = self.state.index.chains.all_behind(attempt);
        behind
            .map(|id| {
                let state = &self.state.attempts[&id].state;
                (id.task, *state == AttemptState::Returning)
            })
            .collect()
    }

    fn goal(&self, attempt: AttemptId) -> Option<(Goal, Option<AttemptId>)> {
        let set = assign(&self.state, self.state.attempts.get(&attempt)?.machine);
        let found = set.attempts.into_iter().find(|one| one.attempt == attempt);
        found.map(|one| (one.goal, one.after))
    }

    fn counts(&self) -> (u32, u32, u32) {
        let counts = self.state.progress[&job_id(30)].counts;
        (counts.queued, counts.running, counts.succeeded)
    }

    fn returned(&mut self, attempt: AttemptId) -> Vec<Event> {
        let events = self.report(attempt, AttemptReport::Returned).unwrap();
        invariants::check(self);
        events
    }
}

/// Job 30 of bob, an array of six tasks, with the first one over after so long, on carol's machine with one place.
fn begun(ms: u64) -> World {
    begun_of(6, ms)
}

fn begun_of(tasks: u32, ms: u64) -> World {
    let mut world = World::new();
    world.machine(10, CAROL, "box", report(capacity(1, 8)));
    world.submit(BOB, 30, array(tasks, None)).unwrap();
    world.schedule();
    world.run_for(attempt(0), ms);
    world.schedule();
    invariants::check(&world);
    world
}

#[test]
fn short_tasks_wait_behind_a_running_one_and_have_its_place_when_it_ends() {
    let mut world = begun(10);
    assert_eq!(
        world.behind(attempt(1)),
        [(2, false), (3, false), (4, false), (5, false)]
    );
    assert_eq!(world.goal(attempt(1)), Some((Goal::Run, None)));
    assert_eq!(world.goal(attempt(3)), Some((Goal::Run, Some(attempt(2)))));
    // They hold nothing, and are queued for everybody who looks.
    assert_eq!(world.counts(), (4, 1, 1));
    let shown = world.seen_by(BOB, 1);
    assert_eq!((shown.summary.tasks.queued, shown.attempts.len()), (4, 2));
    let why = world.why(30);
    assert_eq!(why.status, JobStatus::Running);
    assert_eq!(why.blockers[0].code, BlockerCode::WaitsBehind);
    assert!(why.blockers[0].text.contains("4 tasks are next"), "{why:?}");
    assert!(why.smallest_change.unwrap().starts_with("none is needed"));
    invariants::check_waiting_is_explained(&world);
    let held = world.state.index.machines[&machine_id(10)].held.clone();

    // What waits has not started, whoever says so.
    world.start(attempt(2));
    assert_eq!(world.state.attempts[&attempt(2)].started_at, None);
    world.wait(1);
    world.run_for(attempt(1), 10);
    assert!(world.state.attempts[&attempt(2)].has_place());
    assert_eq!(world.state.attempts[&attempt(2)].placed_at, world.now);
    assert_eq!(world.state.index.machines[&machine_id(10)].held, held);
    assert_eq!(world.counts(), (3, 1, 2));
    invariants::check(&world);
    for task in 2..6 {
        world.run_for(attempt(task), 10);
        assert_eq!(world.schedule(), []);
        invariants::check(&world);
    }
    assert_eq!(world.counts(), (0, 0, 6));
    assert!(world.state.progress[&job_id(30)].ended_at.is_some());
    assert_eq!(world.state.attempts.len(), 6);
}

#[test]
fn nothing_waits_behind_long_tasks_nor_where_a_lost_machine_ends_a_task() {
    assert_eq!(begun(1000).behind(attempt(1)), []);
    assert_eq!(begun(333).behind(attempt(1)).len(), 3);
    let mut world = World::new();
    world.machine(10, CAROL, "box", report(capacity(1, 8)));
    let mut spec = array(6, None);
    spec.retries = Retries {
        max: 0,
        ..Retries::default()
    };
    world.submit(BOB, 30, spec).unwrap();
    world.schedule();
    world.run_for(attempt(0), 10);
    world.schedule();
    assert_eq!(world.behind(attempt(1)), []);
}

#[test]
fn places_share_what_waits_and_parallelism_bounds_what_runs() {
    let mut world = World::new();
    world.machine(10, CAROL, "box", report(capacity(4, 8)));
    world.submit(BOB, 30, array(9, Some(2))).unwrap();
    world.schedule();
    world.run_for(attempt(0), 10);
    world.schedule();
    assert_eq!(world.counts(), (6, 2, 1));
    let lengths = [1, 2].map(|task| world.behind(attempt(task)).len());
    assert_eq!(lengths, [3, 3]);
    invariants::check(&world);
}

#[test]
fn who_comes_first_has_the_place_and_what_waits_is_wanted_back() {
    let mut world = begun(10);
    let mut urgent = asking(1, 1);
    urgent.priority = Priority::High;
    world.submit(ALICE, 31, urgent).unwrap();
    assert_eq!(world.schedule(), []);
    let all_back = [(2, true), (3, true), (4, true), (5, true)];
    assert_eq!(world.behind(attempt(1)), all_back);
    assert_eq!(
        world.goal(attempt(2)),
        Some((Goal::Return, Some(attempt(1))))
    );
    // Until the machine says so, they may have begun.
    assert_eq!(world.counts(), (4, 1, 1));
    world.returned(attempt(3));
    assert_eq!(world.behind(attempt(1)), [(2, true), (4, true), (5, true)]);
    for task in [2, 4, 5] {
        world.returned(attempt(task));
    }
    assert_eq!(world.schedule(), []);
    assert_eq!(world.counts(), (4, 1, 1));
    world.run_for(attempt(1), 10);
    let placed = world.schedule();
    assert_eq!(placed[0].0.job, job_id(31));
    world.run_for(placed[0].0, 10);
    let second = numbered(2, 2);
    assert_eq!(world.schedule()[0].0, second);
    assert_eq!(world.state.attempts[&second].state, AttemptState::Placed);
}

#[test]
fn what_came_to_nothing_was_no_try_and_its_number_is_not_used_again() {
    let mut world = begun_of(3, 10);
    let mut urgent = asking(1, 1);
    urgent.priority = Priority::High;
    world.submit(ALICE, 31, urgent).unwrap();
    world.schedule();
    world.returned(attempt(2));
    world.run_for(attempt(1), 10);
    let placed = world.schedule();
    world.run_for(placed[0].0, 10);
    let lost = outcome(EndReason::MachineLost, None);
    for number in 2..6 {
        world.schedule();
        assert_eq!(world.live(), [numbered(2, number)]);
        world.start(numbered(2, number));
        world.end(numbered(2, number), lost.clone());
        invariants::check(&world);
    }
    assert_eq!(world.state.progress[&job_id(30)].counts.failed, 1);
}

#[test]
fn what_is_wanted_back_keeps_a_place_that_it_may_have_begun_in() {
    let wanted = || {
        let mut world = begun(10);
        let mut urgent = asking(1, 1);
        urgent.priority = Priority::High;
        world.submit(ALICE, 31, urgent).unwrap();
        world.schedule();
        // The end comes before the machine has heard of it.
        world.run_for(attempt(1), 10);
        assert_eq!(world.schedule(), [], "the place may be taken");
        assert_eq!(world.counts(), (3, 1, 2));
        assert_eq!(world.goal(attempt(2)), Some((Goal::Return, None)));
        invariants::check(&world);
        world
    };
    let mut world = wanted();
    world.start(attempt(2));
    assert_eq!(world.goal(attempt(2)), Some((Goal::Run, None)));
    world.returned(attempt(2));
    assert!(world.state.attempts.contains_key(&attempt(2)), "it runs");

    let mut world = wanted();
    for task in 2..6 {
        assert_eq!(world.schedule(), [], "the next one may have it");
        world.returned(attempt(task));
    }
    assert_eq!(world.schedule()[0].0.job, job_id(31));
    assert_eq!(world.counts(), (4, 0, 2));
}

#[test]
fn others_who_wait_for_the_place_keep_what_is_behind_short() {
    let mut world = World::new();
    world.machine(10, CAROL, "box", report(capacity(1, 8)));
    world.submit(BOB, 30, array(6, None)).unwrap();
    world.submit(BOB, 31, asking(1, 2)).unwrap();
    world.schedule();
    world.run_for(attempt(0), 10);
    world.schedule();
    assert_eq!(world.behind(attempt(1)).len(), 2);
    // Its owner comes first there, however much they have.
    world.submit(CAROL, 32, asking(1, 1)).unwrap();
    world.schedule();
    assert_eq!(world.behind(attempt(1)), [(2, true), (3, true)]);
}

#[test]
fn limits_holds_and_pauses_want_back_what_waits() {
    let check = |what: &str, change: fn(&mut World)| {
        let mut world = begun(10);
        change(&mut world);
        world.schedule();
        let behind = world.behind(attempt(1));
        assert!(
            behind.len() == 4 && behind.iter().all(|(_, back)| *back),
            "{what}: {behind:?}"
        );
        invariants::check(&world);
    };
    check("a limit", |world| {
        world.limit(Limits {
            max_job_memory: Some(Bytes::mib(1)),
            ..Limits::default()
        });
    });
    check("a member's limit", |world| {
        world.limit_member(BOB, &[("cpu", 500)]);
    });
    check("a pause", |world| {
        let mut paused = report(capacity(1, 8));
        paused.paused = Some(Pause {
            until: None,
            reason: String::new(),
            by: PausedBy::Command,
        });
        let body = Body::ReportMachine { report: paused };
        world.must(Actor::Machine(machine_id(10)), body);
    });
    check("a smaller offer", |world| {
        let mut smaller = report(capacity(1, 8));
        smaller.offer.cpu = MilliCpu(500);
        let body = Body::ReportMachine { report: smaller };
        world.must(Actor::Machine(machine_id(10)), body);
    });
    check("a hold", |world| {
        let hold = HoldJob {
            org: ORG,
            number: JobNumber(1),
            dependants: false,
        };
        world.must(Actor::User(BOB), Body::Job(JobCommand::Hold(hold)));
    });
    check("a long one", |world| {
        world.start(attempt(1));
        world.wait(3);
        world.submit(BOB, 33, asking(1, 1)).unwrap();
    });
}

#[test]
fn a_machine_with_room_gets_what_waits_elsewhere() {
    let mut world = begun(10);
    world.machine(11, CAROL, "other", report(capacity(1, 8)));
    assert_eq!(world.schedule(), []);
    let later_half = [(2, false), (3, false), (4, true), (5, true)];
    assert_eq!(world.behind(attempt(1)), later_half);
    world.returned(attempt(5));
    let placed = world.schedule();
    assert_eq!(placed, [(numbered(5, 2), machine_id(11))]);
    invariants::check(&world);
}

#[test]
fn a_lost_machine_gives_back_what_waited_there_and_counts_no_try() {
    let mut world = begun(10);
    world.start(attempt(1));
    world.disconnect(10);
    // Until then it may be back any time.
    world.submit(BOB, 31, asking(1, 1)).unwrap();
    world.schedule();
    assert!(world.behind(attempt(1)).iter().all(|(_, back)| !back));
    world.cancel(BOB, 2, None).unwrap();
    world.expire(10);
    invariants::check(&world);
    assert_eq!(world.counts(), (5, 0, 1));
    let rows: Vec<u32> = world.state.attempts.keys().map(|id| id.task).collect();
    assert_eq!(rows, [0, 1]);
    world.connect(10, report(capacity(1, 8)), &[]);
    world.schedule();
    assert_eq!(world.live()[0], numbered(1, 2));
    assert_eq!(world.behind(numbered(1, 2)).len(), 4);
    assert!(world.live().contains(&numbered(2, 2)));
    // A machine that comes back without knowing of it is told again.
    world.connect(10, report(capacity(1, 8)), &[]);
    assert_eq!(world.behind(numbered(1, 2)).len(), 4);
    world.schedule();
    invariants::check(&world);
}

#[test]
fn cancelling_stops_what_waits_and_closes_the_row() {
    let mut world = begun(10);
    world.cancel(BOB, 1, Some(3)).unwrap();
    let cancelled = EndReason::Cancelled;
    let stop = Goal::Stop { reason: cancelled };
    assert_eq!(world.goal(attempt(3)), Some((stop, Some(attempt(2)))));
    // What was wanted back meanwhile has ended as it was to.
    world.returned(attempt(3));
    assert_eq!(
        world.behind(attempt(1)),
        [(2, false), (4, false), (5, false)]
    );
    assert_eq!(
        refused(world.cancel(BOB, 1, Some(3))).code,
        Code::WrongState
    );
    assert_eq!(world.counts(), (3, 1, 1));

    world.cancel(BOB, 1, None).unwrap();
    invariants::check(&world);
    for task in [2, 4, 5, 1] {
        world.end(attempt(task), outcome(cancelled, None));
        invariants::check(&world);
    }
    let progress = &world.state.progress[&job_id(30)];
    assert_eq!(progress.status(), JobStatus::Cancelled);
    assert_eq!(progress.counts.cancelled, 5);
}

#[test]
fn where_nothing_may_start_any_more_what_waits_is_wanted_back() {
    let mut world = begun(10);
    world.limit(Limits {
        storage: StorageLimits {
            artifacts: Some(Bytes::default()),
            ..StorageLimits::default()
        },
        ..Limits::default()
    });
    assert!(world.schedule().is_empty());
    let wanted = [(2, true), (3, true), (4, true), (5, true)];
    assert_eq!(world.behind(attempt(1)), wanted);
    invariants::check(&world);
}
