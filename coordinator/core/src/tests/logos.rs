//! An org's logo.

use common::{
    api::{
        Answer, Request,
        org::{OrgAnswer, OrgRequest},
    },
    code::Code,
    org::logo::{Logo, MAX_LOGO_BYTES, MediaType, Picture},
};

use super::{
    departure::ask,
    invariants,
    world::{ALICE, BOB, ORG, World, refused, user},
};
use crate::{Body, command::OrgCommand};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 a picture\xff\xd9";

fn set(bytes: &[u8]) -> Body {
    let picture = Picture(bytes.to_vec());
    Body::Org(OrgCommand::SetLogo { org: ORG, picture })
}

/// Gives the org one.
pub(super) fn make(world: &mut World) {
    world.user_does(ALICE, set(JPEG)).unwrap();
}

#[test]
fn who_changes_settings_changes_the_logo_and_every_member_sees_it() {
    let mut world = World::new();
    let show = OrgRequest::ShowLogo { org: ORG };
    let none = ask(&world, BOB, show.clone()).unwrap_err();
    assert_eq!(none.code, Code::NotFound);

    let events = world.user_does(ALICE, set(JPEG)).unwrap();
    assert_eq!(world.user_does(ALICE, set(JPEG)), Ok(Vec::new()));
    let logo = Logo::new(Picture(JPEG.to_vec())).unwrap();
    assert_eq!(
        ask(&world, BOB, show.clone()),
        Ok(OrgAnswer::Logo(Box::new(logo.clone())))
    );
    let Ok(Answer::Org(seen)) = world.ask(BOB, &Request::ShowOrg { org: ORG }) else {
        panic!("bob sees the org");
    };
    assert_eq!(seen.logo, Some(logo.about));
    assert_eq!(logo.about.media_type, MediaType::Jpeg);
    let stranger = ask(&world, user(77), show).unwrap_err();
    assert_eq!(stranger.code, Code::NotFound);
    assert_ne!(stranger, none);

    // The log says digest and size, and never the picture.
    let told = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(told["event"], "org_logo_changed");
    assert_eq!(told["before"], serde_json::Value::Null);
    assert_eq!(told["after"], serde_json::to_value(logo.about).unwrap());
    assert_eq!(told.get("picture"), None);
    invariants::check(&world);

    let remove = Body::Org(OrgCommand::RemoveLogo { org: ORG });
    let events = world.user_does(ALICE, remove.clone()).unwrap();
    let told = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(told["before"], serde_json::to_value(logo.about).unwrap());
    assert!(world.state.logos.is_empty());
    assert_eq!(world.user_does(ALICE, remove), Ok(Vec::new()));
    invariants::check(&world);
}

#[test]
fn what_is_no_logo_changes_nothing() {
    let mut world = World::new();
    make(&mut world);
    let before = world.state.clone();
    let mut large = JPEG.to_vec();
    large.resize(MAX_LOGO_BYTES + 1, 0);
    let remove = Body::Org(OrgCommand::RemoveLogo { org: ORG });
    let cases = [
        (ALICE, set(&large), Code::BadSetting),
        (ALICE, set(b"<svg onload='alert(1)'/>"), Code::BadSetting),
        (ALICE, set(b""), Code::BadSetting),
        (BOB, set(JPEG), Code::Permission),
        (BOB, remove.clone(), Code::Permission),
        (user(77), set(JPEG), Code::NotFound),
        (user(77), remove, Code::NotFound),
    ];
    for (who, body, code) in cases {
        assert_eq!(refused(world.user_does(who, body)).code, code);
        assert!(world.state == before);
    }
}
