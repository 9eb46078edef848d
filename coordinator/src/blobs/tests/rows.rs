//! Chunks that lie in a row are read without a look for each.

use super::*;
use crate::blobs::read::{Unread, places};

/// None of them compresses, and all are in one pack.
const PLAIN: [u32; 9] = [1, 2, 4, 7, 8, 11, 13, 14, 16];

/// Checks that the chunks come in the order in which they are asked for.
fn ask(store: &Store, id: TreeId, numbers: &[u32]) {
    let chunks: Vec<ChunkRef> = numbers.iter().copied().map(chunk).collect();
    let pieces = store.pieces(id, &chunks).unwrap();
    for (chunk, piece) in chunks.iter().zip(pieces) {
        piece.open(chunk).unwrap();
    }
}

#[test]
fn a_row_in_another_order_or_with_gaps_is_read_all_the_same() {
    let (_folder, store) = store();
    let id = save(&store, &PLAIN);
    ask(&store, id, &PLAIN);
    // 8 and 13 are equally long: ends and distance are those of the row, and what is between is not.
    ask(&store, id, &[1, 2, 4, 7, 13, 11, 8, 14, 16]);
    ask(&store, id, &[1, 2, 4, 7, 8, 16, 13, 14, 11]);
    ask(&store, id, &[16, 14, 13, 11, 8, 7, 4, 2, 1]);
    ask(&store, id, &[1, 4, 8, 13, 16]);
    ask(&store, id, &[2, 2, 2, 1]);
}

#[test]
fn what_was_healed_elsewhere_is_not_read_where_it_was_damaged() {
    let (folder, store) = store();
    let id = save(&store, &PLAIN);
    damage::flip(folder.path(), None, &store, 8, 100);
    assert_eq!(store.suspect(&chunk(8)), Ok(true));
    assert_eq!(save(&store, &PLAIN), id);
    // The damaged record still stands among the others.
    ask(&store, id, &PLAIN);
}

#[test]
fn only_the_ends_of_a_row_are_looked_up_in_packs_where_all_is_alive() {
    let (folder, store) = store();
    save(&store, &PLAIN);
    // Between its ends the row has a chunk that the index does not know.
    let mut chunks: Vec<ChunkRef> = PLAIN.map(chunk).to_vec();
    chunks[5].id = chunk_id(b"no such chunk");
    let packs = &store.0.packs;
    let found = places::derived(&store.0.view().unwrap(), packs, &chunks).unwrap();
    let unknown = places::looked_up(&store.0.view().unwrap(), packs, &chunks);
    assert!(matches!(unknown, Err(Unread::Missing(id)) if id == chunks[5].id));
    let known = places::looked_up(&store.0.view().unwrap(), packs, &PLAIN.map(chunk)).unwrap();
    assert_eq!(found, known);

    damage::flip(folder.path(), None, &store, 8, 100);
    assert_eq!(store.suspect(&chunk(8)), Ok(true));
    save(&store, &PLAIN);
    let derived = places::derived(&store.0.view().unwrap(), packs, &chunks);
    assert!(matches!(derived, Err(Unread::Missing(_))));
}
