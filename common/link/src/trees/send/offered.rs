//! What was offered, and what becomes of it when the peer has said what of it is lacking.

use bytes::Bytes as Buffer;
use common::tree::ChunkRef;

use super::{Cut, carry::Lacking};

/// Chunks by number, which follow one another, with the bytes of all that were cut together with them: these stay in
/// memory as long as one of them does.
#[derive(Debug, Default)]
pub(super) struct Offered {
    pub(super) chunks: Vec<(u32, Cut)>,
    pub(super) beside: usize,
}

impl Offered {
    /// Returns the first number and the one behind the last.
    pub(super) fn numbers(&self) -> (u32, usize) {
        let first = self.chunks.first().map_or(0, |(number, _)| *number);
        (first, first as usize + self.chunks.len())
    }

    /// Returns what is wanted, and the rest; `None` if these numbers are not in order or not of what was offered.
    pub(super) fn split(self, wanted: Vec<u32>) -> Option<(Lacking, Vec<ChunkRef>)> {
        let mut numbers = wanted.into_iter().peekable();
        let (mut wanted, mut others) = (Vec::new(), Vec::new());
        for (number, cut) in self.chunks {
            match numbers.next_if_eq(&number) {
                Some(_) => wanted.push((number, cut)),
                None => others.push(cut.0),
            }
        }
        if numbers.next().is_some() {
            return None;
        }
        let bytes: usize = wanted.iter().map(|(_, (_, bytes))| bytes.len()).sum();
        if bytes < self.beside / 2 {
            // Until they are sent they would hold all that was cut with them, far more than the window.
            for (_, (_, bytes)) in &mut wanted {
                *bytes = Buffer::copy_from_slice(bytes);
            }
        }
        Some((wanted, others))
    }
}

#[cfg(test)]
mod tests {
    use common::tree::chunk_id;

    use super::*;

    const EACH: usize = 100;

    /// Ten chunks from number 5 on, cut from one buffer.
    fn offered(buffer: &Buffer) -> Offered {
        let bytes = (0..10).map(|at| buffer.slice(at * EACH..(at + 1) * EACH));
        let cut = |bytes: Buffer| {
            let id = chunk_id(&bytes);
            (ChunkRef { id, bytes: 100 }, bytes)
        };
        Offered {
            chunks: (5..).zip(bytes.map(cut)).collect(),
            beside: buffer.len(),
        }
    }

    #[test]
    fn few_chunks_do_not_hold_what_was_cut_with_them_and_many_are_not_copied() {
        for (wanted, copied) in [(vec![7, 9], true), (vec![5, 6, 7, 8, 13, 14], false)] {
            let buffer = Buffer::from(vec![3; 10 * EACH]);
            let (kept, others) = offered(&buffer).split(wanted.clone()).unwrap();
            assert_eq!(kept.len() + others.len(), 10);
            assert!(kept.iter().map(|(number, _)| *number).eq(wanted));
            assert!(kept.iter().all(|(_, (_, bytes))| bytes == &buffer[..EACH]));
            assert_eq!(buffer.is_unique(), copied);
        }
    }

    #[test]
    fn what_was_not_offered_or_is_out_of_order_cannot_be_wanted() {
        let buffer = Buffer::from(vec![3; 10 * EACH]);
        for wanted in [vec![4], vec![15], vec![6, 5], vec![5, 5]] {
            assert!(offered(&buffer).split(wanted).is_none());
        }
        assert_eq!(offered(&buffer).numbers(), (5, 15));
    }
}
