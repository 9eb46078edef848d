//! Sign-in links for others: who may make them for whom, and what a reset takes away.

use common::{
    api::{
        Request,
        account::{CreateLoginLink, MemberRef},
        invitation::InvitationRequest,
        org::OrgRequest,
    },
    code::Code,
    id::{CodeDigest, InvitationId, OrgId, UserId},
    status::Role,
    time::Span,
};

use super::{
    invariants,
    two_factor::{turn_on, use_link},
    world::{ALICE, BOB, CAROL, ORG, World, name, refused},
};
use crate::{
    Actor, Body, Event,
    command::AccountCommand,
    event::{AccountEvent, Holder},
    policy::scopes::Ask,
    query::enrolment,
};

const ELSEWHERE: OrgId = OrgId::from_bytes([9; 16]);

fn link(number: u8, handle: Option<&str>, reset: bool) -> Body {
    Body::CreateLoginLink {
        invitation: InvitationId::from_bytes([number; 16]),
        org: ORG,
        code: CodeDigest::new([number; 32]),
        ttl: Span::from_secs(900),
        user: handle.map(name),
        reset,
    }
}

fn role(handle: &str, role: Role) -> Body {
    Body::SetRole {
        org: ORG,
        handle: name(handle),
        role,
    }
}

/// Returns whom a link signs in.
fn whom(events: &[Event]) -> UserId {
    let holder = events.iter().find_map(|event| match event {
        Event::CertificateIssued {
            holder: Holder::User(user),
            ..
        } => Some(*user),
        _ => None,
    });
    holder.unwrap()
}

#[test]
fn an_admin_signs_a_member_in_who_has_lost_everything() {
    let mut world = World::new();
    turn_on(&mut world, BOB);
    world
        .user_does(ALICE, link(40, Some("bob"), false))
        .unwrap();
    let problem = refused(use_link(&mut world, 40, None));
    assert_eq!(
        problem.code,
        Code::TwoFactorNeeded,
        "the link is no way around it"
    );

    let held = world.state.credentials[&BOB].clone();
    world.user_does(ALICE, link(41, Some("bob"), true)).unwrap();
    let kept = &world.state.credentials[&BOB];
    assert_eq!(*kept, held, "nothing is gone before it is used");
    let events = use_link(&mut world, 41, None).unwrap();
    let reset = |event: &Event| matches!(event, Event::Account(AccountEvent::CredentialsReset { user, .. }) if *user == BOB);
    assert!(events.iter().any(reset), "{events:?}");
    assert_eq!(whom(&events), BOB);
    let before = refused(use_link(&mut world, 40, None));
    assert_eq!(before.code, Code::CodeRevoked, "the new one took its place");
    invariants::check(&world);
}

#[test]
fn nobody_signs_in_as_who_is_not_below_them_or_is_elsewhere_too() {
    let mut world = World::new();
    turn_on(&mut world, ALICE);
    world.user_does(ALICE, role("carol", Role::Admin)).unwrap();
    let before = world.state.clone();
    for (who, handle, reset, code) in [
        (BOB, "carol", false, Code::Permission),
        (BOB, "alice", false, Code::Permission),
        (CAROL, "alice", false, Code::Permission),
        (CAROL, "alice", true, Code::Permission),
        (CAROL, "nobody", false, Code::NotFound),
        (ALICE, "alice", true, Code::ProofNeeded),
    ] {
        let problem = refused(world.user_does(who, link(42, Some(handle), reset)));
        assert_eq!(problem.code, code, "{who} {handle}: {problem}");
    }
    let own = refused(world.user_does(ALICE, link(42, None, true)));
    assert_eq!(own.code, Code::ProofNeeded);
    assert_eq!(world.state, before);

    bob_goes_elsewhere(&mut world);
    let problem = refused(world.user_does(CAROL, link(42, Some("bob"), false)));
    assert_eq!(problem.code, Code::Permission);
    assert!(problem.why.contains("more orgs"), "{problem}");
    // Who runs the coordinator may all the same.
    world.must(Actor::System, link(43, Some("bob"), false));
    let events = use_link(&mut world, 43, None).unwrap();
    assert_eq!(whom(&events), BOB);
}

