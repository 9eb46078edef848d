//! Jobs that somebody holds.

use common::{
    api::{explain::BlockerCode, job::HoldJob},
    code::Code,
    id::UserId,
    job::{JobNumber, JobSpec},
    status::{Condition, JobStatus, Visibility},
};

use super::{
    super::{
        invariants,
        world::{ALICE, BOB, CAROL, ORG, World, array, job_id, refused, spec},
    },
    after, world,
};
use crate::{Body, Event, Rejection, command::job::JobCommand};

impl World {
    fn hold(&mut self, by: UserId, number: u64, dependants: bool) -> Result<Vec<Event>, Rejection> {
        let hold = JobCommand::Hold(request(number, dependants));
        self.user_does(by, Body::Job(hold))
    }

    fn release(
        &mut self,
        by: UserId,
        number: u64,
        dependants: bool,
    ) -> Result<Vec<Event>, Rejection> {
        let release = JobCommand::Release(request(number, dependants));
        self.user_does(by, Body::Job(release))
    }
}

fn request(number: u64, dependants: bool) -> HoldJob {
    HoldJob {
        org: ORG,
        number: JobNumber(number),
        dependants,
    }
}

#[test]
fn a_held_job_starts_nothing_new_and_what_runs_goes_on() {
    let mut world = world();
    world.submit(BOB, 1, array(2, Some(1))).unwrap();
    let first = world.schedule();
    world.wait(60);
    world.hold(BOB, 1, false).unwrap();
    assert_eq!(world.status(1), JobStatus::Running);
    world.succeed(first[0].0);
    assert_eq!(world.schedule(), []);
    assert_eq!(world.status(1), JobStatus::Queued);
    let blockers = world.blockers(1);
    assert_eq!(
        blockers,
        [(
            BlockerCode::Held,
            "held by bob since 2023-11-14T22:14:20Z".to_owned()
        )]
    );
    let change = world.why(1).smallest_change.unwrap();
    assert!(change.contains("`compute-share job release 1`"), "{change}");
    let held = world.seen_by(BOB, 1).summary.held.unwrap();
    assert_eq!(held.by.as_str(), "bob");
    invariants::check(&world);

    assert_eq!(world.hold(BOB, 1, false), Ok(Vec::new()), "it is held");
    world.release(ALICE, 1, false).unwrap();
    assert_eq!(world.schedule().len(), 1);
    assert_eq!(world.release(BOB, 1, false), Ok(Vec::new()));
    invariants::check(&world);
}

#[test]
fn submitted_held_it_waits_for_its_release_and_for_others_too() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    let held = JobSpec {
        hold: true,
        ..after(1, Condition::Succeeded)
    };
    world.submit(BOB, 2, held).unwrap();
    world.schedule();
    world.end_all(0);
    assert_eq!(world.schedule(), [], "let in by the other, and still held");
    world.release(BOB, 2, false).unwrap();
    assert_eq!(world.schedule()[0].0.job, job_id(2));
}

#[test]
fn dependants_are_held_and_released_with_it() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    world.submit(BOB, 2, after(1, Condition::Started)).unwrap();
    world.submit(BOB, 3, after(2, Condition::Started)).unwrap();
    let events = world.hold(BOB, 1, true).unwrap();
    assert_eq!(events.len(), 3);
    assert!(world.seen_by(BOB, 3).summary.held.is_some());
    assert_eq!(world.schedule(), []);
    world.release(BOB, 1, false).unwrap();
    assert_eq!(world.schedule().len(), 1);
    assert_eq!(world.release(BOB, 1, true).unwrap().len(), 2);
    invariants::check(&world);
}

#[test]
fn who_may_cancel_it_may_hold_it_and_nobody_holds_what_has_ended() {
    let mut world = world();
    let shared = |visibility| JobSpec {
        visibility: Some(visibility),
        ..spec()
    };
    world.submit(BOB, 1, shared(Visibility::OrgRead)).unwrap();
    world.submit(BOB, 2, shared(Visibility::OrgWrite)).unwrap();
    world.submit(BOB, 3, shared(Visibility::Personal)).unwrap();
    let problem = refused(world.hold(CAROL, 1, false));
    assert_eq!(problem.code, Code::Permission);
    world.hold(CAROL, 2, false).unwrap();
    let problem = refused(world.hold(CAROL, 3, false));
    assert_eq!(problem.code, Code::NotFound);
    world.hold(ALICE, 3, false).unwrap();

    world.cancel(BOB, 3, None).unwrap();
    for result in [world.hold(BOB, 3, false), world.release(BOB, 3, true)] {
        let problem = refused(result);
        assert_eq!(problem.code, Code::WrongState);
        assert_eq!(problem.why, "it has ended: cancelled");
    }
    assert_eq!(world.seen_by(BOB, 3).summary.held, None);
}
