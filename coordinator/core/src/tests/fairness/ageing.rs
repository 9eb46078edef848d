//! Priorities that rise with waiting.

use common::{
    api::job::HoldJob,
    job::{JobNumber, JobSpec},
    status::Priority,
};

use super::{
    super::{
        invariants,
        world::{BOB, CAROL, ORG, array, job_id, spec},
    },
    Flow, HOUR,
};
use crate::{Actor, Body, command::job::JobCommand};

#[test]
fn what_waits_for_days_comes_before_what_is_new() {
    let mut flow = Flow::new(1, 1);
    flow.floods(BOB, 30, &[HOUR]);
    flow.runs.insert(CAROL, vec![HOUR]);
    let low = JobSpec {
        priority: Priority::Low,
        ..spec()
    };
    flow.world.submit(CAROL, 31, low).unwrap();
    flow.run(23 * HOUR);
    let started = |flow: &Flow| flow.world.state.progress[&job_id(31)].counts.queued == 0;
    assert!(!started(&flow), "what is more urgent comes first");
    flow.run(3 * HOUR);
    assert!(started(&flow), "after a day it waits among the others");

    // One of an array starts, and the rest waits at its own priority again.
    let low = JobSpec {
        priority: Priority::Low,
        ..array(50, None)
    };
    flow.world.submit(CAROL, 32, low).unwrap();
    flow.run(10 * 24 * HOUR);
    let counts = flow.world.state.progress[&job_id(32)].counts;
    let had = counts.succeeded + counts.running;
    assert!((4..=11).contains(&had), "{counts:?}");
    invariants::check(&flow.world);

    // Where nobody rises, what is less urgent waits for ever.
    flow.set("raised_after", "forever");
    let before = flow.world.state.progress[&job_id(32)].counts;
    flow.run(5 * 24 * HOUR);
    let after = flow.world.state.progress[&job_id(32)].counts;
    assert!(
        after.succeeded <= before.succeeded + 1,
        "{before:?} {after:?}"
    );
}

#[test]
fn a_wait_that_is_nobody_elses_doing_raises_nothing() {
    let mut flow = Flow::new(1, 1);
    flow.runs.insert(BOB, vec![HOUR]);
    flow.runs.insert(CAROL, vec![HOUR]);
    let held = JobSpec {
        priority: Priority::Low,
        hold: true,
        ..spec()
    };
    flow.world.submit(CAROL, 31, held).unwrap();
    flow.run(30 * HOUR);
    flow.floods(BOB, 30, &[HOUR]);
    flow.run(HOUR);
    let release = Body::Job(JobCommand::Release(HoldJob {
        org: ORG,
        number: JobNumber(1),
        dependants: false,
    }));
    flow.world.must(Actor::User(CAROL), release);
    flow.run(20 * HOUR);
    let progress = |flow: &Flow| flow.world.state.progress[&job_id(31)].clone();
    assert_eq!(
        (progress(&flow).raised, progress(&flow).counts.queued),
        (0, 1)
    );
    flow.run(6 * HOUR);
    assert_eq!(progress(&flow).counts.queued, 0);
}

#[test]
fn a_queue_of_old_jobs_does_not_come_before_all_others() {
    let mut flow = Flow::new(1, 1);
    flow.floods(BOB, 30, &[HOUR]);
    flow.runs.insert(CAROL, vec![HOUR]);
    for number in 40..90 {
        let low = JobSpec {
            priority: Priority::Low,
            ..spec()
        };
        flow.world.submit(CAROL, number, low).unwrap();
    }
    flow.run(5 * 24 * HOUR);
    // One a day.
    let ended = |number| flow.world.state.progress[&job_id(number)].counts.succeeded;
    let had: u32 = (40..90).map(ended).sum();
    assert!((3..=5).contains(&had), "{had}");
    invariants::check(&flow.world);
}

#[test]
fn a_long_run_is_no_wait() {
    let mut flow = Flow::new(1, 1);
    flow.runs.insert(CAROL, vec![50 * HOUR]);
    flow.runs.insert(BOB, vec![HOUR]);
    let low = JobSpec {
        priority: Priority::Low,
        ..array(3, Some(1))
    };
    flow.world.submit(CAROL, 31, low).unwrap();
    flow.run(49 * HOUR);
    flow.world.submit(BOB, 32, array(9, None)).unwrap();
    flow.run(2 * HOUR);
    let progress = &flow.world.state.progress;
    assert_eq!(progress[&job_id(31)].raised, 0);
    assert_eq!(progress[&job_id(32)].counts.running, 1);
}
