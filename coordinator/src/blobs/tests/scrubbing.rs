//! Looking through everything, and what a collection would take.

use common::api::storage::Scrub;

use super::{super::preview::Preview, damage::flip, *};

/// Looks through everything; returns the result and how many steps it took.
fn scrub(store: &Store) -> (Scrub, usize) {
    let now = Timestamp::from_unix_ms(BEGINNING);
    for step in 1.. {
        if let Scrubbed::Done(scrub) = store.scrub_step(now).unwrap() {
            return (scrub, step);
        }
    }
    unreachable!("every look has an end")
}

#[test]
fn a_look_finds_every_flipped_byte_and_goes_on_after_a_restart() {
    let (folder, store) = store();
    let numbers: Vec<u32> = (0..40).collect();
    save(&store, &numbers);
    let (whole, steps) = scrub(&store);
    assert_eq!((whole.pieces, whole.damaged), (40, 0));
    assert!(steps > 2, "{steps}");
    assert_eq!(store.last_scrub().unwrap(), Some(whole));

    // A piece, a header with pieces behind it, and a description.
    flip(folder.path(), None, &store, 6, 60);
    flip(folder.path(), None, &store, 17, 20);
    let sick = save(&store, &[1, 2]);
    fs::write(store.tree_path(sick), b"nonsense").unwrap();
    store
        .scrub_step(Timestamp::from_unix_ms(BEGINNING))
        .unwrap();
    drop(store);
    let store = store_at(folder.path(), BEGINNING);
    let (found, more) = scrub(&store);
    assert_eq!(more, steps - 1, "it goes on where it was");
    assert_eq!((found.pieces, found.damaged), (40, 3));
    let mut named = found.named;
    named.sort_unstable();
    let mut expected = vec![chunk(6).id, chunk(17).id];
    expected.sort_unstable();
    assert_eq!(named, expected);
    assert_eq!(store.load_tree(sick).unwrap_err().code, Code::Checksum);

    assert_eq!(bring(&store.begin(), &numbers), Ok(2));
    save(&store, &numbers);
    check_whole(&store, &numbers);
    assert_eq!(scrub(&store).0.damaged, 1, "the description");
    save(&store, &[1, 2]);
    assert_eq!(scrub(&store).0.damaged, 0);
}

#[test]
fn a_look_at_a_pack_that_is_cut_short_or_gone_names_what_was_in_it() {
    let (folder, store) = store();
    let numbers: Vec<u32> = (0..40).collect();
    save(&store, &numbers);
    drop(store);
    let packs = folder.path().join(ORG.to_string()).join("packs");
    let names = files(folder.path(), "packs");
    fs::remove_file(packs.join(&names[0])).unwrap();
    let cut = File::options()
        .write(true)
        .open(packs.join(&names[1]))
        .unwrap();
    cut.set_len(2000).unwrap();
    let store = store_at(folder.path(), BEGINNING);
    let (found, _) = scrub(&store);
    assert_eq!(found.pieces, 40);
    assert!(found.damaged > 4, "{found:?}");
    let lacking = bring(&store.begin(), &numbers).unwrap();
    assert_eq!(lacking as u64, found.damaged);
    save(&store, &numbers);
    check_whole(&store, &numbers);
    assert_eq!(scrub(&store).0.damaged, 0);
}

#[test]
fn what_would_go_is_what_goes() {
    let (folder, store) = store();
    let (a, b) = (save(&store, &[0, 1, 2, 3]), save(&store, &[2, 3, 4]));
    save(&store, &[3, 5]);
    bring(&store.begin(), &[8, 9]).unwrap();
    store.0.flush().unwrap();
    drop(store);
    let store = store_at(folder.path(), BEGINNING + 2 * DAY);
    let unknown = made_of(&[7]).id();
    for trees in [vec![], vec![a], vec![a, b], vec![b, unknown]] {
        let copied = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copied.path());
        let seen = store.preview(&trees).unwrap();
        assert_eq!((seen.held, seen.more), (0, false));
        let copy = store_at(copied.path(), BEGINNING + 2 * DAY);
        assert_eq!(copy.doom(&trees).unwrap(), []);
        assert_eq!(copy.preview(&[]).unwrap(), seen, "also where it has begun");
        assert_eq!(copy.collect().unwrap(), seen.gone, "{trees:?}");
    }
    let before = store.stored_now().unwrap();
    assert_eq!(before.trees, 3);
    assert_eq!(store.stored_now().unwrap(), before, "nothing was changed");

    let incoming = store.begin();
    incoming.seal(&made_of(&[3, 5])).unwrap();
    let held = store.preview(&[made_of(&[3, 5]).id()]).unwrap();
    let nothing = Preview {
        held: 1,
        ..store.preview(&[]).unwrap()
    };
    assert_eq!(held, nothing);
}
