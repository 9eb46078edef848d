//! Bounds per compute resource type, on the org and on members: what they stop, what is said, what they leave alone.

mod bounds_hold;
mod storage;
mod told;

use common::{
    api::{
        explain::BlockerCode,
        limits::{BoundSource, LimitsAnswer, LimitsRequest, MemberLimits},
    },
    code::Code,
    id::UserId,
    job::JobSpec,
    limits::{Limits, Quantity},
    machine::MachineReport,
    name::Name,
    resources::{Capacity, Gpu, GpuHealth, GpuRequest},
    units::Bytes,
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, array, asking, bounds, capacity, job_id, machine_id, name,
        refused, report, spec,
    },
};
use crate::{Actor, Body, query};

/// Returns a machine that lends GPUs of these models.
pub(super) fn lending(models: &[&str]) -> MachineReport {
    let gpu = |(number, model): (usize, &&str)| Gpu {
        uuid: format!("GPU-{number}-{model}"),
        model: (*model).to_owned(),
        memory: Bytes::gib(24),
        driver: "550".to_owned(),
        health: GpuHealth::Usable,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    };
    report(Capacity {
        gpus: models.iter().enumerate().map(gpu).collect(),
        ..capacity(64, 256)
    })
}

/// Asks for so many GPUs, of one model or of any.
pub(super) fn wants(count: u32, model: Option<&str>) -> JobSpec {
    let mut spec = spec();
    spec.request.gpu = Some(GpuRequest {
        count,
        model: model.map(str::to_owned),
        memory: None,
        share: false,
        memory_most: None,
    });
    spec
}

fn many(tasks: u32, spec: JobSpec) -> JobSpec {
    JobSpec {
        array: array(tasks, None).array,
        ..spec
    }
}

fn per_user(limits: &[(&str, u64)]) -> Limits {
    Limits {
        per_user: bounds(limits),
        ..Limits::default()
    }
}

fn concurrent(limits: &[(&str, u64)]) -> Limits {
    Limits {
        concurrent: bounds(limits),
        ..Limits::default()
    }
}

fn ask(world: &World, user: UserId, request: &LimitsRequest) -> Result<LimitsAnswer, Code> {
    query::limits::answer(&world.state, user, request).map_err(|problem| problem.code)
}

fn member_limits(world: &World, asked: Option<Name>) -> MemberLimits {
    let request = LimitsRequest::Member {
        org: ORG,
        handle: asked,
    };
    match ask(world, BOB, &request) {
        Ok(LimitsAnswer::Member(limits)) => limits,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_bound_stops_that_member_and_nobody_else() {
    let mut world = World::new();
    world.machine(10, ALICE, "gpus", lending(&["h200"; 8]));
    world.limit(per_user(&[("gpu", 2)]));
    world.submit(BOB, 30, many(5, wants(1, None))).unwrap();
    world.submit(CAROL, 31, many(5, wants(1, None))).unwrap();
    // Neither what waits of the same member and asks for none.
    world.submit(BOB, 32, spec()).unwrap();
    let placed = world.schedule();
    let of = |number: u8| {
        placed
            .iter()
            .filter(|(id, _)| id.job == job_id(number))
            .count()
    };
    assert_eq!((of(30), of(31), of(32)), (2, 2, 1));
    let explanation = world.why(30);
    assert_eq!(
        explanation.blockers[0].code,
        BlockerCode::MemberResourceLimit
    );
    assert_eq!(
        explanation.blockers[0].text,
        "asks for 1 GPU; per_user.gpu is 2 in the limits of org lab; this member's tasks hold 2 GPUs now"
    );
    assert_eq!(
        explanation.smallest_change.as_deref(),
        Some("1 GPU that this member's tasks hold come free, or an admin raises per_user.gpu to 3")
    );
    assert!(!explanation.never);
    invariants::check_waiting_is_explained(&world);
    let held = placed
        .iter()
        .find(|(id, _)| id.job == job_id(30))
        .unwrap()
        .0;
    world.succeed(held);
    assert_eq!(world.schedule().len(), 1);
    invariants::check(&world);
}

#[test]
fn the_org_as_a_whole_holds_no_more_than_it_may() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(64, 64)));
    let limits = concurrent(&[("cpu", 3_000), ("memory", Bytes::gib(8).0)]);
    world.limit(limits);
    world.submit(BOB, 30, many(5, asking(1, 1))).unwrap();
    world.submit(CAROL, 31, asking(1, 6)).unwrap();
    world.submit(CAROL, 32, many(5, asking(1, 1))).unwrap();
    assert_eq!(world.schedule().len(), 3);
    // Which of them came first does not matter: three processors, and eight GiB.
    for number in [30, 32] {
        let codes: Vec<BlockerCode> = world.why(number).blockers.iter().map(|b| b.code).collect();
        assert!(codes.contains(&BlockerCode::OrgResourceLimit), "{codes:?}");
    }
    invariants::check(&world);
    // Lowered, it ends nothing; raised, more starts at once.
    world.limit(concurrent(&[("cpu", 1_000)]));
    assert!(world.schedule().is_empty());
    assert_eq!(world.live().len(), 3);
    world.limit(concurrent(&[("cpu", 4_000)]));
    assert_eq!(world.schedule().len(), 1);
}

