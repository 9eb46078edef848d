//! The machines that others can reach, and the trees that are being fetched now. In memory only: after a restart,
//! whoever fetches goes on without others.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use common::{
    id::{MachineId, OrgId, TreeId},
    wire::peer::{LostWhy, MAX_DOOR_ADDRESSES, Order, SwarmNews},
};
use coordinator_core::swarm::{Blocks, Swarm};
use tokio::sync::Notify;

/// Most trees that are fetched with others' help at once; more are fetched without.
const MAX_SWARMS: usize = 256;

/// A tree of an org, as those see it who cut it into so many blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) org: OrgId,
    pub(crate) tree: TreeId,
    pub(crate) blocks: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Swarms {
    begun: Instant,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    doors: HashMap<MachineId, Vec<SocketAddr>>,
    live: HashMap<Key, Live>,
}

#[derive(Debug)]
struct Live {
    swarm: Swarm,
    /// Of those that fetch.
    wakers: BTreeMap<MachineId, Arc<Notify>>,
}

/// A machine that fetches a tree; it leaves when this is dropped, unless it has all of it.
#[derive(Debug)]
pub(crate) struct Member {
    swarms: Arc<Swarms>,
    key: Key,
    machine: MachineId,
    /// There may be something new.
    pub(crate) wake: Arc<Notify>,
}

/// Where a machine is reached.
pub(crate) type Reached = (MachineId, Vec<SocketAddr>);

impl Default for Swarms {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            now: Mutex::default(),
        }
    }
}

impl Swarms {
    /// Takes note of where others reach a machine, which itself was seen at `seen`; nowhere is a door that is shut.
    pub(crate) fn set_door(&self, machine: MachineId, addresses: Vec<SocketAddr>, seen: IpAddr) {
        let good = addresses.into_iter().filter(|at| is_plausible(*at, seen));
        let good: Vec<SocketAddr> = good.take(MAX_DOOR_ADDRESSES).collect();
        let mut now = self.lock();
        if good.is_empty() {
            now.doors.remove(&machine);
        } else {
            now.doors.insert(machine, good);
        }
        let Now { doors, live } = &mut *now;
        for live in live.values_mut() {
            live.swarm.serve(machine, doors.contains_key(&machine));
        }
    }

    /// Forgets a machine that is not connected any more.
    pub(crate) fn forget(&self, machine: MachineId) {
        let mut now = self.lock();
        now.doors.remove(&machine);
        for live in now.live.values_mut() {
            live.swarm.leave(machine);
        }
    }

    pub(crate) fn has_door(&self, machine: MachineId) -> bool {
        self.lock().doors.contains_key(&machine)
    }

