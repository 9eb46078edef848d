//! Who goes first, and where to.

use common::{
    api::explain::BlockerCode,
    job::JobSpec,
    limits::Limits,
    machine::Pause,
    resources::{Gpu, GpuHealth, GpuRequest},
    status::{EndReason, IsolationLevel, Priority},
    units::Bytes,
};

use crate::schedule::plan::plan;

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, World, array, asking, capacity, job_id, machine_id, outcome, report,
        spec, tree, where_to,
    },
};

fn codes(world: &World, number: u8) -> Vec<BlockerCode> {
    world
        .why(number)
        .blockers
        .iter()
        .map(|blocker| blocker.code)
        .collect()
}

#[test]
fn priority_comes_first_then_the_smaller_share_then_age() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(2, 64)));
    world.submit(BOB, 30, array(3, None)).unwrap();
    world.submit(CAROL, 31, spec()).unwrap();
    world
        .submit(
            BOB,
            32,
            JobSpec {
                priority: Priority::High,
                ..spec()
            },
        )
        .unwrap();
    let jobs: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(jobs, [job_id(32), job_id(31)]);
    assert_eq!(world.why(30).ahead, Some(0));
    assert_eq!(codes(&world, 30), [BlockerCode::BusyCpu]);
}

#[test]
fn machines_that_cannot_are_passed_by_and_say_why() {
    let mut world = World::new();
    let paused = common::machine::MachineReport {
        paused: Some(Pause {
            until: None,
            reason: String::new(),
            by: common::machine::PausedBy::Command,
        }),
        ..report(capacity(8, 16))
    };
    let mut weak = report(capacity(8, 16));
    weak.isolation.level = IsolationLevel::D;
    weak.isolation.remedy = Some("sysctl kernel.unprivileged_userns_clone=1".to_owned());
    world.machine(10, BOB, "paused", paused);
    world.machine(11, BOB, "weak", weak);
    world.machine(12, BOB, "small", report(capacity(1, 16)));
    world.machine(13, BOB, "gone", report(capacity(8, 16)));
    world.disconnect(13);
    world.submit(CAROL, 30, asking(4, 4)).unwrap();
    assert!(world.schedule().is_empty());
    let explanation = world.why(30);
    let seen: Vec<(BlockerCode, &str, u32)> = explanation
        .blockers
        .iter()
        .map(|b| (b.code, b.machines[0].as_str(), b.machine_count))
        .collect();
    assert_eq!(
        seen,
        [
            (BlockerCode::MachineOffline, "gone", 1),
            (BlockerCode::MachinePaused, "paused", 1),
            (BlockerCode::IsolationTooLow, "weak", 1),
            (BlockerCode::TooSmallCpu, "small", 1),
        ]
    );
    assert!(!explanation.never);
    assert!(
        explanation
            .smallest_change
            .is_some_and(|change| change.contains("gone comes back"))
    );
    invariants::check_waiting_is_explained(&world);
    // A member's own jobs may run on a machine that cannot hold in those of others.
    world.submit(BOB, 31, asking(4, 4)).unwrap();
    assert_eq!(where_to(&world.schedule()), [machine_id(11)]);
}

#[test]
fn the_own_machine_then_cached_data_then_the_tightest_fit() {
    let mut world = World::new();
    world.machine(10, ALICE, "a-large", report(capacity(16, 64)));
    world.machine(11, ALICE, "b-small", report(capacity(2, 8)));
    world.machine(12, CAROL, "c-large", report(capacity(16, 64)));
    let mut caching = report(capacity(16, 64));
    caching.cached = vec![tree(9), tree(3)];
    world.machine(13, ALICE, "d-large", caching);
    world.submit(CAROL, 30, spec()).unwrap();
    assert_eq!(where_to(&world.schedule()), [machine_id(12)]);
    world
        .submit(
            BOB,
            31,
            JobSpec {
                workdir: Some(tree(3)),
                ..spec()
            },
        )
        .unwrap();
    assert_eq!(where_to(&world.schedule()), [machine_id(13)]);
    world.submit(BOB, 32, spec()).unwrap();
    assert_eq!(where_to(&world.schedule()), [machine_id(11)]);
    invariants::check(&world);
}

#[test]
fn a_task_goes_elsewhere_after_it_failed_somewhere() {
    let mut world = World::new();
    world.machine(10, BOB, "first", report(capacity(4, 8)));
    world.machine(11, ALICE, "second", report(capacity(4, 8)));
    world.submit(BOB, 30, spec()).unwrap();
    let (attempt, on) = world.schedule()[0];
    assert_eq!(on, machine_id(10));
    world.end(attempt, outcome(EndReason::MachineOwner, None));
    assert_eq!(where_to(&world.schedule()), [machine_id(11)]);
}

