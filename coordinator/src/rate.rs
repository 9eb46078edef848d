//! How often an address may be wrong: the join door's guard against guessing. In memory only, and bounded.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Wrong tries that an address has before it has to wait.
const TRIES: u32 = 10;
/// How long a wrong try is remembered.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered. Beyond that the oldest makes room.
const ADDRESSES: usize = 4096;

/// Wrong tries by address.
#[derive(Debug, Default)]
pub(crate) struct WrongTries {
    tries: Mutex<HashMap<IpAddr, Tries>>,
}

#[derive(Debug)]
struct Tries {
    since: Instant,
    count: u32,
}

impl WrongTries {
    /// Returns whether the address has to wait.
    pub(crate) fn too_many(&self, from: IpAddr, now: Instant) -> bool {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.get(&network(from)).is_some_and(|tries| {
            tries.count >= TRIES && now.saturating_duration_since(tries.since) < WINDOW
        })
    }

    /// Remembers a wrong try.
    pub(crate) fn record(&self, from: IpAddr, now: Instant) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let from = network(from);
        if tries.len() >= ADDRESSES && !tries.contains_key(&from) {
            tries.retain(|_, tries| now.saturating_duration_since(tries.since) < WINDOW);
            if tries.len() >= ADDRESSES {
                let oldest = tries.iter().min_by_key(|(_, tries)| tries.since);
                if let Some(oldest) = oldest.map(|(address, _)| *address) {
                    tries.remove(&oldest);
                }
            }
        }
        let entry = tries.entry(from).or_insert(Tries {
            since: now,
            count: 0,
        });
        if now.saturating_duration_since(entry.since) >= WINDOW {
            *entry = Tries {
                since: now,
                count: 0,
            };
        }
        entry.count += 1;
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

    #[test]
    fn an_address_waits_after_its_tries_and_others_do_not() {
        let (tries, now) = (WrongTries::default(), Instant::now());
        let (bad, good): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for _ in 0..TRIES {
            assert!(!tries.too_many(bad, now));
            tries.record(bad, now);
        }
        assert!(tries.too_many(bad, now));
        assert!(!tries.too_many(good, now));
        assert!(!tries.too_many(bad, now + WINDOW));
        tries.record(bad, now + WINDOW);
        assert!(!tries.too_many(bad, now + WINDOW));
    }

    #[test]
    fn one_network_of_ipv6_counts_as_one_and_the_table_is_bounded() {
        let (tries, now) = (WrongTries::default(), Instant::now());
        for host in 0..TRIES {
            let address = format!("2001:db8::{host:x}").parse().unwrap();
            tries.record(address, now);
        }
        assert!(tries.too_many("2001:db8::ffff".parse().unwrap(), now));
        assert!(!tries.too_many("2001:db8:0:1::1".parse().unwrap(), now));
        for number in 0..16 + u32::try_from(ADDRESSES).unwrap() {
            tries.record(Ipv4Addr::from_bits(number).into(), now);
        }
        assert!(tries.tries.lock().unwrap().len() <= ADDRESSES);
    }
}
