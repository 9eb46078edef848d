//! How far ahead of a reader to fetch, as a plan: no files, no time.
//!
//! The same plan serves bytes of a large file and small files of one folder: positions are numbers. Who goes on where
//! it left off gets twice as much as before, up to a bound; who jumps about gets nothing but what it asks for.

use std::ops::Range;

/// What positions are, in three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fetched ahead of a reader who may be going on.
    pub least: u64,
    /// Fetched ahead of a reader who has been going on for long.
    pub most: u64,
    /// How far from where it is expected a step still counts as going on: the kernel reads with several hands.
    pub slack: u64,
}

/// Bytes of one file.
pub const BYTES: Bounds = Bounds {
    least: 256 << 10,
    most: 8 << 20,
    slack: 1 << 20,
};

/// Files of one folder, by their place in it.
pub const FILES: Bounds = Bounds {
    least: 8,
    most: 512,
    slack: 8,
};

/// One reader, as far as its way is known.
#[derive(Debug, Clone, Copy)]
pub struct ReadAhead {
    bounds: Bounds,
    /// Where it is expected to go on.
    next: u64,
    /// How much is fetched ahead of it.
    window: u64,
    /// Everything from `next` up to here was planned already.
    planned: u64,
}

impl ReadAhead {
    /// Returns a reader who is expected to begin at the beginning.
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            next: 0,
            window: 0,
            planned: 0,
        }
    }

    /// Notes that `step` is read, of `end` positions in all; returns what to fetch beyond it now. What was returned
    /// before is not returned again as long as the reader goes on.
    pub fn read(&mut self, step: Range<u64>, end: u64) -> Range<u64> {
        let nothing = step.end..step.end;
        let near = step.start.abs_diff(self.next) <= self.bounds.slack;
        if !near {
            self.next = step.end;
            self.planned = step.end;
            self.window = 0;
            return nothing;
        }
        self.next = self.next.max(step.end);
        self.planned = self.planned.max(self.next);
        // Little by little would be many requests: half of it has to be used up first.
        if self.planned - self.next > self.window / 2 {
            return nothing;
        }
        self.window = (self.window * 2).clamp(self.bounds.least, self.bounds.most);
        let to = self.next.saturating_add(self.window).min(end);
        if to <= self.planned {
            return nothing;
        }
        let from = std::mem::replace(&mut self.planned, to);
        from..to
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    const STEP: u64 = 128 << 10;

    fn steps(reader: &mut ReadAhead, from: u64, count: u64, end: u64) -> Vec<Range<u64>> {
        (0..count)
            .map(|n| reader.read(from + n * STEP..from + (n + 1) * STEP, end))
            .collect()
    }

    #[test]
    fn who_goes_on_gets_twice_as_much_each_time_and_everything_once() {
        let end = 1 << 30;
        let mut reader = ReadAhead::new(BYTES);
        let ahead = steps(&mut reader, 0, 400, end);
        let asked: Vec<_> = ahead.iter().filter(|range| !range.is_empty()).collect();
        assert_eq!(*asked[0], STEP..STEP + BYTES.least);
        for pair in asked.windows(2) {
            assert_eq!(pair[0].end, pair[1].start, "without gaps, nothing twice");
        }
        let largest = asked.iter().map(|range| range.end - range.start).max();
        assert!(largest.unwrap() <= BYTES.most);
        assert_eq!(
            asked.last().unwrap().end,
            400 * STEP / STEP * STEP + ahead_at_the_end(&ahead)
        );
        // A request for every 4 MiB or so, not for every read.
        assert!(asked.len() < 30, "{} requests", asked.len());
    }

    fn ahead_at_the_end(ahead: &[Range<u64>]) -> u64 {
        let last = ahead.iter().rfind(|range| !range.is_empty()).unwrap();
        last.end - 400 * STEP
    }

    #[test]
    fn who_jumps_gets_nothing_and_begins_anew_where_it_lands() {
        let end = 1 << 30;
        let mut reader = ReadAhead::new(BYTES);
        steps(&mut reader, 0, 50, end);
        for at in [500 << 20, 100 << 20, 800 << 20] {
            assert!(reader.read(at..at + STEP, end).is_empty());
        }
        let on = (800 << 20) + STEP;
        assert_eq!(
            reader.read(on..on + STEP, end),
            on + STEP..on + STEP + BYTES.least
        );
    }

    #[test]
    fn nothing_lies_beyond_the_end() {
        let mut reader = ReadAhead::new(BYTES);
        assert_eq!(reader.read(0..100, 100), 100..100);
        let mut reader = ReadAhead::new(FILES);
        assert_eq!(reader.read(0..1, 5), 1..5);
        assert!(reader.read(1..2, 5).is_empty());
    }

    #[test]
    fn steps_that_overtake_each_other_still_go_on() {
        let end = 1 << 30;
        let mut reader = ReadAhead::new(BYTES);
        reader.read(0..STEP, end);
        reader.read(2 * STEP..3 * STEP, end);
        reader.read(STEP..2 * STEP, end);
        let ahead = reader.read(3 * STEP..4 * STEP, end);
        assert!(reader.window > 0, "{ahead:?}");
    }

    proptest! {
        #[test]
        fn no_way_of_reading_plans_more_than_the_bound_or_backwards(
            way in proptest::collection::vec((0..1_u64 << 40, 0..1_u64 << 21, any::<bool>()), 0..200),
            end in 0..1_u64 << 40,
        ) {
            let mut reader = ReadAhead::new(BYTES);
            let mut at = 0;
            for (jump, length, goes_on) in way {
                at = if goes_on { at } else { jump.min(end) };
                let step = at..(at + length).min(end).max(at);
                let ahead = reader.read(step.clone(), end);
                prop_assert!(ahead.is_empty() || ahead.end <= end);
                prop_assert!(ahead.is_empty() || ahead.start >= step.end);
                prop_assert!(ahead.end.saturating_sub(ahead.start) <= BYTES.most + BYTES.slack);
                at = step.end;
            }
        }
    }
}
