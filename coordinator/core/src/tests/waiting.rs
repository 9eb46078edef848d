//! Jobs that wait for others: who is let in, who is cancelled because of whom, and what is said of it.

mod dependants;
mod held;

use common::{
    api::{Answer, Request, explain::BlockerCode},
    code::Code,
    id::OrgId,
    job::{After, JobNumber, JobSpec, MAX_AFTER},
    status::{AfterStatus, Condition, EndReason, JobStatus, Visibility},
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, array, capacity, job_id, name, outcome, refused, report,
        spec,
    },
};
use crate::{Actor, Body};

/// Returns a job that waits for that of job `number`.
fn after(number: u64, condition: Condition) -> JobSpec {
    JobSpec {
        after: vec![After {
            job: JobNumber(number),
            condition,
        }],
        ..spec()
    }
}

/// Returns a world with one machine that has room for all of a test.
fn world() -> World {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(64, 128)));
    world
}

impl World {
    fn status(&self, number: u8) -> JobStatus {
        self.state.progress[&job_id(number)].status()
    }

    fn blockers(&self, number: u8) -> Vec<(BlockerCode, String)> {
        let blockers = self.why(number).blockers.into_iter();
        blockers.map(|one| (one.code, one.text)).collect()
    }

    /// Runs what is placed to its end with that exit code.
    fn end_all(&mut self, exit_code: i32) {
        for attempt in self.live() {
            self.start(attempt);
            self.end(attempt, outcome(EndReason::Exited, Some(exit_code)));
        }
    }
}

#[test]
fn a_job_enters_the_queue_once_another_has_succeeded() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    world
        .submit(BOB, 2, after(1, Condition::Succeeded))
        .unwrap();
    assert_eq!(world.schedule().len(), 1, "the second waits");
    assert_eq!(world.status(2), JobStatus::Queued);
    assert_eq!(
        world.blockers(2),
        [(
            BlockerCode::AwaitsJob,
            "waits for job 1 to succeed; it runs now".to_owned()
        )]
    );
    let why = world.why(2);
    assert_eq!(why.smallest_change.as_deref(), Some("job 1 succeeds"));
    assert_eq!(why.expected_start, None);
    let shown = world.seen_by(BOB, 2);
    assert_eq!(shown.summary.awaits, 1);
    assert_eq!(shown.after[0].status, AfterStatus::Waits);
    assert_eq!(shown.after[0].job_status, Some(JobStatus::Running));
    invariants::check(&world);

    world.end_all(0);
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    assert_eq!(placed[0].0.job, job_id(2));
    let shown = world.seen_by(BOB, 2);
    assert_eq!((shown.summary.awaits, shown.unmet), (0, None));
    assert_eq!(shown.after[0].status, AfterStatus::Met);
    invariants::check(&world);
}

#[test]
fn each_condition_is_met_or_broken_by_how_a_job_comes_along() {
    use Condition::{Ended, Failed, Started, Succeeded};
    // How the first one goes, and the conditions that it meets.
    for (way, met) in [
        ("succeeds", vec![Succeeded, Ended, Started]),
        ("fails", vec![Failed, Ended, Started]),
        ("is cancelled", vec![Ended]),
        ("is cancelled while it runs", vec![Ended, Started]),
    ] {
        let mut world = world();
        world.submit(BOB, 1, spec()).unwrap();
        for (number, condition) in (2..).zip(Condition::ALL) {
            world.submit(BOB, number, after(1, *condition)).unwrap();
        }
        match way {
            "succeeds" | "fails" => {
                world.schedule();
                world.end_all(i32::from(way == "fails"));
            }
            "is cancelled" => {
                world.cancel(BOB, 1, None).unwrap();
            }
            _ => {
                world.schedule();
                let first = world.live();
                world.start(first[0]);
                world.cancel(BOB, 1, None).unwrap();
                world.end(first[0], outcome(EndReason::Cancelled, None));
            }
        }
        world.schedule();
        for (number, condition) in (2..).zip(Condition::ALL) {
            let expect = match met.contains(condition) {
                true => JobStatus::Running,
                false => JobStatus::Cancelled,
            };
            assert_eq!(world.status(number), expect, "{condition}: the first {way}");
        }
        invariants::check(&world);
    }
}

#[test]
fn one_that_only_has_to_start_lets_others_in_while_it_runs() {
    let mut world = world();
    world.submit(BOB, 1, array(2, Some(1))).unwrap();
    world.submit(BOB, 2, after(1, Condition::Started)).unwrap();
    world.submit(BOB, 3, after(1, Condition::Ended)).unwrap();
    let placed = world.schedule();
    assert_eq!(world.schedule(), [], "placed is not started");
    world.start(placed[0].0);
    let placed = world.schedule();
    assert_eq!(placed[0].0.job, job_id(2));
    assert_eq!(world.blockers(3)[0].0, BlockerCode::AwaitsJob);
    invariants::check(&world);
}

#[test]
fn all_that_it_waits_for_has_to_come_to_be() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    world.submit(BOB, 2, spec()).unwrap();
    let both = JobSpec {
        after: [after(1, Condition::Succeeded), after(2, Condition::Ended)]
            .into_iter()
            .flat_map(|spec| spec.after)
            .collect(),
        ..spec()
    };
    world.submit(BOB, 3, both).unwrap();
    let first = world.schedule();
    world.succeed(first[0].0);
    assert_eq!(world.schedule(), []);
    assert_eq!(world.seen_by(BOB, 3).summary.awaits, 1);
    world.succeed(first[1].0);
    assert_eq!(world.schedule()[0].0.job, job_id(3));
}

