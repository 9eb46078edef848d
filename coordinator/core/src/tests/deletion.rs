//! The end of an org: nothing of it is left, and nothing of others is touched.

use std::collections::BTreeSet;

use common::{
    api::{
        Request,
        org::{OrgAnswer, OrgRequest},
    },
    code::Code,
    id::OrgId,
    status::Role,
};

use super::{
    datasets,
    departure::ask,
    invariants, logos, tokens,
    world::{ALICE, BOB, CAROL, ORG, World, capacity, name, refused, report, spec, user},
};
use crate::{
    Actor, Body, Effect, Event, Table, command::OrgCommand, effects, event::OrgEvent,
    query::access, state::certificate::Certificate,
};

const CLUB: OrgId = OrgId::from_bytes([2; 16]);

fn delete(typed: &str) -> Body {
    let typed = typed.to_owned();
    Body::Org(OrgCommand::Delete { org: ORG, typed })
}

/// Returns an org with something in every table, and a second one with the same dataset.
fn world() -> World {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    world.dataset(BOB, 20, "digits");
    world.submit(BOB, 30, spec()).unwrap();
    world.submit(CAROL, 31, spec()).unwrap();
    world.schedule();
    world.project(BOB, 40, "vision");
    world.secret(ALICE, 41, "HF_TOKEN", None).unwrap();
    world.limit_member(BOB, &[("gpu", 1)]);
    world.weigh(BOB, "2");
    tokens::make(&mut world);
    tokens::exchange(&mut world, 30, 60).unwrap();
    logos::make(&mut world);
    world.dataset(BOB, 22, "old");
    world.must(Actor::User(BOB), datasets::body("old"));
    datasets::purge(&mut world, "old");
    let goes = Body::RemoveMember {
        org: ORG,
        handle: name("carol"),
    };
    world.must(Actor::User(ALICE), goes);
    let club = Body::CreateOrg {
        org: CLUB,
        name: name("club"),
        owner: ALICE,
        handle: name("alice"),
    };
    world.must(Actor::System, club);
    let shared = Body::AddDatasetVersion {
        dataset: common::id::DatasetId::from_bytes([21; 16]),
        request: common::api::data::AddDatasetVersion {
            org: CLUB,
            name: name("digits"),
            project: None,
            tree: super::world::tree(20),
            description: None,
            visibility: None,
        },
        bytes: common::units::Bytes::mib(1),
        files: 3,
    };
    world.user_does(ALICE, shared).unwrap();
    world
}

#[test]
fn only_the_owner_who_types_the_name_deletes_an_org() {
    let mut world = world();
    world.join(4, "dora", Role::Admin);
    let before = world.state.clone();
    let cases = [
        (user(4), delete("lab"), Code::Permission),
        (ALICE, delete("LAB"), Code::WrongTypedName),
        (ALICE, delete(""), Code::WrongTypedName),
        (user(77), delete("lab"), Code::NotFound),
    ];
    for (who, body, code) in cases {
        assert_eq!(refused(world.user_does(who, body)).code, code);
        assert!(world.state == before, "nothing is changed");
    }
    let looked = ask(&world, user(4), OrgRequest::PreviewDeletion { org: ORG });
    assert_eq!(looked.unwrap_err().code, Code::Permission);
}

