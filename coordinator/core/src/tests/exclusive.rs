//! Jobs that have a machine to themselves.

use common::{
    api::explain::BlockerCode,
    code::Code,
    job::JobSpec,
    limits::Limits,
    resources::{Allocation, Request},
    time::Span,
    units::{Bytes, MilliCpu},
};

use super::{
    invariants,
    limits::{lending, wants},
    world::{
        ALICE, BOB, CAROL, World, asking, bounds, capacity, job_id, machine_id, refused, report,
        where_to,
    },
};
use crate::{Actor, Body};

fn alone(spec: JobSpec) -> JobSpec {
    JobSpec {
        request: Request {
            exclusive: true,
            ..spec.request
        },
        ..spec
    }
}

fn codes(world: &World, number: u8) -> Vec<BlockerCode> {
    let blockers = world.why(number).blockers;
    blockers.iter().map(|blocker| blocker.code).collect()
}

#[test]
fn nothing_comes_beside_it_and_it_comes_beside_nothing() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(8, 16)));
    world.submit(BOB, 30, asking(1, 1)).unwrap();
    let (small, _) = world.schedule()[0];
    world.submit(CAROL, 31, alone(asking(2, 2))).unwrap();
    assert!(world.schedule().is_empty());
    assert_eq!(codes(&world, 31), [BlockerCode::MachineInUse]);
    assert_eq!(
        world.why(31).smallest_change.as_deref(),
        Some("all that runs on box ends")
    );
    world.succeed(small);
    let (large, _) = world.schedule()[0];
    assert_eq!(large.job, job_id(31));
    let held = &world.state.attempts[&large].allocation;
    assert_eq!(
        *held,
        Allocation {
            cpu: MilliCpu::cpus(8),
            memory: Bytes::gib(16),
            disk: Bytes::gib(1),
            ..Allocation::default()
        }
    );
    world.submit(BOB, 32, asking(1, 1)).unwrap();
    world.submit(BOB, 33, alone(asking(1, 1))).unwrap();
    assert!(world.schedule().is_empty());
    assert_eq!(codes(&world, 32)[0], BlockerCode::HeldExclusively);
    // Not where the owner lends more meanwhile, either.
    let report = report(capacity(32, 64));
    let actor = Actor::Machine(machine_id(10));
    world.must(actor, Body::ReportMachine { report });
    assert!(world.schedule().is_empty());
    assert_eq!(codes(&world, 32), [BlockerCode::HeldExclusively]);
    invariants::check(&world);
    invariants::check_waiting_is_explained(&world);
    world.succeed(large);
    assert_eq!(world.schedule()[0].0.job, job_id(32));
    invariants::check(&world);
}

#[test]
fn the_smallest_idle_machine_that_will_do_is_taken() {
    let mut world = World::new();
    world.machine(10, ALICE, "large", report(capacity(64, 64)));
    world.machine(11, ALICE, "medium", report(capacity(8, 64)));
    world.machine(12, ALICE, "small", report(capacity(2, 64)));
    world.submit(BOB, 30, asking(1, 1)).unwrap();
    assert_eq!(where_to(&world.schedule()), [machine_id(12)]);
    for number in 31..34 {
        world.submit(BOB, number, alone(asking(1, 1))).unwrap();
    }
    let placed = world.schedule();
    assert_eq!(where_to(&placed), [machine_id(11), machine_id(10)]);
    invariants::check(&world);
}

#[test]
fn all_of_the_machine_counts_in_limits() {
    let mut world = World::new();
    world.machine(10, ALICE, "small", report(capacity(4, 8)));
    world.machine(11, ALICE, "large", report(capacity(16, 8)));
    world.limit(Limits {
        per_user: bounds(&[("cpu", 17_000)]),
        ..Limits::default()
    });
    for number in 30..32 {
        world.submit(BOB, number, alone(asking(1, 1))).unwrap();
    }
    assert_eq!(where_to(&world.schedule()), [machine_id(10)]);
    assert_eq!(codes(&world, 31)[0], BlockerCode::HeldExclusively);
    assert!(codes(&world, 31).contains(&BlockerCode::WholeMachineLimit));
    invariants::check_waiting_is_explained(&world);
    // What could never be held is refused.
    world.limit(Limits {
        per_user: bounds(&[("cpu", 3000)]),
        ..Limits::default()
    });
    let problem = refused(world.submit(CAROL, 32, alone(asking(1, 1))));
    assert_eq!(problem.code, Code::NeverFits);
    let all = format!("{} {}", problem.why, problem.help);
    assert!(all.contains("(without `exclusive`)"), "{problem}");
}

#[test]
fn of_gpus_it_holds_those_that_it_asks_for() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", lending(&["a", "b"]));
    world.submit(BOB, 30, alone(wants(1, Some("b")))).unwrap();
    let (attempt, _) = world.schedule()[0];
    assert_eq!(world.state.attempts[&attempt].gpu_models, ["b"]);
    world.submit(CAROL, 31, wants(1, Some("a"))).unwrap();
    assert!(world.schedule().is_empty());
    assert_eq!(codes(&world, 31), [BlockerCode::HeldExclusively]);
    invariants::check(&world);
}

#[test]
fn a_machine_is_kept_free_for_it_as_for_any_large_job() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(4, 64)));
    let bounded = |minutes: u64| JobSpec {
        max_runtime: Some(Span::from_secs(minutes * 60)),
        ..asking(1, 1)
    };
    for number in 30..34 {
        world.submit(BOB, number, bounded(30)).unwrap();
    }
    let running = world.schedule();
    world.submit(CAROL, 40, alone(asking(1, 1))).unwrap();
    world.wait(15 * 60);
    world.succeed(running[0].0);
    world.submit(BOB, 50, bounded(60)).unwrap();
    world.submit(BOB, 51, bounded(10)).unwrap();
    let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(placed, [job_id(51)], "what ends before runs meanwhile");
    invariants::check_waiting_is_explained(&world);
    for attempt in world.live() {
        world.succeed(attempt);
    }
    assert_eq!(world.schedule()[0].0.job, job_id(40));
    invariants::check(&world);
}
