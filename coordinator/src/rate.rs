//! The guard against guessing codes: how often an address, and everybody together, may be wrong.
//!
//! Two bounds. An *address* (of IPv6 a /64) that was wrong too often waits. And so does the *code space*: when all
//! addresses together were wrong about short codes too often, short codes are not looked at for a while, from
//! nobody. The 128 bits of a link cannot be guessed, so a link is looked at whatever is closed: a right one lets in,
//! and nobody can lock out whoever holds one; a wrong one is told to wait like a code.
//!
//! What is closed outlives a restart ([`Self::closures`][WrongTries::closures], kept by `kept`), what was counted
//! towards it does not: with a restart in each window an address has twice its tries, of 60 bits. Nothing here grows
//! with the number of guesses: the tables are bounded, and what is kept is one small file that is written anew at
//! most once a second. It is not in the book, because the book's log of events only grows, and strangers must not
//! be able to make it grow.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use common::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Wrong tries that an address has before it has to wait.
const TRIES: u32 = 10;
/// How long a wrong try is remembered, and how long an address waits.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered. Beyond that the oldest makes room.
const ADDRESSES: usize = 4096;
/// Wrong codes of all addresses in a window before codes are closed: some 50 million a year, of 2^60.
const SPACE_TRIES: u32 = 1000;
/// How long wrong codes of all are remembered, and how long codes are closed.
const SPACE_WINDOW: Duration = Duration::from_secs(600);

/// What is guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guess {
    /// 60 bits, for reading aloud.
    Code,
    /// The 128 bits of a link.
    Secret,
}

/// Who has to wait until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closure {
    /// `None` is everybody, about codes.
    pub(crate) from: Option<IpAddr>,
    pub(crate) until: Timestamp,
}

/// Wrong tries by address and of all.
#[derive(Debug, Default)]
pub(crate) struct WrongTries {
    tries: Mutex<Tallies>,
}

#[derive(Debug, Default)]
struct Tallies {
    addresses: HashMap<IpAddr, Tally>,
    space: Tally,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    since: Timestamp,
    count: u32,
    closed_until: Option<Timestamp>,
}

impl Tally {
    fn is_closed(&self, now: Timestamp) -> bool {
        self.closed_until.is_some_and(|until| now < until)
    }

    /// Counts one more; returns whether that closes.
    fn count(&mut self, now: Timestamp, most: u32, window: Duration) -> bool {
        if now.since(self.since) >= window {
            (self.since, self.count) = (now, 0);
        }
        self.count += 1;
        let closes = self.count >= most && !self.is_closed(now);
        if closes {
            self.closed_until = Some(now.saturating_add(window));
        }
        closes
    }
}

impl WrongTries {
    /// Returns the guard with what was closed before a restart.
    pub(crate) fn with(closures: &[Closure]) -> Self {
        let mut tallies = Tallies::default();
        for closure in closures.iter().take(ADDRESSES + 1) {
            let closed = Tally {
                closed_until: Some(closure.until),
                ..Tally::default()
            };
            match closure.from {
                None => tallies.space = closed,
                Some(from) => drop(tallies.addresses.insert(network(from), closed)),
            }
        }
        Self {
            tries: Mutex::new(tallies),
        }
    }