#[test]
fn who_runs_the_coordinator_lets_a_locked_out_owner_in() {
    let mut world = World::new();
    turn_on(&mut world, ALICE);
    world.must(Actor::System, link(44, None, false));
    let problem = refused(use_link(&mut world, 44, None));
    assert_eq!(problem.code, Code::TwoFactorNeeded);
    world.must(Actor::System, link(45, None, true));
    let events = use_link(&mut world, 45, None).unwrap();
    assert_eq!(whom(&events), ALICE);
    let unknown = world.run(Actor::System, link(46, Some("nobody"), false));
    assert_eq!(refused(unknown).code, Code::NotFound);
    invariants::check(&world);
}

#[test]
fn a_link_for_somebody_ends_with_their_membership() {
    let mut world = World::new();
    world
        .user_does(ALICE, link(47, Some("bob"), false))
        .unwrap();
    let remove = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    world.user_does(ALICE, remove).unwrap();
    assert_eq!(
        refused(use_link(&mut world, 47, None)).code,
        Code::CodeRevoked
    );
    invariants::check(&world);
}

/// Makes bob a member of another org.
fn bob_goes_elsewhere(world: &mut World) {
    let elsewhere = Body::CreateOrg {
        org: ELSEWHERE,
        name: name("elsewhere"),
        owner: BOB,
        handle: name("bob"),
    };
    world.must(Actor::System, elsewhere);
}

#[test]
fn a_link_for_somebody_is_good_only_while_it_could_be_made() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 4] = [
        ("its maker is an admin no more", |world| {
            world.user_does(ALICE, role("carol", Role::Member)).unwrap();
        }),
        ("bob is an admin, too", |world| {
            world.user_does(ALICE, role("bob", Role::Admin)).unwrap();
        }),
        ("bob is in another org, too", bob_goes_elsewhere),
        ("it was taken back", |world| {
            let of = Some(MemberRef {
                org: ORG,
                handle: name("bob"),
            });
            let revoke = Body::Account(AccountCommand::RevokeLinks { of });
            world.user_does(ALICE, revoke).unwrap();
        }),
    ];
    for (why, change) in changes {
        let mut world = World::new();
        world.user_does(ALICE, role("carol", Role::Admin)).unwrap();
        world
            .user_does(CAROL, link(48, Some("bob"), false))
            .unwrap();
        change(&mut world);
        let problem = refused(use_link(&mut world, 48, None));
        assert_eq!(problem.code, Code::CodeRevoked, "{why}");
        invariants::check(&world);
    }
}

#[test]
fn only_who_could_make_a_link_takes_it_back_and_nobody_elses_is_touched() {
    let mut world = World::new();
    world.user_does(BOB, link(49, None, false)).unwrap();
    world.user_does(CAROL, link(50, None, false)).unwrap();
    let of_bob = Some(MemberRef {
        org: ORG,
        handle: name("bob"),
    });
    let revoke = |of| Body::Account(AccountCommand::RevokeLinks { of });
    let problem = refused(world.user_does(CAROL, revoke(of_bob)));
    assert_eq!(problem.code, Code::Permission);
    world.user_does(BOB, revoke(None)).unwrap();
    assert_eq!(
        refused(use_link(&mut world, 49, None)).code,
        Code::CodeRevoked
    );
    assert_eq!(whom(&use_link(&mut world, 50, None).unwrap()), CAROL);
}

#[test]
fn a_computer_that_an_admin_let_in_speaks_for_the_member_in_that_org_alone() {
    let mut world = World::new();
    world
        .user_does(ALICE, link(51, Some("bob"), false))
        .unwrap();
    let events = use_link(&mut world, 51, None).unwrap();
    let serial = events.iter().find_map(|event| match event {
        Event::CertificateIssued { serial, .. } => Some(*serial),
        _ => None,
    });
    let serial = serial.unwrap();
    bob_goes_elsewhere(&mut world);
    let may = |request: &Request| {
        let ask = Ask::Request(request);
        enrolment::authorise(&world.state, serial, world.now, ask).map_err(|problem| problem.code)
    };
    let own_link = CreateLoginLink {
        org: ORG,
        user: None,
        reset: false,
    };
    for (request, expected) in [
        (Request::WhoAmI, Ok(BOB)),
        (Request::ShowOrg { org: ORG }, Ok(BOB)),
        (Request::ShowOrg { org: ELSEWHERE }, Err(Code::NotFound)),
        (
            Request::Invitation(InvitationRequest::Mine { after: None }),
            Err(Code::Permission),
        ),
        (Request::CreateLoginLink(own_link), Err(Code::Permission)),
        (
            Request::Org(OrgRequest::Create { name: name("more") }),
            Err(Code::Permission),
        ),
    ] {
        assert_eq!(may(&request), expected, "{request:?}");
    }
    invariants::check(&world);
}