    /// Takes in a machine that lacks these blocks; `holders` have the whole tree. `None` where there is no room.
    pub(crate) fn join(
        self: &Arc<Self>,
        key: Key,
        machine: MachineId,
        lacks: Blocks,
        holders: &[MachineId],
    ) -> Option<Member> {
        let mut now = self.lock();
        let Now { doors, live } = &mut *now;
        if !live.contains_key(&key) && live.len() >= MAX_SWARMS {
            return None;
        }
        let mut fresh = Live {
            swarm: Swarm::new(key.blocks)?,
            wakers: BTreeMap::new(),
        };
        let live = live.entry(key).or_insert_with(|| {
            for holder in holders.iter().filter(|holder| doors.contains_key(holder)) {
                let nothing = Blocks::none(key.blocks);
                fresh.swarm.join(*holder, nothing, true);
            }
            fresh
        });
        let serves = doors.contains_key(&machine);
        if !live.swarm.join(machine, lacks, serves) {
            return None;
        }
        let wake = Arc::new(Notify::new());
        live.wakers.insert(machine, Arc::clone(&wake));
        live.wake();
        Some(Member {
            swarms: Arc::clone(self),
            key,
            machine,
            wake,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn wake(&self) {
        self.wakers.values().for_each(|waker| waker.notify_one());
    }
}

impl Member {
    /// Takes note of what the machine says.
    pub(crate) fn on_news(&self, news: &SwarmNews) {
        for lost in news.lost.iter().filter(|lost| lost.why == LostWhy::Lied) {
            let (by, peer, tree) = (self.machine, lost.machine, self.key.tree);
            tracing::warn!(machine = %peer, %by, %tree, "a machine is said to have sent another what does not match");
        }
        let elapsed = self.swarms.begun.elapsed();
        let mut now = self.swarms.lock();
        if let Some(live) = now.live.get_mut(&self.key)
            && live.swarm.on_news(self.machine, news, elapsed)
        {
            live.wake();
        }
    }

    /// Returns what the machine is to order now, and from whom it may.
    pub(crate) fn next(&self) -> (Vec<Order>, Vec<Reached>) {
        let elapsed = self.swarms.begun.elapsed();
        let mut now = self.swarms.lock();
        let Now { doors, live } = &mut *now;
        let Some(live) = live.get_mut(&self.key) else {
            return Default::default();
        };
        let orders = live.swarm.orders(self.machine, elapsed);
        let contacts = live.swarm.contacts(self.machine).into_iter();
        let reached = contacts.filter_map(|peer| Some((peer, doors.get(&peer)?.clone())));
        (orders, reached.collect())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut now = self.swarms.lock();
        let Some(live) = now.live.get_mut(&self.key) else {
            return;
        };
        // One that came again, over another connection, has another waker.
        let ours = |waker: &Arc<Notify>| Arc::ptr_eq(waker, &self.wake);
        if !live.wakers.get(&self.machine).is_some_and(ours) {
            return;
        }
        live.wakers.remove(&self.machine);
        if live.swarm.lacks_anything(self.machine) {
            live.swarm.leave(self.machine);
        }
        live.wake();
        if live.wakers.is_empty() {
            now.live.remove(&self.key);
        }
    }
}

/// Returns whether others may be sent to an address that a machine names: one in a private network, or where the
/// machine was seen. A machine cannot make others knock at strangers' doors.
fn is_plausible(address: SocketAddr, seen: IpAddr) -> bool {
    let (ip, seen) = (address.ip().to_canonical(), seen.to_canonical());
    let is_private = match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            // The second are carriers' and overlay networks' (RFC 6598).
            ip.is_private() || ip.is_link_local() || a == 100 && (64..128).contains(&b)
        }
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    address.port() != 0 && (is_private || ip == seen || ip.is_loopback() && seen.is_loopback())
}

/// Returns whether two lists of contacts name the same machines.
pub(crate) fn same_machines(one: &[Reached], other: &[Reached]) -> bool {
    let ids = |list: &[Reached]| list.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>();
    ids(one) == ids(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(number: u8) -> MachineId {
        MachineId::from_bytes([number; 16])
    }

    fn key() -> Key {
        Key {
            org: OrgId::from_bytes([1; 16]),
            tree: TreeId::new([2; 32]),
            blocks: 8,
        }
    }

    #[test]
    fn nobody_is_sent_to_strangers_doors() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let seen: IpAddr = "203.0.113.7".parse().unwrap();
        for good in [
            "10.0.0.1:7",
            "192.168.1.2:7",
            "100.100.1.1:7",
            "[fd00::1]:7",
            "203.0.113.7:7",
        ] {
            assert!(is_plausible(at(good), seen), "{good}");
        }
        for bad in [
            "203.0.113.8:7",
            "8.8.8.8:7",
            "127.0.0.1:7",
            "[::1]:7",
            "10.0.0.1:0",
            "[::ffff:8.8.8.8]:7",
        ] {
            assert!(!is_plausible(at(bad), seen), "{bad}");
        }
        assert!(is_plausible(
            at("127.0.0.1:7"),
            "::ffff:127.0.0.1".parse().unwrap()
        ));
    }

    #[test]
    fn a_swarm_ends_with_the_last_who_fetches() {
        let swarms = Arc::new(Swarms::default());
        let seen: IpAddr = "10.0.0.1".parse().unwrap();
        for number in 1..=3 {
            swarms.set_door(machine(number), vec!["10.0.0.1:7".parse().unwrap()], seen);
        }
        let all = || Blocks::all(8);
        let holders = [machine(3), machine(9)];
        let one = swarms.join(key(), machine(1), all(), &holders).unwrap();
        let two = swarms.join(key(), machine(2), all(), &[]).unwrap();
        let ids = |member: &Member| -> Vec<MachineId> {
            member.next().1.into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(ids(&one), [machine(2), machine(3)]);
        swarms.set_door(machine(2), Vec::new(), seen);
        assert_eq!(ids(&one), [machine(3)], "its owner has shut it");
        swarms.forget(machine(3));
        assert!(ids(&one).is_empty());
        let again = swarms.join(key(), machine(1), all(), &[]).unwrap();
        drop(one);
        assert_eq!(
            ids(&two),
            [machine(1)],
            "the older of two does not take it away"
        );
        drop(again);
        assert!(ids(&two).is_empty());
        drop(two);
        assert!(swarms.lock().live.is_empty());
    }
}
