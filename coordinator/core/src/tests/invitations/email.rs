//! Invitations for an e-mail address: who has the link takes it or turns it down, and nobody else.

use common::{
    api::{Answer, Request},
    code::Code,
    id::{CodeDigest, Fingerprint, InvitationId},
    join_link::LinkPurpose,
    org::{InvitationStatus, InvitationView},
    profile::Email,
    status::Role,
    time::Span,
};

use super::{DORA, SHOP, accept, ask, create, decline, join, listed, mine, refuses, world};
use crate::{
    Actor, Body, Event, Rejection,
    command::{
        AccountCommand, OrgCommand,
        invitation::{CreateInvitations, NewInvitation},
    },
    event::invitation::InvitationEvent,
    query::enrolment,
    tests::{
        invariants,
        world::{ALICE, BOB, ORG, World, refused, user, wish},
    },
};

fn address() -> Email {
    "grace@lab.example".parse().unwrap()
}

/// Returns dora's wish for an invitation to the shop that is for grace's address.
fn for_grace(number: u8) -> CreateInvitations {
    CreateInvitations {
        org: SHOP,
        invitee: Some("grace@LAB.example".parse().unwrap()),
        ..wish(number, Role::Member)
    }
}

fn code(number: u8) -> CodeDigest {
    CodeDigest::new([number; 32])
}

fn decline_by_code(world: &mut World, number: u8) -> Result<Vec<Event>, Rejection> {
    let code = code(number);
    world.run(Actor::Stranger, Body::DeclineInvitation { code })
}

fn shown(world: &World, number: u8) -> Result<InvitationStatus, Code> {
    let shown = enrolment::shown(&world.state, code(number), world.now);
    shown
        .map(|shown| shown.status)
        .map_err(|problem| problem.code)
}

fn revoke(number: u8) -> Body {
    Body::RevokeInvitation {
        org: SHOP,
        invitation: InvitationId::from_bytes([number; 16]),
    }
}

fn row(world: &World) -> InvitationView {
    listed(world).remove(0)
}

/// Checks that whoever holds this code is refused in each of the three ways, and that nothing changes.
#[track_caller]
fn is_closed(world: &mut World, number: u8, expect: &Code, why: &str) {
    let before = world.state.clone();
    let problems = [
        refused(world.user_does(BOB, join(number))),
        refused(world.enrol(number, 70, 70, "eve")),
        refused(decline_by_code(world, number)),
        enrolment::shown(&world.state, code(number), world.now).unwrap_err(),
    ];
    for problem in problems {
        assert_eq!(&problem.code, expect, "{problem}");
        assert!(problem.why.contains(why), "{problem}");
    }
    assert_eq!(world.state, before);
}

#[test]
fn it_waits_for_whoever_has_the_link_and_is_accepted_by_somebody_new() {
    let mut world = world();
    world.user_does(DORA, create(for_grace(50))).unwrap();
    let waiting = row(&world);
    assert_eq!(waiting.status, InvitationStatus::Pending);
    assert_eq!(
        waiting.invitee.unwrap().to_string(),
        "grace@lab.example",
        "the domain's case does not count"
    );
    let look = enrolment::shown(&world.state, code(50), world.now).unwrap();
    assert_eq!(
        (look.org_name.as_str(), look.created_by.as_str()),
        ("shop", "dora")
    );
    assert_eq!(look.status, InvitationStatus::Pending);
    world.enrol(50, 60, 60, "gracie").unwrap();
    let taken = row(&world);
    assert_eq!(taken.status, InvitationStatus::Accepted);
    assert_eq!(taken.guests[0].as_str(), "gracie", "of any handle");
    // Coming in by the link verifies nothing.
    assert_eq!(world.state.users[&user(60)].profile.email, None);
    is_closed(&mut world, 50, &Code::CodeUsed, "used before");
    invariants::check(&world);
}

#[test]
fn an_account_takes_it_whatever_address_it_gives_as_its_own() {
    let mut world = world();
    world.user_does(DORA, create(for_grace(50))).unwrap();
    world.user_does(BOB, join(50)).unwrap();
    assert_eq!(world.user_does(BOB, join(50)), Ok(Vec::new()));
    assert_eq!(row(&world).status, InvitationStatus::Accepted);
    invariants::check(&world);
}

#[test]
fn who_merely_claims_the_address_sees_and_gets_nothing() {
    let mut world = world();
    let claim = AccountCommand::ChangeProfile {
        display_name: None,
        email: Some(address().to_string()),
    };
    world.user_does(BOB, Body::Account(claim)).unwrap();
    assert_eq!(world.state.users[&BOB].profile.email, Some(address()));
    world.user_does(DORA, create(for_grace(50))).unwrap();
    assert_eq!(mine(&world, BOB), []);
    let Answer::WhoAmI(who) = ask(&world, BOB, &Request::WhoAmI) else {
        panic!("bob is known");
    };
    assert_eq!(who.pending_invitations, 0);
    refuses(&mut world, BOB, accept(50), &Code::NotFound);
    refuses(&mut world, BOB, decline(50), &Code::NotFound);
    refuses(&mut world, BOB, join(51), &Code::CodeInvalid);
    assert_eq!(row(&world).status, InvitationStatus::Pending);
}

