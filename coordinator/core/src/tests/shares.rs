//! GPUs that are shared by their memory, and what is said of those that cannot be had.

use std::collections::BTreeMap;

use common::{
    api::explain::BlockerCode,
    code::Code,
    id::MachineId,
    job::JobSpec,
    machine::MachineReport,
    resources::{Capacity, Gpu, GpuHealth, GpuRequest},
    status::MinIsolation,
    units::Bytes,
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, World, array, capacity, job_id, machine_id, refused, report, spec,
        where_to,
    },
};
use crate::{
    Actor, Body,
    schedule::explain::{Subject, explain},
};

fn gpu(uuid: &str, health: GpuHealth) -> Gpu {
    Gpu {
        uuid: uuid.to_owned(),
        model: "h200".to_owned(),
        memory: Bytes::gib(24),
        driver: "550".to_owned(),
        health,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    }
}

fn lending(gpus: &[(&str, GpuHealth)]) -> MachineReport {
    let gpus = gpus.iter().map(|(uuid, health)| gpu(uuid, health.clone()));
    report(Capacity {
        gpus: gpus.collect(),
        ..capacity(64, 64)
    })
}

/// Asks for a share of so many GiB, or for a whole GPU.
fn wants(share: Option<u64>) -> JobSpec {
    let mut spec = spec();
    spec.request.gpu = Some(GpuRequest {
        count: 1,
        model: Some("h200".to_owned()),
        memory: share.map(Bytes::gib),
        share: share.is_some(),
        memory_most: None,
    });
    spec
}

#[test]
fn a_gpu_has_no_more_memory_than_is_asked_for_at_most() {
    let mut world = World::new();
    let small = lending(&[("small", GpuHealth::Usable)]);
    let mut large = small.clone();
    for gpus in [&mut large.capacity.gpus, &mut large.offer.gpus] {
        gpus[0].memory = Bytes::gib(80);
        gpus[0].uuid = "large".to_owned();
    }
    world.machine(10, ALICE, "small", small);
    world.machine(11, ALICE, "large", large);
    let ranged = |least: u64, most: u64| {
        let mut spec = wants(None);
        spec.request.gpu = spec.request.gpu.map(|gpu| GpuRequest {
            memory: (least > 0).then(|| Bytes::gib(least)),
            memory_most: Some(Bytes::gib(most)),
            ..gpu
        });
        spec
    };
    for (number, spec, expect) in [(30, ranged(0, 40), 10), (31, ranged(25, 80), 11)] {
        world.submit(BOB, number, spec).unwrap();
        assert_eq!(where_to(&world.schedule()), [machine_id(expect)]);
        invariants::check(&world);
    }
    // The large one is free, and too large.
    let placed = world.live();
    world.succeed(placed[1]);
    world.submit(BOB, 32, ranged(0, 40)).unwrap();
    assert!(world.schedule().is_empty());
    let (code, text, _) = why(&world, 32);
    assert_eq!(code, BlockerCode::NoSuchGpu);
    assert!(
        text.contains("1 GPU h200 with at most 40 GiB, which is not lent there"),
        "{text}"
    );
    let problem = refused(world.submit(BOB, 33, ranged(30, 60)));
    assert_eq!(problem.code, Code::NeverFits);
    assert!(problem.why.contains("30 GiB to 60 GiB"), "{problem}");
    let problem = refused(world.submit(BOB, 34, ranged(60, 30)));
    assert!(
        problem
            .why
            .contains("at least 60 GiB of memory and at most 30 GiB"),
        "{problem}"
    );
    let mut shared = wants(Some(8));
    shared.request.gpu = shared.request.gpu.map(|gpu| GpuRequest {
        memory_most: Some(Bytes::gib(9)),
        ..gpu
    });
    let problem = refused(world.submit(BOB, 35, shared));
    assert!(problem.why.contains("which is of one size"), "{problem}");
}

fn why(world: &World, number: u8) -> (BlockerCode, String, String) {
    let id = job_id(number);
    let (job, progress) = (&world.state.jobs[&id], &world.state.progress[&id]);
    let explanation = explain(&world.state, world.now, &Subject::of(id, job, progress));
    let blocker = &explanation.blockers[0];
    let change = explanation.smallest_change.unwrap();
    (blocker.code, blocker.text.clone(), change)
}

fn held(world: &World, number: u8) -> BTreeMap<String, Bytes> {
    let used = &world.state.index.machines[&machine_id(number)];
    used.held.gpu_shares.clone()
}

