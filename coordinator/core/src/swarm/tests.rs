use proptest::prelude::*;

use common::wire::peer::Lost;

use super::*;

/// How long a step of the simulation is.
const STEP: Duration = Duration::from_millis(20);
/// Blocks that the coordinator, and each machine, sends in a step.
const UPLINK: usize = 1;
const LAN: usize = 10;

fn machine(number: u8) -> MachineId {
    MachineId::from_bytes([number.wrapping_mul(37).wrapping_add(1); 16])
}

/// How a machine behaves towards others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Good,
    /// What it sends is wrong.
    Lies,
    /// It takes orders and sends nothing.
    Silent,
    /// Nobody gets through to it.
    Hidden,
    /// It neither sends nor fetches any more, but its connection stays.
    Hangs,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    to: u8,
    order: Order,
    at: Duration,
}

/// Machines, lines between them, and what is on its way.
struct World {
    swarm: Swarm,
    manners: Vec<Manner>,
    /// How many have the tree from the start.
    whole: usize,
    under_way: Vec<Sent>,
    dialled: Vec<BTreeSet<MachineId>>,
    sent_by_coordinator: usize,
    now: Duration,
}

impl World {
    fn new(blocks: u32, manners: &[Manner], whole: usize) -> Self {
        let mut swarm = Swarm::new(blocks).unwrap();
        for (number, _) in (0..).zip(manners) {
            let lacks = if usize::from(number) < whole {
                Blocks::none(blocks)
            } else {
                Blocks::all(blocks)
            };
            assert!(swarm.join(machine(number), lacks, true));
        }
        Self {
            swarm,
            manners: manners.to_vec(),
            whole,
            under_way: Vec::new(),
            dialled: vec![BTreeSet::new(); manners.len()],
            sent_by_coordinator: 0,
            now: Duration::ZERO,
        }
    }

    fn number(&self, id: MachineId) -> usize {
        let numbers = (0_u8..).zip(&self.manners);
        let mut found = numbers.filter(|(number, _)| machine(*number) == id);
        usize::from(found.next().unwrap().0)
    }

    fn fetches(&self, number: usize) -> bool {
        number >= self.whole && self.manners[number] != Manner::Hangs
    }

    /// Everybody dials, orders, and gets what the lines bring. Returns whether all that can have everything.
    fn step(&mut self) -> bool {
        self.now += STEP;
        for number in 0..self.manners.len() {
            let id = machine(u8::try_from(number).unwrap());
            if number < self.whole {
                continue;
            }
            let hangs = !self.fetches(number) && self.now > STEP;
            let mut news = SwarmNews::default();
            for contact in self.swarm.contacts(id) {
                if self.dialled[number].insert(contact) {
                    match self.manners[self.number(contact)] {
                        Manner::Hidden => news.lost.push(Lost {
                            machine: contact,
                            why: LostWhy::Unreachable,
                        }),
                        _ => news.reached.push(contact),
                    }
                }
            }
            if hangs {
                continue;
            }
            self.swarm.on_news(id, &news, self.now);
            for order in self.swarm.orders(id, self.now) {
                let to = u8::try_from(number).unwrap();
                let at = self.now;
                self.under_way.push(Sent { to, order, at });
            }
        }
        self.deliver();
        (0..self.manners.len())
            .filter(|number| self.fetches(*number))
            .all(|number| {
                let id = machine(u8::try_from(number).unwrap());
                self.swarm.members[&id].lacks.is_empty()
            })
    }

    fn deliver(&mut self) {
        let mut room: BTreeMap<Source, usize> = BTreeMap::new();
        let mut left = Vec::new();
        for sent in std::mem::take(&mut self.under_way) {
            let manner = match sent.order.from {
                Source::Coordinator => Manner::Good,
                Source::Peer(peer) => self.manners[self.number(peer)],
            };
            let most = match sent.order.from {
                Source::Coordinator => UPLINK,
                Source::Peer(_) => LAN,
            };
            let used = room.entry(sent.order.from).or_default();
            let to = usize::from(sent.to);
            let late = self.now.saturating_sub(sent.at) > Duration::from_secs(5);
            let why = match manner {
                Manner::Lies => Some(LostWhy::Lied),
                Manner::Silent | Manner::Hangs if late => Some(LostWhy::Slow),
                Manner::Silent | Manner::Hangs => {
                    left.push(sent);
                    continue;
                }
                Manner::Good | Manner::Hidden => None,
            };
            if why.is_none() && *used == most {
                left.push(sent);
                continue;
            }
            *used += 1;
            if sent.order.from == Source::Coordinator {
                self.sent_by_coordinator += 1;
            }
            if self.fetches(to) {
                self.tell(sent, why);
            }
        }
        self.under_way = left;
    }

    fn tell(&mut self, sent: Sent, why: Option<LostWhy>) {
        let mut news = SwarmNews::default();
        news.done.push(Done {
            block: sent.order.block,
            from: sent.order.from,
            came: why.is_none(),
        });
        if let (Some(why), Source::Peer(machine)) = (why, sent.order.from) {
            news.lost.push(Lost { machine, why });
        }
        self.swarm.on_news(machine(sent.to), &news, self.now);
    }

    /// Returns how long it took until all had everything.
    fn run(&mut self) -> Duration {
        let most = 20_000;
        for _ in 0..most {
            if self.step() {
                return self.now;
            }
        }
        panic!("somebody waits for ever: {:?}", self.swarm);
    }
}

fn copies(world: &World) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let copies = world.sent_by_coordinator as f64 / f64::from(world.swarm.blocks);
    copies
}

