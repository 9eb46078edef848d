//! Who gives which block of a tree to whom, while several machines of an org fetch it.
//!
//! The coordinator hands out each block once, spread over those who fetch, and tells the others to get it from one
//! another (super-seeding); each serves what it has while it still fetches. Who cannot get a block from others within
//! a time that follows the line's own speed gets it from the coordinator after all, so that nobody waits for ever.
//!
//! No part of the state: it is kept in memory by the coordinator's door, and a restart loses it without harm. Pure:
//! time comes in as the time since some beginning.

mod blocks;

pub use self::blocks::Blocks;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use common::{
    id::MachineId,
    wire::peer::{Done, LostWhy, MAX_BLOCKS, MAX_CONTACTS, Order, Source, SwarmNews},
};

/// Most machines that fetch or have one tree and are told of one another.
pub const MAX_MEMBERS: usize = 256;
/// Blocks that the coordinator sends to one machine at once while others want them too: enough that its line is never
/// idle, and no more, so that blocks are spread.
const SEEDS: usize = 2;
/// The same for a machine that is alone. Others may come a moment later, and its part of the line is small then.
const SEEDS_ALONE: usize = 4;
/// The same where so few blocks as that take no longer than this: four times as many have soon come too.
const SEEDS_NEAR: usize = 16;
const NEAR: Duration = Duration::from_millis(250);
/// The coordinator sends from so many places of a tree at once: mostly of different files, each of which one thread at
/// a time can write to.
const PLACES: u32 = 4;
/// Blocks that come to a machine from others at once; in all, and from each.
const FROM_PEERS: usize = 16;
const FROM_ONE: usize = 4;
/// Blocks that a machine serves at once.
const SERVING: usize = 12;
/// Accusers that it takes until nobody is sent to a machine any more: one alone may be wrong, or lie itself.
const ACCUSERS: usize = 2;

/// How long a block is given to come, in times of what the last ones took, and the bounds of that.
const PATIENCE: u32 = 4;
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
const MOST_PATIENCE: Duration = Duration::from_secs(60);
/// What a block is taken to need before any has come.
const FIRST_SEED_TIME: Duration = Duration::from_millis(7_500);
/// Weight of the past in the mean of times, in parts of the newest one's.
const PAST: u32 = 7;

/// All machines that fetch or have one tree.
#[derive(Debug)]
pub struct Swarm {
    blocks: u32,
    members: BTreeMap<MachineId, Member>,
    /// What a block from the coordinator needed lately.
    seed_time: Duration,
}

#[derive(Debug)]
struct Member {
    /// Whether others may come to it.
    serves: bool,
    has: Blocks,
    /// Ordered ones among them.
    lacks: Blocks,
    ordered: BTreeMap<u32, Ordered>,
    /// When a block came last.
    came_at: Duration,
    reached: BTreeSet<MachineId>,
    lost: BTreeSet<MachineId>,
    accusers: BTreeSet<MachineId>,
    /// Since when it lacks something and has nothing ordered.
    starving_since: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Ordered {
    from: Source,
    at: Duration,
}

impl Swarm {
    /// Begins with nobody; `None` for more blocks than there can be.
    pub fn new(blocks: u32) -> Option<Self> {
        (1..=MAX_BLOCKS).contains(&blocks).then(|| Self {
            blocks,
            members: BTreeMap::new(),
            seed_time: FIRST_SEED_TIME,
        })
    }

    /// Takes in a machine that lacks these blocks and has all others. Returns whether there was room.
    pub fn join(&mut self, machine: MachineId, lacks: Blocks, serves: bool) -> bool {
        self.leave(machine);
        if self.members.len() >= MAX_MEMBERS {
            return false;
        }
        let mut has = Blocks::all(self.blocks);
        has.take(&lacks);
        let member = Member {
            serves,
            has,
            lacks,
            ordered: BTreeMap::new(),
            came_at: Duration::ZERO,
            reached: BTreeSet::new(),
            lost: BTreeSet::new(),
            accusers: BTreeSet::new(),
            starving_since: None,
        };
        self.members.insert(machine, member);
        true
    }

    /// Forgets a machine that gave up, is gone, or is not to serve any more.
    pub fn leave(&mut self, machine: MachineId) {
        self.members.remove(&machine);
        for member in self.members.values_mut() {
            member.reached.remove(&machine);
            member.lost.remove(&machine);
            member.accusers.remove(&machine);
            member
                .ordered
                .retain(|_, ordered| ordered.from != Source::Peer(machine));
        }
    }

    /// Says whether others may come to a machine.
    pub fn serve(&mut self, machine: MachineId, serves: bool) {
        if let Some(member) = self.members.get_mut(&machine) {
            member.serves = serves;
        }
    }

