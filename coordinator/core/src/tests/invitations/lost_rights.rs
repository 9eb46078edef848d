//! Invitations whose maker may not make them any more.

use common::{
    api::{Answer, Request},
    code::Code,
    org::{InvitationStatus, settings::SettingsChange},
    status::Role,
};

use super::super::{
    invariants,
    world::{ALICE, CAROL, ORG, World, name, refused},
};
use crate::{Body, command::OrgCommand};

fn role(handle: &str, role: Role) -> Body {
    Body::SetRole {
        org: ORG,
        handle: name(handle),
        role,
    }
}

fn switch(key: &str, value: &str) -> Body {
    let mut change = SettingsChange::default();
    change.set(key, value).unwrap();
    Body::Org(OrgCommand::ChangeSettings {
        org: ORG,
        change: Box::new(change),
    })
}

#[test]
fn an_invitation_lets_nobody_in_by_a_right_that_its_maker_has_lost() {
    let mut world = World::new();
    world.user_does(ALICE, role("carol", Role::Admin)).unwrap();
    world
        .user_does(ALICE, switch("admins_may_manage_admins", "on"))
        .unwrap();
    world.invite_by(CAROL, 60, Role::Admin, 5);
    world.invite_by(CAROL, 61, Role::Member, 5);
    world.enrol(60, 71, 71, "dora").unwrap();

    // No manager of admins any more, but an admin still.
    world
        .user_does(ALICE, switch("admins_may_manage_admins", "off"))
        .unwrap();
    assert_eq!(
        refused(world.enrol(60, 72, 72, "eve")).code,
        Code::CodeRevoked
    );
    world.enrol(61, 73, 73, "frank").unwrap();
    // A member.
    world.user_does(ALICE, role("carol", Role::Member)).unwrap();
    assert_eq!(
        refused(world.enrol(61, 74, 74, "grace")).code,
        Code::CodeRevoked
    );
    let list = Request::ListInvitations {
        org: ORG,
        after: None,
    };
    let Ok(Answer::Invitations(shown)) = world.ask(ALICE, &list) else {
        panic!("no list");
    };
    let hers = shown
        .rows
        .iter()
        .filter(|one| one.created_by == name("carol"));
    let status: Vec<_> = hers.map(|one| one.status).collect();
    assert_eq!(status, [InvitationStatus::Revoked; 2]);
    // And back.
    world
        .user_does(ALICE, switch("members_may_invite", "on"))
        .unwrap();
    world.enrol(61, 75, 75, "grace").unwrap();
    invariants::check(&world);
}
