//! Parameters of arrays: one tree that the job names, its machines may fetch, and nobody takes away.

use common::{
    api::job::RerunJob,
    code::Code,
    id::IdempotencyKey,
    job::{JobNumber, JobSpec},
    status::{EndReason, SandboxScope},
};

use super::{
    invariants,
    world::{
        BOB, CAROL, ORG, World, array, capacity, job_id, machine_id, outcome, refused, report,
        spec, tree,
    },
};
use crate::{
    Body, assign,
    command::job::JobCommand,
    query::{access::machine_may_fetch, enrolment::sent_with},
    state::deletion::keeps,
};

fn with_params(number: u8) -> JobSpec {
    JobSpec {
        workdir: Some(tree(7)),
        params: Some(tree(number)),
        ..array(3, None)
    }
}

/// Returns a world with a machine, on which the three tasks of job 1 run.
fn world() -> World {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(8, 16)));
    world.submit(BOB, 1, with_params(8)).unwrap();
    assert_eq!(world.schedule().len(), 3);
    world
}

/// Ends all that runs; the first task fails.
fn end(world: &mut World) {
    for attempt in world.live() {
        world.start(attempt);
        let code = i32::from(attempt.task == 0);
        world.end(attempt, outcome(EndReason::Exited, Some(code)));
    }
}

#[test]
fn machines_that_run_it_are_told_of_it_and_may_fetch_it_until_then() {
    let mut world = world();
    let may = |world: &World, number| machine_may_fetch(&world.state, machine_id(10), tree(number));
    for assigned in assign(&world.state, machine_id(10)).attempts {
        assert_eq!(assigned.spec.params, Some(tree(8)));
        assert_eq!(assigned.spec.workdir, Some(tree(7)));
        assert!(assigned.spec.shares, "one sandbox after the other");
    }
    assert!(may(&world, 7) && may(&world, 8) && !may(&world, 9));
    end(&mut world);
    assert!(!may(&world, 8), "nothing runs there any more");
    invariants::check(&world);
}

#[test]
fn it_stays_as_long_as_the_job_is_shown_and_its_tasks_run_again_with_it() {
    let mut world = world();
    end(&mut world);
    assert!(keeps(&world.state, ORG, tree(8)) && !keeps(&world.state, ORG, tree(9)));
    let request = RerunJob {
        org: ORG,
        number: JobNumber(1),
        failed: true,
        tasks: None,
        key: IdempotencyKey::from_bytes([2; 16]),
    };
    let job = job_id(2);
    world
        .user_does(BOB, Body::Job(JobCommand::Rerun { job, request }))
        .unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    assert_eq!((placed[0].0.job, placed[0].0.task), (job, 0));
    let assigned = assign(&world.state, machine_id(10)).attempts;
    let again = assigned.iter().find(|one| one.attempt == placed[0].0);
    assert_eq!(again.unwrap().spec.params, Some(tree(8)));
    invariants::check(&world);
}

#[test]
fn a_job_that_is_no_array_has_none_of_it() {
    let mut world = world();
    let alone = JobSpec {
        array: None,
        ..with_params(8)
    };
    let gang = JobSpec {
        nodes: Some(2),
        ..alone.clone()
    };
    for bad in [alone, gang] {
        let problem = refused(world.submit(BOB, 2, bad));
        assert_eq!(problem.code, Code::BadJobFile);
        assert_eq!(
            problem.why,
            "it has a line of parameters for each task and is no array"
        );
    }
}

#[test]
fn the_same_key_with_other_parameters_is_another_job() {
    let mut world = world();
    assert!(world.submit(BOB, 1, with_params(8)).unwrap().is_empty());
    let problem = refused(world.submit(BOB, 1, with_params(9)));
    assert_eq!(problem.code, Code::KeyConflict);
    let key = world.state.jobs[&job_id(1)].key;
    assert_eq!(sent_with(&world.state, BOB, key), [tree(7), tree(8)]);
    assert!(sent_with(&world.state, CAROL, key).is_empty());
    world.submit(BOB, 2, spec()).unwrap();
    let key = world.state.jobs[&job_id(2)].key;
    assert!(sent_with(&world.state, BOB, key).is_empty());
}

#[test]
fn tasks_share_sandboxes_where_there_are_several_and_the_job_does_not_ask_otherwise() {
    for (asked, several, shares) in [
        (None, true, true),
        (Some(SandboxScope::Job), true, true),
        (Some(SandboxScope::Task), true, false),
        (None, false, false),
    ] {
        let mut world = World::new();
        world.machine(10, BOB, "box", report(capacity(8, 16)));
        let mut spec = JobSpec {
            sandbox: asked,
            ..array(2, None)
        };
        if !several {
            spec.array = None;
        }
        world.submit(BOB, 1, spec).unwrap();
        world.schedule();
        let assigned = assign(&world.state, machine_id(10)).attempts;
        assert!(!assigned.is_empty());
        assert!(
            assigned.iter().all(|one| one.spec.shares == shares),
            "{asked:?}"
        );
    }
}
