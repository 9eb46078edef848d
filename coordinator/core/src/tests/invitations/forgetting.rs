//! How many invitations an org has, open and ended, and for how long it knows those that ended.

use common::{
    code::Code,
    id::{CodeDigest, Fingerprint, InvitationId},
    org::{InvitationStatus, settings::SettingsChange},
    status::Role,
    time::Span,
};
use proptest::{collection::vec, prelude::*};

use super::{ask, create, refuses};
use crate::{
    Actor, Body, Event,
    command::{
        OrgCommand,
        invitation::{CreateInvitations, InvitationCommand, NewInvitation},
    },
    decide::{
        invitation::forgetting::{MAX_ENDED, MAX_OPEN},
        login_link::MAX_OPEN as MAX_LINKS,
    },
    event::invitation::InvitationEvent,
    tests::{
        invariants,
        world::{ALICE, BOB, ORG, World, name, refused, wish},
    },
};

const DAY: u64 = 86_400;

/// An id or code of which there are many.
fn number<const LENGTH: usize>(number: usize) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    bytes
}

fn numbered(at: usize) -> NewInvitation {
    NewInvitation {
        id: InvitationId::from_bytes(number(at)),
        codes: vec![CodeDigest::new(number(at))],
    }
}

fn batch(first: usize, count: usize) -> CreateInvitations {
    CreateInvitations {
        batch: (first..first + count).map(numbered).collect(),
        ..wish(50, Role::Member)
    }
}

fn revoke(world: &mut World, at: usize) {
    let invitation = InvitationId::from_bytes(number(at));
    let org = ORG;
    world.must(
        Actor::User(ALICE),
        Body::RevokeInvitation { org, invitation },
    );
}

fn forget(world: &mut World, most: u32) -> Vec<Event> {
    let events = world.run(Actor::System, Body::ForgetInvitations { most });
    events.unwrap()
}

/// Returns how many rows the events take away.
fn rows(events: &[Event]) -> usize {
    events.iter().map(|event| event.touched().len()).sum()
}

/// Forgets all that there is to, in steps of so many rows.
fn forget_all(world: &mut World, most: u32) {
    loop {
        let events = forget(world, most);
        assert!(rows(&events) <= most as usize, "{events:?}");
        if events.is_empty() {
            return;
        }
    }
}

#[test]
fn an_org_has_so_many_open_ones_and_no_more() {
    let mut world = World::new();
    for first in (0..MAX_OPEN).step_by(50) {
        world.user_does(ALICE, create(batch(first, 50))).unwrap();
    }
    let before = world.state.clone();
    let problem = refused(world.user_does(ALICE, create(batch(MAX_OPEN, 1))));
    assert_eq!(problem.code, Code::Limit);
    assert!(problem.why.contains("10000"), "{problem}");
    assert_eq!(world.state, before);
    // Sign-in links are not among them.
    let link = Body::CreateLoginLink {
        user: None,
        reset: false,
        invitation: InvitationId::from_bytes([60; 16]),
        org: ORG,
        code: CodeDigest::new([60; 32]),
        ttl: Span::from_secs(DAY),
    };
    world.user_does(BOB, link).unwrap();
    for at in 0..2 {
        revoke(&mut world, at);
    }
    refuses(&mut world, ALICE, create(batch(MAX_OPEN, 3)), &Code::Limit);
    world.user_does(ALICE, create(batch(MAX_OPEN, 2))).unwrap();
    refuses(
        &mut world,
        ALICE,
        create(batch(MAX_OPEN + 2, 1)),
        &Code::Limit,
    );
    // Those that expired make room, and another org has its own.
    world.wait(3600);
    world
        .user_does(ALICE, create(batch(MAX_OPEN + 2, 50)))
        .unwrap();
    invariants::check(&world);
}

