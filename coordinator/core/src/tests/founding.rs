//! Orgs that users make for themselves.

use common::{
    api::{Request, org::OrgRequest},
    code::Code,
    id::OrgId,
    org::MAX_ORGS_OWNED,
    status::Role,
};

use super::{
    invariants,
    world::{BOB, ORG, World, name, refused},
};
use crate::{
    Actor, Body,
    command::{OrgCommand, WhoMayCreateOrgs},
    policy::scopes::{Ask, needs},
};

fn org(number: u8) -> OrgId {
    OrgId::from_bytes([number; 16])
}

fn create(number: u8, called: &str, who_may: WhoMayCreateOrgs) -> Body {
    Body::Org(OrgCommand::Create {
        org: org(number),
        name: name(called),
        who_may,
    })
}

#[test]
fn users_make_orgs_only_where_the_configuration_says_so() {
    let mut world = World::new();
    let before = world.state.clone();
    let problem = refused(world.user_does(BOB, create(50, "club", WhoMayCreateOrgs::Operator)));
    assert_eq!(problem.code, Code::Permission);
    assert_eq!(
        problem.help,
        "Ask whoever runs the coordinator to run compute-share-coordinator add-org, or to set \
         who_may_create_orgs = \"users\"."
    );
    // A taken name says nothing to who may not make orgs.
    let problem = refused(world.user_does(BOB, create(50, "lab", WhoMayCreateOrgs::Operator)));
    assert_eq!(problem.code, Code::Permission);
    assert!(world.state == before);

    let users = WhoMayCreateOrgs::Users;
    let problem = refused(world.user_does(BOB, create(50, "lab", users)));
    assert_eq!(problem.code, Code::NameTaken);
    assert!(world.run(Actor::System, create(50, "club", users)).is_err());
    assert!(world.state == before);

    world.user_does(BOB, create(50, "club", users)).unwrap();
    assert_eq!(world.state.members[&(org(50), BOB)].role, Role::Owner);
    assert_eq!(world.state.members[&(ORG, BOB)].role, Role::Member);
    assert_eq!(world.state.users.len(), before.users.len());
    invariants::check(&world);
}

#[test]
fn one_user_owns_so_many_orgs_and_no_more() {
    let mut world = World::new();
    let users = WhoMayCreateOrgs::Users;
    for number in (50..).take(MAX_ORGS_OWNED) {
        let body = create(number, &format!("club-{number}"), users);
        world.user_does(BOB, body).unwrap();
    }
    let before = world.state.clone();
    let problem = refused(world.user_does(BOB, create(99, "one-more", users)));
    assert_eq!(problem.code, Code::Limit);
    assert!(world.state == before);
    // One less makes room; being a member of others takes none.
    let typed = "club-50".to_owned();
    let delete = Body::Org(OrgCommand::Delete {
        org: org(50),
        typed,
    });
    world.user_does(BOB, delete).unwrap();
    world.user_does(BOB, create(99, "one-more", users)).unwrap();
    invariants::check(&world);
}

#[test]
fn no_token_makes_an_org() {
    let request = Request::Org(OrgRequest::Create { name: name("club") });
    assert_eq!(needs(Ask::Request(&request)).scope, None);
}
