//! Who may weigh what, and what follows from it.

use common::{
    api::{
        Answer, Request,
        shares::{SetWeight, SharesAnswer, SharesRequest, Weighed},
    },
    code::Code,
    job::JobSpec,
    status::Role,
};

use super::super::{
    invariants,
    world::{ALICE, BOB, CAROL, ORG, World, array, capacity, job_id, name, refused, report, user},
};
use super::DORA;
use crate::{Actor, Body};

#[test]
fn who_may_weigh_whom_and_who_sees_what() {
    let mut world = World::new();
    world.join(4, "dora", Role::Admin);
    world.project(BOB, 40, "vision");
    let set = |of, weight: &str| {
        Body::SetWeight(SetWeight {
            org: ORG,
            of,
            weight: weight.parse().unwrap(),
        })
    };
    let member = |handle: &str| Weighed::Member(name(handle));
    let project = || Weighed::Project(name("vision"));
    for (who, of, code) in [
        (BOB, member("bob"), Code::Permission),
        (BOB, project(), Code::Permission),
        (DORA, member("dora"), Code::Permission),
        (DORA, member("nobody"), Code::NotFound),
        (ALICE, Weighed::Project(name("nothing")), Code::NotFound),
        (user(77), member("bob"), Code::NotFound),
    ] {
        let problem = refused(world.user_does(who, set(of, "2")));
        assert_eq!(problem.code, code, "{problem}");
    }
    world.user_does(DORA, set(member("bob"), "2")).unwrap();
    world.user_does(ALICE, set(member("alice"), "0.5")).unwrap();
    let problem = refused(world.user_does(DORA, set(project(), "3")));
    assert_eq!(problem.code, Code::Permission);
    world.user_does(ALICE, set(project(), "3")).unwrap();
    assert!(
        world
            .user_does(ALICE, set(project(), "3"))
            .unwrap()
            .is_empty()
    );
    invariants::check(&world);

    let seen = |who| match world.ask(who, &Request::Shares(SharesRequest::Show { org: ORG })) {
        Ok(Answer::Shares(SharesAnswer::Shares(shares))) => {
            let weights = shares.members.iter();
            let weights: Vec<_> = weights
                .map(|share| format!("{} {}", share.member, share.weight))
                .collect();
            (weights, shares.projects.len())
        }
        other => panic!("{other:?}"),
    };
    let all = ["alice 0.5", "bob 2", "carol 1", "dora 1"].map(str::to_owned);
    assert_eq!(seen(DORA), (all.to_vec(), 1));
    assert_eq!(seen(BOB), (vec!["bob 2".to_owned()], 1));
    // Whoever may not see the project does not learn of it.
    assert_eq!(seen(CAROL), (vec!["carol 1".to_owned()], 0));
}

#[test]
fn a_heavier_project_comes_first() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(1, 8)));
    world.project(BOB, 40, "vision");
    let of_project = JobSpec {
        project: Some(name("vision")),
        ..array(5, None)
    };
    world.submit(BOB, 30, array(5, None)).unwrap();
    world.submit(BOB, 31, of_project).unwrap();
    let next = |world: &mut World| {
        let (attempt, _) = world.schedule()[0];
        world.wait(60);
        world.succeed(attempt);
        attempt.job
    };
    assert_eq!(next(&mut world), job_id(30), "nobody has used anything");
    let body = Body::SetWeight(SetWeight {
        org: ORG,
        of: Weighed::Project(name("vision")),
        weight: "2".parse().unwrap(),
    });
    world.must(Actor::User(ALICE), body);
    assert_eq!(next(&mut world), job_id(31));
    assert_eq!(next(&mut world), job_id(31));
}
