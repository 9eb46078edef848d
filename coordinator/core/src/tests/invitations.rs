//! Invitations for accounts that exist, batches, and what is refused.

mod email;
mod forgetting;
mod lost_rights;

use std::collections::BTreeMap;

use common::{
    api::{
        Answer, Request,
        invitation::{InvitationAnswer, InvitationRequest, PendingInvitation},
    },
    code::Code,
    id::{CodeDigest, Fingerprint, InvitationId, OrgId, UserId},
    invitee::Invitee,
    org::{InvitationStatus, InvitationView, settings::SettingsChange},
    status::Role,
};

use super::{
    invariants,
    world::{ALICE, BOB, ORG, World, name, refused, wish},
};
use crate::{
    Actor, Body, Event, Rejection,
    command::OrgCommand,
    command::invitation::{CreateInvitations, InvitationCommand, NewInvitation},
    query::{self, Presence},
};

const SHOP: OrgId = OrgId::from_bytes([9; 16]);
const DORA: UserId = UserId::from_bytes([9; 16]);

/// Returns the usual world with an org `shop` of dora's beside it.
fn world() -> World {
    let mut world = World::new();
    let body = Body::CreateOrg {
        org: SHOP,
        name: name("shop"),
        owner: DORA,
        handle: name("dora"),
    };
    world.must(Actor::System, body);
    world
}

fn create(wish: CreateInvitations) -> Body {
    Body::Invitation(InvitationCommand::Create(wish))
}

/// Returns dora's wish for an invitation to the shop that is for bob.
fn for_bob(number: u8, role: Role) -> CreateInvitations {
    CreateInvitations {
        org: SHOP,
        invitee: Some(Invitee::User(name("bob"))),
        batch: vec![NewInvitation {
            id: InvitationId::from_bytes([number; 16]),
            codes: Vec::new(),
        }],
        ..wish(number, role)
    }
}

fn accept(number: u8) -> Body {
    Body::Invitation(InvitationCommand::Accept {
        invitation: InvitationId::from_bytes([number; 16]),
        key: Fingerprint::new([2; 32]),
    })
}

fn decline(number: u8) -> Body {
    Body::Invitation(InvitationCommand::Decline {
        invitation: InvitationId::from_bytes([number; 16]),
    })
}

fn join(number: u8) -> Body {
    Body::Invitation(InvitationCommand::Join {
        code: CodeDigest::new([number; 32]),
        key: Fingerprint::new([2; 32]),
    })
}

fn ask(world: &World, user: UserId, request: &Request) -> Answer {
    let presence = Presence {
        contacts: &BTreeMap::new(),
        certificate: common::id::CertificateSerial::new([0; 16]),
        certificate_expires_at: world.now,
        version: "1",
        sealing_key: b"key",
        samples: &world.samples,
    };
    query::answer(&world.state, &presence, world.now, user, request).unwrap()
}

fn mine(world: &World, user: UserId) -> Vec<PendingInvitation> {
    match ask(
        world,
        user,
        &Request::Invitation(InvitationRequest::Mine { after: None }),
    ) {
        Answer::Invitation(InvitationAnswer::Mine(mine)) => mine.rows,
        other => panic!("{other:?}"),
    }
}

fn listed(world: &World) -> Vec<InvitationView> {
    match ask(
        world,
        DORA,
        &Request::ListInvitations {
            org: SHOP,
            after: None,
        },
    ) {
        Answer::Invitations(list) => list.rows,
        other => panic!("{other:?}"),
    }
}

/// Checks that it is refused with this code, and that nothing changes.
#[track_caller]
fn refuses(world: &mut World, who: UserId, body: Body, code: &Code) {
    let before = world.state.clone();
    assert_eq!(&refused(world.user_does(who, body)).code, code);
    assert_eq!(world.state, before);
}