#[test]
fn it_is_declined_by_its_link_once_and_for_all() {
    let mut world = world();
    world.user_does(DORA, create(for_grace(50))).unwrap();
    let events = decline_by_code(&mut world, 50).unwrap();
    assert!(matches!(
        events[..],
        [Event::Invitation(InvitationEvent::InvitationDeclined {
            user: None,
            ..
        })]
    ));
    // The answer was lost: asked again, nothing more happens.
    assert_eq!(decline_by_code(&mut world, 50), Ok(Vec::new()));
    assert_eq!(row(&world).status, InvitationStatus::Declined);
    refuses(&mut world, BOB, join(50), &Code::CodeRevoked);
    let problem = refused(world.enrol(50, 60, 60, "eve"));
    assert!(problem.why.contains("declined"), "{problem}");
    assert_eq!(shown(&world, 50), Err(Code::CodeRevoked));
    // Who has an account declines with nothing but the link, too; and no more can be declined by a member.
    let by_user = world.user_does(BOB, Body::DeclineInvitation { code: code(50) });
    assert_eq!(by_user, Err(Rejection::WrongCaller));
    invariants::check(&world);
}

#[test]
fn what_is_wrong_with_a_link_is_told_to_who_holds_it() {
    let mut world = world();
    for number in 50..53 {
        // The same address again: the earlier link may be lost, and each is good by itself.
        world.user_does(DORA, create(for_grace(number))).unwrap();
    }
    assert_eq!(shown(&world, 50), Ok(InvitationStatus::Pending));
    world.user_does(DORA, revoke(51)).unwrap();
    is_closed(&mut world, 51, &Code::CodeRevoked, "it was revoked");
    is_closed(&mut world, 99, &Code::CodeInvalid, "no such code");
    world.wait(3600);
    is_closed(&mut world, 52, &Code::CodeExpired, "it expired at");
    // Neither a sign-in link nor what is for whoever has it is one person's to decline.
    let link = Body::CreateLoginLink {
        user: None,
        reset: false,
        invitation: InvitationId::from_bytes([60; 16]),
        org: ORG,
        code: code(60),
        ttl: Span::from_secs(60),
    };
    world.user_does(ALICE, link).unwrap();
    is_closed(&mut world, 60, &Code::CodeInvalid, "for this purpose");
    world.invite(61, Role::Member, 5);
    let before = world.state.clone();
    let problem = refused(decline_by_code(&mut world, 61));
    assert_eq!(problem.code, Code::WrongState);
    assert!(problem.why.contains("whoever has it"), "{problem}");
    assert_eq!(shown(&world, 61), Ok(InvitationStatus::Open));
    assert_eq!(world.state, before);
}

#[test]
fn it_is_one_with_a_link_and_good_once() {
    let mut world = world();
    let one = |codes: Vec<CodeDigest>| CreateInvitations {
        batch: vec![NewInvitation {
            codes,
            ..for_grace(50).batch.remove(0)
        }],
        ..for_grace(50)
    };
    for (wish, why) in [
        (
            CreateInvitations {
                uses: 2,
                ..for_grace(50)
            },
            "good once",
        ),
        (
            CreateInvitations {
                batch: [for_grace(50).batch, for_grace(51).batch].concat(),
                ..for_grace(50)
            },
            "a single one",
        ),
        (one(Vec::new()), ""),
        (one((0..3).map(code).collect()), ""),
    ] {
        let before = world.state.clone();
        let problem = refused(world.user_does(DORA, create(wish)));
        assert_eq!(problem.code, Code::BadRequest, "{problem}");
        assert!(problem.why.contains(why), "{problem}");
        assert_eq!(world.state, before);
    }
    // Whoever may not invite may not invite an address.
    refuses(&mut world, BOB, create(for_grace(50)), &Code::NotFound);
}

#[test]
fn the_link_to_an_org_that_was_deleted_is_an_unknown_one() {
    let mut world = world();
    world.user_does(DORA, create(for_grace(50))).unwrap();
    let delete = OrgCommand::Delete {
        org: SHOP,
        typed: "shop".to_owned(),
    };
    world.user_does(DORA, Body::Org(delete)).unwrap();
    is_closed(&mut world, 50, &Code::CodeInvalid, "no such code");
    let enrolled = enrolment::enrolment(
        &world.state,
        code(50),
        LinkPurpose::Join,
        Fingerprint::new([9; 32]),
        world.now,
    );
    assert_eq!(enrolled.unwrap_err().code, Code::CodeInvalid);
    invariants::check(&world);
}
