//! Profiles and devices.

use std::time::Duration;

use common::{
    api::account::MemberRef,
    code::Code,
    id::{CertificateSerial, CodeDigest, DeviceId, Fingerprint, InvitationId, OrgId, UserId},
    join_link::LinkPurpose,
    status::Role,
    time::Span,
};

use super::{
    invariants,
    world::{ALICE, BOB, CAROL, ORG, World, name, refused, user},
};
use crate::{
    Actor, Body, Effect, Event, Rejection,
    command::{AccountCommand, NewCertificate, SignIn},
    effects,
    event::AccountEvent,
    query::enrolment,
};

fn device(number: u8) -> DeviceId {
    DeviceId::from_bytes([number; 16])
}

fn in_org(handle: &str) -> Option<MemberRef> {
    let handle = name(handle);
    Some(MemberRef { org: ORG, handle })
}

fn revoke(of: Option<MemberRef>, called: Option<&str>, from: Option<DeviceId>) -> Body {
    Body::Account(AccountCommand::RevokeDevice {
        of,
        device: called.map(name),
        from,
    })
}

/// Makes a sign-in link for the user and signs in with it on a computer whose key has this number.
fn sign_in(
    world: &mut World,
    who: UserId,
    number: u8,
    called: &str,
) -> Result<Vec<Event>, Rejection> {
    let code = CodeDigest::new([number; 32]);
    let link = Body::CreateLoginLink {
        invitation: InvitationId::from_bytes([number; 16]),
        org: ORG,
        code,
        ttl: Span::from_secs(900),
        user: None,
        reset: false,
    };
    world.user_does(who, link).unwrap();
    use_link(world, number, called)
}

fn use_link(world: &mut World, number: u8, called: &str) -> Result<Vec<Event>, Rejection> {
    let certificate = world.certificate(number);
    let body = Body::Enrol {
        code: CodeDigest::new([number; 32]),
        purpose: LinkPurpose::Login,
        fresh_user: user(number),
        handle: None,
        sign_in: SignIn {
            fresh_device: device(number),
            name: name(called),
            proof: None,
        },
        certificate,
    };
    world.run(Actor::Stranger, body)
}

fn serial_of(events: &[Event]) -> CertificateSerial {
    let issued = events.iter().find_map(|event| match event {
        Event::CertificateIssued { serial, .. } => Some(*serial),
        _ => None,
    });
    issued.expect("a certificate was issued")
}

fn names(world: &World, who: UserId) -> Vec<String> {
    let devices = world.state.devices.values();
    let theirs = devices.filter(|row| row.user == who && row.is_signed_in(world.now));
    theirs.map(|row| row.name.to_string()).collect()
}

#[test]
fn a_profile_changes_in_parts_and_nonsense_changes_nothing() {
    let mut world = World::new();
    let change = |display_name: Option<&str>, email: Option<&str>| {
        Body::Account(AccountCommand::ChangeProfile {
            display_name: display_name.map(str::to_owned),
            email: email.map(str::to_owned),
        })
    };
    world
        .user_does(BOB, change(Some("Bob Ross"), Some("bob@lab.example")))
        .unwrap();
    let before = world.state.clone();
    for (display_name, email, named) in [
        (Some("B\u{202e}ob"), None, "U+202E"),
        (Some("\u{412}ob"), None, "Cyrillic"),
        (Some("B\u{7}"), None, "U+0007"),
        (None, Some("nobody"), "NAME@DOMAIN"),
        (None, Some("a@b"), "domain"),
        // The good half of it does not get in either.
        (Some("Robert"), Some("a b@c.example"), "' '"),
    ] {
        let problem = refused(world.user_does(BOB, change(display_name, email)));
        assert_eq!(problem.code, Code::BadProfile);
        assert!(problem.why.contains(named), "{problem}");
        assert_eq!(world.state, before);
    }
    world.user_does(BOB, change(None, Some(""))).unwrap();
    let profile = &world.state.users[&BOB].profile;
    assert_eq!(
        profile.display_name.as_ref().map(|name| name.as_str()),
        Some("Bob Ross")
    );
    assert_eq!(profile.email, None);
    assert_eq!(
        world.user_does(BOB, change(Some("Bob Ross"), None)),
        Ok(Vec::new())
    );
    invariants::check(&world);
}

