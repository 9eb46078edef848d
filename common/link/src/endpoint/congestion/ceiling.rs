//! The most that may be in flight over a line that drops what comes faster than it carries.
//!
//! BBR looks at what arrives and not at what is lost, and where answers come in clusters it believes in a line twice as
//! fast as the real one: it then sends everything twice, and whoever shares the line waits behind it. More than a few
//! lost packets in a hundred are a queue that overflowed (the bound of BBRv3 is 2 %); what got through in that round
//! trip says how much the line holds. Some lines lose more than others: what one carries without any queue is left to
//! it, and what is lost however little is sent is not held against it.

use std::time::{Duration, Instant};

/// Of what was sent in a round trip, so much more may be lost, in thousandths, than the line loses by itself.
const BEARABLE_LOSS: u64 = 30;
/// The line itself loses what was lost in the best of so many round trips: where the ceiling was lowered in vain.
const REMEMBERED: usize = 16;
/// Not more lost datagrams than these are chance.
const CHANCE_DATAGRAMS: u64 = 4;
/// What is kept of what got through, in hundredths, so that the queue drains.
const KEPT: u64 = 85;
/// What may always be in flight, in hundredths of what arrives in the shortest round trip.
const CARRIED: u64 = 110;
/// After a round trip that used at least half of it, without such losses, the ceiling rises by one part in so many;
/// after many of them in a row the line is another one, and it doubles.
const RISE: u64 = 16;
const RISES_BEFORE_DOUBLING: u32 = 16;
/// Never less: enough to find out that the line is better again.
const LEAST_DATAGRAMS: u64 = 10;

#[derive(Debug, Clone)]
pub(super) struct Ceiling {
    bytes: u64,
    /// Of the present round trip.
    arrived_bytes: u64,
    lost_bytes: u64,
    /// The round trip ends when a later packet than this is known to have arrived.
    last_of_round: u64,
    last_sent: u64,
    /// Nothing where no round trip before it says when it began.
    began: Option<Instant>,
    shortest: Duration,
    /// What was lost in the last round trips, in thousandths, and the place of the next.
    losses: [u64; REMEMBERED],
    next_loss: usize,
    /// How often it rose since it was lowered.
    rises: u32,
}

/// What the other side has seen by now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) now: Instant,
    pub(super) latest: Option<u64>,
    pub(super) in_flight_bytes: u64,
    /// What would be in flight if there were no ceiling.
    pub(super) wanted_bytes: u64,
    pub(super) datagram_bytes: u16,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self {
            bytes: u64::MAX,
            arrived_bytes: 0,
            lost_bytes: 0,
            last_of_round: 0,
            last_sent: 0,
            began: None,
            shortest: Duration::MAX,
            losses: [0; REMEMBERED],
            next_loss: 0,
            rises: 0,
        }
    }
}

impl Ceiling {
    pub(super) const fn on_sent(&mut self, packet: u64) {
        self.last_sent = packet;
    }

    pub(super) const fn on_arrived(&mut self, bytes: u64, shortest_round_trip: Duration) {
        self.arrived_bytes += bytes;
        self.shortest = shortest_round_trip;
    }

    pub(super) const fn on_lost(&mut self, bytes: u64) {
        self.lost_bytes += bytes;
    }

    pub(super) fn on_seen(&mut self, seen: Seen) {
        if seen
            .latest
            .is_none_or(|latest| latest <= self.last_of_round)
        {
            return;
        }
        self.last_of_round = self.last_sent;
        let (arrived, lost) = (self.arrived_bytes, self.lost_bytes);
        (self.arrived_bytes, self.lost_bytes) = (0, 0);
        // After a pause nobody knows when the next round trip begins.
        let idle = seen.in_flight_bytes == 0;
        let began = if idle {
            self.began.take()
        } else {
            self.began.replace(seen.now)
        };
        if let Some(began) = began {
            self.judge(seen, arrived, lost, seen.now - began);
        }
    }

