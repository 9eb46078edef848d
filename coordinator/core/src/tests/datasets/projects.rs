//! Data of projects: who deletes it, and what its jobs hold.

use common::{
    code::Code,
    job::JobSpec,
    status::{Access, DeleteBy},
};

use super::{
    super::{
        invariants,
        projects::{DAVE, check, inside, member, setting},
        world::{ALICE, BOB, CAROL},
    },
    world,
};

#[test]
fn in_a_project_the_restriction_says_who_deletes() {
    let mut world = world();
    world.project(BOB, 1, "vision");
    for (handle, access) in [("carol", Access::Contribute), ("dave", Access::Upload)] {
        world.grant(BOB, "vision", member(handle), access).unwrap();
    }
    for (number, maker, called) in [
        (50, DAVE, "daves"),
        (51, CAROL, "carols"),
        (52, BOB, "bobs"),
    ] {
        world
            .add_version(maker, number, called, Some("vision"), None)
            .unwrap();
    }
    check(
        &mut world,
        &Code::Permission,
        "your access is upload; it takes contribute",
        |world| world.delete_dataset(DAVE, "daves"),
    );
    world.delete_dataset(CAROL, "daves").unwrap();
    let admins = common::api::project::SetProject {
        delete: Some(DeleteBy::Admins),
        ..setting("vision")
    };
    world.restrict(BOB, admins).unwrap();
    for dataset in ["carols", "bobs", "bobs@1"] {
        check(
            &mut world,
            &Code::Permission,
            "it takes administer",
            |world| world.delete_dataset(CAROL, dataset),
        );
    }
    world.revoke(BOB, "vision", member("carol")).unwrap();
    check(&mut world, &Code::NotFound, "no dataset bobs", |world| {
        world.delete_dataset(CAROL, "bobs")
    });
    // An archived project lets go of what it has.
    world.archive(BOB, "vision", true).unwrap();
    world.delete_dataset(BOB, "carols").unwrap();
    world.delete_dataset(ALICE, "bobs").unwrap();
    invariants::check(&world);
}

#[test]
fn jobs_of_a_project_hold_its_data_for_admins_too() {
    let mut world = world();
    world.project(BOB, 1, "vision");
    world
        .add_version(BOB, 50, "inner", Some("vision"), None)
        .unwrap();
    let job = JobSpec {
        datasets: vec!["inner:/data".parse().unwrap()],
        ..inside("vision")
    };
    world.submit(BOB, 50, job).unwrap();
    check(&mut world, &Code::InUse, "queued: 1", |world| {
        world.delete_dataset(ALICE, "inner")
    });
}