#[test]
fn limits_hold_and_a_lowered_one_ends_nothing() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(16, 64)));
    let two = Limits {
        max_concurrent_jobs_per_user: Some(2),
        ..Limits::default()
    };
    world.limit(two.clone());
    world.submit(BOB, 30, array(5, None)).unwrap();
    world.submit(CAROL, 31, array(5, Some(1))).unwrap();
    assert_eq!(world.schedule().len(), 3);
    assert_eq!(codes(&world, 30), [BlockerCode::MemberConcurrentLimit]);
    assert_eq!(codes(&world, 31), [BlockerCode::ArrayParallelism]);
    world.limit(Limits {
        max_concurrent_jobs_per_user: Some(1),
        max_job_memory: Some(Bytes::mib(512)),
        ..two
    });
    assert!(world.schedule().is_empty());
    assert_eq!(world.live().len(), 3);
    assert!(codes(&world, 30).contains(&BlockerCode::JobMemoryLimit) && world.why(30).never);
    invariants::check_waiting_is_explained(&world);
    world.limit(Limits::default());
    assert_eq!(world.schedule().len(), 3);
    invariants::check(&world);
}

#[test]
fn the_run_time_is_the_tighter_of_job_and_org_at_placement() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(1, 8)));
    world.limit(Limits {
        max_job_runtime: Some("1h".parse().unwrap()),
        ..Limits::default()
    });
    world.submit(BOB, 30, spec()).unwrap();
    world
        .submit(
            BOB,
            31,
            JobSpec {
                max_runtime: Some("10m".parse().unwrap()),
                ..spec()
            },
        )
        .unwrap();
    let (first, _) = world.schedule()[0];
    world.start(first);
    let set = crate::assign(&world.state, machine_id(10));
    assert_eq!(
        set.attempts[0].spec.max_runtime,
        Some("1h".parse().unwrap())
    );
    let hour = world
        .now
        .saturating_add(std::time::Duration::from_secs(3600));
    assert_eq!(world.why(31).expected_start, Some(hour));
    world.limit(Limits {
        max_job_runtime: Some("1m".parse().unwrap()),
        ..Limits::default()
    });
    let set = crate::assign(&world.state, machine_id(10));
    assert_eq!(
        set.attempts[0].spec.max_runtime,
        Some("1h".parse().unwrap()),
        "what runs keeps its own"
    );
    world.succeed(first);
    assert!(world.schedule().is_empty(), "ten minutes are too long now");
    assert!(codes(&world, 31).contains(&BlockerCode::JobRuntimeLimit));
}

#[test]
fn gpus_are_whole_and_nobody_gets_the_same() {
    let mut world = World::new();
    let gpu = |uuid: &str, health| Gpu {
        uuid: uuid.to_owned(),
        model: "rtx-4090".to_owned(),
        memory: Bytes::gib(24),
        driver: "550".to_owned(),
        health,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    };
    let mut offer = capacity(16, 64);
    offer.gpus = vec![
        gpu("a", GpuHealth::Usable),
        gpu("b", GpuHealth::UsedByOthers),
        gpu("c", GpuHealth::Usable),
    ];
    world.machine(10, ALICE, "gpus", report(offer.clone()));
    world.machine(11, ALICE, "plain", report(capacity(16, 64)));
    let mut wants = array(3, None);
    wants.request.gpu = Some(GpuRequest {
        count: 1,
        model: Some("rtx-4090".to_owned()),
        memory: None,
        share: false,
        memory_most: None,
    });
    world.submit(BOB, 30, wants).unwrap();
    assert_eq!(world.schedule().len(), 2);
    assert_eq!(
        codes(&world, 30),
        [BlockerCode::BusyGpu, BlockerCode::NoSuchGpu][..]
            .iter()
            .rev()
            .copied()
            .collect::<Vec<_>>()
    );
    world.submit(BOB, 31, spec()).unwrap();
    invariants::check(&world);
    let free = world.live();
    // What an attempt holds has the model that it had when it was given, whatever is reported later.
    let mut renamed = offer.clone();
    for gpu in &mut renamed.gpus {
        gpu.model = "other".to_owned();
    }
    for report in [report(renamed), report(offer)] {
        world.must(
            crate::Actor::Machine(machine_id(10)),
            crate::Body::ReportMachine { report },
        );
        assert_eq!(world.state.attempts[&free[0]].gpu_models, ["rtx-4090"]);
    }
    world.succeed(free[0]);
    assert!(
        world
            .schedule()
            .iter()
            .any(|(id, machine)| id.job == job_id(30) && *machine == machine_id(10))
    );
    invariants::check(&world);
}