#[test]
fn what_can_never_be_takes_all_that_waits_for_it_along_and_says_why() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    world
        .submit(BOB, 2, after(1, Condition::Succeeded))
        .unwrap();
    world
        .submit(BOB, 3, after(2, Condition::Succeeded))
        .unwrap();
    world.submit(BOB, 4, after(2, Condition::Ended)).unwrap();
    world.schedule();
    world.end_all(1);
    world.schedule();
    assert_eq!(world.status(2), JobStatus::Cancelled);
    assert_eq!(world.status(3), JobStatus::Cancelled);
    assert_eq!(
        world.status(4),
        JobStatus::Running,
        "any end was enough for it"
    );
    let unmet = world.seen_by(BOB, 2).unmet.unwrap();
    assert_eq!(
        unmet.to_string(),
        "it waited for job 1 to succeed, which failed"
    );
    let unmet = world.seen_by(BOB, 3).unmet.unwrap();
    assert_eq!(
        unmet.to_string(),
        "it waited for job 2 to succeed, which was cancelled"
    );
    assert_eq!(world.seen_by(BOB, 3).after[0].status, AfterStatus::Never);
    invariants::check(&world);
}

#[test]
fn what_is_left_to_decide_outlives_a_restart() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    world.submit(BOB, 2, after(1, Condition::Ended)).unwrap();
    world.cancel(BOB, 1, None).unwrap();
    world.state = invariants::load(&invariants::save(&world.state));
    assert!(world.state.schedule_due());
    world.schedule();
    assert_eq!(world.seen_by(BOB, 2).summary.awaits, 0);
}

#[test]
fn what_is_met_already_is_not_waited_for_and_what_can_never_be_is_refused() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    world.schedule();
    world.end_all(1);
    world.submit(BOB, 2, after(1, Condition::Failed)).unwrap();
    assert_eq!(world.schedule()[0].0.job, job_id(2));
    let problem = refused(world.submit(BOB, 3, after(1, Condition::Succeeded)));
    assert_eq!(problem.code, Code::NeverMet);
    assert_eq!(problem.what, "cannot wait for job 1 to succeed");
    assert_eq!(problem.why, "it failed already");
    assert!(problem.help.contains("--after 1:succeeded"), "{problem}");
}

#[test]
fn only_jobs_that_one_may_see_can_be_waited_for() {
    let mut world = world();
    let own = |visibility| JobSpec {
        visibility: Some(visibility),
        ..spec()
    };
    world.submit(CAROL, 1, own(Visibility::Personal)).unwrap();
    world.submit(CAROL, 2, own(Visibility::OrgRead)).unwrap();
    let club = OrgId::from_bytes([2; 16]);
    let second = Body::CreateOrg {
        org: club,
        name: name("club"),
        owner: BOB,
        handle: name("bob"),
    };
    world.must(Actor::System, second);
    // The next number of this org exists in the other one only, and would be the job's own.
    for number in [1, 3, 99, u64::MAX] {
        let problem = refused(world.submit(BOB, 3, after(number, Condition::Ended)));
        assert_eq!(problem.code, Code::NotFound);
        assert_eq!(problem.what, format!("no job {number}"));
        assert_eq!(
            problem.why,
            "the org has none of this number, or it is not yours"
        );
    }
    world.submit(BOB, 3, after(2, Condition::Ended)).unwrap();
    world.submit(ALICE, 4, after(1, Condition::Ended)).unwrap();
}

#[test]
fn a_job_waits_for_so_many_at_most() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    let many = |count| JobSpec {
        after: vec![after(1, Condition::Ended).after[0]; count],
        ..spec()
    };
    let problem = refused(world.submit(BOB, 2, many(MAX_AFTER + 1)));
    assert!(problem.why.contains("jobs to wait for: 257"), "{problem}");
    world.submit(BOB, 2, many(MAX_AFTER)).unwrap();
    assert_eq!(world.seen_by(BOB, 2).summary.awaits, 1, "the same is one");
}

#[test]
fn sent_again_it_is_the_same_job_whatever_became_of_the_other() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    world
        .submit(BOB, 2, after(1, Condition::Succeeded))
        .unwrap();
    world.cancel(BOB, 1, None).unwrap();
    let again = world.submit(BOB, 2, after(1, Condition::Succeeded));
    assert_eq!(again, Ok(Vec::new()));
    let other = world.submit(BOB, 2, after(1, Condition::Ended));
    assert_eq!(refused(other).code, Code::KeyConflict);
}

#[test]
fn a_question_before_the_job_says_what_it_would_wait_for() {
    let mut world = world();
    world.submit(BOB, 1, spec()).unwrap();
    let ask = |world: &World, spec| {
        let request = common::api::job::SubmitJob {
            org: ORG,
            spec,
            key: common::id::IdempotencyKey::from_bytes([9; 16]),
            dry_run: true,
        };
        world.ask(BOB, &Request::SubmitJob(Box::new(request)))
    };
    let held = JobSpec {
        hold: true,
        ..after(1, Condition::Started)
    };
    let Ok(Answer::Explanation(said)) = ask(&world, held) else {
        panic!("it is only a question");
    };
    let codes: Vec<BlockerCode> = said.blockers.iter().map(|one| one.code).collect();
    assert!(
        codes.starts_with(&[BlockerCode::Held, BlockerCode::AwaitsJob]),
        "{codes:?}"
    );
    let never = ask(&world, after(7, Condition::Started)).unwrap_err();
    assert_eq!(never.code, Code::NotFound);
}
