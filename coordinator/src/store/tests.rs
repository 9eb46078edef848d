//! What is written is what is read; what cannot be trusted is refused.

mod killed;

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
fn time_goes_on_from_the_last_batch_also_where_no_event_says_so() {
    let (_folder, path) = written();
    let mut opened = Store::open(&path).unwrap();
    let at = Timestamp::from_unix_ms(opened.newest_at.unix_ms() + 1000);
    let batch = Batch {
        at,
        ..Batch::default()
    };
    opened.store.commit(&batch).unwrap();
    let next = opened.store.next_event;
    drop(opened.store);
    let again = Store::open(&path).unwrap();
    assert_eq!((again.newest_at, again.store.next_event), (at, next));
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
        let before = check(&path).unwrap();
        assert_eq!((before.version, before.seal), (version, None));
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
        assert!(report.seal.is_some());
        let kept = before.rows.iter().zip(&report.rows);
        for ((table, before), (_, after)) in kept {
            assert!(after >= before, "{table}: {after} of {before} rows");
        }
    }
}

#[test]
fn check_counts_what_is_there() {
    let (_folder, path) = written();
    let report = check(&path).unwrap();
    assert_eq!(report.version, migration::NEWEST);
    assert_eq!(report.rows.len(), Table::ALL.len());
    assert!(report.rows.contains(&("orgs-1", 2)));
    assert!(report.rows.contains(&("users-1", 2)));
    assert!(report.events >= 2);
}

/// Changes the tables of events and seals as somebody with the file could.
fn tamper(
    path: &Path,
    change: impl FnOnce(&mut redb::Table<'_, Raw, Raw>, &mut redb::Table<'_, Raw, Raw>),
) {
    let db = builder().open(path).unwrap();
    let transaction = db.begin_write().unwrap();
    let mut events = transaction.open_table(EVENTS).unwrap();
    let mut seals = transaction.open_table(sealed::SEALS).unwrap();
    change(&mut events, &mut seals);
    drop((events, seals));
    transaction.commit().unwrap();
}

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

#[test]
fn a_changed_byte_in_any_event_is_found_and_named() {
    let (_folder, path) = written();
    let sound = check(&path).unwrap();
    for number in 0..sound.events {
        let copy = path.with_extension(number.to_string());
        std::fs::copy(&path, &copy).unwrap();
        tamper(&copy, |events, _| {
            let mut value = events
                .get(key(number).as_slice())
                .unwrap()
                .unwrap()
                .value()
                .to_vec();
            // Still JSON that reads well: another letter in a word.
            let at = value.iter().rposition(u8::is_ascii_lowercase).unwrap();
            value[at] = if value[at] == b'a' { b'b' } else { b'a' };
            events
                .insert(key(number).as_slice(), value.as_slice())
                .unwrap();
        });
        let error = check(&copy).unwrap_err();
        let found = matches!(error.innermost(), StoreError::Seal { event } if *event == number);
        assert!(found, "{number}: {error:?}");
        assert_eq!(code(error), Code::StoreDamaged);
    }
}

#[test]
fn an_event_that_was_taken_away_or_added_is_found() {
    let (_folder, path) = written();
    let sound = check(&path).unwrap();
    let newest = sound.events - 1;
    type Tables<'a, 'b> = &'a mut redb::Table<'b, Raw, Raw>;
    type Change = fn(u64, Tables<'_, '_>, Tables<'_, '_>);
    let changes: [(&str, u64, Change); 5] = [
        ("the newest", newest, |newest, events, _| {
            events.remove(key(newest).as_slice()).unwrap();
        }),
        ("the first, with its seal", 0, |_, events, seals| {
            events.remove(key(0).as_slice()).unwrap();
            seals.remove(key(0).as_slice()).unwrap();
        }),
        ("one more", newest + 1, |newest, events, _| {
            let value = events
                .get(key(newest).as_slice())
                .unwrap()
                .unwrap()
                .value()
                .to_vec();
            events
                .insert(key(newest + 1).as_slice(), value.as_slice())
                .unwrap();
        }),
        ("the first, sealed anew", 1, |_, events, seals| {
            let other = versioned(b"{}");
            events.insert(key(0).as_slice(), other.as_slice()).unwrap();
            let seal = Seal::NONE.of(0, &other);
            sealed::put(seals, 0, seal).unwrap();
        }),
        ("a seal alone", newest, |newest, _, seals| {
            seals
                .insert(key(newest).as_slice(), [0; 32].as_slice())
                .unwrap();
        }),
    ];
    for (what, event, change) in changes {
        let copy = path.with_extension("copy");
        std::fs::copy(&path, &copy).unwrap();
        tamper(&copy, |events, seals| change(newest, events, seals));
        let error = check(&copy).unwrap_err();
        let found =
            matches!(error.innermost(), StoreError::Seal { event: found } if *found == event);
        assert!(found, "{what}: {error:?}");
    }
}

#[test]
fn the_newest_seal_stands_for_all_of_history() {
    let (_folder, path) = written();
    let before = check(&path).unwrap().seal;
    let opened = Store::open(&path).unwrap();
    let mut clerk = Clerk::new(opened.state, opened.store, Arc::new(Clock::default()));
    clerk.process(vec![create_org(3)]).unwrap();
    drop(clerk);
    let after = check(&path).unwrap();
    assert_ne!(after.seal, before);
    // Opened and closed, it is the same.
    drop(Store::open(&path).unwrap());
    assert_eq!(check(&path).unwrap(), after);
}

#[test]
fn a_book_whose_newest_event_and_seal_do_not_meet_is_not_gone_on_with() {
    for seal_too_many in [true, false] {
        let (_folder, path) = written();
        let newest = check(&path).unwrap().events - 1;
        tamper(&path, |events, seals| {
            let newest = key(newest);
            let removed = if seal_too_many {
                events.remove(newest.as_slice()).unwrap().is_some()
            } else {
                seals.remove(newest.as_slice()).unwrap().is_some()
            };
            assert!(removed);
        });
        assert_eq!(code(Store::open(&path).unwrap_err()), Code::StoreDamaged);
    }
}
