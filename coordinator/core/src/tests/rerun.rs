//! Jobs that run tasks of another one again.

use common::{
    api::job::RerunJob,
    code::Code,
    id::{IdempotencyKey, UserId},
    image::Image,
    job::{DatasetMount, JobNumber, JobSpec},
    seal::Sealed,
    status::{EndReason, JobStatus, Visibility},
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, array, capacity, job_id, outcome, refused, report, spec,
        tree,
    },
};
use crate::{Body, Event, Rejection, assign, command::job::JobCommand};

/// What is asked for, of job 1.
#[derive(Clone, Copy)]
struct Wish<'a> {
    failed: bool,
    tasks: Option<&'a str>,
}

const FAILED: Wish<'_> = Wish {
    failed: true,
    tasks: None,
};
const ALL: Wish<'_> = Wish {
    failed: false,
    tasks: None,
};

impl World {
    fn rerun(
        &mut self,
        by: UserId,
        number: u8,
        of: u64,
        wish: Wish<'_>,
    ) -> Result<Vec<Event>, Rejection> {
        let request = RerunJob {
            org: ORG,
            number: JobNumber(of),
            failed: wish.failed,
            tasks: wish.tasks.map(|tasks| tasks.parse().unwrap()),
            key: IdempotencyKey::from_bytes([number; 16]),
        };
        let job = job_id(number);
        self.user_does(by, Body::Job(JobCommand::Rerun { job, request }))
    }

    /// Runs all that is placed; these tasks fail.
    fn end_with(&mut self, failing: &[u32]) {
        for attempt in self.live() {
            self.start(attempt);
            let code = i32::from(failing.contains(&attempt.task));
            self.end(attempt, outcome(EndReason::Exited, Some(code)));
        }
    }
}

/// Returns a world in which job 1, an array of ten, has ended with three tasks that failed.
fn world() -> World {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(64, 128)));
    world.dataset(BOB, 20, "digits");
    let wanted = JobSpec {
        workdir: Some(tree(7)),
        datasets: vec![DatasetMount {
            dataset: "digits".parse().unwrap(),
            path: "/data".to_owned(),
            lazy: false,
        }],
        ..array(10, None)
    };
    world.submit(BOB, 1, wanted).unwrap();
    world.schedule();
    world.end_with(&[3, 4, 8]);
    assert_eq!(world.state.progress[&job_id(1)].status(), JobStatus::Failed);
    world
}

#[test]
fn failed_tasks_run_again_under_their_indices_and_the_count_stays() {
    let mut world = world();
    // A newer version and nobody's business.
    world.dataset(BOB, 20, "digits");
    world.rerun(BOB, 2, 1, FAILED).unwrap();
    let placed = world.schedule();
    let tasks: Vec<u32> = placed.iter().map(|(attempt, _)| attempt.task).collect();
    assert_eq!(tasks, [3, 4, 8]);
    let desired = assign(&world.state, placed[0].1);
    for assigned in &desired.attempts {
        assert_eq!(assigned.spec.task_count, 10, "programs share out by it");
        assert_eq!(assigned.spec.workdir, Some(tree(7)));
    }
    let again = world.seen_by(BOB, 2);
    assert_eq!(again.spec.array.unwrap().to_string(), "3-4,8");
    assert_eq!(again.spec.datasets[0].dataset.to_string(), "digits@1");
    assert_eq!(again.rerun_of, Some(JobNumber(1)));
    assert_eq!(world.seen_by(BOB, 1).reruns, [JobNumber(2)]);
    invariants::check(&world);

    // And once more what failed of that.
    world.end_with(&[8]);
    world.rerun(BOB, 3, 2, FAILED).unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    let desired = assign(&world.state, placed[0].1);
    assert_eq!(desired.attempts.last().unwrap().spec.task_count, 10);
    world.end_with(&[]);
    assert_eq!(world.seen_by(BOB, 3).summary.exit_code, Some(0));
    invariants::check(&world);
}

