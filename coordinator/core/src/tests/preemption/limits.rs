//! What limits and what ends by itself have to say about who gives way.

use common::{
    job::JobSpec,
    limits::Limits,
    resources::{Gpu, GpuHealth, GpuRequest},
    status::Priority,
    time::Span,
    units::Bytes,
};

use super::{MINUTE, crowded, gave_way, give_way, high, jobs, low, of, pass_time, run};
use crate::tests::{
    invariants,
    world::{ALICE, BOB, CAROL, World, array, asking, capacity, job_id, report},
};

#[test]
fn nothing_gives_way_to_what_a_limit_holds_or_what_ends_soon_makes_room_for() {
    let begin = |specs: Vec<JobSpec>| {
        let mut world = crowded(specs);
        world.submit(CAROL, 40, high(2)).unwrap();
        world.schedule();
        world
    };
    let mut limited = begin(vec![low(4)]);
    limited.limit_member(CAROL, &[("cpu", 1000)]);
    assert!(gave_way(&pass_time(&mut limited, 70)).is_empty());
    assert_eq!(limited.why(40).preempts, None);
    let mut many = begin(vec![low(4)]);
    many.limit(Limits {
        max_concurrent_jobs_per_user: Some(0),
        ..Limits::default()
    });
    assert!(gave_way(&pass_time(&mut many, 70)).is_empty());

    // Too much even without what would give way.
    let mut large = crowded(vec![low(1), asking(3, 1)]);
    large
        .submit(CAROL, 40, of(Priority::Normal, asking(2, 1)))
        .unwrap();
    large.schedule();
    assert!(gave_way(&pass_time(&mut large, 70)).is_empty());

    let bounded = JobSpec {
        max_runtime: Some(Span::from_secs(17 * MINUTE)),
        ..low(2)
    };
    let mut soon = begin(vec![low(2), bounded]);
    assert!(gave_way(&pass_time(&mut soon, 70)).is_empty());
    let mut cancelled = begin(vec![low(2), low(2)]);
    cancelled.cancel(BOB, 2, None).unwrap();
    assert!(gave_way(&pass_time(&mut cancelled, 70)).is_empty());
}

#[test]
fn limits_hold_where_several_take_places_at_once() {
    let begin = || {
        let mut world = crowded(vec![low(4)]);
        for number in 11..15 {
            world.machine(
                number,
                ALICE,
                &format!("box-{number}"),
                report(capacity(4, 64)),
            );
            world.submit(BOB, number + 20, low(4)).unwrap();
        }
        run(&mut world);
        world.wait(15 * MINUTE);
        world
    };
    let wide = |parallel| JobSpec {
        request: asking(4, 1).request,
        ..of(Priority::High, array(4, parallel))
    };
    let mut free = begin();
    free.submit(CAROL, 40, wide(None)).unwrap();
    free.schedule();
    assert_eq!(gave_way(&pass_time(&mut free, 70)).len(), 4);
    give_way(&mut free);
    assert_eq!(free.schedule().len(), 4);
    assert!(gave_way(&pass_time(&mut free, 70)).is_empty());
    invariants::check(&free);

    let mut parallel = begin();
    parallel.submit(CAROL, 40, wide(Some(2))).unwrap();
    parallel.schedule();
    assert_eq!(gave_way(&pass_time(&mut parallel, 70)).len(), 2);
    assert!(gave_way(&pass_time(&mut parallel, 20)).is_empty());

    let mut counted = begin();
    counted.submit(CAROL, 40, wide(None)).unwrap();
    counted.limit(Limits {
        max_concurrent_jobs_per_user: Some(3),
        ..Limits::default()
    });
    counted.schedule();
    assert_eq!(gave_way(&pass_time(&mut counted, 70)).len(), 3);

    let mut bounded = begin();
    bounded.submit(CAROL, 40, wide(None)).unwrap();
    bounded.limit_member(CAROL, &[("cpu", 4000)]);
    bounded.schedule();
    assert_eq!(gave_way(&pass_time(&mut bounded, 70)).len(), 1);
    assert!(gave_way(&pass_time(&mut bounded, 20)).is_empty());
    give_way(&mut bounded);
    assert_eq!(run(&mut bounded).len(), 1);
    assert!(gave_way(&pass_time(&mut bounded, 70)).is_empty());
    invariants::check(&bounded);
}

#[test]
fn only_what_holds_gpus_gives_way_for_gpus() {
    let mut world = World::new();
    let mut capacity = capacity(8, 64);
    capacity.gpus = (0..2).map(gpu).collect();
    world.machine(10, ALICE, "box", report(capacity));
    let with = |count, mut spec: JobSpec| {
        spec.request.gpu = Some(GpuRequest {
            count,
            model: None,
            memory: None,
            memory_most: None,
            share: false,
        });
        spec
    };
    world.submit(BOB, 30, with(1, low(1))).unwrap();
    world.submit(BOB, 31, with(1, low(1))).unwrap();
    world.submit(BOB, 32, low(4)).unwrap();
    assert_eq!(run(&mut world).len(), 3);
    world.wait(15 * MINUTE);
    world.submit(CAROL, 40, with(2, high(2))).unwrap();
    world.schedule();
    assert_eq!(jobs(&pass_time(&mut world, 70)), [job_id(30), job_id(31)]);
}

fn gpu(number: u32) -> Gpu {
    Gpu {
        uuid: format!("GPU-{number}"),
        model: "rtx-4090".to_owned(),
        memory: Bytes::gib(24),
        driver: String::new(),
        health: GpuHealth::Usable,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    }
}