#[test]
fn each_sign_in_is_a_device_of_its_own_name_and_renewal_stays_on_it() {
    let mut world = World::new();
    let second = serial_of(&sign_in(&mut world, BOB, 20, "laptop").unwrap());
    sign_in(&mut world, BOB, 21, "laptop").unwrap();
    sign_in(&mut world, BOB, 22, "box").unwrap();
    assert_eq!(
        names(&world, BOB),
        ["laptop", "laptop-2", "laptop-3", "box"]
    );
    world.wait(3600);
    let new = world.certificate(20);
    let body = Body::RenewCertificate { old: second, new };
    world.user_does(BOB, body).unwrap();
    assert_eq!(
        enrolment::device(&world.state, new.serial),
        Some(device(20))
    );
    let row = &world.state.devices[&device(20)];
    assert_eq!(
        (row.renewed_at, row.expires_at),
        (world.now, new.expires_at)
    );
    // The same key signs in again: the same device.
    sign_in(&mut world, BOB, 23, "other").unwrap();
    let certificate = NewCertificate {
        key: Fingerprint::new([23; 32]),
        ..world.certificate(99)
    };
    let body = Body::Enrol {
        code: CodeDigest::new([23; 32]),
        purpose: LinkPurpose::Login,
        fresh_user: BOB,
        handle: None,
        sign_in: SignIn {
            fresh_device: device(98),
            name: name("renamed"),
            proof: None,
        },
        certificate,
    };
    world.run(Actor::Stranger, body).unwrap();
    assert!(!world.state.devices.contains_key(&device(98)));
    invariants::check(&world);
}

#[test]
fn a_revoked_device_is_closed_at_once_and_its_key_and_link_do_not_come_back() {
    let mut world = World::new();
    let serial = serial_of(&sign_in(&mut world, BOB, 20, "tablet").unwrap());
    let other = serial_of(&sign_in(&mut world, BOB, 21, "box").unwrap());
    let new = world.certificate(20);
    let body = Body::RenewCertificate { old: serial, new };
    world.user_does(BOB, body).unwrap();

    let events = world
        .user_does(BOB, revoke(None, Some("tablet"), Some(device(21))))
        .unwrap();
    let told: Vec<Effect> = events
        .iter()
        .flat_map(|event| effects(&world.state, event))
        .collect();
    for serial in [serial, new.serial] {
        assert!(told.contains(&Effect::Close(serial)), "{told:?}");
        let answer = enrolment::certificate(&world.state, serial, world.now);
        assert_eq!(answer.unwrap_err().code, Code::CertificateRevoked);
        let body = Body::RenewCertificate {
            old: serial,
            new: world.certificate(20),
        };
        let problem = refused(world.user_does(BOB, body));
        assert_eq!(problem.code, Code::CertificateRevoked);
    }
    assert!(enrolment::certificate(&world.state, other, world.now).is_ok());
    // Whoever has the computer has its key and perhaps the link, which the same key could use again.
    let problem = refused(use_link(&mut world, 20, "tablet"));
    assert_eq!(problem.code, Code::CodeUsed);
    // By its id it is there still, and revoked already; its name is free.
    let by_id = device(20).to_string();
    let again = revoke(None, Some(&by_id), Some(device(21)));
    assert_eq!(world.user_does(BOB, again), Ok(Vec::new()));
    sign_in(&mut world, BOB, 22, "tablet").unwrap();
    assert_eq!(names(&world, BOB), ["laptop", "box", "tablet"]);
    // Logging out is revoking the device that asks.
    world
        .user_does(BOB, revoke(None, None, Some(device(22))))
        .unwrap();
    assert_eq!(names(&world, BOB), ["laptop", "box"]);
    invariants::check(&world);
}

