//! What only an owner can do to an org, and coming back into one.

use common::{
    code::Code,
    id::{ApprovalId, UserId},
    status::{Role, Verdict},
};

use super::{
    invariants,
    world::{ALICE, BOB, CAROL, ORG, World, name, refused, user},
};
use crate::{
    Body, Event,
    command::{OrgCommand, approval::ApprovalCommand},
    event::{Holder, OrgEvent},
    query::enrolment,
};

const DORA: UserId = UserId::from_bytes([4; 16]);

fn transfer(to: &str, typed: &str) -> Body {
    Body::Org(OrgCommand::Transfer {
        org: ORG,
        to: name(to),
        typed: typed.to_owned(),
    })
}

fn ask_back(number: u8, org: &str) -> Body {
    Body::Org(OrgCommand::RequestRejoin {
        request: ApprovalId::from_bytes([number; 16]),
        name: name(org),
    })
}

fn remove(handle: &str) -> Body {
    let handle = name(handle);
    Body::RemoveMember { org: ORG, handle }
}

fn role(world: &World, user: UserId) -> Role {
    world.state.members[&(ORG, user)].role
}

#[test]
fn an_org_is_handed_to_an_admin_by_its_owner_who_types_its_name() {
    let mut world = World::new();
    world.join(4, "dora", Role::Admin);
    let before = world.state.clone();
    let cases = [
        (DORA, transfer("dora", "lab"), Code::Permission),
        (ALICE, transfer("dora", "Lab"), Code::WrongTypedName),
        (ALICE, transfer("dora", ""), Code::WrongTypedName),
        (ALICE, transfer("bob", "lab"), Code::NotAnAdmin),
        (ALICE, transfer("alice", "lab"), Code::NotAnAdmin),
        (ALICE, transfer("nobody", "lab"), Code::NotFound),
        (user(77), transfer("dora", "lab"), Code::NotFound),
    ];
    for (who, body, code) in cases {
        assert_eq!(
            refused(world.user_does(who, body.clone())).code,
            code,
            "{body:?}"
        );
        assert!(world.state == before, "nothing is changed");
    }
    let events = world.user_does(ALICE, transfer("dora", "lab")).unwrap();
    let [Event::Org(event)] = &events[..] else {
        panic!("{events:?}");
    };
    let trail = serde_json::to_value(event).unwrap();
    assert_eq!(trail["event"], "org_transferred");
    assert_eq!(
        (trail["before"].as_str(), trail["after"].as_str()),
        (
            Some(ALICE.to_string()).as_deref(),
            Some(DORA.to_string()).as_deref(),
        )
    );
    assert_eq!(
        (role(&world, ALICE), role(&world, DORA)),
        (Role::Admin, Role::Owner)
    );
    let owners = world
        .state
        .members
        .values()
        .filter(|row| row.role == Role::Owner);
    assert_eq!(owners.count(), 1);
    world
        .user_does(ALICE, Body::Org(OrgCommand::Leave { org: ORG }))
        .unwrap();
    invariants::check(&world);
}

#[test]
fn who_left_asks_and_comes_back_as_a_member() {
    let mut world = World::new();
    world.join(4, "dora", Role::Admin);
    let problem = refused(world.user_does(DORA, ask_back(1, "lab")));
    assert_eq!(problem.code, Code::WrongState);
    world
        .user_does(DORA, Body::Org(OrgCommand::Leave { org: ORG }))
        .unwrap();
    for (who, org) in [(user(77), "lab"), (DORA, "nowhere")] {
        assert_eq!(
            refused(world.user_does(who, ask_back(1, org))).code,
            Code::NotFound
        );
    }
    let asked = world.user_does(DORA, ask_back(1, "lab")).unwrap();
    assert!(matches!(
        asked[..],
        [
            Event::Org(OrgEvent::RejoinRequested { .. }),
            Event::Approval(_)
        ]
    ));
    let twice = world.user_does(DORA, ask_back(2, "lab"));
    assert_eq!(twice, Ok(Vec::new()), "one request at a time");
    invariants::check(&world);

    let decide = |verdict| {
        Body::Approval(ApprovalCommand::Decide {
            org: ORG,
            approval: "rejoin:dora".parse().unwrap(),
            verdict,
            reason: String::new(),
        })
    };
    world.user_does(ALICE, decide(Verdict::Reject)).unwrap();
    let late = refused(world.user_does(ALICE, decide(Verdict::Approve)));
    assert_eq!(late.code, Code::WrongState);
    world.user_does(DORA, ask_back(3, "lab")).unwrap();
    world.user_does(ALICE, decide(Verdict::Approve)).unwrap();
    assert_eq!(
        role(&world, DORA),
        Role::Member,
        "whatever they were before"
    );
    assert!(world.state.former.is_empty());
    invariants::check(&world);
}

#[test]
fn who_was_removed_comes_back_by_an_admins_invitation_and_their_own_device() {
    let mut world = World::new();
    world.dataset(BOB, 20, "digits");
    world.user_does(ALICE, remove("bob")).unwrap();
    let serials = &world.state.index.holders[&Holder::User(BOB)];
    let mut serials = serials.iter();
    assert!(
        serials.all(|serial| enrolment::certificate(&world.state, *serial, world.now).is_err())
    );

    // Another device cannot take the name; bob's own is known, whatever handle it says.
    world.invite(60, Role::Member, 5);
    assert_eq!(
        refused(world.enrol(60, 61, 61, "bob")).code,
        Code::NameTaken
    );
    world.wait(1);
    let events = world.enrol(60, 2, 62, "somebody").unwrap();
    let created = events
        .iter()
        .any(|event| matches!(event, Event::UserCreated { .. }));
    assert!(!created, "{events:?}");
    assert_eq!(role(&world, BOB), Role::Member);
    let again = world.enrol(60, 2, 63, "bob").unwrap();
    assert!(
        matches!(again[..], [Event::CertificateIssued { .. }]),
        "asked twice"
    );
    invariants::check(&world);
}

#[test]
fn a_member_cannot_bring_back_whom_an_admin_removed() {
    let mut world = World::new();
    let mut settings = common::org::settings::SettingsChange::default();
    settings.set("members_may_invite", "on").unwrap();
    let change = Box::new(settings);
    let open = Body::Org(OrgCommand::ChangeSettings { org: ORG, change });
    world.user_does(ALICE, open).unwrap();
    world.user_does(ALICE, remove("bob")).unwrap();
    world.invite_by(CAROL, 60, Role::Member, 5);
    let problem = refused(world.enrol(60, 2, 61, "bob"));
    assert_eq!(problem.code, Code::Permission);
    assert!(problem.why.contains("an admin removed you"), "{problem}");
    world.enrol(60, 62, 62, "eve").unwrap();
    invariants::check(&world);
}
