//! What goes along with a job that others wait for.

use common::{
    api::{
        Answer, Request,
        job::{CancelJob, JobAnswer, JobRequest},
    },
    code::Code,
    id::UserId,
    job::{JobNumber, JobSpec},
    status::{Condition, JobStatus, Visibility},
};

use super::{
    super::{
        invariants,
        world::{ALICE, BOB, CAROL, ORG, World, refused, spec},
    },
    after, world,
};
use crate::{Actor, Body, Event, event::waiting::WaitingEvent};

impl World {
    fn cancel_with_dependants(&mut self, by: UserId, number: u64) -> Vec<Event> {
        let body = Body::CancelJob(CancelJob {
            org: ORG,
            number: JobNumber(number),
            task: None,
            dependants: true,
        });
        self.user_does(by, body).unwrap()
    }
}

#[test]
fn a_long_chain_comes_down_in_passes_of_bounded_work() {
    const MOST: u32 = 8;
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    for number in 2..=90 {
        let before = u64::from(number) - 1;
        world
            .submit(BOB, number, after(before, Condition::Succeeded))
            .unwrap();
    }
    world.cancel(BOB, 1, None).unwrap();
    let mut passes = 0;
    while world.state.schedule_due() {
        let events = world.must(Actor::System, Body::Schedule { most: MOST });
        let broken =
            |event: &&Event| matches!(event, Event::Waiting(WaitingEvent::DependencyBroken { .. }));
        let broken = events.iter().filter(broken).count();
        assert!(broken > 0 && broken <= MOST as usize, "{broken}");
        passes += 1;
    }
    assert_eq!(passes, 12, "89 jobs, 8 at once");
    assert_eq!(world.status(90), JobStatus::Cancelled);
    invariants::check(&world);
}

#[test]
fn cancelled_with_dependants_all_go_that_one_may_cancel() {
    let mut world = world();
    let shared = |spec: JobSpec| JobSpec {
        visibility: Some(Visibility::OrgRead),
        ..spec
    };
    world.submit(BOB, 1, shared(spec())).unwrap();
    world.submit(BOB, 2, after(1, Condition::Ended)).unwrap();
    world.submit(BOB, 3, after(2, Condition::Ended)).unwrap();
    world.submit(CAROL, 4, after(1, Condition::Ended)).unwrap();
    let count = Request::Job(JobRequest::CountDependants {
        org: ORG,
        number: JobNumber(1),
    });
    let counted = |world: &World, who| match world.ask(who, &count).unwrap() {
        Answer::AboutJob(JobAnswer::Dependants(found)) => (found.count, found.first),
        other => panic!("{other:?}"),
    };
    assert_eq!(counted(&world, BOB), (2, vec![JobNumber(2), JobNumber(3)]));
    assert_eq!(counted(&world, ALICE).0, 3);
    assert_eq!(counted(&world, CAROL), (1, vec![JobNumber(4)]));

    world.cancel_with_dependants(BOB, 1);
    assert_eq!(world.status(2), JobStatus::Cancelled);
    assert_eq!(world.status(3), JobStatus::Cancelled);
    world.schedule();
    assert_eq!(
        world.status(4),
        JobStatus::Running,
        "any end is enough for it"
    );
    invariants::check(&world);

    let task = Body::CancelJob(CancelJob {
        org: ORG,
        number: JobNumber(4),
        task: Some(0),
        dependants: true,
    });
    let problem = refused(world.user_does(CAROL, task));
    assert_eq!(problem.code, Code::BadRequest);
}
