//! Lists of people and of what they are asked, in pages.

use std::time::Duration;

use common::{
    api::{
        Answer, Request,
        approval::{ApprovalAnswer, ApprovalRequest},
        invitation::{InvitationAnswer, InvitationRequest, PendingInvitation},
        token::{TokenAnswer, TokenRequest},
    },
    approval::ApprovalView,
    id::{ApprovalId, CodeDigest, InvitationId, TokenId, UserId},
    join_link::LinkPurpose,
    org::{InvitationView, MemberView, settings::SettingsChange},
    status::{Role, TokenScope},
    token::TokenView,
};

use super::{
    super::world::{ALICE, BOB, CAROL, ORG, World, machine_id, name},
    List, called, id, newer, number_of, tail,
};
use crate::{
    Actor, Body,
    command::OrgCommand,
    lifecycle::approval::ApprovalState,
    state::{
        account::Token,
        approval::{Approval, ApprovalSubject},
        invitation::{Guest, Invitation},
        org::{Member, Profile, User},
    },
};

/// Nobody's member.
const DAVE: UserId = UserId::from_bytes([4; 16]);

pub(super) fn members() -> List<MemberView, UserId> {
    List {
        who: CAROL,
        ask: |after| Request::ListMembers { org: ORG, after },
        page: |answer| match answer {
            Answer::Members(page) => Some(page),
            _ => None,
        },
        number: |row| number_of(&row.handle),
        put: |world, number| {
            let row = User {
                handle: called(number),
                created_at: world.now,
                profile: Profile::default(),
            };
            let user = UserId::from_bytes(id(number));
            world.state.users.insert(user, row);
            let row = Member {
                role: Role::Member,
                joined_at: world.now,
            };
            world.state.members.insert((ORG, user), row);
        },
        take: |world, number| {
            let user = UserId::from_bytes(id(number));
            world.state.members.remove(&(ORG, user));
        },
    }
}

#[test]
fn members_in_pages() {
    members().check(World::new());
}

pub(super) fn members_may_invite(world: &mut World) {
    let mut change = SettingsChange::default();
    change.set("members_may_invite", "on").unwrap();
    let change = Box::new(change);
    let body = OrgCommand::ChangeSettings { org: ORG, change };
    world.must(Actor::User(ALICE), Body::Org(body));
}

pub(super) fn put_invitation(world: &mut World, number: u32) {
    let row = Invitation {
        org: ORG,
        role: Role::Member,
        purpose: LinkPurpose::Join,
        user: None,
        codes: Vec::new(),
        created_by: ALICE,
        created_at: world.now,
        expires_at: world.now.saturating_add(Duration::from_secs(60)),
        uses_left: 1,
        revoked_at: None,
        invitee: Some(Guest::User(DAVE)),
        declined_at: None,
        used_up_at: None,
        reset: false,
    };
    let row_of_dave = || User {
        handle: name("dave"),
        created_at: world.now,
        profile: Profile::default(),
    };
    world.state.users.entry(DAVE).or_insert_with(row_of_dave);
    let id = InvitationId::from_bytes(newer(number));
    world.state.invitations.insert(id, row);
}

fn take_invitation(world: &mut World, number: u32) {
    let id = InvitationId::from_bytes(newer(number));
    world.state.invitations.remove(&id);
}

pub(super) fn invitations() -> List<InvitationView, InvitationId> {
    List {
        who: ALICE,
        ask: |after| Request::ListInvitations { org: ORG, after },
        page: |answer| match answer {
            Answer::Invitations(page) => Some(page),
            _ => None,
        },
        number: |row| u32::MAX - tail(row.id.as_bytes()),
        put: put_invitation,
        take: take_invitation,
    }
}

#[test]
fn invitations_in_pages() {
    invitations().check(World::new());
}

#[test]
fn what_waits_for_a_user_in_pages() {
    let list: List<PendingInvitation, InvitationId> = List {
        who: DAVE,
        ask: |after| Request::Invitation(InvitationRequest::Mine { after }),
        page: |answer| match answer {
            Answer::Invitation(InvitationAnswer::Mine(page)) => Some(page),
            _ => None,
        },
        number: |row| u32::MAX - tail(row.id.as_bytes()),
        put: put_invitation,
        take: take_invitation,
    };
    list.check(World::new());
}

#[test]
fn approvals_in_pages() {
    fn approval(number: u32) -> ApprovalId {
        ApprovalId::from_bytes(newer(number))
    }
    let waiting: List<ApprovalView, ApprovalId> = List {
        who: ALICE,
        ask: |after| {
            let (org, all) = (ORG, false);
            Request::Approval(ApprovalRequest::List { org, all, after })
        },
        page: |answer| match answer {
            Answer::Approval(ApprovalAnswer::List(page)) => Some(page),
            _ => None,
        },
        number: |row| u32::MAX - tail(row.id.as_bytes()),
        put: |world, number| {
            let row = Approval {
                org: ORG,
                subject: ApprovalSubject::Machine(machine_id(10)),
                note: String::new(),
                asked_by: BOB,
                asked_at: world.now,
                state: ApprovalState::Waiting,
            };
            world.state.approvals.insert(approval(number), row);
        },
        take: |world, number| {
            world.state.approvals.remove(&approval(number));
        },
    };
    let every = List {
        ask: |after| {
            let (org, all) = (ORG, true);
            Request::Approval(ApprovalRequest::List { org, all, after })
        },
        put: |world, number| {
            let withdrawn = Approval {
                org: ORG,
                subject: ApprovalSubject::Machine(machine_id(10)),
                note: String::new(),
                asked_by: BOB,
                asked_at: world.now,
                state: ApprovalState::Withdrawn { at: world.now },
            };
            world.state.approvals.insert(approval(number), withdrawn);
        },
        ..waiting
    };
    let mut world = World::new();
    world.register(10, BOB, "box").unwrap();
    waiting.check(world.clone());
    every.check(world);
}

#[test]
fn tokens_in_pages() {
    fn token(number: u32) -> TokenId {
        TokenId::from_bytes(newer(number))
    }
    let list: List<TokenView, TokenId> = List {
        who: BOB,
        ask: |after| Request::Token(TokenRequest::List { org: ORG, after }),
        page: |answer| match answer {
            Answer::Token(TokenAnswer::Tokens(page)) => Some(page),
            _ => None,
        },
        number: |row| u32::MAX - tail(row.id.as_bytes()),
        put: |world, number| {
            let row = Token {
                user: BOB,
                org: ORG,
                name: called(number),
                scope: TokenScope::Read,
                digest: CodeDigest::new([7; 32]),
                created_at: world.now,
                expires_at: world.now,
                last_used_at: None,
                revoked_at: None,
            };
            world.state.tokens.insert(token(number), row);
        },
        take: |world, number| {
            world.state.tokens.remove(&token(number));
        },
    };
    list.check(World::new());
}
