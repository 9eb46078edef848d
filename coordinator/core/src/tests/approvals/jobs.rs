//! Jobs above the threshold of an org.

use common::{
    api::{
        Answer, Request,
        explain::BlockerCode,
        job::{CancelJob, ExplainJob, ShowJob},
    },
    code::Code,
    job::{JobNumber, JobSpec, Retries},
    limits::Limits,
    resources::{Gpu, GpuHealth, GpuRequest},
    status::{ApprovalStatus, EndReason, JobStatus, Verdict},
    time::Span,
    units::Bytes,
};

use super::{answer, approve, ask, list, make_admin, refuses};
use crate::{
    Body, Event,
    command::approval::ApprovalCommand,
    event::approval::ApprovalEvent,
    tests::{
        invariants,
        world::{
            ALICE, BOB, CAROL, ORG, World, array, capacity, job_id, name, refused, report, spec,
        },
    },
};

fn threshold(gpu_hours_over: Option<u32>) -> Body {
    Body::Approval(ApprovalCommand::SetJobThreshold {
        org: ORG,
        gpu_hours_over,
    })
}

fn gpu(number: u32) -> Gpu {
    Gpu {
        uuid: format!("gpu-{number}"),
        model: "rtx-4090".to_owned(),
        memory: Bytes::gib(24),
        driver: "550".to_owned(),
        health: GpuHealth::Usable,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    }
}

/// Returns a job with so many GPUs for so many hours.
fn gpu_job(gpus: u32, hours: u64) -> JobSpec {
    let mut spec = spec();
    spec.request.gpu = Some(GpuRequest {
        count: gpus,
        model: None,
        memory: None,
        share: false,
        memory_most: None,
    });
    spec.max_runtime = Some(Span::from_secs(hours * 3600));
    spec
}

fn status(world: &World, job: u8) -> JobStatus {
    world.state.progress[&job_id(job)].status()
}

#[test]
fn a_job_above_the_threshold_waits_outside_of_the_queue() {
    let mut world = World::new();
    let mut pool = report(capacity(8, 32));
    pool.offer.gpus = (0..4).map(gpu).collect();
    pool.capacity = pool.offer.clone();
    world.machine(10, ALICE, "box", pool);
    refuses(&mut world, BOB, threshold(Some(100)), &Code::Permission);
    world.user_does(ALICE, threshold(Some(100))).unwrap();
    world.submit(BOB, 1, gpu_job(4, 25)).unwrap();
    assert_eq!(status(&world, 1), JobStatus::Queued, "100 are not over 100");
    let events = world.submit(BOB, 2, gpu_job(4, 26)).unwrap();
    assert!(matches!(
        events[1],
        Event::Approval(ApprovalEvent::ApprovalAsked { .. })
    ));
    assert_eq!(status(&world, 2), JobStatus::AwaitingApproval);
    world.schedule();
    assert_eq!(world.live().len(), 1, "it is not placed");
    invariants::check(&world);

    let number = JobNumber(2);
    let explain = Request::ExplainJob(ExplainJob { org: ORG, number });
    let Answer::Explanation(why) = ask(&world, BOB, &explain) else {
        panic!("it is explained");
    };
    assert_eq!(why.blockers[0].code, BlockerCode::AwaitsApproval);
    assert!(
        why.blockers[0].text.contains("may use 104 GPU-hours"),
        "{why:?}"
    );

    refuses(&mut world, BOB, approve("job:2"), &Code::Permission);
    refuses(&mut world, CAROL, approve("job:2"), &Code::NotFound);
    world.user_does(ALICE, approve("job:2")).unwrap();
    assert_eq!(status(&world, 2), JobStatus::Queued);
    assert!(world.state.schedule_due());
    invariants::check(&world);
}

