//! What is kept free for a large job that comes first, and what may run there meanwhile.

use common::{
    api::explain::BlockerCode,
    id::{AttemptId, UserId},
    job::JobSpec,
    limits::Limits,
    machine::{MachineReport, Pause, PausedBy},
    org::settings::SettingsChange,
    status::{Priority, Role},
    time::Span,
    units::MilliCpu,
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, asking, capacity, job_id, machine_id, name, report, user,
    },
};
use crate::{Actor, Body, command::OrgCommand};

const MINUTE: u64 = 60;

fn running_for(minutes: u64, spec: JobSpec) -> JobSpec {
    JobSpec {
        max_runtime: Some(Span::from_secs(minutes * MINUTE)),
        ..spec
    }
}

/// Returns a machine of four processors on which one-processor tasks of bob run, for so many minutes each at most, and
/// a job of carol's that waits for all of it.
fn crowded(minutes: &[u64]) -> (World, Vec<AttemptId>) {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(4, 64)));
    for (number, minutes) in (30..).zip(minutes) {
        let spec = running_for(*minutes, asking(1, 1));
        world.submit(BOB, number, spec).unwrap();
    }
    let running: Vec<AttemptId> = world.schedule().iter().map(|(id, _)| *id).collect();
    assert_eq!(running.len(), minutes.len());
    world.submit(CAROL, 40, asking(4, 4)).unwrap();
    assert!(world.schedule().is_empty());
    (world, running)
}

fn kept(world: &World) -> Vec<(UserId, u64)> {
    let kept = world.state.volatile.reserved.jobs(ORG);
    kept.map(|(job, _)| {
        let row = &world.state.jobs[&job];
        (row.owner, row.number.0)
    })
    .collect()
}

fn codes(world: &World, number: u8) -> Vec<BlockerCode> {
    let blockers = world.why(number).blockers;
    blockers.iter().map(|blocker| blocker.code).collect()
}

#[test]
fn what_would_be_in_the_way_of_the_first_waits_and_says_so() {
    let (mut world, running) = crowded(&[30, 30, 30, 60]);
    world.wait(15 * MINUTE);
    world.succeed(running[0]);
    // Bob's next task would be in the way of carol's job in 45 minutes; one that ends before is not.
    world.submit(BOB, 50, asking(1, 1)).unwrap();
    world
        .submit(BOB, 51, running_for(50, asking(1, 1)))
        .unwrap();
    world
        .submit(BOB, 52, running_for(44, asking(1, 1)))
        .unwrap();
    let placed = world.schedule();
    let placed: Vec<_> = placed.iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(52)]);
    assert_eq!(kept(&world), [(CAROL, 5)]);
    invariants::check(&world);

    world.wait(MINUTE);
    world.succeed(running[1]);
    assert!(world.schedule().is_empty());
    assert_eq!(
        codes(&world, 50),
        [BlockerCode::MachineReserved, BlockerCode::Queue]
    );
    let why = world.why(51);
    assert_eq!(
        why.smallest_change.as_deref(),
        Some(
            "the job starts for which box is kept free, or ask to run for at most 43m (max_runtime), \
             which ends before that"
        )
    );
    let why = world.why(40);
    assert_eq!(why.kept, [name("box")]);
    assert_eq!(codes(&world, 40), [BlockerCode::BusyCpu]);
    invariants::check_waiting_is_explained(&world);

    for attempt in world.live() {
        world.succeed(attempt);
    }
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    assert_eq!(placed[0].0.job, job_id(40));
    assert!(kept(&world).is_empty());
    invariants::check(&world);
}

#[test]
fn nothing_is_kept_for_what_has_not_waited_or_where_the_org_does_not_want_it() {
    let (mut world, running) = crowded(&[30, 30, 30, 30]);
    world.wait(5 * MINUTE);
    world.succeed(running[0]);
    world.submit(BOB, 50, asking(1, 1)).unwrap();
    assert_eq!(world.schedule().len(), 1);
    assert!(kept(&world).is_empty());

    let mut change = SettingsChange::default();
    change.set("reserved_after", "forever").unwrap();
    let change = Box::new(change);
    let body = Body::Org(OrgCommand::ChangeSettings { org: ORG, change });
    world.must(Actor::User(ALICE), body);
    world.wait(60 * MINUTE);
    world.succeed(running[1]);
    world.submit(BOB, 51, asking(1, 1)).unwrap();
    assert_eq!(world.schedule().len(), 1);
    assert!(kept(&world).is_empty());
}

