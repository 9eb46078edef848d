//! How well machines hold jobs in: what the org and the job ask for, each on its own.

use common::{
    api::explain::BlockerCode,
    job::JobSpec,
    limits::Limits,
    status::{IsolationLevel, MinIsolation},
};

use super::{
    invariants,
    rules::{check, isolated},
    world::{BOB, CAROL, World, machine_id, refused, spec},
};

#[test]
fn isolation_is_what_the_job_and_the_org_ask_for() {
    use IsolationLevel::{A, B, C, D};
    let org = |least| Limits {
        min_isolation: least,
        ..Limits::default()
    };
    let asks = |isolation| JobSpec {
        isolation,
        ..spec()
    };
    let low = |text, change| Some((BlockerCode::IsolationTooLow, text, change));
    let (strong, least_a) = (Some(MinIsolation::Strong), Some(MinIsolation::A));
    check(isolated(C, false), &org(None), asks(None), None);
    check(
        isolated(D, false),
        &org(None),
        asks(None),
        low(
            "need isolation c at least; the best is d (box)",
            "on box: lift",
        ),
    );
    check(
        isolated(B, false),
        &org(least_a),
        asks(None),
        low(
            "the org asks for isolation a on machines of other members (min_isolation); the best is b (box)",
            "an admin lower min_isolation",
        ),
    );
    check(isolated(A, false), &org(least_a), asks(None), None);
    check(
        isolated(B, false),
        &org(None),
        asks(least_a),
        low("asks for isolation a", "or ask for less than isolation a"),
    );
    check(
        isolated(A, false),
        &org(strong),
        asks(None),
        low(
            "the best is a without gVisor (box)",
            "on box: install gVisor",
        ),
    );
    check(isolated(C, true), &org(strong), asks(strong), None);
    // Both are asked: neither stands for the other.
    check(
        isolated(C, true),
        &org(least_a),
        asks(strong),
        low("isolation a on machines", "an admin lower min_isolation"),
    );
    let mut remedied = isolated(C, false);
    remedied.isolation.remedy = Some("sudo loginctl enable-linger bob".to_owned());
    check(
        remedied,
        &org(Some(MinIsolation::B)),
        asks(None),
        low("to lift it: sudo loginctl", "on box: sudo loginctl"),
    );
}

#[test]
fn the_orgs_least_isolation_does_not_bind_own_machines_and_changes_nothing_that_runs() {
    let mut world = World::new();
    world.machine(10, BOB, "box", isolated(IsolationLevel::C, true));
    world.submit(CAROL, 30, spec()).unwrap();
    let (first, _) = world.schedule()[0];
    let strong = |world: &World, at: usize| {
        let set = crate::assign(&world.state, machine_id(10));
        set.attempts[at].spec.strong
    };
    world.limit(Limits {
        min_isolation: Some(MinIsolation::Strong),
        ..Limits::default()
    });
    assert!(!strong(&world, 0), "it was placed before");
    world.succeed(first);
    world.submit(CAROL, 31, spec()).unwrap();
    world.submit(BOB, 32, spec()).unwrap();
    assert_eq!(world.schedule().len(), 2);
    assert_eq!((strong(&world, 0), strong(&world, 1)), (true, false));
    world.limit(Limits::default());
    assert!(strong(&world, 0), "what runs keeps its own");
    invariants::check(&world);
}

#[test]
fn an_own_machine_is_bound_by_what_the_job_itself_asks() {
    let mut world = World::new();
    world.machine(10, BOB, "box", isolated(IsolationLevel::D, false));
    let asks = |isolation| JobSpec {
        isolation,
        ..spec()
    };
    let problem = refused(world.submit(BOB, 30, asks(Some(MinIsolation::B))));
    assert!(problem.why.contains("asks for isolation b"), "{problem}");
    assert!(!problem.why.contains("other members"), "{problem}");
    world.submit(BOB, 31, asks(None)).unwrap();
    assert_eq!(world.schedule().len(), 1);
}
