//! What is written is what is read; what cannot be trusted is refused.

use std::{collections::BTreeMap, sync::Arc};

use common::{
    code::Code,
    id::{OrgId, UserId},
    problem::Problem,
};
use coordinator_core::{Actor, Body};

use super::*;
use crate::{clock::Clock, engine::Clerk};

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("store.redb")
}

fn create_org(number: u8) -> (Actor, Body) {
    let body = Body::CreateOrg {
        org: OrgId::from_bytes([number; 16]),
        name: format!("lab-{number}").parse().unwrap(),
        owner: UserId::from_bytes([number; 16]),
        handle: format!("alice-{number}").parse().unwrap(),
    };
    (Actor::System, body)
}

/// Makes a book with an org in it.
fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let store = Store::create(&path).unwrap();
    let mut clerk = Clerk::new(State::new(), store, Arc::new(Clock::default()));
    let done = clerk.process(vec![create_org(1), create_org(2)]).unwrap();
    assert!(done.replies.iter().all(Result::is_ok));
    (folder, path)
}

fn code(error: StoreError) -> Code {
    Problem::from(error).code
}

#[test]
fn a_book_opened_again_says_the_same() {
    let (_folder, path) = written();
    let first = Store::open(&path).unwrap();
    let (state, next) = (first.state, first.store.next_event);
    assert!(next > 0);
    assert!(first.newest_at > Timestamp::default());
    drop(first.store);

    let again = Store::open(&path).unwrap();
    assert_eq!(again.state, state);
    let mut clerk = Clerk::new(again.state, again.store, Arc::new(Clock::default()));
    clerk.process(vec![create_org(3)]).unwrap();
    drop(clerk);
    let third = Store::open(&path).unwrap();
    assert!(third.store.next_event > next);
    assert_ne!(third.state, state);
}

#[test]
fn a_book_in_use_is_refused_and_so_is_making_it_again() {
    let (_folder, path) = written();
    let open = Store::open(&path).unwrap();
    assert_eq!(code(Store::open(&path).unwrap_err()), Code::StoreLocked);
    assert_eq!(code(check(&path).unwrap_err()), Code::StoreLocked);
    drop(open);
    assert!(Store::create(&path).is_err());
    assert!(Store::open(&path).is_ok());
}

#[test]
fn a_newer_book_is_refused_and_left_alone() {
    let (_folder, path) = written();
    let db = builder().open(&path).unwrap();
    migration::pretend_version(&db, migration::NEWEST + 1);
    drop(db);
    for error in [
        Store::open(&path).map(drop).unwrap_err(),
        check(&path).map(drop).unwrap_err(),
    ] {
        let problem = Problem::from(error);
        assert_eq!(problem.code, Code::StoreNewer);
        assert!(problem.what.contains("store.redb"), "{problem}");
    }
}

#[test]
fn a_missing_book_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Store::open(&path(&folder)).unwrap_err();
    assert_eq!(code(missing), Code::NotInitialised);
    assert!(!path(&folder).exists());
}

#[test]
fn a_damaged_book_is_refused_with_its_cure() {
    let (_folder, path) = written();
    let whole = std::fs::read(&path).unwrap();
    let damages: [Vec<u8>; 4] = [
        Vec::new(),
        b"not a database at all".repeat(1000),
        whole[..100].to_vec(),
        [&[0xff; 64], &whole[64..]].concat(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        std::fs::write(&path, damage).unwrap();
        let problem = Problem::from(Store::open(&path).unwrap_err());
        assert_eq!(problem.code, Code::StoreDamaged, "{number}: {problem}");
        assert!(problem.what.contains("store.redb"), "{problem}");
        assert!(problem.help.contains("backup"), "{problem}");
        assert_eq!(std::fs::read(&path).unwrap(), *damage, "{number}");
    }
}

#[test]
fn a_row_that_cannot_be_read_is_damage() {
    for (value, what) in [
        (&b"\x01{}"[..], "JSON of something else"),
        (&b"\x02{}"[..], "an unknown form"),
        (&b""[..], "nothing"),
    ] {
        let (_folder, path) = written();
        let db = builder().open(&path).unwrap();
        let transaction = db.begin_write().unwrap();
        let mut table = transaction.open_table(definition(Table::Orgs)).unwrap();
        table.insert([9; 16].as_slice(), value).unwrap();
        drop(table);
        transaction.commit().unwrap();
        drop(db);
        assert_eq!(
            code(Store::open(&path).unwrap_err()),
            Code::StoreDamaged,
            "{what}"
        );
        assert_eq!(code(check(&path).unwrap_err()), Code::StoreDamaged);
    }
}

/// Writes a golden file into a new book, knowing nothing of what the rows mean.
fn golden(path: &Path, version: u32, rows: &str) {
    type Tables = BTreeMap<String, BTreeMap<String, serde_json::Value>>;
    let tables: Tables = serde_json::from_str(rows).unwrap();
    let db = Database::create(path).unwrap();
    let transaction = db.begin_write().unwrap();
    for (name, rows) in &tables {
        let definition: TableDefinition<'_, Raw, Raw> = TableDefinition::new(name);
        let mut table = transaction.open_table(definition).unwrap();
        for (key, json) in rows {
            let key: Vec<u8> = (0..key.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&key[at..at + 2], 16).unwrap())
                .collect();
            let value = versioned(json.to_string().as_bytes());
            table.insert(key.as_slice(), value.as_slice()).unwrap();
        }
    }
    transaction.commit().unwrap();
    migration::pretend_version(&db, version);
}

#[test]
fn the_book_of_every_released_version_opens() {
    let released = [(1, include_str!("../../tests/golden/store-v1.json"))];
    for (version, rows) in released {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        golden(&path, version, rows);
        let opened = Store::open(&path).unwrap();
        assert!(opened.store.next_event > 0);
        // It is not only read: the engine goes on with it.
        let clock = Arc::new(Clock::starting_at(opened.newest_at));
        let mut clerk = Clerk::new(opened.state, opened.store, clock);
        let done = clerk.process(vec![create_org(200)]).unwrap();
        assert!(done.replies[0].is_ok(), "{:?}", done.replies);
        drop(clerk);
        let report = check(&path).unwrap();
        assert_eq!(report.version, migration::NEWEST);
        assert!(report.rows.iter().all(|(_, rows)| *rows > 0), "{report:?}");
    }
}

#[test]
fn check_counts_what_is_there() {
    let (_folder, path) = written();
    let report = check(&path).unwrap();
    assert_eq!(report.version, 1);
    assert_eq!(report.rows.len(), Table::ALL.len());
    assert!(report.rows.contains(&("orgs-1", 2)));
    assert!(report.rows.contains(&("users-1", 2)));
    assert!(report.events >= 2);
}