    pub fn lacks_anything(&self, machine: MachineId) -> bool {
        let member = self.members.get(&machine);
        member.is_some_and(|member| !member.lacks.is_empty())
    }

    /// Takes note of what a machine says. Returns whether there may be new orders for others.
    pub fn on_news(&mut self, machine: MachineId, news: &SwarmNews, now: Duration) -> bool {
        for lost in &news.lost {
            self.on_lost(machine, lost.machine, lost.why);
        }
        let known = |other: &MachineId| *other != machine && self.members.contains_key(other);
        let reached: Vec<MachineId> = news.reached.iter().copied().filter(known).collect();
        let Some(member) = self.members.get_mut(&machine) else {
            return false;
        };
        for other in reached {
            if !member.lost.contains(&other) {
                member.reached.insert(other);
            }
        }
        let mut took = Vec::new();
        for done in &news.done {
            took.extend(member.on_done(done, now));
        }
        for time in took.iter().flatten() {
            self.seed_time = (self.seed_time * PAST + *time) / (PAST + 1);
        }
        !took.is_empty()
    }

    fn on_lost(&mut self, machine: MachineId, lost: MachineId, why: LostWhy) {
        let Some(member) = self.members.get_mut(&machine) else {
            return;
        };
        member.reached.remove(&lost);
        member
            .ordered
            .retain(|_, ordered| ordered.from != Source::Peer(lost));
        if !self.members.contains_key(&lost) || lost == machine {
            return;
        }
        if let Some(member) = self.members.get_mut(&machine) {
            member.lost.insert(lost);
        }
        if let Some(accused) = self.members.get_mut(&lost)
            && why == LostWhy::Lied
        {
            accused.accusers.insert(machine);
        }
    }

    /// Returns with whom a machine should connect: everybody where there are few, otherwise so that everybody is a
    /// few steps from everybody.
    pub fn contacts(&self, machine: MachineId) -> Vec<MachineId> {
        let Some(member) = self.members.get(&machine) else {
            return Vec::new();
        };
        let all: Vec<MachineId> = self.members.keys().copied().collect();
        let own = all.partition_point(|other| *other < machine);
        let jumps = (0..usize::BITS).map(|power| 1 << power);
        let steps = jumps.take_while(|step| *step < all.len());
        let mut seen = BTreeSet::from([machine]);
        let chosen = steps.chain(1..all.len()).filter_map(|step| {
            let other = all[(own + step) % all.len()];
            let good = !member.lost.contains(&other) && self.members[&other].is_good();
            (good && seen.insert(other)).then_some(other)
        });
        chosen.take(MAX_CONTACTS).collect()
    }

    /// Returns what a machine should order now, which from then on is ordered.
    pub fn orders(&mut self, machine: MachineId, now: Duration) -> Vec<Order> {
        let Some(member) = self.members.get(&machine) else {
            return Vec::new();
        };
        let mut open = member.lacks.clone();
        for block in member.ordered.keys() {
            open.remove(*block);
        }
        let mut orders = self.of_peers(machine, &mut open);
        orders.extend(self.seeds(machine, &mut open, now));
        if let Some(member) = self.members.get_mut(&machine) {
            for order in &orders {
                let ordered = Ordered {
                    from: order.from,
                    at: now,
                };
                member.ordered.insert(order.block, ordered);
            }
            let starving = member.ordered.is_empty() && !member.lacks.is_empty();
            let since = member.starving_since.unwrap_or(now);
            member.starving_since = starving.then_some(since);
        }
        orders
    }

    /// Orders what those have to whom there is a connection, from the least busy first.
    fn of_peers(&self, machine: MachineId, open: &mut Blocks) -> Vec<Order> {
        let member = &self.members[&machine];
        let mut serving: BTreeMap<MachineId, usize> = BTreeMap::new();
        for source in self.members.values().flat_map(Member::sources) {
            *serving.entry(source).or_default() += 1;
        }
        let mut from: BTreeMap<MachineId, usize> = BTreeMap::new();
        for source in member.sources() {
            *from.entry(source).or_default() += 1;
        }
        let mut all: usize = from.values().sum();
        // Machines begin at different places, so that they have something for one another.
        let start = self.start_of(machine);
        let mut orders = Vec::new();
        let mut peers: Vec<MachineId> = member.reached.iter().copied().collect();
        while all < FROM_PEERS {
            let busy = |peer: &MachineId| serving.get(peer).copied().unwrap_or(0);
            peers.sort_by_key(|peer| (busy(peer), *peer));
            let next = peers.iter().find_map(|peer| {
                let other = self.members.get(peer).filter(|other| other.is_good())?;
                let free = busy(peer) < SERVING && from.get(peer).copied().unwrap_or(0) < FROM_ONE;
                let block = free.then(|| other.has.first_in(open, start)).flatten()?;
                Some((*peer, block))
            });
            let Some((peer, block)) = next else { break };
            open.remove(block);
            *serving.entry(peer).or_default() += 1;
            *from.entry(peer).or_default() += 1;
            all += 1;
            orders.push(Order {
                block,
                from: Source::Peer(peer),
            });
        }
        orders
    }

