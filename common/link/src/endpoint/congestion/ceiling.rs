//! The most that may be in flight over a line that drops what comes faster than it carries.
//!
//! BBR looks at what arrives and not at what is lost, and where answers come in clusters it believes in a line twice as
//! fast as the real one: it then sends everything twice, and whoever shares the line waits behind it. More than a few
//! lost packets in a hundred are a queue that overflowed (the bound of BBRv3 is 2 %); what got through in that round
//! trip says how much the line holds. What it carries without any queue is left to it, whatever is lost: some lines
//! lose more than others.

use std::time::{Duration, Instant};

/// Of what was sent in a round trip, this share may be lost, in thousandths, before it counts as too much: three times
/// what a bad line loses by itself.
const BEARABLE_LOSS: u64 = 30;
/// Fewer lost datagrams than these are chance.
const CHANCE_DATAGRAMS: u64 = 4;
/// What is kept of what got through, in hundredths, so that the queue drains.
const KEPT: u64 = 85;
/// What may always be in flight, in hundredths of what arrives in the shortest round trip: a line that loses up to a
/// tenth by itself is not choked for it.
const CARRIED: u64 = 110;
/// After a round trip that used at least half of it, without such losses, the ceiling rises by one part in so many.
const RISE: u64 = 16;
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
    began: Option<Instant>,
    shortest: Duration,
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

    /// Told what the other side has seen; `wanted` bytes would be in flight if there were no ceiling.
    pub(super) fn on_seen(
        &mut self,
        now: Instant,
        latest: Option<u64>,
        wanted: u64,
        datagram_bytes: u16,
    ) {
        if latest.is_none_or(|latest| latest <= self.last_of_round) {
            return;
        }
        self.last_of_round = self.last_sent;
        let datagram = u64::from(datagram_bytes);
        let (arrived, lost) = (self.arrived_bytes, self.lost_bytes);
        (self.arrived_bytes, self.lost_bytes) = (0, 0);
        let Some(began) = self.began.replace(now) else {
            return;
        };
        let bearable = (arrived + lost) * BEARABLE_LOSS / 1000;
        if lost > bearable.max(CHANCE_DATAGRAMS * datagram) {
            // Little may have arrived because there was little to send: never down by more than a half at once.
            let before = self.bound(wanted);
            let held = arrived.clamp(before / 2, before);
            let carried = carried(arrived, now - began, self.shortest);
            let kept = (held * KEPT / 100).max(carried * CARRIED / 100);
            self.bytes = kept.clamp(LEAST_DATAGRAMS * datagram, before);
        } else if arrived >= self.bytes / 2 {
            self.bytes = self.bytes.saturating_add(self.bytes / RISE);
        }
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
    }

    impl Line {
        fn new(carries: u64, bad: u64) -> Self {
            Self {
                ceiling: Ceiling::default(),
                carries,
                bad,
                sent: 0,
                now: Instant::now(),
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
            self.now += ROUND_TRIP.mul_f64(1.0 + queued);
            let latest = Some(self.sent - 1);
            let wanted = wanted * datagram;
            self.ceiling.on_seen(self.now, latest, wanted, DATAGRAM);
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
        line.rounds(100, 1000);
        let (sent, _) = line.rounds(100, 1000);
        assert_eq!(sent, 100 * 1000);
    }

    #[test]
    fn a_few_lost_are_chance_where_few_are_sent() {
        let mut line = Line::new(20, 10);
        let (sent, _) = line.rounds(100, 20);
        assert_eq!(sent, 100 * 20);
    }

    #[test]
    fn a_ceiling_rises_out_of_the_way_when_the_line_gets_better() {
        let mut line = Line::new(100, u64::MAX);
        line.rounds(10, 1200);
        line.carries = 5000;
        let (sent, _) = line.rounds(60, 1200);
        assert!(sent < 60 * 1200);
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
    fn it_never_closes_the_line() {
        let mut line = Line::new(0, u64::MAX);
        line.rounds(100, 1200);
        let (sent, _) = line.round(1200);
        assert_eq!(sent, LEAST_DATAGRAMS);
    }

    #[test]
    fn losses_of_one_round_trip_count_once() {
        let mut line = Line::new(500, u64::MAX);
        line.rounds(2, 2400);
        let bound = line.ceiling.bound(u64::MAX);
        line.ceiling.on_lost(u64::from(DATAGRAM) * 1000);
        let seen = Some(line.ceiling.last_of_round);
        line.ceiling.on_seen(line.now, seen, u64::MAX, DATAGRAM);
        assert_eq!(line.ceiling.bound(u64::MAX), bound);
    }
}