#[test]
fn a_pass_places_no_more_than_it_is_told() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(64, 64)));
    world.submit(BOB, 30, array(20, None)).unwrap();
    let events = world.must(crate::Actor::System, crate::Body::Schedule { most: 7 });
    assert_eq!(events.len(), 7);
    assert!(world.state.schedule_due());
    assert_eq!(world.schedule().len(), 13);
    assert!(!world.state.schedule_due());
}

/// Submits nothing; says what the explanation tells of the data on each machine.
fn told_of_data(world: &World, number: u8) -> Vec<(String, String)> {
    let told = world.why(number).data.into_iter();
    told.map(|data| (data.machine.to_string(), data.text))
        .collect()
}

#[test]
fn nothing_of_a_lazy_mount_has_to_be_there_before_the_start() {
    let mut world = World::new();
    world.dataset_of(ALICE, 5, "digits", Bytes::gib(4000));
    world.dataset_of(ALICE, 6, "labels", Bytes::gib(1));
    world.machine(10, CAROL, "small", report(capacity(16, 64)));
    let mounts = ["digits:/a:lazy", "labels:/b"];
    let spec = JobSpec {
        datasets: mounts.map(|mount| mount.parse().unwrap()).into(),
        ..asking(16, 64)
    };
    for number in 30..32 {
        world.submit(ALICE, number, spec.clone()).unwrap();
    }
    let expect = "1 GiB to fetch (about 1m 43s, if it comes at 10 MiB/s)";
    assert_eq!(
        told_of_data(&world, 31),
        [("small".to_owned(), expect.to_owned())]
    );
    assert_eq!(where_to(&world.schedule()), [machine_id(10)]);
    let mounted = crate::assign::assign(&world.state, machine_id(10));
    let mounted = &mounted.attempts[0].spec.datasets;
    assert_eq!(
        mounted.iter().map(|tree| tree.lazy).collect::<Vec<bool>>(),
        [true, false]
    );
}

#[test]
fn the_machine_that_has_the_data_soonest_is_taken_and_everybody_is_told_why() {
    let mut world = World::new();
    world.dataset_of(ALICE, 5, "digits", Bytes::gib(41));
    world.dataset_of(ALICE, 6, "labels", Bytes::gib(10));
    let machine = |cached: &[common::id::TreeId], rate: Option<Bytes>| {
        let mut machine = report(capacity(16, 64));
        machine.cached = cached.to_vec();
        machine.fetch_rate = rate;
        machine
    };
    // Has the smaller part, but brings the larger one faster than the other brings the smaller.
    let fast = machine(&[tree(6)], Some(Bytes::gib(1)));
    world.machine(10, CAROL, "fast", fast);
    world.machine(11, CAROL, "slow", machine(&[tree(5)], None));
    world.machine(12, CAROL, "empty", machine(&[], Some(Bytes::gib(1))));
    let spec = JobSpec {
        datasets: vec!["digits:/a".parse().unwrap(), "labels:/b".parse().unwrap()],
        ..asking(16, 64)
    };
    for number in 30..34 {
        world.submit(ALICE, number, spec.clone()).unwrap();
    }
    let pairs = told_of_data(&world, 30);
    let expect = [
        ("fast", "10 GiB already there, 41 GiB to fetch (about 41s)"),
        ("empty", "51 GiB to fetch (about 51s)"),
        (
            "slow",
            "41 GiB already there, 10 GiB to fetch (about 17m 4s, if it comes at 10 MiB/s)",
        ),
    ];
    let told: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    assert_eq!(told, expect);
    let order = [machine_id(10), machine_id(12), machine_id(11)];
    assert_eq!(where_to(&world.schedule()), order);
    invariants::check(&world);
    // A machine that could never run it is not told of.
    world.machine(13, CAROL, "tiny", report(capacity(1, 1)));
    assert_eq!(told_of_data(&world, 33), pairs);
}

#[test]
fn machines_without_room_are_not_looked_at() {
    let mut world = World::new();
    for number in 10..70 {
        world.machine(
            number,
            ALICE,
            &format!("box{number}"),
            report(capacity(2, 64)),
        );
    }
    world.submit(BOB, 1, array(120, None)).unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 120);
    world.submit(CAROL, 2, asking(2, 1)).unwrap();
    world.submit(CAROL, 3, asking(1, 1)).unwrap();
    assert_eq!(plan(&world.state, world.now, 100).machines, 0);
    let (ended, machine) = placed[75];
    world.succeed(ended);
    let planned = plan(&world.state, world.now, 100);
    assert_eq!((planned.machines, planned.placements.len()), (1, 1));
    assert_eq!(planned.placements[0].machine, machine);
    assert_eq!(planned.placements[0].attempt.job, job_id(3));
}
