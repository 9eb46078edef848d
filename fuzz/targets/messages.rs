//! Messages about trees, as they come from a stranger: what can be read can be sent and is the same again.

#![no_main]

mod memory;

use common::wire::{
    Header, Message,
    data::{Based, ChunkAsk, Offer, OfferedKind, OfferedPart, Run, TreePart, Wanted},
    decode, encode,
    frame::{CODEC_BINCODE, HEADER_BYTES},
};
use libfuzzer_sys::fuzz_target;

fn read<M: Message + PartialEq + std::fmt::Debug>(payload: &[u8]) -> Option<M> {
    let header = Header {
        length: u32::try_from(payload.len()).ok()?,
        codec: CODEC_BINCODE,
        kind: M::KIND,
        version: M::VERSION,
    };
    // An entry of four bytes becomes one of sixty; a length that lies buys a mebibyte in each of two lists.
    let most = (4 << 20) + 128 * payload.len();
    let message: M = memory::within(most, || decode(&header, payload)).ok()?;
    let again = encode(&message).expect("what was read can be sent");
    let header = Header {
        length: u32::try_from(again.len() - HEADER_BYTES).ok()?,
        ..header
    };
    let again: M = decode(&header, &again[HEADER_BYTES..]).expect("what was sent can be read");
    assert_eq!(again, message);
    Some(message)
}

fn bounded(runs: &[Run]) {
    let numbers = memory::within(64 << 10, || Run::numbers(runs, 1000, 2000));
    let said: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
    if let Some(numbers) = numbers {
        assert_eq!(numbers.len() as u64, said);
        assert!(numbers.len() <= 2000 && numbers.iter().all(|number| *number < 1000));
        let again = Run::numbers(&Run::of(numbers.iter().copied()), 1000, 2000);
        assert_eq!(again, Some(numbers));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _any = read::<TreePart>(bytes);
    let _any = read::<Offer>(bytes);
    let _any = read::<Based>(bytes);
    if let Some(wanted) = read::<Wanted>(bytes) {
        bounded(&wanted.runs);
    }
    if let Some(ChunkAsk::Wanted(wanted)) = read::<ChunkAsk>(bytes) {
        bounded(&wanted.runs);
    }
    for entry in read::<OfferedPart>(bytes)
        .into_iter()
        .flat_map(|part| part.entries)
    {
        if let OfferedKind::File { chunks, .. } = entry.kind {
            bounded(&chunks);
        }
    }
});