#[test]
fn a_task_that_takes_any_model_gets_one_that_is_left() {
    let mut world = World::new();
    world.machine(
        10,
        ALICE,
        "mixed",
        lending(&["rtx-5090", "rtx-5090", "rtx-3090"]),
    );
    world.limit(per_user(&[("rtx-5090", 1)]));
    world.submit(BOB, 30, many(3, wants(1, None))).unwrap();
    assert_eq!(world.schedule().len(), 2);
    let models = |world: &World| {
        let live = world.live();
        let models = live
            .iter()
            .flat_map(|id| world.state.attempts[id].gpu_models.clone());
        let mut models: Vec<String> = models.collect();
        models.sort();
        models
    };
    assert_eq!(models(&world), ["rtx-3090", "rtx-5090"]);
    let explanation = world.why(30);
    assert_eq!(explanation.blockers[0].code, BlockerCode::GpuModelLimit);
    assert_eq!(
        explanation.blockers[0].text,
        "has only GPUs of which no more may be held: per_user.rtx-5090 is 1 in the limits of org lab; this \
         member's tasks hold 1 rtx-5090 now"
    );
    invariants::check_waiting_is_explained(&world);
    // Two at once it could never have, of this model or with the other.
    let problem = refused(world.submit(BOB, 31, wants(2, Some("rtx-5090"))));
    assert_eq!(problem.code, Code::Limit);
    assert_eq!(problem.what, "cannot have 2 rtx-5090");
    let problem = refused(world.submit(BOB, 32, wants(3, None)));
    assert_eq!(problem.code, Code::NeverFits);
    assert!(problem.why.contains("per_user.rtx-5090 is 1"), "{problem}");
    // The machine reports other models now: what is held stays what it was.
    let changed = lending(&["h200", "h200", "h200"]);
    world.must(
        Actor::Machine(machine_id(10)),
        Body::ReportMachine { report: changed },
    );
    invariants::check(&world);
    for attempt in world.live() {
        world.succeed(attempt);
    }
    world.schedule();
    for attempt in world.live() {
        world.succeed(attempt);
    }
    invariants::check(&world);
    assert!(world.state.index.orgs.is_empty(), "nothing is left over");
}

#[test]
fn what_is_set_singly_replaces_the_default_and_the_org_still_holds() {
    let mut world = World::new();
    world.machine(10, ALICE, "gpus", lending(&["h200"; 8]));
    world.limit(Limits {
        concurrent: bounds(&[("gpu", 5)]),
        per_user: bounds(&[("gpu", 2)]),
        ..Limits::default()
    });
    world.limit_member(BOB, &[("gpu", 4)]);
    world.limit_member(CAROL, &[("gpu", 1), ("h200", 0)]);
    world.submit(BOB, 30, many(8, wants(1, None))).unwrap();
    let problem = refused(world.submit(CAROL, 31, wants(2, Some("h200"))));
    assert_eq!(problem.code, Code::Limit);
    assert_eq!(problem.what, "2 limits are in the way");
    assert_eq!(
        problem.why,
        "2 GPUs: per_user.gpu is 1 set for carol by alice; this member's tasks hold 0 GPUs now\n\
         2 h200: per_user.h200 is 0 set for carol by alice; this member's tasks hold 0 h200 now"
    );
    assert_eq!(world.schedule().len(), 4);
    world.submit(ALICE, 32, many(4, wants(1, None))).unwrap();
    assert_eq!(world.schedule().len(), 1, "the org has five");
    // Wider than the org's is no mistake; the org's holds.
    world.limit_member(BOB, &[("gpu", 100)]);
    assert!(world.schedule().is_empty());

    let limits = member_limits(&world, None);
    let shown: Vec<(&str, Quantity, Option<Quantity>)> = limits
        .bounds
        .iter()
        .map(|bound| (bound.limit.as_str(), bound.value, bound.in_use))
        .collect();
    let count = Quantity::Count;
    assert_eq!(
        shown,
        [
            ("per_user.gpu", count(100), Some(count(4))),
            ("concurrent.gpu", count(5), Some(count(5))),
        ]
    );
    let BoundSource::Member { by, .. } = &limits.bounds[0].source else {
        panic!("{limits:?}");
    };
    assert_eq!(*by, Some(name("alice")));
    invariants::check(&world);
}

#[test]
fn an_expected_start_waits_for_the_bounds() {
    let mut world = World::new();
    world.machine(10, ALICE, "gpus", lending(&["h200"; 4]));
    world.limit(per_user(&[("gpu", 2)]));
    let hours = |count: u64| Some(common::time::Span::from_secs(count * 3600));
    for (number, hours) in [(30, hours(1)), (31, hours(3))] {
        let runs = JobSpec {
            max_runtime: hours,
            ..wants(1, None)
        };
        world.submit(BOB, number, runs).unwrap();
    }
    assert_eq!(world.schedule().len(), 2);
    world.submit(BOB, 32, wants(2, None)).unwrap();
    world.schedule();
    let third = world
        .now
        .saturating_add(std::time::Duration::from_secs(3 * 3600));
    assert_eq!(world.why(32).expected_start, Some(third));
}
