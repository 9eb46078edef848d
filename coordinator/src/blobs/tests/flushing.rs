//! What goes into the index before the tree is whole.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::blobs::{error::BlobError, journal::Fullness, record::Header};

/// More than what should go into the index at once.
const MANY: u32 = 17;
const _: () = assert!(MANY as usize > SMALL.pending_pieces);

/// Longest that others need to write on.
const PATIENCE: Duration = Duration::from_secs(20);

fn numbers(from: u32, count: u32) -> Vec<u32> {
    (from..from + count).collect()
}

#[test]
fn what_a_failed_commit_was_to_put_into_the_index_goes_with_the_next() {
    let (folder, store) = store();
    let (first, second) = (numbers(0, 6), numbers(6, 6));
    let incoming = store.begin();
    assert_eq!(bring(&incoming, &first), Ok(6));
    let failed = store.0.commit(|_, snapshot, _| {
        assert_eq!(snapshot.pieces.len(), 6);
        Err::<(), _>(BlobError::Lost)
    });
    failed.unwrap_err();
    assert!(stored(&store).is_empty());
    // They are here all the same, at the size that they have, and so is what comes after them.
    let other = ChunkRef {
        bytes: chunk(1).bytes + 1,
        ..chunk(1)
    };
    assert_eq!(incoming.lacks(&[chunk(1), other]), Ok(vec![false, true]));
    assert_eq!(bring(&incoming, &first), Ok(0));
    assert_eq!(bring(&incoming, &second), Ok(6));
    let all = numbers(0, 12);
    incoming.seal(&made_of(&all)).unwrap();
    assert_eq!(stored(&store), all);
    drop((incoming, store));
    check_whole(&store_at(folder.path(), BEGINNING), &all);
}

#[test]
fn others_write_on_while_somebody_commits_until_there_is_too_much() {
    let (_folder, store) = store();
    let all = numbers(0, 3 * MANY);
    let incoming = store.begin();
    let (done, ended) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let one = store.0.committing();
        let (store, incoming, all) = (&store, &incoming, &all);
        scope.spawn(move || {
            bring(incoming, all).unwrap();
            done.send(()).unwrap();
        });
        let begun = Instant::now();
        while store.0.journal.fullness() != Fullness::Over {
            assert!(begun.elapsed() < PATIENCE, "nobody writes on");
            thread::yield_now();
        }
        assert!(ended.try_recv().is_err(), "not all of it is here");
        assert!(stored(store).is_empty(), "nobody else commits");
        drop(one);
    });
    assert!(!stored(&store).is_empty());
    assert_eq!(store.0.journal.fullness(), Fullness::Room);
    incoming.seal(&made_of(&all)).unwrap();
    check_whole(&store, &all);
}

#[test]
fn what_a_failed_commit_left_still_counts() {
    let (_folder, store) = store();
    let incoming = store.begin();
    let most = numbers(0, MANY - 2);
    bring(&incoming, &most).unwrap();
    assert_eq!(store.0.journal.fullness(), Fullness::Room);
    let failed = store.0.commit(|_, _, _| Err::<(), _>(BlobError::Lost));
    failed.unwrap_err();
    let header = |number| {
        let (chunk, piece) = piece(number);
        (Header::of(&chunk, &piece).unwrap(), piece.bytes().clone())
    };
    let more = [header(MANY), header(MANY + 1)];
    store.0.journal.arrive(&store.0.packs, &more).unwrap();
    assert_eq!(store.0.journal.fullness(), Fullness::Full);
}
