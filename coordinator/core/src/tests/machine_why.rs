//! Why a machine gets nothing: what is in its own way, what it did, and why what waits goes elsewhere.

use std::time::Duration;

use common::{
    api::{
        Answer, Request,
        explain::BlockerCode,
        machine::{MachineExplanation, MachineRequest, Obstacle},
    },
    code::Code,
    id::UserId,
    job::JobSpec,
    limits::Limits,
    machine::{MachineReport, Pause, PausedBy},
    problem::Problem,
    status::{EndReason, IsolationLevel, MachineStatus, MinIsolation},
    time::Span,
};

use super::world::{
    ALICE, BOB, CAROL, ORG, World, array, asking, capacity, machine_id, name, outcome, report, spec,
};
use crate::{Actor, Body};

fn ask(world: &World, who: UserId) -> Result<MachineExplanation, Problem> {
    let name = name("box");
    let question = Request::Machine(MachineRequest::Explain { org: ORG, name });
    match world.ask(who, &question)? {
        Answer::MachineExplanation(explanation) => Ok(*explanation),
        other => panic!("{other:?}"),
    }
}

fn why(world: &World) -> MachineExplanation {
    ask(world, CAROL).unwrap()
}

fn codes(obstacles: &[Obstacle]) -> Vec<BlockerCode> {
    obstacles.iter().map(|one| one.code).collect()
}

fn one_machine() -> World {
    let mut world = World::new();
    world.machine(10, CAROL, "box", report(capacity(4, 16)));
    world
}

fn say(world: &mut World, report: MachineReport) {
    world.must(
        Actor::Machine(machine_id(10)),
        Body::ReportMachine { report },
    );
}

#[test]
fn its_owner_and_admins_may_ask() {
    let world = one_machine();
    assert!(ask(&world, CAROL).is_ok() && ask(&world, ALICE).is_ok());
    assert_eq!(ask(&world, BOB).unwrap_err().code, Code::Permission);
    let none = World::new();
    assert_eq!(ask(&none, CAROL).unwrap_err().code, Code::NotFound);
}

#[test]
fn what_is_in_its_own_way_is_told_at_once() {
    let mut world = World::new();
    world.register(10, CAROL, "box").unwrap();
    let pending = why(&world);
    assert_eq!(codes(&pending.obstacles), [BlockerCode::MachinePending]);
    assert_eq!(pending.status, MachineStatus::Pending);

    let mut world = one_machine();
    assert!(why(&world).obstacles.is_empty());
    let paused = MachineReport {
        paused: Some(Pause {
            until: None,
            reason: "hours: mon-fri".to_owned(),
            by: PausedBy::Rule,
        }),
        ..report(capacity(4, 16))
    };
    say(&mut world, paused);
    assert_eq!(why(&world).obstacles[0].text, "hours: mon-fri");
    let mut nothing = report(capacity(4, 16));
    nothing.offer = capacity(0, 0);
    nothing.isolation.level = IsolationLevel::C;
    say(&mut world, nothing);
    world.limit(Limits {
        min_isolation: Some(MinIsolation::B),
        ..Limits::default()
    });
    let told = why(&world).obstacles;
    assert_eq!(
        codes(&told),
        [BlockerCode::LendsNothing, BlockerCode::IsolationTooLow]
    );
    assert_eq!(
        told[0].text,
        "its owner lends 0 of 4 CPUs and 0 B of 16 GiB of memory (cpu_limit and memory_limit in owner.yaml)"
    );
    assert!(
        told[1]
            .text
            .starts_with("has isolation c, and jobs of other members need b here")
    );
    world.disconnect(10);
    let told = why(&world).obstacles;
    assert_eq!(told[0].code, BlockerCode::MachineOffline);
    let since = world.now.to_second();
    assert_eq!(told[0].text, format!("not connected since {since}"));

    let mut world = one_machine();
    for _ in 0..3 {
        let number = world.mint();
        world.submit(BOB, number, spec()).unwrap();
        let (attempt, _) = world.schedule()[0];
        world.end(attempt, outcome(EndReason::PrepareFailed, None));
    }
    let told = why(&world);
    assert_eq!(codes(&told.obstacles), [BlockerCode::MachineSetAside]);
    assert_eq!(told.waiting, 0, "nothing waits");
}

