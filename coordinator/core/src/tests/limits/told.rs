//! Who sees and sets limits, and what is told of them.

use common::{
    api::limits::{LimitsAnswer, LimitsDiff, LimitsRequest},
    code::Code,
    limits::{Limits, Quantity},
    name::Name,
    status::Role,
    units::Bytes,
};

use super::{
    super::{
        invariants,
        world::{ALICE, BOB, CAROL, ORG, World, bounds, name, refused},
    },
    ask, lending, many, per_user, wants,
};
use crate::{Actor, Body, query};

#[test]
fn only_who_manages_a_member_sees_and_sets_their_limits() {
    let mut world = World::new();
    let set = |handle: &str| {
        Body::SetMemberLimits(common::api::limits::SetMemberLimits {
            org: ORG,
            handle: name(handle),
            set: bounds(&[("gpu", 1)]),
            unset: Vec::new(),
        })
    };
    let before = world.state.clone();
    for handle in ["bob", "carol", "alice"] {
        let problem = refused(world.user_does(BOB, set(handle)));
        assert_eq!(problem.code, Code::Permission, "{handle}");
    }
    assert_eq!(
        refused(world.user_does(ALICE, set("zoe"))).code,
        Code::NotFound
    );
    assert_eq!(world.state, before);
    let of = |handle: &str| LimitsRequest::Member {
        org: ORG,
        handle: Some(name(handle)),
    };
    assert!(ask(&world, BOB, &of("bob")).is_ok());
    assert_eq!(ask(&world, BOB, &of("carol")), Err(Code::Permission));
    assert!(ask(&world, ALICE, &of("carol")).is_ok());

    let promote = Body::SetRole {
        org: ORG,
        handle: name("carol"),
        role: Role::Admin,
    };
    world.must(Actor::User(ALICE), promote);
    world.user_does(CAROL, set("bob")).unwrap();
    for handle in ["carol", "alice"] {
        let problem = refused(world.user_does(CAROL, set(handle)));
        assert_eq!(problem.code, Code::Permission, "{handle}");
    }
    world.user_does(ALICE, set("carol")).unwrap();
    world.user_does(ALICE, set("alice")).unwrap();
    // Nothing is said twice, and removal takes the row with it.
    assert!(world.user_does(ALICE, set("carol")).unwrap().is_empty());
    let remove = Body::RemoveMember {
        org: ORG,
        handle: name("carol"),
    };
    world.must(Actor::User(ALICE), remove);
    assert!(!world.state.own_limits.contains_key(&(ORG, CAROL)));
    invariants::check(&world);
}

#[test]
fn a_diff_says_what_would_change_and_who_would_be_over() {
    let mut world = World::new();
    world.machine(10, BOB, "gpus", lending(&["h200"; 4]));
    world.limit(per_user(&[("gpu", 4)]));
    world.submit(BOB, 30, many(3, wants(1, None))).unwrap();
    world.schedule();
    let after = Limits {
        max_machines_per_user: Some(0),
        concurrent: bounds(&[("h200", 2), ("rtx-509", 1)]),
        per_user: bounds(&[("gpu", 1)]),
        ..Limits::default()
    };
    let request = LimitsRequest::Diff {
        org: ORG,
        limits: Box::new(after),
    };
    assert_eq!(ask(&world, BOB, &request), Err(Code::Permission));
    let before = world.state.clone();
    let Ok(LimitsAnswer::Diff(diff)) = ask(&world, ALICE, &request) else {
        panic!("an admin may compare");
    };
    assert_eq!(world.state, before);
    let LimitsDiff {
        changes,
        over,
        over_count,
        unknown_models,
    } = diff;
    let changes: Vec<String> = changes
        .iter()
        .map(|change| {
            let shown = |value: Option<Quantity>| value.map_or("-".to_owned(), |v| v.to_string());
            format!(
                "{} {} {}",
                change.limit,
                shown(change.before),
                shown(change.after)
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            "max_machines_per_user - 0",
            "concurrent.h200 - 2",
            "concurrent.rtx-509 - 1",
            "per_user.gpu 4 1",
        ]
    );
    let over: Vec<String> = over
        .iter()
        .map(|one| {
            let member = one.member.as_ref().map_or("-", Name::as_str);
            format!("{member} {}", one.bound.limit)
        })
        .collect();
    assert_eq!(
        over,
        [
            "- concurrent.h200",
            "bob max_machines_per_user",
            "bob per_user.gpu"
        ]
    );
    assert_eq!(over_count, 3);
    assert_eq!(unknown_models, [name("rtx-509")]);
}

#[test]
fn everything_in_the_way_is_told_at_once() {
    let mut world = World::new();
    world.machine(10, ALICE, "gpus", lending(&["h200"; 4]));
    world.limit(Limits {
        max_job_memory: Some(Bytes::gib(2)),
        max_job_runtime: Some("1h".parse().unwrap()),
        max_queued_jobs_per_user: Some(2),
        concurrent: bounds(&[("cpu", 3_000)]),
        per_user: bounds(&[("gpu", 1), ("h200", 1)]),
        ..Limits::default()
    });
    let mut wish = many(3, wants(2, Some("h200")));
    wish.request.cpu = common::units::MilliCpu::cpus(4);
    wish.request.memory = Bytes::gib(3);
    wish.max_runtime = Some("2h".parse().unwrap());
    let before = world.state.clone();
    let problem = refused(world.submit(BOB, 30, wish.clone()));
    assert_eq!(world.state, before);
    assert_eq!(problem.code, Code::Limit);
    assert_eq!(problem.what, "6 limits are in the way");
    let lines: Vec<&str> = problem.why.lines().collect();
    assert_eq!(
        lines,
        [
            "3 GiB of memory: max_job_memory is 2 GiB in the limits of org lab",
            "a run time of 2h: max_job_runtime is 1h in the limits of org lab",
            "3 more tasks: max_queued_jobs_per_user is 2 in the limits of org lab; 0 tasks wait now",
            "4 CPUs: concurrent.cpu is 3 in the limits of org lab; the org's tasks hold 0 CPUs now",
            "2 GPUs: per_user.gpu is 1 in the limits of org lab; this member's tasks hold 0 GPUs now",
            "2 h200: per_user.h200 is 1 in the limits of org lab; this member's tasks hold 0 h200 now",
        ]
    );
    // Asked about only, it gets the same answer.
    let request = common::api::job::SubmitJob {
        org: ORG,
        spec: wish,
        key: common::id::IdempotencyKey::from_bytes([30; 16]),
        dry_run: true,
    };
    let told = query::explain_submission(&world.state, world.now, BOB, &request).unwrap();
    assert!(told.never);
    let texts: Vec<&str> = told.blockers.iter().map(|b| b.text.as_str()).collect();
    for line in lines {
        let (asked, bound) = line.split_once(": ").unwrap();
        let text = format!("asks for {asked}; {bound}");
        assert!(texts.contains(&text.as_str()), "{text}\n{texts:#?}");
    }
}
