//! What deleted datasets leave on the disk, and who takes it away.

use common::job::JobSpec;

use super::{
    super::{
        invariants,
        world::{ALICE, BOB, CAROL, ORG, spec, tree},
    },
    world,
};
use crate::{
    Actor, Body,
    command::{OrgCommand, dataset::DiscardedTree},
    query::access::leftovers,
    state::dataset::Discarded,
};

#[test]
fn a_sweep_takes_what_nothing_needs_and_notes_what_it_has_dealt_with() {
    let mut world = world();
    world.copy();
    let folder = JobSpec {
        workdir: Some(tree(31)),
        ..spec()
    };
    world.submit(CAROL, 50, folder).unwrap();
    let (attempt, _) = world.schedule()[0];
    world.succeed(attempt);
    world.purge(BOB, "digits").unwrap();
    let found = leftovers(&world.state);
    assert_eq!(
        found.trees,
        [(ORG, tree(32))],
        "the copy has one, a work folder another"
    );
    assert_eq!(found.discarded.len(), 3);

    // Deleted again while the sweep was busy, it is for the next one.
    world.purge(CAROL, "copy").unwrap();
    let finish = Body::FinishDiscarding(found.discarded);
    assert!(world.user_does(ALICE, finish.clone()).is_err());
    let done = world.must(Actor::System, finish.clone());
    assert_eq!(done.len(), 1);
    assert_eq!(
        world.state.discarded.iter().collect::<Vec<_>>(),
        [(&(ORG, tree(30)), &Discarded { times: 2 })]
    );
    assert_eq!(world.must(Actor::System, finish), []);
    let found = leftovers(&world.state);
    assert_eq!(found.trees, [(ORG, tree(30))]);
    let second = DiscardedTree {
        org: ORG,
        tree: tree(30),
        times: 2,
    };
    assert_eq!(found.discarded, [second]);
    world.must(Actor::System, Body::FinishDiscarding(found.discarded));
    assert!(world.state.discarded.is_empty() && leftovers(&world.state).trees.is_empty());
    invariants::check(&world);
}

#[test]
fn a_deleted_org_takes_what_its_deleted_datasets_left_with_it() {
    let mut world = world();
    world.purge(BOB, "digits").unwrap();
    let typed = "lab".to_owned();
    let delete = Body::Org(OrgCommand::Delete { org: ORG, typed });
    world.must(Actor::User(ALICE), delete);
    assert!(world.state.discarded.is_empty());
    let left = leftovers(&world.state);
    assert_eq!((left.orgs.len(), &left.trees[..]), (1, &[][..]));
    invariants::check(&world);
}
