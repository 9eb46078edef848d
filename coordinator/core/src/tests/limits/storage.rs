//! Bounds on what is kept.

use common::{
    api::explain::BlockerCode,
    code::Code,
    job::ArtifactsView,
    limits::{Limits, StorageLimits},
    status::EndReason,
    units::Bytes,
    wire::agent::AttemptReport,
};

use super::super::{
    invariants,
    world::{ALICE, BOB, CAROL, ORG, World, array, capacity, outcome, refused, report, spec, tree},
};
use crate::Body;

fn storage(datasets: Option<Bytes>, artifacts: Option<Bytes>) -> Limits {
    Limits {
        storage: StorageLimits {
            datasets,
            artifacts,
        },
        ..Limits::default()
    }
}

/// Returns a version of the dataset with content of this number.
fn add(called: &str, number: u8, mib: u64) -> Body {
    Body::AddDatasetVersion {
        dataset: common::id::DatasetId::from_bytes(
            called.as_bytes()[..1].repeat(16).try_into().unwrap(),
        ),
        request: common::api::data::AddDatasetVersion {
            org: ORG,
            name: super::name(called),
            tree: tree(number),
            description: None,
            visibility: None,
            project: None,
        },
        bytes: Bytes::mib(mib),
        files: 3,
    }
}

#[test]
fn datasets_stay_within_their_bound_and_the_same_content_counts_once() {
    let mut world = World::new();
    world.limit(storage(Some(Bytes::mib(10)), None));
    world.user_does(BOB, add("first", 20, 6)).unwrap();
    let before = world.state.clone();
    let problem = refused(world.user_does(CAROL, add("second", 21, 5)));
    assert_eq!(problem.code, Code::Limit);
    assert_eq!(
        problem.why,
        "storage.datasets is 10 MiB in the limits of org lab; 6 MiB kept now"
    );
    assert_eq!(world.state, before);
    world.user_does(CAROL, add("again", 20, 6)).unwrap();
    world.user_does(BOB, add("first", 21, 4)).unwrap();
    invariants::check(&world);
    // Lowered, nothing goes; what is kept already still costs nothing.
    world.limit(storage(Some(Bytes::mib(1)), None));
    world.user_does(ALICE, add("third", 21, 4)).unwrap();
    let problem = refused(world.user_does(ALICE, add("new", 22, 1)));
    assert_eq!(problem.code, Code::Limit);
}

#[test]
fn artifacts_over_their_bound_stop_what_is_new_and_lose_nothing() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(2, 8)));
    world.limit(storage(None, Some(Bytes::kib(1))));
    world.submit(BOB, 30, array(3, None)).unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 2);
    // What runs goes on when the bound is met, and its own are kept as well.
    for (number, (attempt, _)) in (8..).zip(&placed) {
        let ended = AttemptReport::Ended {
            at: world.now,
            outcome: outcome(EndReason::Exited, Some(0)),
            artifacts: true,
        };
        world.report(*attempt, ended).unwrap();
        let tree = tree(number);
        world
            .report(*attempt, AttemptReport::Artifacts { tree })
            .unwrap();
        let kept = &world.state.attempts[attempt].artifacts;
        assert!(matches!(kept, ArtifactsView::Stored { .. }));
    }
    invariants::check(&world);
    assert!(world.schedule().is_empty());
    let blocker = &world.why(30).blockers[0];
    assert_eq!(blocker.code, BlockerCode::ArtifactStorageLimit);
    let problem = refused(world.submit(CAROL, 31, spec()));
    assert_eq!(problem.code, Code::Limit);
    assert_eq!(
        problem.why,
        "storage.artifacts is 1 KiB in the limits of org lab; 2 KiB kept now"
    );
    world.limit(storage(None, Some(Bytes::kib(3))));
    assert_eq!(world.schedule().len(), 1);
    world.submit(CAROL, 31, spec()).unwrap();
    invariants::check(&world);
}