#[test]
fn a_user_has_so_many_sign_in_links_and_the_coordinator_always_makes_one() {
    let mut world = World::new();
    let link = |at: usize| Body::CreateLoginLink {
        user: None,
        reset: false,
        invitation: InvitationId::from_bytes(number(at)),
        org: ORG,
        code: CodeDigest::new(number(at)),
        ttl: Span::from_secs(60),
    };
    for at in 0..MAX_LINKS {
        world.user_does(ALICE, link(at)).unwrap();
    }
    let before = world.state.clone();
    let problem = refused(world.user_does(ALICE, link(MAX_LINKS)));
    assert_eq!(problem.code, Code::Limit);
    assert!(problem.what.contains("sign-in link"), "{problem}");
    assert_eq!(world.state, before);
    world.user_does(BOB, link(MAX_LINKS)).unwrap();
    world.must(Actor::System, link(MAX_LINKS + 1));
    world.wait(60);
    world.user_does(ALICE, link(MAX_LINKS + 2)).unwrap();
}

#[test]
fn what_ended_is_known_for_thirty_days() {
    let mut world = World::new();
    let already = world.state.invitations.len();
    assert_eq!(already, 2, "those of bob and carol");
    world.invite(50, Role::Member, 1);
    world.invite(51, Role::Member, 1);
    world.enrol(50, 60, 60, "eve").unwrap();
    let long = CreateInvitations {
        ttl: Span::from_secs(40 * DAY),
        ..wish(52, Role::Member)
    };
    world.user_does(ALICE, create(long)).unwrap();
    // One that is unused ends when it expires: an hour later.
    world.wait(30 * DAY);
    assert_eq!(forget(&mut world, 1000), []);
    let code = |number| CodeDigest::new([number; 32]);
    let join = |number| {
        Body::Invitation(InvitationCommand::Join {
            code: code(number),
            key: Fingerprint::new([2; 32]),
        })
    };
    refuses(&mut world, BOB, join(50), &Code::CodeExpired);
    world.wait(1);
    let events = forget(&mut world, 1000);
    // Bob's, carol's and eve's, with how they came in.
    assert_eq!((events.len(), rows(&events)), (3, 6));
    refuses(&mut world, BOB, join(50), &Code::CodeInvalid);
    refuses(&mut world, BOB, join(51), &Code::CodeExpired);
    world.wait(3600);
    assert_eq!(forget(&mut world, 1000).len(), 1);
    refuses(&mut world, BOB, join(51), &Code::CodeInvalid);
    assert_eq!(world.state.invitations.len(), 1, "what is open stays");
    assert!(world.state.invitation_uses.is_empty());
    assert_eq!(forget(&mut world, 1000), []);
    invariants::check(&world);
    // Nobody but the coordinator's own timer asks for it.
    let asked = world.user_does(ALICE, Body::ForgetInvitations { most: 1 });
    assert_eq!(asked, Err(crate::Rejection::WrongCaller));
}

#[test]
fn many_who_came_in_by_one_are_forgotten_in_steps() {
    let mut world = World::new();
    world.invite(50, Role::Member, 20);
    for guest in 60..70 {
        world
            .enrol(50, guest, guest, &format!("guest-{guest}"))
            .unwrap();
    }
    world.wait(31 * DAY);
    let events = forget(&mut world, 4);
    // Bob's and carol's invitations are older; each is two rows.
    assert_eq!((events.len(), rows(&events)), (2, 4));
    let events = forget(&mut world, 4);
    assert!(matches!(
        &events[..],
        [Event::Invitation(InvitationEvent::InvitationUsesForgotten { keys, .. })] if keys.len() == 4
    ));
    invariants::check(&world);
    assert_eq!(rows(&forget(&mut world, 0)), 0);
    forget_all(&mut world, 4);
    assert!(world.state.invitations.is_empty() && world.state.invitation_uses.is_empty());
    assert_eq!(world.state.members.len(), 13, "whoever came in stays");
    invariants::check(&world);
}

#[test]
fn of_those_that_ended_so_many_are_known_at_most() {
    let mut world = World::new();
    let mut made = 0;
    while made < MAX_ENDED + 200 {
        world.user_does(ALICE, create(batch(made, 50))).unwrap();
        for at in made..made + 50 {
            revoke(&mut world, at);
        }
        world.wait(1);
        made += 50;
    }
    // Making more forgets what is above the bound, longest ago first, without waiting for the timer.
    assert!(world.state.invitations.len() <= MAX_ENDED + 50);
    let revoked = InvitationId::from_bytes(number(made - 1));
    assert_eq!(
        world.state.invitations[&revoked].status(world.now),
        InvitationStatus::Revoked
    );
    let first = InvitationId::from_bytes(number(0));
    assert!(!world.state.invitations.contains_key(&first));
    forget_all(&mut world, 7);
    assert_eq!(world.state.invitations.len(), MAX_ENDED);
    invariants::check(&world);
}