#[test]
fn what_waits_is_told_by_what_it_asks_for_and_why_not_here() {
    let mut world = one_machine();
    world.submit(BOB, 30, asking(4, 8)).unwrap();
    let (running, _) = world.schedule()[0];
    world.start(running);
    world.submit(BOB, 31, asking(2, 8)).unwrap();
    world.submit(ALICE, 32, asking(2, 8)).unwrap();
    let large = JobSpec {
        array: array(5, None).array,
        max_runtime: Some(Span::from_secs(7200)),
        ..asking(1, 8)
    };
    world.submit(ALICE, 33, large).unwrap();
    assert!(world.schedule().is_empty());
    let told = why(&world);
    assert_eq!((told.waiting, told.not_ready), (7, 0));
    let classes: Vec<_> = told
        .classes
        .iter()
        .map(|one| (one.tasks, one.asks.as_str()))
        .collect();
    assert_eq!(
        classes,
        [(5, "1 CPU, 8 GiB, up to 2h"), (2, "2 CPUs, 8 GiB")]
    );
    for class in &told.classes {
        assert_eq!(codes(&class.obstacles), [BlockerCode::BusyCpu]);
    }
    // The words are those of the jobs' own explanations.
    assert_eq!(
        told.classes[1].obstacles[0].text,
        world.why(31).blockers[0].text
    );

    world.limit(Limits {
        max_concurrent_jobs_per_user: Some(1),
        ..Limits::default()
    });
    world.end(running, outcome(EndReason::Exited, Some(0)));
    let told = why(&world);
    assert!(
        told.classes[0].obstacles.is_empty(),
        "it could start: {told:?}"
    );
    let (placed, _) = world.schedule()[0];
    world.start(placed);
    let left = why(&world);
    let limited = left
        .classes
        .iter()
        .flat_map(|class| codes(&class.obstacles));
    assert!(
        limited
            .into_iter()
            .any(|code| code == BlockerCode::MemberConcurrentLimit)
    );
}

#[test]
fn whose_a_job_is_and_what_they_may_hold_is_not_told() {
    let mut world = one_machine();
    world.project(ALICE, 50, "secret-plan");
    let mut closed = report(capacity(4, 16));
    closed.admits.not_members = vec![name("bob")];
    world.limit(Limits {
        max_concurrent_jobs_per_user: Some(1),
        ..Limits::default()
    });
    world.submit(BOB, 30, spec()).unwrap();
    let planned = JobSpec {
        project: Some(name("secret-plan")),
        ..asking(2, 2)
    };
    for number in [31, 32] {
        world.submit(ALICE, number, planned.clone()).unwrap();
    }
    say(&mut world, closed);
    world.schedule();
    let told = why(&world);
    let mut all = told.classes.iter().flat_map(|class| &class.obstacles);
    assert!(
        all.clone()
            .any(|one| one.code == BlockerCode::OwnerKeepsOut)
    );
    assert!(
        all.clone()
            .any(|one| one.code == BlockerCode::MemberConcurrentLimit)
    );
    let named = |text: &str| {
        ["alice", "bob", "plan", "max_"]
            .iter()
            .any(|word| text.contains(word))
    };
    assert!(!all.any(|one| named(&one.text)), "{told:?}");
}

#[test]
fn few_classes_are_named_and_all_are_counted() {
    let mut world = one_machine();
    world.disconnect(10);
    for number in 0..10u8 {
        let tasks = JobSpec {
            array: array(1 + u32::from(number), None).array,
            ..asking(1, 1 + u64::from(number))
        };
        world.submit(BOB, 30 + number, tasks).unwrap();
    }
    let told = why(&world);
    assert_eq!(told.waiting, 55);
    assert_eq!((told.classes.len(), told.classes_left_out), (8, 2));
    assert_eq!(told.classes[0].tasks, 10);
    // What waits for a moment is no work for any machine yet.
    world.connect(10, report(capacity(4, 16)), &[]);
    let mut again = spec();
    again.retries.on = vec![EndReason::Exited];
    world.cancel(BOB, 10, None).unwrap();
    for number in 1..10 {
        world.cancel(BOB, number, None).unwrap();
    }
    world.submit(BOB, 50, again).unwrap();
    let (attempt, _) = world.schedule()[0];
    world.end(attempt, outcome(EndReason::Exited, Some(1)));
    let told = why(&world);
    assert_eq!((told.waiting, told.not_ready), (0, 1));
    assert!(told.classes.is_empty());
}

#[test]
fn what_it_did_in_the_last_day_is_summed() {
    let mut world = one_machine();
    for hours in [1, 2] {
        let number = world.mint();
        world.submit(BOB, number, spec()).unwrap();
        let (attempt, _) = world.schedule()[0];
        world.start(attempt);
        world.wait(hours * 3600);
        world.succeed(attempt);
    }
    let number = world.mint();
    world.submit(BOB, number, spec()).unwrap();
    let (attempt, _) = world.schedule()[0];
    world.start(attempt);
    world.wait(1800);
    let told = why(&world).lately;
    assert_eq!((told.tasks, told.running), (2, 1));
    assert_eq!(
        told.busy.as_duration(),
        Duration::from_secs(3 * 3600 + 1800)
    );
    world.succeed(attempt);
    world.wait(30 * 3600);
    let told = why(&world).lately;
    assert_eq!(
        (told.tasks, told.running, told.busy),
        (0, 0, Span::default())
    );
}