#[test]
fn what_fits_beside_the_first_one_starts() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(6, 64)));
    for number in 30..36 {
        let spec = running_for(60, asking(1, 1));
        world.submit(BOB, number, spec).unwrap();
    }
    let running = world.schedule();
    world.submit(CAROL, 40, asking(4, 4)).unwrap();
    world.schedule();
    world.wait(20 * MINUTE);
    world.succeed(running[0].0);
    world.succeed(running[1].0);
    // Two processors are free; carol needs four of six in the end, so that two of any length may run.
    for number in 50..53 {
        world.submit(BOB, number, asking(1, 1)).unwrap();
    }
    let placed = world.schedule();
    assert_eq!(placed.len(), 2);
    assert_eq!(kept(&world), [(CAROL, 7)]);
    for (attempt, _) in &running[2..] {
        world.succeed(*attempt);
    }
    let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(40)]);
    invariants::check(&world);
}

#[test]
fn what_is_kept_goes_with_its_reason() {
    let waits = |world: &World| {
        assert_eq!(kept(world), [(CAROL, 5)]);
    };
    let reserve = || {
        let (mut world, running) = crowded(&[30, 30, 30, 60]);
        world.wait(15 * MINUTE);
        world.succeed(running[0]);
        world.submit(BOB, 50, asking(1, 1)).unwrap();
        assert!(world.schedule().is_empty());
        waits(&world);
        world
    };
    let starts = |world: &mut World| {
        let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
        assert!(kept(world).is_empty());
        invariants::check(world);
        placed
    };

    let mut cancelled = reserve();
    cancelled.cancel(CAROL, 5, None).unwrap();
    assert_eq!(starts(&mut cancelled), [job_id(50)]);

    let mut gone = reserve();
    gone.disconnect(10);
    assert!(starts(&mut gone).is_empty());

    // A limit holds the large one back: others need not wait for it.
    let mut limited = reserve();
    limited.limit_member(CAROL, &[("cpu", 2000)]);
    assert_eq!(starts(&mut limited), [job_id(50)]);
    assert_eq!(codes(&limited, 40)[0], BlockerCode::MemberResourceLimit);

    // So does the bound on running tasks,
    let mut many = reserve();
    many.limit(Limits {
        max_concurrent_jobs_per_user: Some(0),
        ..Limits::default()
    });
    assert!(starts(&mut many).is_empty());

    // and what the machine's owner says.
    let report_of = |world: &mut World, change: fn(&mut MachineReport)| {
        let mut report = report(capacity(4, 64));
        change(&mut report);
        let actor = Actor::Machine(machine_id(10));
        world.must(actor, Body::ReportMachine { report });
    };
    let mut refused = reserve();
    report_of(&mut refused, |report| {
        report.admits.not_members = vec![name("carol")];
    });
    assert_eq!(starts(&mut refused), [job_id(50)]);
    let mut smaller = reserve();
    report_of(&mut smaller, |report| report.offer.cpu = MilliCpu::cpus(3));
    assert!(starts(&mut smaller).is_empty());
    let mut paused = reserve();
    report_of(&mut paused, |report| {
        report.paused = Some(Pause {
            until: None,
            reason: String::new(),
            by: PausedBy::Command,
        });
    });
    assert!(starts(&mut paused).is_empty());

    // It starts elsewhere.
    let mut elsewhere = reserve();
    elsewhere.machine(11, ALICE, "other", report(capacity(4, 64)));
    let placed = elsewhere.schedule();
    assert_eq!(
        placed[0],
        (
            AttemptId {
                job: job_id(40),
                task: 0,
                number: 1
            },
            machine_id(11)
        )
    );
    assert!(kept(&elsewhere).is_empty());
    assert_eq!(
        placed[1].0.job,
        job_id(50),
        "what was kept is for others again"
    );
}