    /// Orders from the coordinator what nobody else can be expected to give.
    fn seeds(&self, machine: MachineId, open: &mut Blocks, now: Duration) -> Vec<Order> {
        let member = &self.members[&machine];
        let others = self.others(machine);
        let alone = others.clone().next().is_none();
        let running = member.ordered.iter();
        let running = running.filter(|(_, ordered)| ordered.from == Source::Coordinator);
        let in_place = self.blocks.div_ceil(PLACES);
        let place_of = |block: u32| (block / in_place).min(PLACES - 1) as usize;
        let mut places = [0; PLACES as usize];
        let mut running: usize = running
            .map(|(block, _)| places[place_of(*block)] += 1)
            .count();
        // What a block takes grows with how many are on the way.
        let rounds = u32::try_from(running.div_ceil(SEEDS_ALONE)).unwrap_or(1);
        let near = self.seed_time <= NEAR * rounds.max(1);
        let most = match alone {
            true if near => SEEDS_NEAR,
            true => SEEDS_ALONE,
            false => SEEDS,
        };
        let patience = self.patience();
        let mut free = open.clone();
        for (_, other) in others.clone() {
            free.take(&other.has);
            // What is on its way to somebody to whom things come will be there.
            let hoped = |ordered: &Ordered| {
                let heard = ordered.at.max(other.came_at);
                now.saturating_sub(heard) < patience
            };
            let hoped = other.ordered.iter().filter(|(_, ordered)| hoped(ordered));
            hoped.for_each(|(block, _)| free.remove(*block));
        }
        let mut seeds = Vec::new();
        while running < most
            && let Some(idle) = (0..PLACES).min_by_key(|place| places[*place as usize])
            && let Some(block) = free.first_in(open, idle * in_place)
        {
            free.remove(block);
            open.remove(block);
            seeds.push(block);
            // Where nothing is left of a place, it goes on in the next.
            places[idle as usize] += 1;
            running += 1;
        }
        let nothing = member.ordered.is_empty() && seeds.is_empty();
        // While it is not known yet who can be reached, nobody should stand still; nor for ever.
        let untried = others
            .clone()
            .any(|(other, _)| !member.reached.contains(&other));
        let starved = member
            .starving_since
            .is_some_and(|since| now.saturating_sub(since) >= patience);
        let most = match (nothing, starved) {
            (true, true) => SEEDS,
            (true, false) if untried && member.reached.is_empty() => 1,
            _ => 0,
        };
        let start = self.start_of(machine);
        while seeds.len() < most
            && let Some(block) = open.first_in(open, start)
        {
            open.remove(block);
            seeds.push(block);
        }
        let orders = seeds.into_iter().map(|block| Order {
            block,
            from: Source::Coordinator,
        });
        orders.collect()
    }

    /// Returns those from whom a machine can hope for something.
    fn others(&self, machine: MachineId) -> impl Iterator<Item = (MachineId, &Member)> + Clone {
        let lost = &self.members[&machine].lost;
        let others = self.members.iter().map(|(other, member)| (*other, member));
        others.filter(move |(other, member)| {
            *other != machine && member.is_good() && !lost.contains(other)
        })
    }

    fn patience(&self) -> Duration {
        (self.seed_time * PATIENCE).clamp(LEAST_PATIENCE, MOST_PATIENCE)
    }

    fn start_of(&self, machine: MachineId) -> u32 {
        let bytes = machine.as_bytes();
        let number = u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        number % self.blocks
    }
}

impl Member {
    /// Returns whether others are sent to it.
    fn is_good(&self) -> bool {
        self.serves && self.accusers.len() < ACCUSERS
    }

    /// Returns from whom it gets something now, as often as it gets something.
    fn sources(&self) -> impl Iterator<Item = MachineId> {
        self.ordered
            .values()
            .filter_map(|ordered| match ordered.from {
                Source::Peer(peer) => Some(peer),
                Source::Coordinator => None,
            })
    }

    /// Returns, if it was ordered, what a block of the coordinator's has taken.
    fn on_done(&mut self, done: &Done, now: Duration) -> Option<Option<Duration>> {
        let ordered = *self.ordered.get(&done.block)?;
        if ordered.from != done.from {
            return None;
        }
        self.ordered.remove(&done.block);
        if !done.came {
            return Some(None);
        }
        self.came_at = now;
        self.lacks.remove(done.block);
        self.has.insert(done.block);
        let seed = ordered.from == Source::Coordinator;
        Some(seed.then(|| now.saturating_sub(ordered.at)))
    }
}

#[cfg(test)]
mod tests;