    /// Returns why somebody has to wait.
    pub(crate) fn closed(
        &self,
        from: IpAddr,
        guess: Guess,
        now: Timestamp,
    ) -> Option<&'static str> {
        let tallies = self.tallies();
        let address = tallies.addresses.get(&network(from));
        if address.is_some_and(|tally| tally.is_closed(now)) {
            Some("too many wrong codes came from this address")
        } else if guess == Guess::Code && tallies.space.is_closed(now) {
            Some(
                "too many wrong codes came from everywhere, so that codes are closed for a while; links are not",
            )
        } else {
            None
        }
    }

    /// Remembers a wrong try; returns whether something closes by it.
    pub(crate) fn record(&self, from: IpAddr, guess: Guess, now: Timestamp) -> bool {
        let mut tallies = self.tallies();
        let from = network(from);
        if !tallies.addresses.contains_key(&from) {
            tallies.make_room(now);
        }
        let address = tallies.addresses.entry(from).or_default();
        let closes = address.count(now, TRIES, WINDOW);
        let all = guess == Guess::Code && tallies.space.count(now, SPACE_TRIES, SPACE_WINDOW);
        closes || all
    }

    /// Returns everything that is closed now.
    pub(crate) fn closures(&self, now: Timestamp) -> Vec<Closure> {
        let tallies = self.tallies();
        let addresses = tallies.addresses.iter();
        let addresses = addresses.map(|(from, tally)| (Some(*from), tally));
        addresses
            .chain([(None, &tallies.space)])
            .filter(|(_, tally)| tally.is_closed(now))
            .filter_map(|(from, tally)| {
                let until = tally.closed_until?;
                Some(Closure { from, until })
            })
            .collect()
    }

    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tallies {
    fn make_room(&mut self, now: Timestamp) {
        if self.addresses.len() < ADDRESSES {
            return;
        }
        let fresh = |tally: &Tally| tally.is_closed(now) || now.since(tally.since) < WINDOW;
        self.addresses.retain(|_, tally| fresh(tally));
        if self.addresses.len() >= ADDRESSES {
            let oldest = self.addresses.iter().min_by_key(|(_, tally)| tally.since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.addresses.remove(&oldest);
            }
        }
    }
}

/// Returns what one person can be expected to have: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const CODE: Guess = Guess::Code;
    const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn an_address_waits_after_its_tries_and_others_do_not() {
        let tries = WrongTries::default();
        let (bad, good) = (address(1), address(2));
        for number in 1..=TRIES {
            assert!(tries.closed(bad, CODE, NOW).is_none());
            assert_eq!(tries.record(bad, CODE, NOW), number == TRIES);
        }
        assert!(tries.closed(bad, CODE, NOW).is_some());
        assert!(tries.closed(bad, Guess::Secret, NOW).is_some());
        assert!(tries.closed(good, CODE, NOW).is_none());
        let later = NOW.saturating_add(WINDOW);
        assert!(tries.closed(bad, CODE, later).is_none());
        tries.record(bad, CODE, later);
        assert!(tries.closed(bad, CODE, later).is_none());
    }

    #[test]
    fn codes_close_for_all_when_all_together_are_wrong_and_links_do_not() {
        let tries = WrongTries::default();
        for number in 0..SPACE_TRIES {
            assert!(tries.closed(address(7), CODE, NOW).is_none());
            // Wrong links are no guesses at a code.
            tries.record(address(number), Guess::Secret, NOW);
            tries.record(address(number), CODE, NOW);
        }
        let nobody = address(u32::MAX);
        assert!(tries.closed(nobody, CODE, NOW).is_some());
        assert!(tries.closed(nobody, Guess::Secret, NOW).is_none());
        let later = NOW.saturating_add(SPACE_WINDOW);
        assert!(tries.closed(nobody, CODE, later).is_none());
    }

    #[test]
    fn what_is_closed_is_closed_after_a_restart() {
        let tries = WrongTries::default();
        for _ in 0..TRIES {
            tries.record(address(1), CODE, NOW);
        }
        for number in 0..SPACE_TRIES {
            tries.record(address(100 + number), CODE, NOW);
        }
        let kept = tries.closures(NOW);
        assert_eq!(kept.len(), 2);
        let again = WrongTries::with(&kept);
        assert!(again.closed(address(1), Guess::Secret, NOW).is_some());
        assert!(again.closed(address(2), CODE, NOW).is_some());
        assert!(again.closed(address(2), Guess::Secret, NOW).is_none());
        assert_eq!(again.closures(NOW).len(), 2);
        assert!(again.closures(NOW.saturating_add(SPACE_WINDOW)).is_empty());
    }

    #[test]
    fn one_network_of_ipv6_counts_as_one_and_the_table_is_bounded() {
        let tries = WrongTries::default();
        for host in 0..TRIES {
            let address = format!("2001:db8::{host:x}").parse().unwrap();
            tries.record(address, CODE, NOW);
        }
        let closed = |text: &str| tries.closed(text.parse().unwrap(), Guess::Secret, NOW);
        assert!(closed("2001:db8::ffff").is_some());
        assert!(closed("2001:db8:0:1::1").is_none());
        for number in 0..16 + u32::try_from(ADDRESSES).unwrap() {
            tries.record(address(number), Guess::Secret, NOW);
        }
        assert!(tries.tallies().addresses.len() <= ADDRESSES);
    }
}
