//! What cannot be done with secrets.

use common::{
    api::secret::UsersChange, code::Code, job::JobSpec, secret::SecretUser, status::Access,
};

use super::{
    super::{
        projects::{check, inside, member},
        world::{ALICE, BOB, CAROL, World, name, user},
    },
    using, world,
};

#[test]
fn what_cannot_be_done_with_a_secret() {
    let mut world = world();
    world.secret(ALICE, 50, "TOKEN", None).unwrap();
    for act in [
        (|world: &mut World| world.secret(BOB, 51, "TOKEN", None)) as fn(&mut World) -> _,
        |world| world.delete_secret(BOB, "TOKEN", None),
        |world| world.delete_secret(BOB, "NOT_THERE", None),
        |world| world.allow(BOB, "TOKEN", UsersChange::Allow(SecretUser::Everyone)),
    ] {
        check(&mut world, &Code::Permission, "your role is member", act);
    }
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    check(
        &mut world,
        &Code::Permission,
        "it takes administer",
        |world| world.secret(CAROL, 52, "TOKEN", Some("vision")),
    );
    check(&mut world, &Code::NotFound, "no project vision", |world| {
        world.secret(user(4), 52, "TOKEN", Some("vision"))
    });
    check(&mut world, &Code::NotFound, "no secret OTHER", |world| {
        world.delete_secret(ALICE, "OTHER", None)
    });
    check(&mut world, &Code::NotFound, "no member mallory", |world| {
        let to = SecretUser::Member(name("mallory"));
        world.allow(ALICE, "TOKEN", UsersChange::Allow(to))
    });
    check(&mut world, &Code::NotFound, "no project nowhere", |world| {
        let to = SecretUser::Project(name("nowhere"));
        world.allow(ALICE, "TOKEN", UsersChange::Allow(to))
    });
    check(
        &mut world,
        &Code::BadJobFile,
        "two secrets of the job",
        |world| world.submit(ALICE, 20, using(&["TOKEN", "TOKEN"])),
    );
    check(
        &mut world,
        &Code::BadJobFile,
        "a secret of the job, too",
        |world| {
            let mut both = using(&["TOKEN"]);
            both.env.insert("TOKEN".to_owned(), "1".to_owned());
            world.submit(ALICE, 20, both)
        },
    );
    world.secret(BOB, 53, "OWN", Some("vision")).unwrap();
    world.archive(BOB, "vision", true).unwrap();
    check(&mut world, &Code::WrongState, "archived", |world| {
        let there = JobSpec {
            secrets: using(&["OWN"]).secrets,
            ..inside("vision")
        };
        world.submit(BOB, 20, there)
    });
}

#[test]
fn who_was_shown_out_of_a_project_is_given_none_of_its_secrets_whatever_still_waits() {
    let mut world = world();
    let contribute = Access::Contribute;
    world
        .grant(BOB, "vision", member("carol"), contribute)
        .unwrap();
    world.secret(BOB, 50, "OWN", Some("vision")).unwrap();
    world.secret(ALICE, 51, "ORG", None).unwrap();
    let to_vision = UsersChange::Allow(SecretUser::Project(name("vision")));
    world.allow(ALICE, "ORG", to_vision).unwrap();
    let attempt_with = |world: &mut World, number, called: &str| {
        let job = JobSpec {
            secrets: using(&[called]).secrets,
            ..inside("vision")
        };
        world.submit(CAROL, number, job).unwrap();
        world.schedule()[0].0
    };
    let own = attempt_with(&mut world, 20, "OWN");
    let orgs = attempt_with(&mut world, 21, "ORG");
    assert_eq!(world.given(own).unwrap(), [("OWN".to_owned(), 50)]);
    assert_eq!(world.given(orgs).unwrap(), [("ORG".to_owned(), 51)]);

    world.revoke(BOB, "vision", member("carol")).unwrap();
    world.secret(BOB, 52, "OWN", Some("vision")).unwrap();
    for attempt in [own, orgs] {
        assert_eq!(world.given(attempt).unwrap_err().code, Code::NotFound);
    }
    world
        .grant(BOB, "vision", member("carol"), contribute)
        .unwrap();
    assert_eq!(world.given(own).unwrap(), [("OWN".to_owned(), 52)]);
}