#[test]
fn tasks_can_be_named_and_all_are_meant_where_none_is() {
    let mut world = world();
    let tasks = |tasks| Wish {
        failed: false,
        tasks: Some(tasks),
    };
    world.rerun(BOB, 2, 1, tasks("7,0-1")).unwrap();
    assert_eq!(
        world.seen_by(BOB, 2).spec.array.unwrap().to_string(),
        "0-1,7"
    );
    let both = Wish {
        failed: true,
        tasks: Some("4-9"),
    };
    world.rerun(BOB, 3, 1, both).unwrap();
    assert_eq!(world.seen_by(BOB, 3).spec.array.unwrap().to_string(), "4,8");
    world.rerun(BOB, 4, 1, ALL).unwrap();
    assert_eq!(world.seen_by(BOB, 4).summary.tasks.queued, 10);
    let problem = refused(world.rerun(BOB, 5, 1, tasks("8-11")));
    assert_eq!(problem.code, Code::NotFound);
    assert_eq!(problem.what, "no task 1.10");
    assert_eq!(problem.why, "job 1 has tasks 0-9");
    let shown = world.seen_by(BOB, 1).reruns;
    assert_eq!(shown, [4, 3, 2].map(JobNumber));
}

#[test]
fn a_job_of_one_task_stays_one() {
    let mut world = world();
    world.submit(BOB, 2, spec()).unwrap();
    world.schedule();
    world.end_with(&[0]);
    world.rerun(BOB, 3, 2, FAILED).unwrap();
    assert_eq!(world.seen_by(BOB, 3).spec.array, None);
    assert_eq!(world.schedule().len(), 1);
}

#[test]
fn cancelled_tasks_did_not_fail() {
    let mut world = world();
    world.submit(BOB, 2, array(3, Some(1))).unwrap();
    world.schedule();
    world.cancel(BOB, 2, None).unwrap();
    let [running] = world.live()[..] else {
        panic!("one at once");
    };
    world.end(running, outcome(EndReason::Cancelled, None));
    let problem = refused(world.rerun(BOB, 3, 2, FAILED));
    assert_eq!(problem.code, Code::NothingFailed);
    world.rerun(BOB, 3, 2, ALL).unwrap();
}

#[test]
fn what_cannot_be_run_again_says_why() {
    let mut world = world();
    world.submit(BOB, 2, spec()).unwrap();
    let problem = refused(world.rerun(BOB, 3, 2, ALL));
    assert_eq!(
        (problem.code, problem.why.as_str()),
        (Code::WrongState, "it has not ended: queued")
    );
    assert_eq!(refused(world.rerun(BOB, 3, 99, ALL)).code, Code::NotFound);

    let delete = super::datasets::body("digits");
    world.user_does(BOB, delete).unwrap();
    let problem = refused(world.rerun(BOB, 3, 1, FAILED));
    assert_eq!(problem.code, Code::NotFound);
    assert!(problem.to_string().contains("digits"), "{problem}");
}

#[test]
fn a_login_that_was_forgotten_is_not_guessed() {
    let mut world = world();
    let digest = "a".repeat(64);
    let image: Image = format!("registry.lab:5000/train@sha256:{digest}")
        .parse()
        .unwrap();
    let private = JobSpec {
        image,
        registry_login: Some(Sealed {
            encapsulated: vec![1],
            ciphertext: vec![2],
        }),
        ..spec()
    };
    world.submit(BOB, 2, private).unwrap();
    world.schedule();
    world.end_with(&[0]);
    let problem = refused(world.rerun(BOB, 3, 2, FAILED));
    assert_eq!(problem.code, Code::WrongState);
    assert!(problem.help.starts_with("Submit it anew"), "{problem}");
}

#[test]
fn only_who_submitted_it_or_an_admin_runs_it_again() {
    let mut world = world();
    let shared = JobSpec {
        visibility: Some(Visibility::OrgWrite),
        ..spec()
    };
    world.submit(BOB, 2, shared).unwrap();
    world.schedule();
    world.end_with(&[0]);
    let problem = refused(world.rerun(CAROL, 3, 2, ALL));
    assert_eq!(problem.code, Code::Permission);
    assert_eq!(problem.what, "you may not run jobs of others again");
    assert_eq!(refused(world.rerun(CAROL, 3, 1, ALL)).code, Code::NotFound);
    world.rerun(ALICE, 3, 2, ALL).unwrap();
    assert_eq!(world.state.jobs[&job_id(3)].owner, ALICE);
}

#[test]
fn sent_again_it_is_the_same_job() {
    let mut world = world();
    world.rerun(BOB, 2, 1, FAILED).unwrap();
    assert_eq!(world.rerun(BOB, 2, 1, FAILED), Ok(Vec::new()));
    let problem = refused(world.rerun(BOB, 2, 1, ALL));
    assert_eq!(problem.code, Code::KeyConflict);
}
