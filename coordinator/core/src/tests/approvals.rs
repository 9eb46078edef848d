//! Approvals: machines, jobs above a threshold, who may decide, and rules that decide by themselves.

mod jobs;

use std::collections::BTreeMap;

use common::{
    api::{
        Answer, Request,
        approval::{ApprovalAnswer, ApprovalRequest},
    },
    approval::{ApprovalView, MAX_MACHINE_RULES},
    code::Code,
    id::{ApprovalId, CodeDigest, Fingerprint, UserId},
    org::settings::SettingsChange,
    status::{ApprovalStatus, Role, Verdict},
    time::Span,
};

use super::{
    invariants,
    world::{ALICE, BOB, CAROL, ORG, World, machine_id, name, refused},
};
use crate::{
    Actor, Body, Event, Rejection, Table,
    command::{OrgCommand, approval::ApprovalCommand, invitation::InvitationCommand},
    event::approval::ApprovalEvent,
    query::{self, Presence},
};

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

fn list(world: &World, user: UserId, all: bool) -> Vec<ApprovalView> {
    let request = ApprovalRequest::List {
        org: ORG,
        all,
        after: None,
    };
    match ask(world, user, &Request::Approval(request)) {
        Answer::Approval(ApprovalAnswer::List(list)) => list.rows,
        other => panic!("{other:?}"),
    }
}

fn answer(approval: &str, verdict: Verdict, reason: &str) -> Body {
    Body::Approval(ApprovalCommand::Decide {
        org: ORG,
        approval: approval.parse().unwrap(),
        verdict,
        reason: reason.to_owned(),
    })
}

fn approve(approval: &str) -> Body {
    answer(approval, Verdict::Approve, "")
}

fn rule(role: Option<Role>, addresses: Option<&str>, ttl: Option<u64>) -> Body {
    Body::Approval(ApprovalCommand::AddMachineRule {
        org: ORG,
        role,
        addresses: addresses.map(|range| range.parse().unwrap()),
        ttl: ttl.map(Span::from_secs),
    })
}

fn register_from(number: u8, from: &str) -> Body {
    Body::RegisterMachine {
        machine: machine_id(number),
        org: ORG,
        name: name(&format!("box-{number}")),
        key: Fingerprint::new([number; 32]),
        from: Some(from.parse().unwrap()),
    }
}

/// Checks that it is refused with this code, and that nothing changes.
#[track_caller]
fn refuses(world: &mut World, who: UserId, body: Body, code: &Code) {
    let before = world.state.clone();
    assert_eq!(&refused(world.user_does(who, body)).code, code);
    assert_eq!(world.state, before);
}

fn make_admin(world: &mut World, handle: &str) {
    let body = Body::SetRole {
        org: ORG,
        handle: name(handle),
        role: Role::Admin,
    };
    world.user_does(ALICE, body).unwrap();
}

#[test]
fn a_machine_waits_and_who_approved_it_is_kept() {
    let mut world = World::new();
    world.register(10, BOB, "box").unwrap();
    let waiting = list(&world, ALICE, false);
    assert_eq!(
        (waiting.len(), waiting[0].subject.as_str()),
        (1, "machine:box")
    );
    assert_eq!(list(&world, BOB, false).len(), 1, "one's own is seen");
    assert_eq!(list(&world, CAROL, false), []);
    refuses(&mut world, BOB, approve("machine:box"), &Code::Permission);
    refuses(&mut world, CAROL, approve("machine:box"), &Code::NotFound);
    let by_name = Body::ApproveMachine {
        org: ORG,
        name: name("box"),
    };
    let events = world.user_does(ALICE, by_name).unwrap();
    assert!(matches!(
        events[..],
        [
            Event::Approval(ApprovalEvent::ApprovalDecided { .. }),
            Event::MachineApproved { .. }
        ]
    ));
    assert_eq!(list(&world, ALICE, false), []);
    let kept = &list(&world, ALICE, true)[0];
    let decision = kept.decision.clone().unwrap();
    assert_eq!(
        (kept.status, decision.by.as_deref()),
        (ApprovalStatus::Approved, Some("alice"))
    );
    assert_eq!(decision.at, world.now);
    assert_eq!(
        world.user_does(ALICE, approve("machine:box")),
        Ok(Vec::new())
    );
    let reject = answer("machine:box", Verdict::Reject, "");
    refuses(&mut world, ALICE, reject, &Code::WrongState);
    invariants::check(&world);
}

#[test]
fn a_rejected_machine_keeps_the_reason_and_a_removed_one_asks_no_more() {
    let mut world = World::new();
    world.register(10, BOB, "box").unwrap();
    let reject = answer("machine:box", Verdict::Reject, "too\x1b[31m loud");
    let events = world.user_does(ALICE, reject).unwrap();
    assert!(
        matches!(&events[1], Event::MachineRejected { reason, .. } if reason == "too[31m loud")
    );
    world.register(11, BOB, "box").unwrap();
    let remove = Body::RemoveMachine {
        org: ORG,
        name: name("box"),
    };
    world.user_does(BOB, remove).unwrap();
    let all = list(&world, ALICE, true);
    let states: Vec<_> = all.iter().map(|row| row.status).collect();
    assert_eq!(
        states,
        [ApprovalStatus::Withdrawn, ApprovalStatus::Rejected]
    );
    refuses(&mut world, ALICE, approve("machine:box"), &Code::WrongState);
    refuses(&mut world, ALICE, approve("machine:none"), &Code::NotFound);
    let long = answer("machine:box", Verdict::Reject, &"x".repeat(501));
    refuses(&mut world, ALICE, long, &Code::BadRequest);
    invariants::check(&world);
}

