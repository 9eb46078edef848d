//! Each org has its own log; a page is what was asked for; the chain is proved from what is read.

use std::path::PathBuf;

use common::code::Code;

use super::*;
use crate::store::{Batch, Book, Store, check};

const LAB: OrgId = OrgId::from_bytes([1; 16]);
const SHOP: OrgId = OrgId::from_bytes([2; 16]);
const ALICE: Actor = Actor::User(UserId::from_bytes([1; 16]));
const BOX: Actor = Actor::Machine(MachineId::from_bytes([9; 16]));

fn entry(number: u64, actor: Actor, kind: AuditKind, orgs: &[OrgId]) -> Entry {
    let at = Timestamp::from_unix_ms(1000 * number);
    Entry {
        json: format!(r#"{{"at":"{at}","event":{{"event":"made_up"}}}}"#).into_bytes(),
        at,
        actor,
        kind,
        orgs: orgs.to_vec(),
    }
}

/// A book whose event number n was at second n: of the lab, of the shop, of both and of nobody in turn, and of each
/// kind in turn; the lab's every second one is the machine's.
fn written(events: u64) -> (tempfile::TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut store = Store::create(&path).unwrap();
    let orgs: [&[OrgId]; 4] = [&[LAB], &[SHOP], &[LAB, SHOP], &[]];
    for chunk in (0..events).collect::<Vec<_>>().chunks(7) {
        let entries = chunk.iter().map(|number| {
            let turn = usize::try_from(*number).unwrap();
            let actor = if turn % 4 == 0 { BOX } else { ALICE };
            let kind = AuditKind::ALL[turn % AuditKind::ALL.len()];
            entry(*number, actor, kind, orgs[turn % orgs.len()])
        });
        let batch = Batch {
            at: Timestamp::default(),
            rows: Vec::new(),
            events: entries.collect(),
        };
        store.commit(&batch).unwrap();
    }
    (folder, path, store)
}

fn everything(limit: u32) -> Filter {
    Filter {
        kinds: AuditKind::ALL.to_vec(),
        actor: None,
        since: None,
        before: None,
        limit,
    }
}

/// Returns the seconds of all entries that are wanted, page by page.
fn seconds(trail: &Trail, org: OrgId, filter: &Filter) -> Vec<u64> {
    let mut filter = filter.clone();
    let mut seconds = Vec::new();
    loop {
        let page = trail.page(org, &filter).unwrap();
        assert!(page.entries.len() <= filter.limit as usize);
        seconds.extend(page.entries.iter().map(|kept| kept.at.unix_ms() / 1000));
        match page.before {
            None => return seconds,
            Some(before) => {
                assert!(filter.before.is_none_or(|last| before < last));
                filter.before = Some(before);
            }
        }
    }
}

/// Returns the seconds of the events of an org in [`written`], newest first.
fn expected(org: OrgId, events: u64, wanted: impl Fn(u64) -> bool) -> Vec<u64> {
    let own = if org == LAB { 0 } else { 1 };
    let of = |number: &u64| [own, 2].contains(&(number % 4));
    let all = (0..events).rev().filter(of);
    all.filter(|number| wanted(*number)).collect()
}

#[test]
fn a_page_is_what_was_asked_for_and_pages_are_the_whole() {
    let (_folder, _path, store) = written(100);
    let trail = store.trail();
    for org in [LAB, SHOP] {
        for limit in [1, 3, 1000] {
            let all = everything(limit);
            let check = |filter: &Filter, wanted: &dyn Fn(u64) -> bool| {
                assert_eq!(seconds(&trail, org, filter), expected(org, 100, wanted));
            };
            check(&all, &|_| true);
            let since = Filter {
                since: Some(Timestamp::from_unix_ms(40_500)),
                ..all.clone()
            };
            check(&since, &|number| number > 40);
            let actor = Filter {
                actor: Some(BOX),
                ..all.clone()
            };
            check(&actor, &|number| number % 4 == 0);
            let kinds = Filter {
                kinds: vec![AuditKind::ALL[3], AuditKind::ALL[8]],
                ..all.clone()
            };
            check(&kinds, &|number| [3, 8].contains(&(number % 14)));
            let all_of_it = Filter {
                kinds: AuditKind::ALL[..7].to_vec(),
                actor: Some(ALICE),
                since: Some(Timestamp::from_unix_ms(20_000)),
                ..all
            };
            check(&all_of_it, &|number| {
                number % 14 < 7 && number % 4 != 0 && number >= 20
            });
        }
    }
    let nobody = OrgId::from_bytes([3; 16]);
    assert_eq!(
        trail.page(nobody, &everything(10)).unwrap(),
        Page::default()
    );
    let late = Filter {
        since: Some(Timestamp::from_unix_ms(1 << 40)),
        ..everything(10)
    };
    assert_eq!(trail.page(LAB, &late).unwrap(), Page::default());
}

#[test]
fn a_log_is_proved_by_its_bytes_and_goes_on_after_a_restart() {
    let (_folder, path, store) = written(50);
    let follow = |trail: &Trail, org: OrgId| {
        let mut head = ChainHead::first(org);
        loop {
            let page = trail.chain(org, head.entries).unwrap();
            for entry in &page.entries {
                head = head.with(entry.json.as_bytes());
                assert_eq!(head.seal, entry.seal);
            }
            if page.entries.is_empty() {
                assert_eq!(head, page.head);
                return head;
            }
        }
    };
    let trail = store.trail();
    let before = [LAB, SHOP].map(|org| follow(&trail, org));
    assert_eq!(before.map(|head| head.entries), [25, 25]);
    assert_ne!(before[0].seal, before[1].seal);
    drop(store);
    // Whoever still looks does not keep the book open.
    let closed = trail.page(LAB, &everything(1)).unwrap_err();
    assert_eq!(
        common::problem::Problem::from(closed).code,
        Code::Unreachable
    );

    let mut store = Store::open(&path).unwrap().store;
    let batch = Batch {
        at: Timestamp::default(),
        rows: Vec::new(),
        events: vec![entry(50, ALICE, AuditKind::Org, &[LAB])],
    };
    store.commit(&batch).unwrap();
    let trail = store.trail();
    let lab = follow(&trail, LAB);
    assert_eq!(lab.entries, 26);
    assert_eq!(lab, before[0].with(&batch.events[0].json));
    assert_eq!(follow(&trail, SHOP), before[1]);
}

fn value(table: &Table<'_, Raw, Raw>, key: [u8; 24]) -> Vec<u8> {
    let found = table.get(key.as_slice()).unwrap().unwrap();
    found.value().to_vec()
}

#[test]
fn check_follows_the_log_of_every_org() {
    type Tables<'a, 'b> = &'a mut Table<'b, Raw, Raw>;
    type Change = fn(Tables<'_, '_>, Tables<'_, '_>);
    let last = key(SHOP, 24);
    let changes: [(&str, OrgId, u64, Change); 4] = [
        ("an entry in the middle", LAB, 7, |entries, _| {
            entries.remove(key(LAB, 7).as_slice()).unwrap();
        }),
        ("an entry of another org", LAB, 3, |entries, _| {
            let theirs = value(entries, key(SHOP, 3));
            let lab = key(LAB, 3);
            entries.insert(lab.as_slice(), theirs.as_slice()).unwrap();
        }),
        ("another kind", SHOP, 0, |entries, _| {
            let mut place = value(entries, key(SHOP, 0));
            place[16] ^= 1;
            let shop = key(SHOP, 0);
            entries.insert(shop.as_slice(), place.as_slice()).unwrap();
        }),
        ("what finds it by its kind", LAB, 0, |_, kinds| {
            let by_kind = kind_key(LAB, AuditKind::ALL[0], 0);
            assert!(kinds.remove(by_kind.as_slice()).unwrap().is_some());
        }),
    ];
    let (_folder, path, store) = written(50);
    drop(store);
    check(&path).unwrap();
    for (what, org, entry, change) in changes {
        let copy = path.with_extension("copy");
        std::fs::copy(&path, &copy).unwrap();
        let db = Database::open(&copy).unwrap();
        let transaction = db.begin_write().unwrap();
        let mut logs = Logs::open(&transaction).unwrap();
        change(&mut logs.entries, &mut logs.kinds);
        assert!(logs.entries.get(last.as_slice()).unwrap().is_some());
        drop(logs);
        transaction.commit().unwrap();
        drop(db);
        let error = check(&copy).unwrap_err();
        let found = matches!(
            error.innermost(),
            StoreError::OrgSeal { org: of, entry: at } if (*of, *at) == (org, entry)
        );
        assert!(found, "{what}: {error:?}");
    }
}