    fn judge(&mut self, seen: Seen, arrived: u64, lost: u64, took: Duration) {
        let datagram = u64::from(seen.datagram_bytes);
        let share = lost * 1000 / (arrived + lost).max(1);
        let by_itself = self.losses.iter().min().copied().unwrap_or(0);
        if arrived + lost >= LEAST_DATAGRAMS * datagram {
            self.losses[self.next_loss % REMEMBERED] = share;
            self.next_loss = (self.next_loss + 1) % REMEMBERED;
        }
        if share <= by_itself + BEARABLE_LOSS || lost <= CHANCE_DATAGRAMS * datagram {
            if arrived >= self.bytes / 2 {
                let more = if self.rises < RISES_BEFORE_DOUBLING {
                    self.bytes / RISE
                } else {
                    self.bytes
                };
                self.bytes = self.bytes.saturating_add(more);
                self.rises = self.rises.saturating_add(1);
            }
            return;
        }
        // Where BBR itself holds back, as it does from time to time to measure, it is not the ceiling that matters.
        if self.bytes != u64::MAX && seen.wanted_bytes < self.bytes / 2 {
            return;
        }
        // Little may have arrived because there was little to send: never down by more than a half at once.
        let before = self.bound(seen.wanted_bytes);
        let held = arrived.clamp(before / 2, before) * KEPT / 100;
        let carried = carried(arrived, took, self.shortest) * CARRIED / 100;
        self.bytes = held.max(carried).max(LEAST_DATAGRAMS * datagram);
        self.rises = 0;
    }

    /// Returns how much of `wanted` may be in flight.
    pub(super) fn bound(&self, wanted: u64) -> u64 {
        self.bytes.min(wanted)
    }
}