#[test]
fn eight_get_one_copy_in_little_more_than_its_time() {
    let mut alone = World::new(64, &[Manner::Good], 0);
    let one = alone.run();
    let mut crowd = World::new(64, &[Manner::Good; 8], 0);
    let all = crowd.run();
    assert!(copies(&crowd) <= 1.05, "{}", copies(&crowd));
    assert!(all <= one * 3 / 2, "{all:?} beside {one:?}");
}

#[test]
fn alone_on_a_fast_line_much_is_on_its_way_from_far_apart_places() {
    let alone = |each: Duration| {
        let mut swarm = Swarm::new(1000).unwrap();
        let id = machine(0);
        assert!(swarm.join(id, Blocks::all(1000), true));
        let mut now = Duration::ZERO;
        let mut way: BTreeSet<u32> = swarm
            .orders(id, now)
            .iter()
            .map(|order| order.block)
            .collect();
        assert_eq!(way.len(), SEEDS_ALONE);
        for _ in 0..200 {
            now += each;
            let block = way.pop_first().unwrap();
            let mut news = SwarmNews::default();
            let from = Source::Coordinator;
            news.done.push(Done {
                block,
                from,
                came: true,
            });
            swarm.on_news(id, &news, now);
            way.extend(swarm.orders(id, now).iter().map(|order| order.block));
        }
        way
    };
    assert_eq!(alone(Duration::from_secs(1)).len(), SEEDS_ALONE);
    // Each takes 35 ms of the line: four together less than a quarter of a second, sixteen more.
    assert_eq!(alone(Duration::from_millis(35)).len(), SEEDS_NEAR);
    let near = alone(Duration::from_millis(1));
    assert_eq!(near.len(), SEEDS_NEAR);
    for place in 0..PLACES {
        let in_place = near.iter().filter(|block| **block / 250 == place).count();
        assert!((3..=5).contains(&in_place), "{near:?}");
    }
}

#[test]
fn forty_machines_pull_one_copy() {
    let mut crowd = World::new(100, &[Manner::Good; 40], 0);
    crowd.run();
    assert!(copies(&crowd) <= 1.05, "{}", copies(&crowd));
}

#[test]
fn who_is_near_one_that_has_it_hardly_asks_the_coordinator() {
    let mut pair = World::new(64, &[Manner::Good; 2], 1);
    pair.run();
    assert!(copies(&pair) <= 0.05, "{}", copies(&pair));
}

#[test]
fn those_who_cannot_reach_one_another_are_served_as_if_alone() {
    let mut hidden = World::new(64, &[Manner::Hidden; 4], 0);
    let all = hidden.run();
    let one = World::new(64, &[Manner::Good], 0).run();
    assert!(all <= one * 5, "{all:?} beside {one:?}");
}

#[test]
fn one_that_hangs_costs_no_copy() {
    let mut manners = [Manner::Good; 8];
    manners[3] = Manner::Hangs;
    let mut crowd = World::new(64, &manners, 0);
    crowd.run();
    assert!(copies(&crowd) <= 1.2, "{}", copies(&crowd));
}

#[test]
fn two_accusers_end_a_liars_business_and_one_does_not() {
    let mut swarm = Swarm::new(4).unwrap();
    for number in 0..4 {
        assert!(swarm.join(machine(number), Blocks::all(4), true));
    }
    let accuse = |swarm: &mut Swarm, by: u8| {
        let lost = Lost {
            machine: machine(0),
            why: LostWhy::Lied,
        };
        let news = SwarmNews {
            lost: vec![lost; 3],
            ..SwarmNews::default()
        };
        swarm.on_news(machine(by), &news, Duration::ZERO);
    };
    accuse(&mut swarm, 1);
    assert!(!swarm.contacts(machine(1)).contains(&machine(0)));
    assert!(swarm.contacts(machine(2)).contains(&machine(0)));
    accuse(&mut swarm, 3);
    assert!(!swarm.contacts(machine(2)).contains(&machine(0)));
}

#[test]
fn what_was_not_ordered_is_not_believed() {
    let mut swarm = Swarm::new(4).unwrap();
    swarm.join(machine(0), Blocks::all(4), true);
    let done = |from| Done {
        block: 2,
        from,
        came: true,
    };
    let news = SwarmNews {
        done: vec![done(Source::Coordinator), done(Source::Peer(machine(9)))],
        reached: vec![machine(9), machine(0)],
        ..SwarmNews::default()
    };
    assert!(!swarm.on_news(machine(0), &news, Duration::ZERO));
    assert!(swarm.members[&machine(0)].reached.is_empty());
    assert!(swarm.members[&machine(0)].lacks.has(2));
    assert!(!swarm.on_news(machine(9), &news, Duration::ZERO));
    assert!(Swarm::new(0).is_none() && Swarm::new(MAX_BLOCKS + 1).is_none());
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        4 => Just(Manner::Good),
        1 => Just(Manner::Lies),
        1 => Just(Manner::Silent),
        1 => Just(Manner::Hidden),
        1 => Just(Manner::Hangs),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn all_who_can_get_everything_whatever_others_do(
        manners in prop::collection::vec(manner(), 1..12), blocks in 1_u32..90, whole in 0_usize..3,
    ) {
        let mut world = World::new(blocks, &manners, whole.min(manners.len()));
        world.run();
        // At worst everybody gets a copy of their own, and what was sent to those who hung.
        let most = blocks as usize * manners.len() + 2 * manners.len() * manners.len();
        prop_assert!(world.sent_by_coordinator <= most);
    }

    #[test]
    fn good_machines_share_one_copy(count in 1_usize..24, blocks in 1_u32..150) {
        let mut world = World::new(blocks, &vec![Manner::Good; count], 0);
        world.run();
        prop_assert!(world.sent_by_coordinator <= blocks as usize + count, "{}", copies(&world));
    }
}