#[test]
fn rules_approve_machines_by_role_address_and_time() {
    let mut world = World::new();
    make_admin(&mut world, "carol");
    world
        .user_does(
            ALICE,
            rule(Some(Role::Admin), Some("10.0.0.0/8"), Some(3600)),
        )
        .unwrap();
    let approved = |world: &mut World, who, number, from| {
        world.user_does(who, register_from(number, from)).unwrap();
        world.state.machines[&machine_id(number)]
            .state
            .is_approved()
    };
    assert!(
        !approved(&mut world, BOB, 10, "10.1.2.3"),
        "the role is too low"
    );
    assert!(
        !approved(&mut world, CAROL, 11, "11.1.2.3"),
        "from elsewhere"
    );
    assert!(
        approved(&mut world, CAROL, 12, "::ffff:10.1.2.3"),
        "it is the same address"
    );
    assert!(
        approved(&mut world, ALICE, 13, "10.1.2.3"),
        "an owner is an admin too"
    );
    world.wait(3600);
    assert!(
        !approved(&mut world, CAROL, 14, "10.1.2.3"),
        "the rule holds no longer"
    );
    let kept = list(&world, ALICE, true);
    let by = |number: usize| kept[kept.len() - 1 - number].decision.clone().unwrap().by;
    assert_eq!(
        by(2).as_deref(),
        Some("rule 1, admin or higher, from 10.0.0.0/8")
    );

    world
        .user_does(ALICE, rule(None, Some("10.0.0.0/8"), None))
        .unwrap();
    assert!(approved(&mut world, BOB, 15, "10.1.2.3"));
    let remove = |number| Body::Approval(ApprovalCommand::RemoveMachineRule { org: ORG, number });
    world.user_does(ALICE, remove(2)).unwrap();
    assert!(!approved(&mut world, BOB, 16, "10.1.2.3"));
    refuses(&mut world, ALICE, remove(2), &Code::NotFound);

    let mut change = SettingsChange::default();
    change.set("machine_approval_required", "off").unwrap();
    let change = Box::new(change);
    let off = OrgCommand::ChangeSettings { org: ORG, change };
    world.user_does(ALICE, Body::Org(off)).unwrap();
    assert!(approved(&mut world, BOB, 17, "192.168.0.1"));
    invariants::check(&world);
}

#[test]
fn rules_that_cannot_be() {
    let mut world = World::new();
    refuses(
        &mut world,
        BOB,
        rule(Some(Role::Admin), None, None),
        &Code::Permission,
    );
    refuses(&mut world, ALICE, rule(None, None, None), &Code::BadRequest);
    refuses(
        &mut world,
        ALICE,
        rule(Some(Role::Owner), None, None),
        &Code::BadRequest,
    );
    refuses(
        &mut world,
        ALICE,
        rule(Some(Role::Admin), None, Some(0)),
        &Code::BadRequest,
    );
    for _ in 0..MAX_MACHINE_RULES {
        world
            .user_does(ALICE, rule(Some(Role::Admin), None, Some(60)))
            .unwrap();
    }
    refuses(
        &mut world,
        ALICE,
        rule(Some(Role::Admin), None, None),
        &Code::Limit,
    );
    world.wait(60);
    world
        .user_does(ALICE, rule(Some(Role::Admin), None, None))
        .unwrap();
    let rules = &world.state.orgs[&ORG].approvals.machines;
    assert_eq!(
        (rules.len(), rules[0].number),
        (1, 65),
        "numbers are never used again"
    );
    invariants::check(&world);
}

#[test]
fn who_left_comes_back_when_an_admin_says_so() {
    let mut world = World::new();
    let leave = Body::Org(OrgCommand::Leave { org: ORG });
    world.user_does(BOB, leave.clone()).unwrap();
    refuses(&mut world, ALICE, approve("rejoin:bob"), &Code::NotFound);
    let ask = |request| {
        Body::Org(OrgCommand::RequestRejoin {
            request: ApprovalId::from_bytes([request; 16]),
            name: name("lab"),
        })
    };
    world.user_does(BOB, ask(20)).unwrap();
    // Who is not in sees nothing of the org, and approves nothing.
    refuses(&mut world, BOB, approve("rejoin:bob"), &Code::NotFound);
    refuses(&mut world, CAROL, approve("rejoin:bob"), &Code::NotFound);
    world.user_does(ALICE, approve("rejoin:bob")).unwrap();
    assert_eq!(world.state.members[&(ORG, BOB)].role, Role::Member);
    assert_eq!(list(&world, ALICE, true)[0].subject, "rejoin:bob");
    let machine = world.run(Actor::Machine(machine_id(1)), approve("rejoin:bob"));
    assert_eq!(machine, Err(Rejection::WrongCaller));

    // Who comes in otherwise asks no more.
    world.user_does(BOB, leave).unwrap();
    world.user_does(BOB, ask(21)).unwrap();
    world.invite(60, Role::Member, 1);
    let join = InvitationCommand::Join {
        code: CodeDigest::new([60; 32]),
        key: Fingerprint::new([2; 32]),
    };
    world.user_does(BOB, Body::Invitation(join)).unwrap();
    assert_eq!(list(&world, ALICE, false), []);
    invariants::check(&world);
}

#[test]
fn a_machine_that_waited_before_requests_were_kept_can_be_approved() {
    let mut world = World::new();
    world.register(10, BOB, "box").unwrap();
    let mut rows = invariants::save(&world.state);
    rows.retain(|(key, _)| key.table != Table::Approvals);
    world.state = invariants::load(&rows);
    assert_eq!(list(&world, ALICE, false)[0].subject, "machine:box");
    world.user_does(ALICE, approve("machine:box")).unwrap();
    invariants::check(&world);
}