#[test]
fn who_comes_first_in_turn_is_not_held_back_by_what_others_wait_for() {
    // Bob's whole-machine jobs have waited for long, and bob had most of the pool.
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(2, 64)));
    world.submit(BOB, 30, asking(2, 2)).unwrap();
    let (first, _) = world.schedule()[0];
    for number in 31..35 {
        world.submit(BOB, number, asking(2, 2)).unwrap();
    }
    world.wait(60 * MINUTE);
    for number in 40..44 {
        world.submit(CAROL, number, asking(1, 1)).unwrap();
    }
    world.succeed(first);
    let mut placed = world.schedule();
    assert_eq!(placed[0].0.job, job_id(40));
    assert!(kept(&world).is_empty(), "carol's next one comes first");
    while let Some((attempt, _)) = placed.pop() {
        world.wait(MINUTE);
        world.succeed(attempt);
        placed.extend(world.schedule());
        invariants::check(&world);
    }
    assert!(world.live().is_empty());
}

#[test]
fn an_owner_does_not_wait_for_what_is_kept_of_their_own_machine() {
    let (mut world, running) = crowded(&[30, 30, 30, 60]);
    world.wait(15 * MINUTE);
    world.succeed(running[0]);
    world.submit(BOB, 50, asking(1, 1)).unwrap();
    assert!(world.schedule().is_empty());
    assert_eq!(kept(&world), [(CAROL, 5)]);
    world.submit(ALICE, 51, asking(1, 1)).unwrap();
    let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(51)]);
    invariants::check(&world);
}

#[test]
fn what_can_run_nowhere_keeps_nobody_from_having_a_machine_kept() {
    let mut world = World::new();
    world.join(4, "dora", Role::Member);
    world.join(5, "erin", Role::Member);
    world.machine(10, ALICE, "box", report(capacity(4, 64)));
    world.machine(11, ALICE, "gone", report(capacity(64, 64)));
    world.disconnect(11);
    for number in 30..34 {
        world.submit(BOB, number, asking(1, 1)).unwrap();
    }
    let running = world.schedule();
    for (who, number) in [(user(4), 40), (user(5), 41)] {
        world.submit(who, number, asking(32, 4)).unwrap();
    }
    world.project(ALICE, 60, "old");
    let archived = JobSpec {
        priority: Priority::High,
        project: Some(name("old")),
        ..asking(1, 1)
    };
    world.submit(ALICE, 42, archived).unwrap();
    world.archive(ALICE, "old", true).unwrap();
    world.submit(CAROL, 43, asking(4, 4)).unwrap();
    world.wait(20 * MINUTE);
    world.submit(BOB, 50, asking(1, 1)).unwrap();
    world.succeed(running[0].0);
    assert!(world.schedule().is_empty());
    assert_eq!(kept(&world).len(), 1);
    assert_eq!(kept(&world)[0].0, CAROL);
    invariants::check(&world);
}

#[test]
fn a_machine_that_is_not_free_when_it_should_be_is_given_up_for_another() {
    let mut world = World::new();
    world.machine(10, ALICE, "bounded", report(capacity(2, 64)));
    for number in 30..32 {
        let spec = running_for(120, asking(1, 1));
        world.submit(BOB, number, spec).unwrap();
    }
    let bounded = world.schedule();
    world.machine(11, ALICE, "endless", report(capacity(2, 64)));
    world.wait(10 * MINUTE);
    for number in 32..34 {
        world.submit(BOB, number, asking(1, 1)).unwrap();
    }
    world.schedule();
    world.submit(CAROL, 40, asking(2, 2)).unwrap();
    world.wait(15 * MINUTE);
    // What runs without a bound seems to end soonest.
    world.succeed(bounded[0].0);
    world
        .submit(BOB, 50, running_for(70, asking(1, 1)))
        .unwrap();
    world.schedule();
    let where_kept = |world: &World| {
        let reserved = &world.state.volatile.reserved;
        reserved.machines(ORG, job_id(40)).collect::<Vec<_>>()
    };
    assert_eq!(where_kept(&world), [machine_id(11)]);
    let short = running_for(10, asking(1, 1));
    world.wait(60 * MINUTE);
    world.succeed(bounded[1].0);
    world.submit(BOB, 51, short).unwrap();
    world.schedule();
    assert_eq!(where_kept(&world), [machine_id(10)]);
    invariants::check(&world);
}
