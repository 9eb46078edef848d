//! Where an org's bytes are to live: who says so, and what the shell hears.

use common::{code::Code, id::UserId, org::settings::SettingsChange, status::Role};

use super::{
    invariants,
    world::{ALICE, BOB, ORG, World, refused, user},
};
use crate::{
    Body, Effect, Event, Rejection, command::OrgCommand, effects, query::storage as query,
};

fn place(world: &mut World, by: UserId, place: &str) -> Result<Vec<Event>, Rejection> {
    let mut change = SettingsChange::default();
    change.set("storage", place).unwrap();
    let change = Box::new(change);
    world.user_does(
        by,
        Body::Org(OrgCommand::ChangeSettings { org: ORG, change }),
    )
}

#[test]
fn the_owner_alone_says_where_data_lives_and_the_shell_moves_it() {
    let mut world = World::new();
    world.join(4, "dora", Role::Admin);
    let dora = user(4);
    let bucket = "s3://data/lab?region=eu-central-1";
    for who in [BOB, dora] {
        assert_eq!(
            refused(place(&mut world, who, bucket)).code,
            Code::Permission
        );
        let before = query::may_place(&world.state, who, ORG).unwrap_err();
        assert_eq!(before.code, Code::Permission);
    }
    assert_eq!(query::may_place(&world.state, ALICE, ORG), Ok(()));
    let events = place(&mut world, ALICE, bucket).unwrap();
    let trail = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(
        (&trail["before"]["storage"], &trail["after"]["storage"]),
        (&"local".into(), &bucket.into())
    );
    assert!(effects(&world.state, &events[0]).contains(&Effect::Move));
    assert_eq!(query::place(&world.state, ORG).to_string(), bucket);
    assert_eq!(query::places(&world.state).count(), 1);

    // Saying it again, or changing something else, moves nothing.
    assert_eq!(place(&mut world, ALICE, bucket), Ok(Vec::new()));
    let mut change = SettingsChange::default();
    change.set("contact", "ada").unwrap();
    let change = Box::new(change);
    let other = Body::Org(OrgCommand::ChangeSettings { org: ORG, change });
    let events = world.user_does(dora, other).unwrap();
    assert!(!effects(&world.state, &events[0]).contains(&Effect::Move));
    assert_eq!(
        refused(place(&mut world, dora, "local")).code,
        Code::Permission
    );
    invariants::check(&world);
}

#[test]
fn keys_that_are_missing_are_named() {
    let world = World::new();
    let missing = query::keys(&world.state, ORG).unwrap_err();
    assert_eq!(missing.code, Code::StorageRefused);
    assert!(missing.why.contains("S3_ACCESS_KEY_ID"), "{missing}");
    assert!(
        missing
            .help
            .contains("compute-share secret set S3_ACCESS_KEY_ID")
    );
}