#[test]
fn devices_of_others_are_not_there_and_an_admin_revokes_only_who_is_in_no_other_org() {
    let mut world = World::new();
    sign_in(&mut world, BOB, 20, "tablet").unwrap();
    let before = world.state.clone();
    for (who, of, code) in [
        // Neither by name nor by id.
        (CAROL, None, Code::NotFound),
        (CAROL, in_org("bob"), Code::Permission),
        (ALICE, in_org("nobody"), Code::NotFound),
    ] {
        for called in ["tablet", &device(20).to_string()] {
            let problem = refused(world.user_does(who, revoke(of.clone(), Some(called), None)));
            assert_eq!(problem.code, code, "{problem}");
        }
    }
    // No device is named, and the one that asks is not bob's.
    let problem = refused(world.user_does(ALICE, revoke(in_org("bob"), None, Some(device(1)))));
    assert_eq!(problem.code, Code::NotFound);
    assert_eq!(world.state, before);

    let admin = Body::SetRole {
        org: ORG,
        handle: name("carol"),
        role: Role::Admin,
    };
    world.user_does(ALICE, admin).unwrap();
    let problem = refused(world.user_does(CAROL, revoke(in_org("alice"), Some("laptop"), None)));
    assert_eq!(problem.code, Code::Permission);
    world
        .user_does(CAROL, revoke(in_org("bob"), Some("tablet"), None))
        .unwrap();
    assert_eq!(names(&world, BOB), ["laptop"]);

    let elsewhere = Body::CreateOrg {
        org: OrgId::from_bytes([9; 16]),
        name: name("elsewhere"),
        owner: BOB,
        handle: name("bob"),
    };
    world.must(Actor::System, elsewhere);
    let problem = refused(world.user_does(CAROL, revoke(in_org("bob"), Some("laptop"), None)));
    assert_eq!(problem.code, Code::Permission);
    assert!(problem.why.contains("more orgs"), "{problem}");
    invariants::check(&world);
}

#[test]
fn devices_are_bounded_and_what_is_long_gone_is_forgotten() {
    let mut world = World::new();
    let refused = loop {
        let number = world.mint();
        match sign_in(&mut world, BOB, number, "laptop") {
            Ok(_) => {}
            Err(rejection) => break common::problem::Problem::from(rejection),
        }
    };
    assert_eq!(refused.code, Code::Limit);
    assert_eq!(names(&world, BOB).len(), 64);
    let unique: std::collections::BTreeSet<String> = names(&world, BOB).into_iter().collect();
    assert_eq!(unique.len(), 64);
    world.now = world.now.saturating_add(Duration::from_secs(40 * 86_400));
    for number in 10..15 {
        let events = sign_in(&mut world, BOB, number, "new").unwrap();
        let forgotten = events
            .iter()
            .filter(|event| matches!(event, Event::Account(AccountEvent::DeviceForgotten { .. })));
        assert!(forgotten.count() <= 16);
    }
    let left = world.state.devices.values().filter(|row| row.user == BOB);
    assert_eq!(left.count(), 5);
    invariants::check(&world);
}

#[test]
fn a_device_that_renews_for_years_keeps_few_certificates() {
    let mut world = World::new();
    let mut old = serial_of(&sign_in(&mut world, BOB, 20, "laptop").unwrap());
    for number in 0..300_u128 {
        world.now = world.now.saturating_add(Duration::from_secs(4 * 86_400));
        let new = NewCertificate {
            serial: CertificateSerial::new((number + (1 << 64)).to_be_bytes()),
            key: Fingerprint::new([20; 32]),
            expires_at: world.now.saturating_add(Duration::from_secs(7 * 86_400)),
        };
        world
            .user_does(BOB, Body::RenewCertificate { old, new })
            .unwrap();
        old = new.serial;
    }
    assert!(world.state.index.devices[&BOB][&device(20)].len() < 12);
    invariants::check(&world);
}