#[test]
fn a_user_joins_a_second_org_with_the_account_they_have() {
    let mut world = world();
    let link = CreateInvitations {
        org: SHOP,
        ..wish(50, Role::Admin)
    };
    world.user_does(DORA, create(link)).unwrap();
    let events = world.user_does(BOB, join(50)).unwrap();
    assert!(matches!(
        events[..],
        [
            Event::MemberAdded {
                org: SHOP,
                user: BOB,
                role: Role::Admin,
                ..
            },
            Event::InvitationUsed { .. }
        ]
    ));
    assert_eq!(world.state.users.len(), 4, "no second account");
    let orgs = match ask(&world, BOB, &Request::WhoAmI) {
        Answer::WhoAmI(who) => who.orgs,
        other => panic!("{other:?}"),
    };
    assert_eq!(orgs.len(), 2);
    // The answer was lost: asked again, nothing more happens.
    assert_eq!(world.user_does(BOB, join(50)), Ok(Vec::new()));
    assert_eq!(listed(&world)[0].guests, [name("bob")]);
    invariants::check(&world);
}

#[test]
fn who_is_in_already_burns_no_use() {
    let mut world = world();
    world.invite(50, Role::Member, 1);
    refuses(&mut world, BOB, join(50), &Code::WrongState);
    refuses(&mut world, ALICE, join(50), &Code::WrongState);
    world.user_does(DORA, join(50)).unwrap();
}

#[test]
fn an_invitation_for_a_user_waits_and_is_accepted() {
    let mut world = world();
    world
        .user_does(DORA, create(for_bob(50, Role::Member)))
        .unwrap();
    assert_eq!(listed(&world)[0].status, InvitationStatus::Pending);
    let waiting = mine(&world, BOB);
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (waiting[0].org_name.as_str(), waiting[0].created_by.as_str()),
        ("shop", "dora")
    );
    assert_eq!(mine(&world, ALICE), []);
    let Answer::WhoAmI(who) = ask(&world, BOB, &Request::WhoAmI) else {
        panic!("bob is known");
    };
    assert_eq!(who.pending_invitations, 1);
    // It is not there for anybody else.
    refuses(&mut world, ALICE, accept(50), &Code::NotFound);
    refuses(&mut world, ALICE, decline(50), &Code::NotFound);
    world.user_does(BOB, accept(50)).unwrap();
    assert_eq!(world.user_does(BOB, accept(50)), Ok(Vec::new()));
    assert_eq!(mine(&world, BOB), []);
    let row = &listed(&world)[0];
    assert_eq!(
        (row.status, row.invitee.clone(), row.guests.clone()),
        (
            InvitationStatus::Accepted,
            Some(Invitee::User(name("bob"))),
            vec![name("bob")]
        )
    );
    refuses(&mut world, BOB, decline(50), &Code::CodeUsed);
    invariants::check(&world);
}

#[test]
fn an_invitation_for_a_user_is_declined_revoked_or_expires() {
    let mut world = world();
    for number in 50..53 {
        world
            .user_does(DORA, create(for_bob(number, Role::Member)))
            .unwrap();
    }
    world.user_does(BOB, decline(50)).unwrap();
    assert_eq!(world.user_does(BOB, decline(50)), Ok(Vec::new()));
    refuses(&mut world, BOB, accept(50), &Code::CodeRevoked);
    let revoke = Body::RevokeInvitation {
        org: SHOP,
        invitation: InvitationId::from_bytes([51; 16]),
    };
    world.user_does(DORA, revoke).unwrap();
    refuses(&mut world, BOB, accept(51), &Code::CodeRevoked);
    world.wait(3600);
    refuses(&mut world, BOB, accept(52), &Code::CodeExpired);
    assert_eq!(mine(&world, BOB), []);
    let states: Vec<_> = listed(&world).iter().map(|row| row.status).collect();
    use InvitationStatus::{Declined, Expired, Revoked};
    assert_eq!(states, [Expired, Revoked, Declined]);
    invariants::check(&world);
}