#[test]
fn shares_fill_one_gpu_and_whole_ones_stay_whole() {
    let mut world = World::new();
    let two = [("a", GpuHealth::Usable), ("b", GpuHealth::Usable)];
    world.machine(10, ALICE, "gpus", lending(&two));
    world.submit(BOB, 30, wants(Some(10))).unwrap();
    world.submit(CAROL, 31, wants(Some(10))).unwrap();
    world.submit(BOB, 32, wants(None)).unwrap();
    assert_eq!(world.schedule().len(), 3);
    assert_eq!(
        held(&world, 10),
        BTreeMap::from([("a".to_owned(), Bytes::gib(20))])
    );
    invariants::check(&world);

    world.submit(CAROL, 33, wants(Some(10))).unwrap();
    world.submit(CAROL, 34, wants(None)).unwrap();
    assert!(world.schedule().is_empty());
    let (code, text, change) = why(&world, 33);
    assert_eq!(code, BlockerCode::BusyGpu);
    assert!(
        text.contains("on gpus: 1 held by a job, 1 with 4 GiB of 24 GiB left"),
        "{text}"
    );
    assert_eq!(change, "a task on gpus ends");
    let (_, text, _) = why(&world, 34);
    assert!(text.contains("1 held by a job, 1 shared by jobs"), "{text}");
    invariants::check_waiting_is_explained(&world);

    // Four of it are left, which is enough for this one.
    world.submit(CAROL, 35, wants(Some(4))).unwrap();
    assert_eq!(world.schedule().len(), 1);
    // The machine tells a process of others from the jobs': nobody gets more of a GPU that others use.
    let mut busy = lending(&two);
    busy.offer.gpus[0].health = GpuHealth::UsedByOthers;
    let report = |world: &mut World, report| {
        let actor = Actor::Machine(machine_id(10));
        world.must(actor, Body::ReportMachine { report });
    };
    report(&mut world, busy);
    let first = world.live()[0];
    assert_eq!(first.job, job_id(30));
    world.succeed(first);
    assert_eq!(world.schedule().len(), 0);
    report(&mut world, lending(&two));
    assert_eq!(world.schedule().len(), 1);
    invariants::check(&world);
    for attempt in world.live() {
        world.succeed(attempt);
    }
    assert_eq!(world.schedule().len(), 1, "the whole one comes last");
    assert_eq!(world.live()[0].job, job_id(34));
    invariants::check(&world);
}

#[test]
fn a_share_goes_where_shares_are_already() {
    let mut world = World::new();
    world.machine(10, ALICE, "a", lending(&[("a", GpuHealth::Usable)]));
    world.machine(11, ALICE, "b", lending(&[("b", GpuHealth::Usable)]));
    let placed = |world: &mut World, number: u8, spec: JobSpec| -> MachineId {
        world.submit(BOB, number, spec).unwrap();
        world.schedule()[0].1
    };
    let first = placed(&mut world, 30, wants(Some(8)));
    assert_eq!(placed(&mut world, 31, wants(Some(8))), first);
    assert_eq!(placed(&mut world, 32, wants(Some(8))), first);
    assert_ne!(placed(&mut world, 33, wants(None)), first);
    invariants::check(&world);
}

#[test]
fn what_keeps_a_gpu_is_named_with_what_would_free_it() {
    for (health, text, change) in [
        (
            GpuHealth::UsedByOthers,
            "on gpus: 1 used by other processes",
            "other processes leave a GPU of gpus",
        ),
        (
            GpuHealth::Leftover,
            "on gpus: 1 holding memory that an ended job left behind",
            "what an ended job left on a GPU of gpus is cleared",
        ),
        (
            GpuHealth::Faulty("Xid 79".to_owned()),
            "on gpus: 1 faulty (Xid 79)",
            "a faulty GPU of gpus is mended",
        ),
    ] {
        for share in [None, Some(4)] {
            let mut world = World::new();
            world.machine(10, ALICE, "gpus", lending(&[("a", health.clone())]));
            world.submit(BOB, 30, wants(share)).unwrap();
            assert!(world.schedule().is_empty(), "{health:?}");
            let (code, said, smallest) = why(&world, 30);
            assert_eq!(code, BlockerCode::BusyGpu);
            assert!(said.contains(text), "{said}");
            assert_eq!(smallest, change);
            let actor = Actor::Machine(machine_id(10));
            let report = lending(&[("a", GpuHealth::Usable)]);
            world.must(actor, Body::ReportMachine { report });
            assert_eq!(world.schedule().len(), 1);
            invariants::check(&world);
        }
    }
}

#[test]
fn what_no_gpu_has_is_refused_at_once() {
    let mut world = World::new();
    world.machine(10, ALICE, "gpus", lending(&[("a", GpuHealth::Usable)]));
    let problem = refused(world.submit(BOB, 30, wants(Some(48))));
    assert!(problem.why.contains("48 GiB of its memory"), "{problem}");
    assert!(
        problem.help.contains("GPU h200 (24 GiB)"),
        "{}",
        problem.help
    );
    let strong = JobSpec {
        isolation: Some(MinIsolation::Strong),
        ..wants(None)
    };
    let mut report = lending(&[("a", GpuHealth::Usable)]);
    report.isolation.strong = true;
    world.machine(11, ALICE, "strong", report);
    let problem = refused(world.submit(BOB, 31, strong));
    assert!(
        problem.why.contains("which isolation strong cannot give"),
        "{problem}"
    );
    assert!(problem.help.contains("ask for no GPU"), "{}", problem.help);
}

#[test]
fn many_shares_are_given_and_taken_back_to_the_last_byte() {
    let mut world = World::new();
    let four = ["a", "b", "c", "d"].map(|uuid| (uuid, GpuHealth::Usable));
    world.machine(10, ALICE, "gpus", lending(&four));
    for (number, gib) in [(30, 5), (31, 7), (32, 11)] {
        let mut spec = wants(Some(gib));
        spec.array = array(20, None).array;
        world.submit(BOB, number, spec).unwrap();
    }
    let mut rounds = 0;
    loop {
        world.schedule();
        let shares = held_or_none(&world);
        assert!(
            shares.values().all(|share| *share <= Bytes::gib(24)),
            "{shares:?}"
        );
        invariants::check(&world);
        let Some(last) = world.live().pop() else {
            break;
        };
        world.succeed(last);
        rounds += 1;
    }
    assert_eq!(rounds, 60);
}

fn held_or_none(world: &World) -> BTreeMap<String, Bytes> {
    let used = world.state.index.machines.get(&machine_id(10));
    used.map(|used| used.held.gpu_shares.clone())
        .unwrap_or_default()
}