#[test]
fn nothing_is_left_of_a_deleted_org_but_files_to_sweep() {
    let mut world = world();
    let before = world.state.clone();
    let had: BTreeSet<Table> = invariants::save(&before)
        .iter()
        .map(|(key, _)| key.table)
        .collect();
    for table in Table::ALL {
        // What is a user's own is no org's.
        let of_an_org = ![Table::Credentials, Table::Deletions].contains(table);
        assert_eq!(had.contains(table), of_an_org, "{table:?}");
    }
    let by_token = before.devices.iter().find(|(_, row)| row.token.is_some());
    let (program, _) = by_token.expect("a program has signed in");
    let Ok(OrgAnswer::Deletion(shown)) =
        ask(&world, ALICE, OrgRequest::PreviewDeletion { org: ORG })
    else {
        panic!("no preview");
    };
    assert!(world.state == before);
    let events = world.user_does(ALICE, delete("lab")).unwrap();
    let counts =
        |of: fn(&crate::State) -> usize| u32::try_from(of(&before) - of(&world.state)).unwrap();
    assert_eq!(shown.members, counts(|state| state.members.len()));
    assert_eq!(shown.machines, counts(|state| state.machines.len()));
    assert_eq!(shown.jobs, counts(|state| state.jobs.len()));
    assert_eq!(shown.datasets, counts(|state| state.datasets.len()));
    assert_eq!(shown.secrets, counts(|state| state.secrets.len()));
    assert_eq!(
        (shown.members, shown.machines, shown.jobs, shown.datasets),
        (2, 1, 2, 1)
    );

    // The trail names the org and not every row of it.
    let last = serde_json::to_value(events.last().unwrap()).unwrap();
    assert_eq!(
        (last["event"].as_str(), last.get("rows")),
        (Some("org_deleted"), None)
    );
    let told: Vec<Effect> = events
        .iter()
        .flat_map(|event| effects(&world.state, event))
        .collect();
    assert!(told.contains(&Effect::Sweep));
    let closed = told
        .iter()
        .filter(|effect| matches!(effect, Effect::Close(_)));
    assert_eq!(
        closed.count(),
        2,
        "the machine and the program that had a token"
    );

    assert!(!world.state.devices.contains_key(program));
    let left_by_it = |row: &Certificate| row.device.as_ref() == Some(program);
    assert!(before.certificates.values().any(left_by_it));
    assert!(!world.state.certificates.values().any(left_by_it));

    invariants::check(&world);
    let rows = invariants::save(&world.state);
    let tables: BTreeSet<Table> = rows.iter().map(|(key, _)| key.table).collect();
    let left = BTreeSet::from([
        Table::Orgs,
        Table::Users,
        Table::Members,
        Table::Certificates,
        Table::Devices,
        Table::Datasets,
        Table::Deletions,
    ]);
    assert!(tables.is_subset(&left), "{:?}", tables.difference(&left));
    for (key, row) in &rows {
        let row: serde_json::Value = serde_json::from_slice(row).unwrap();
        assert_ne!(row["org"], serde_json::json!(ORG), "{key:?} {row}");
        let by_org = [Table::Orgs, Table::Members].contains(&key.table);
        assert!(!by_org || !key.key.starts_with(ORG.as_bytes()), "{key:?}");
    }
    for who in [ALICE, BOB] {
        let asked = world.ask(who, &Request::ShowOrg { org: ORG });
        assert_eq!(asked.unwrap_err().code, Code::NotFound);
    }
    assert_eq!(
        refused(world.submit(ALICE, 50, spec())).code,
        Code::NotFound
    );
    assert_eq!(
        refused(world.user_does(ALICE, delete("lab"))).code,
        Code::NotFound
    );

    let left = access::leftovers(&world.state);
    let [(org, jobs)] = &left.orgs[..] else {
        panic!("one deletion");
    };
    assert_eq!((*org, jobs.len()), (ORG, 2));
    assert_eq!(left.trees, [], "all bytes of an org go at once");
    let finish = Body::FinishDeletion { org: ORG };
    assert!(world.user_does(ALICE, finish.clone()).is_err());
    let done = world.must(Actor::System, finish.clone());
    assert!(matches!(
        done[..],
        [Event::Org(OrgEvent::OrgFilesDeleted { .. })]
    ));
    assert_eq!(world.must(Actor::System, finish), []);
    assert!(world.state.deletions.is_empty());
    // The name is free again.
    let again = Body::CreateOrg {
        org: OrgId::from_bytes([3; 16]),
        name: name("lab"),
        owner: BOB,
        handle: name("bob"),
    };
    world.must(Actor::System, again);
    invariants::check(&world);
}