#[test]
fn a_batch_is_made_as_a_whole_or_not_at_all() {
    let mut world = world();
    let one = |number: u8| NewInvitation {
        id: InvitationId::from_bytes([number; 16]),
        codes: vec![CodeDigest::new([number; 32])],
    };
    let batch = |batch| CreateInvitations {
        batch,
        ..wish(50, Role::Member)
    };
    let fifty: Vec<_> = (100..150).map(one).collect();
    assert_eq!(
        world.user_does(ALICE, create(batch(fifty))).unwrap().len(),
        50
    );
    refuses(
        &mut world,
        ALICE,
        create(batch(Vec::new())),
        &Code::BadRequest,
    );
    let too_many = (150..201).map(one).collect();
    refuses(
        &mut world,
        ALICE,
        create(batch(too_many)),
        &Code::BadRequest,
    );
    let twice = vec![one(160), one(160)];
    refuses(&mut world, ALICE, create(batch(twice)), &Code::BadRequest);
    let taken = vec![one(160), one(100)];
    refuses(&mut world, ALICE, create(batch(taken)), &Code::BadRequest);
    invariants::check(&world);
}

#[test]
fn what_cannot_be_wished_for() {
    let mut world = world();
    let bob = || for_bob(50, Role::Member);
    refuses(
        &mut world,
        DORA,
        create(for_bob(50, Role::Owner)),
        &Code::OneOwner,
    );
    refuses(
        &mut world,
        BOB,
        create(wish(50, Role::Member)),
        &Code::Permission,
    );
    refuses(&mut world, BOB, create(bob()), &Code::NotFound);
    let twice = CreateInvitations { uses: 2, ..bob() };
    refuses(&mut world, DORA, create(twice), &Code::BadRequest);
    let nobody = CreateInvitations {
        invitee: Some(Invitee::User(name("nobody"))),
        ..bob()
    };
    refuses(&mut world, DORA, create(nobody), &Code::NotFound);
    let herself = CreateInvitations {
        invitee: Some(Invitee::User(name("dora"))),
        ..bob()
    };
    refuses(&mut world, DORA, create(herself), &Code::WrongState);
    refuses(&mut world, BOB, join(99), &Code::CodeInvalid);
    // A machine or a stranger has no account to join with.
    let stranger = world.run(Actor::Stranger, join(50));
    assert_eq!(stranger, Err(Rejection::WrongCaller));
}

#[test]
fn members_who_may_invite_see_and_revoke_their_own_alone() {
    let mut world = world();
    world.invite(50, Role::Member, 1);
    let revoke = |number: u8| Body::RevokeInvitation {
        org: ORG,
        invitation: InvitationId::from_bytes([number; 16]),
    };
    let ids = |world: &World| match ask(
        world,
        BOB,
        &Request::ListInvitations {
            org: ORG,
            after: None,
        },
    ) {
        Answer::Invitations(list) => list.rows.into_iter().map(|row| row.id).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let mut change = SettingsChange::default();
    change.set("members_may_invite", "on").unwrap();
    let change = Box::new(change);
    let on = OrgCommand::ChangeSettings { org: ORG, change };
    world.user_does(ALICE, Body::Org(on)).unwrap();
    world
        .user_does(BOB, create(wish(51, Role::Member)))
        .unwrap();
    assert_eq!(ids(&world), [InvitationId::from_bytes([51; 16])]);
    refuses(&mut world, BOB, revoke(50), &Code::Permission);
    world.user_does(BOB, revoke(51)).unwrap();
}

#[test]
fn wrong_codes_say_what_is_wrong_to_who_holds_them() {
    let mut world = world();
    world.invite(50, Role::Member, 1);
    world.invite(51, Role::Member, 1);
    world.invite(52, Role::Member, 1);
    world.enrol(50, 60, 60, "eve").unwrap();
    refuses(&mut world, DORA, join(50), &Code::CodeUsed);
    let revoke = Body::RevokeInvitation {
        org: ORG,
        invitation: InvitationId::from_bytes([51; 16]),
    };
    world.user_does(ALICE, revoke).unwrap();
    refuses(&mut world, DORA, join(51), &Code::CodeRevoked);
    world.wait(3600);
    refuses(&mut world, DORA, join(52), &Code::CodeExpired);
    refuses(&mut world, DORA, join(50), &Code::CodeExpired);
}
