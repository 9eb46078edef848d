//! An archived project: what runs runs on, and nothing new happens in it.

use common::{
    api::{
        Answer, Request,
        explain::{BlockerCode, Explanation},
        job::ExplainJob,
        project::SetProject,
    },
    code::Code,
    job::JobNumber,
    project::Grantee,
    status::{Access, JobStatus},
};

use super::{BOB, CAROL, check, inside, invariants, member, setting, world};
use crate::tests::{
    views::ask,
    world::{ORG, World, job_id, spec},
};

fn why(world: &World, number: u64) -> Explanation {
    let number = JobNumber(number);
    match ask(
        world,
        CAROL,
        &Request::ExplainJob(ExplainJob { org: ORG, number }),
    ) {
        Ok(Answer::Explanation(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_waits_in_it_starts_when_it_is_taken_out() {
    let mut world = world();
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    world.submit(CAROL, 20, inside("vision")).unwrap();
    assert_eq!(world.schedule().len(), 1);
    world.submit(CAROL, 21, inside("vision")).unwrap();
    world.submit(CAROL, 22, spec()).unwrap();
    world.archive(BOB, "vision", true).unwrap();

    let placed = world.schedule();
    let jobs: Vec<_> = placed.iter().map(|(attempt, _)| attempt.job).collect();
    assert_eq!(jobs, [job_id(22)], "only what is not in it");
    assert_eq!(world.live().len(), 2, "what runs runs on");
    assert_eq!(
        world.state.progress[&job_id(21)].status(),
        JobStatus::Queued
    );
    let said = why(&world, 2);
    assert_eq!(said.blockers[0].code, BlockerCode::ProjectArchived);
    assert_eq!(
        said.blockers[0].text,
        "its project vision is archived, and nothing new starts in it"
    );
    let change = said.smallest_change.unwrap();
    assert!(change.contains("project archive vision --undo"), "{change}");
    assert_eq!((said.expected_start, said.never), (None, false));
    invariants::check(&world);

    // Nobody waits behind it.
    world.submit(CAROL, 23, spec()).unwrap();
    assert_eq!(why(&world, 4).ahead, Some(0));

    world.archive(BOB, "vision", false).unwrap();
    assert!(world.state.schedule_due());
    let placed = world.schedule();
    let jobs: Vec<_> = placed.iter().map(|(attempt, _)| attempt.job).collect();
    assert_eq!(jobs, [job_id(21), job_id(23)]);
    invariants::check(&world);
}

#[test]
fn access_secrets_and_settings_are_taken_away_and_not_given() {
    let mut world = world();
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    world.secret(BOB, 50, "OLD", Some("vision")).unwrap();
    world.archive(BOB, "vision", true).unwrap();
    let archived = &Code::WrongState;
    for to in [member("carol"), member("dave"), Grantee::Everyone] {
        check(&mut world, archived, "it is archived", |world| {
            world.grant(BOB, "vision", to, Access::Administer)
        });
    }
    for name in ["OLD", "NEW"] {
        check(&mut world, archived, "it is archived", |world| {
            world.secret(BOB, 51, name, Some("vision"))
        });
    }
    check(&mut world, archived, "it is archived", |world| {
        let set = SetProject {
            description: Some("more".to_owned()),
            ..setting("vision")
        };
        world.restrict(BOB, set)
    });
    world
        .grant(BOB, "vision", member("carol"), Access::View)
        .unwrap();
    world.revoke(BOB, "vision", member("carol")).unwrap();
    world.delete_secret(BOB, "OLD", Some("vision")).unwrap();
    invariants::check(&world);
}