/// Returns how much of what arrives in `took` is on its way at once where nothing waits.
fn carried(arrived: u64, took: Duration, shortest: Duration) -> u64 {
    let (took, shortest) = (took.max(shortest).as_micros(), shortest.as_micros());
    let carried = u128::from(arrived) * shortest / took.max(1);
    u64::try_from(carried).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATAGRAM: u16 = 1000;
    const ROUND_TRIP: Duration = Duration::from_millis(40);

    /// A line that carries so many datagrams in a round trip and has a queue for as many again; it drops the rest, and
    /// of those that it carries one in every `bad`.
    struct Line {
        ceiling: Ceiling,
        carries: u64,
        bad: u64,
        sent: u64,
        now: Instant,
        /// How long a round trip takes without a queue, as a multiple of the shortest ever.
        slower: f64,
    }

    impl Line {
        fn new(carries: u64, bad: u64) -> Self {
            Self {
                ceiling: Ceiling::default(),
                carries,
                bad,
                sent: 0,
                now: Instant::now(),
                slower: 1.0,
            }
        }

        /// Sends what may be in flight; returns how many datagrams, and how many of them arrived.
        fn round(&mut self, wanted: u64) -> (u64, u64) {
            let datagram = u64::from(DATAGRAM);
            let sent = self.ceiling.bound(wanted * datagram) / datagram;
            let held = sent.min(2 * self.carries);
            let first = self.sent;
            let mut arrived = 0;
            for packet in first..first + sent {
                self.ceiling.on_sent(packet);
                if packet - first < held && packet % self.bad != 0 {
                    arrived += 1;
                    self.ceiling.on_arrived(datagram, ROUND_TRIP);
                } else {
                    self.ceiling.on_lost(datagram);
                }
            }
            self.sent += sent;
            let queued = held.saturating_sub(self.carries) as f64 / self.carries.max(1) as f64;
            self.now += ROUND_TRIP.mul_f64(self.slower * (1.0 + queued));
            let latest = Some(self.sent - 1);
            self.ceiling.on_seen(Seen {
                now: self.now,
                latest,
                in_flight_bytes: 1,
                wanted_bytes: wanted * datagram,
                datagram_bytes: DATAGRAM,
            });
            (sent, arrived)
        }

        fn rounds(&mut self, count: u64, wanted: u64) -> (u64, u64) {
            (0..count)
                .map(|_| self.round(wanted))
                .fold((0, 0), |(a, b), (sent, arrived)| (a + sent, b + arrived))
        }
    }

    #[test]
    fn a_line_that_is_believed_twice_too_fast_is_kept_full_and_gets_little_more() {
        let mut line = Line::new(500, u64::MAX);
        line.rounds(10, 2400);
        for _ in 0..100 {
            assert!(line.round(2400).1 >= 500);
        }
        let (sent, arrived) = line.rounds(100, 2400);
        assert!(sent * 100 <= 105 * arrived, "{sent} for {arrived}");
    }

    #[test]
    fn a_line_that_loses_one_in_a_hundred_by_itself_has_no_ceiling() {
        let mut line = Line::new(1000, 100);
        let (sent, _) = line.rounds(100, 1000);
        assert_eq!(sent, 100 * 1000);
    }

    #[test]
    fn a_line_that_loses_one_in_fifteen_by_itself_is_not_choked() {
        let mut line = Line::new(1000, 15);
        for _ in 0..200 {
            assert_eq!(line.round(1000).0, 1000);
        }
    }

    #[test]
    fn nor_is_one_on_which_that_cannot_be_told_by_the_time_it_takes() {
        let mut line = Line::new(1000, 15);
        line.slower = 1.5;
        line.rounds(100, 1000);
        let (sent, _) = line.rounds(100, 1000);
        assert!(sent >= 95 * 1000, "{sent}");
    }

    #[test]
    fn a_few_lost_are_chance_where_few_are_sent() {
        let mut line = Line::new(20, 10);
        let (sent, _) = line.rounds(100, 20);
        assert_eq!(sent, 100 * 20);
    }

    #[test]
    fn a_ceiling_rises_out_of_the_way_when_the_line_gets_better() {
        let mut line = Line::new(5, u64::MAX);
        line.rounds(10, 1200);
        line.carries = 5000;
        let (sent, _) = line.rounds(30, 1200);
        assert!(sent < 30 * 1200);
        assert_eq!(line.round(1200), (1200, 1200));
    }

    #[test]
    fn what_does_not_use_the_line_says_nothing_of_it() {
        let mut line = Line::new(500, u64::MAX);
        line.rounds(10, 2400);
        let bound = line.ceiling.bound(u64::MAX);
        line.rounds(100, 20);
        assert_eq!(line.ceiling.bound(u64::MAX), bound);
    }

    #[test]
    fn where_less_is_wanted_for_a_while_losses_do_not_lower_it() {
        let mut line = Line::new(500, u64::MAX);
        line.rounds(10, 2400);
        let bound = line.ceiling.bound(u64::MAX);
        line.bad = 10;
        line.rounds(3, 200);
        assert_eq!(line.ceiling.bound(u64::MAX), bound);
    }

    #[test]
    fn it_never_closes_the_line_and_never_asks_for_more_than_is_wanted() {
        let mut line = Line::new(0, u64::MAX);
        line.rounds(10, 1200);
        let (sent, _) = line.round(1200);
        assert_eq!(sent, LEAST_DATAGRAMS);
        // A line of two datagrams, and larger datagrams than before.
        let mut line = Line::new(1, u64::MAX);
        assert_eq!(line.rounds(5, 9).0, 5 * 9);
        line.ceiling.on_lost(1_000_000);
        line.ceiling.on_sent(1000);
        line.ceiling.on_seen(Seen {
            now: line.now + ROUND_TRIP,
            latest: Some(1000),
            in_flight_bytes: 1,
            wanted_bytes: 4 * 6500,
            datagram_bytes: 6500,
        });
        assert_eq!(line.ceiling.bound(4 * 6500), 4 * 6500);
    }

    #[test]
    fn losses_of_one_round_trip_count_once_and_not_after_a_pause() {
        let mut line = Line::new(500, u64::MAX);
        line.rounds(2, 2400);
        let bound = line.ceiling.bound(u64::MAX);
        let mut lose = |latest, in_flight_bytes| {
            line.ceiling.on_lost(u64::from(DATAGRAM) * 1000);
            line.ceiling.on_seen(Seen {
                now: line.now,
                latest: Some(latest),
                in_flight_bytes,
                wanted_bytes: u64::MAX,
                datagram_bytes: DATAGRAM,
            });
            line.ceiling.bytes
        };
        let last = lose(0, 1);
        assert_eq!(last, bound, "the same round trip");
        lose(1_000_000, 0);
        let paused = lose(1_000_001, 0);
        assert_eq!(lose(1_000_002, 1), paused);
    }
}
