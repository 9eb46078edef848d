//! Reads that wait, and what they wait for.

use std::{collections::HashMap, ops::Range, time::Instant};

use bytes::Bytes;
use fuser::{Errno, ReplyData};

use crate::lazy::index::Place;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) reads: HashMap<u64, Read>,
    pub(super) next: u64,
    /// Which reads wait for a chunk of a mount.
    pub(super) chunks: HashMap<(usize, u32), Vec<u64>>,
    pub(super) bytes: u64,
    pub(super) touch_at: Option<Instant>,
}

/// A read that waits.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) mount: usize,
    pub(super) part: Range<u64>,
    pub(super) places: Vec<Place>,
    /// In the order of the places.
    pub(super) found: Vec<Option<Bytes>>,
    pub(super) since: Instant,
    pub(super) reply: ReplyData,
}

impl Read {
    /// What it takes in memory at most.
    pub(super) fn bytes(&self) -> u64 {
        let chunks = self.places.iter().map(|place| place.chunk.chunk.bytes);
        chunks.map(u64::from).sum()
    }

    pub(super) fn answer(self) {
        let mut all =
            Vec::with_capacity(usize::try_from(self.part.end - self.part.start).unwrap_or(0));
        for (place, bytes) in self.places.iter().zip(self.found) {
            let Some(bytes) = bytes else {
                return self.reply.error(Errno::EIO);
            };
            let end = place.start + bytes.len() as u64;
            let from = self.part.start.clamp(place.start, end) - place.start;
            let to = self.part.end.clamp(place.start, end) - place.start;
            // Within a chunk, which is small.
            #[allow(clippy::cast_possible_truncation)]
            all.extend_from_slice(&bytes[from as usize..to as usize]);
        }
        self.reply.data(&all);
    }
}

impl Waiting {
    /// Takes a read out, and everything that says that it waits.
    pub(super) fn take(&mut self, id: u64) -> Option<Read> {
        let read = self.reads.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(read.bytes());
        for place in &read.places {
            let key = (read.mount, place.chunk.ordinal);
            if let Some(waits) = self.chunks.get_mut(&key) {
                waits.retain(|waits| *waits != id);
                if waits.is_empty() {
                    self.chunks.remove(&key);
                }
            }
        }
        Some(read)
    }
}