#[derive(Debug, Clone)]
enum Step {
    Make {
        address: bool,
        hours: u64,
        uses: u32,
    },
    Enrol(u8),
    Decline(u8),
    Revoke(u8),
    Wait(u64),
    Forget(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let one = 100..110u8;
    prop_oneof![
        4 => (any::<bool>(), 1..1000u64, 1..4u32)
            .prop_map(|(address, hours, uses)| Step::Make { address, hours, uses }),
        4 => one.clone().prop_map(Step::Enrol),
        1 => one.clone().prop_map(Step::Decline),
        1 => one.prop_map(Step::Revoke),
        2 => (1..20u64).prop_map(Step::Wait),
        2 => (0..5u32).prop_map(Step::Forget),
    ]
}

fn take(world: &mut World, made: &mut u8, came: &mut u8, step: &Step) {
    // What is refused changes nothing.
    match *step {
        Step::Make { .. } if *made >= 110 => {}
        Step::Make {
            address,
            hours,
            uses,
        } => {
            let wish = CreateInvitations {
                ttl: Span::from_secs(hours * 3600),
                uses: if address { 1 } else { uses },
                invitee: address.then(|| "grace@lab.example".parse().unwrap()),
                ..wish(*made, Role::Member)
            };
            world.user_does(ALICE, create(wish)).unwrap();
            *made += 1;
        }
        Step::Enrol(code) => {
            *came += 1;
            let handle = format!("guest-{came}");
            drop(world.enrol(code, *came, *came, &handle));
        }
        Step::Decline(code) => {
            let code = CodeDigest::new([code; 32]);
            drop(world.run(Actor::Stranger, Body::DeclineInvitation { code }));
        }
        Step::Revoke(id) => {
            let invitation = InvitationId::from_bytes([id; 16]);
            let org = ORG;
            drop(world.user_does(ALICE, Body::RevokeInvitation { org, invitation }));
        }
        Step::Wait(days) => world.wait(days * DAY),
        Step::Forget(most) => {
            let events = forget(world, most);
            assert!(rows(&events) <= most as usize);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_to_invitations_the_invariants_hold(steps in vec(step(), 1..40)) {
        let mut world = World::new();
        let (mut made, mut came) = (100, 120);
        for step in &steps {
            let before = world.state.clone();
            take(&mut world, &mut made, &mut came, step);
            invariants::check(&world);
            if matches!(step, Step::Forget(_)) {
                let gone = before.invitations.iter().filter(|(id, _)| !world.state.invitations.contains_key(*id));
                for (_, row) in gone {
                    prop_assert!(world.now.since(row.ends_at()).as_secs() > 30 * DAY, "{row:?}");
                }
                prop_assert_eq!(&before.members, &world.state.members);
            }
        }
        // In the end, only what is open or ended of late is left.
        forget_all(&mut world, 3);
        for row in world.state.invitations.values() {
            prop_assert!(world.now.since(row.ends_at()).as_secs() <= 30 * DAY);
        }
    }
}

#[test]
fn members_who_may_invite_are_bound_with_all_others() {
    let mut world = World::new();
    let mut change = SettingsChange::default();
    change.set("members_may_invite", "on").unwrap();
    let change = Box::new(change);
    let on = OrgCommand::ChangeSettings { org: ORG, change };
    world.user_does(ALICE, Body::Org(on)).unwrap();
    for first in (0..MAX_OPEN).step_by(50) {
        world.user_does(BOB, create(batch(first, 50))).unwrap();
    }
    refuses(&mut world, ALICE, create(batch(MAX_OPEN, 1)), &Code::Limit);
    // Who fills it is removed, and what they made with them.
    let body = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    world.user_does(ALICE, body).unwrap();
    world.user_does(ALICE, create(batch(MAX_OPEN, 1))).unwrap();
    let list = ask(
        &world,
        ALICE,
        &common::api::Request::ListInvitations {
            org: ORG,
            after: None,
        },
    );
    assert!(matches!(list, common::api::Answer::Invitations(list) if !list.rows.is_empty()));
}