#[test]
fn a_rejected_job_ends_and_says_why() {
    let mut world = World::new();
    world.user_does(ALICE, threshold(Some(0))).unwrap();
    world.submit(BOB, 1, gpu_job(1, 1)).unwrap();
    world.submit(BOB, 2, gpu_job(1, 1)).unwrap();
    let reject = answer("job:1", Verdict::Reject, "not this week");
    world.user_does(ALICE, reject).unwrap();
    assert_eq!(status(&world, 1), JobStatus::Cancelled);
    let show = Request::ShowJob(ShowJob {
        org: ORG,
        number: JobNumber(1),
        task: None,
        attempts: 10,
        live: false,
    });
    let Answer::Job(job) = ask(&world, BOB, &show) else {
        panic!("it is shown");
    };
    let approval = job.approval.unwrap();
    assert_eq!(approval.decision.unwrap().reason, "not this week");
    refuses(&mut world, ALICE, approve("job:1"), &Code::WrongState);

    let cancel = Body::CancelJob(CancelJob {
        org: ORG,
        number: JobNumber(2),
        task: None,
        dependants: false,
    });
    world.user_does(BOB, cancel).unwrap();
    assert_eq!(status(&world, 2), JobStatus::Cancelled);
    assert_eq!(
        list(&world, ALICE, true)[0].status,
        ApprovalStatus::Withdrawn
    );
    assert_eq!(list(&world, ALICE, false), []);
    invariants::check(&world);
}

#[test]
fn what_counts_as_gpu_hours() {
    let mut world = World::new();
    world.user_does(ALICE, threshold(Some(100))).unwrap();
    let mut number = 0;
    let mut waits = |world: &mut World, spec: JobSpec| {
        number += 1;
        world.submit(BOB, number, spec).unwrap();
        status(world, number) == JobStatus::AwaitingApproval
    };
    let hours = |gpus, hours| gpu_job(gpus, hours);
    assert!(!waits(&mut world, spec()), "no GPU");
    assert!(!waits(&mut world, hours(1, 100)));
    assert!(waits(&mut world, hours(1, 101)));
    let tasks = |spec: JobSpec, tasks| JobSpec {
        array: array(tasks, None).array,
        ..spec
    };
    assert!(!waits(&mut world, tasks(hours(1, 10), 10)));
    assert!(waits(&mut world, tasks(hours(1, 10), 11)));
    let again = |on| JobSpec {
        retries: Retries {
            max: 1,
            on,
            ..Retries::default()
        },
        ..hours(1, 60)
    };
    assert!(!waits(&mut world, again(vec![EndReason::MachineLost])));
    assert!(
        waits(&mut world, again(vec![EndReason::Exited])),
        "tries of its own"
    );
    let unbounded = || JobSpec {
        max_runtime: None,
        ..hours(1, 1)
    };
    assert!(waits(&mut world, unbounded()));
    world.limit(Limits {
        max_job_runtime: Some(Span::from_secs(3600)),
        ..Limits::default()
    });
    assert!(!waits(&mut world, unbounded()), "the org's limit bounds it");
    // No overflow: the longest that can be written is just much.
    let huge = JobSpec {
        max_runtime: None,
        array: array(1_000_000, None).array,
        retries: Retries {
            max: 100,
            on: vec![EndReason::Exited],
            ..Retries::default()
        },
        ..hours(16, 1)
    };
    assert!(waits(&mut world, huge));
}

#[test]
fn nobody_but_the_owner_approves_their_own_job() {
    let mut world = World::new();
    make_admin(&mut world, "bob");
    world.user_does(ALICE, threshold(Some(0))).unwrap();
    world.submit(BOB, 1, gpu_job(1, 1)).unwrap();
    world.submit(ALICE, 2, gpu_job(1, 1)).unwrap();
    refuses(&mut world, BOB, approve("job:1"), &Code::Permission);
    world.user_does(ALICE, approve("job:1")).unwrap();
    world.user_does(ALICE, approve("job:2")).unwrap();
    // An admin's own machine is another matter.
    world.register(10, BOB, "box").unwrap();
    world.user_does(BOB, approve("machine:box")).unwrap();
    invariants::check(&world);
}

#[test]
fn a_job_that_waits_for_approval_counts_as_queued_and_goes_with_its_member() {
    let mut world = World::new();
    world.user_does(ALICE, threshold(Some(0))).unwrap();
    world.limit(Limits {
        max_queued_jobs_per_user: Some(1),
        ..Limits::default()
    });
    world.submit(BOB, 1, gpu_job(1, 1)).unwrap();
    assert_eq!(refused(world.submit(BOB, 2, spec())).code, Code::Limit);
    let remove = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    world.user_does(ALICE, remove).unwrap();
    assert_eq!(status(&world, 1), JobStatus::Cancelled);
    assert_eq!(
        list(&world, ALICE, true)[0].status,
        ApprovalStatus::Withdrawn
    );
    invariants::check(&world);
}
