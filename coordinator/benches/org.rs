//! What changes of an org cost in the engine: 10,000 members, 10,000 machines and 100,000 live jobs, on a book on
//! this machine's disk. `cargo xtask bench org` calls it.
//!
//! Each command is a batch of its own: decided, applied, scheduled after, committed. Beside it, in turns, stands
//! the floor: the same clerk's smallest commit in an org with one member.

mod people;

use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};

use common::{
    api::{job::SubmitJob, limits::SetMemberLimits},
    id::{IdempotencyKey, JobId, OrgId},
    limits::{Amount, Limits, ResourceLimits, ResourceType},
    machine::{Isolation, MachineReport, SystemInfo},
    org::settings::SettingsChange,
    resources::Capacity,
    status::{IsolationLevel, Role},
    units::{Bytes, MilliCpu},
};
use coordinator::measure::Measured;
use coordinator_core::{Actor, Body, command::org::OrgCommand};

use self::people::{
    ALICE, ORG, enrol, handle, id, invitation, machine, member, name, register, spec,
};

/// What the issue asks for; a smaller world by `ORG_BENCH_PART=10` is for trying the benchmark itself.
const MEMBERS: u64 = 10_000;
const MACHINES: u64 = 10_000;
const JOBS: u64 = 100_000;
/// Of each machine; a job takes one. The other jobs wait.
const PROCESSORS: u32 = 4;
/// How often each command is timed.
const ROUNDS: u64 = 21;
/// What no command's median may reach.
const LIMIT: Duration = Duration::from_millis(5);
/// Commands of one batch while the world is made.
const BATCH: usize = 256;

/// With one member and nothing else.
const SMALL: OrgId = OrgId::from_bytes([2; 16]);

fn main() {
    let part = env::var("ORG_BENCH_PART").map_or(1, |part| part.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut world = World {
        measured: Measured::on(&folder.path().join("store.redb")).expect("a book can be made"),
        minted: 1 << 32,
        part,
    };
    let begun = Instant::now();
    world.fill();
    println!(
        "{} members, {} machines, {} live jobs; made in {:.0?}",
        MEMBERS / part,
        MACHINES / part,
        JOBS / part,
        begun.elapsed()
    );
    let slow = world.measure();
    assert!(slow.is_empty(), "{LIMIT:?} or more: {}", slow.join(", "));
}

struct World {
    measured: Measured,
    minted: u64,
    part: u64,
}

/// One kind of command, made anew for each round.
type Make = fn(&mut World, u64) -> (Actor, Body);

impl World {
    /// Makes everything that is not timed.
    fn fill(&mut self) {
        let (members, machines, jobs) =
            (MEMBERS / self.part, MACHINES / self.part, JOBS / self.part);
        for (org, called) in [(ORG, "lab"), (SMALL, "small")] {
            let body = Body::CreateOrg {
                org,
                name: name(called),
                owner: ALICE,
                handle: name("alice"),
            };
            self.all([(Actor::System, body)].into_iter());
        }
        let invitation = invitation(1, u32::try_from(members).expect("a small number"));
        self.all([(Actor::User(ALICE), invitation)].into_iter());
        self.all((0..members).map(|number| (Actor::Stranger, enrol(1, number))));
        self.all((0..machines).map(|number| (Actor::User(member(number)), register(number))));
        self.all((0..machines).map(|number| (Actor::User(ALICE), approve(number))));
        let submit = |number| (Actor::User(member(number % members)), submit(number));
        self.all((0..jobs).map(submit));
        let connect = |number| (Actor::Machine(machine(number)), connect());
        self.all((0..machines).map(connect));
    }

    fn all(&mut self, mut commands: impl Iterator<Item = (Actor, Body)>) {
        loop {
            let batch: Vec<_> = commands.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return;
            }
            self.measured.batch(batch).expect("the commands are good");
        }
    }

    fn time(&mut self, make: Make, round: u64) -> Duration {
        let command = make(self, round);
        let begun = Instant::now();
        let events = self.measured.batch(vec![command]);
        let took = begun.elapsed();
        let events = events.expect("the command is good");
        assert!(events[0] > 0, "a command that changes nothing");
        took
    }

    /// Times every kind in turns with the floor. Returns the kinds that took too long.
    fn measure(&mut self) -> Vec<&'static str> {
        let mut took: BTreeMap<usize, Vec<Duration>> = BTreeMap::new();
        let mut floor = Vec::new();
        for round in 0..ROUNDS {
            for (number, (_, make)) in KINDS.iter().enumerate() {
                floor.push(self.time(limits_of_small, round * 100 + number as u64));
                let one = self.time(*make, round);
                took.entry(number).or_default().push(one);
            }
        }
        let floor = median(&mut floor);
        println!("floor: {floor:.2?} for the smallest commit, in an org of one member");
        println!(
            "{:<24}{:>10}{:>10}{:>10}",
            "command", "median", "worst", "x floor"
        );
        let mut slow = Vec::new();
        for (number, times) in &mut took {
            let (what, _) = KINDS[*number];
            let worst = times.iter().max().copied().unwrap_or_default();
            let median = median(times);
            let ratio = median.as_secs_f64() / floor.as_secs_f64();
            println!("{what:<24}{median:>10.2?}{worst:>10.2?}{ratio:>10.2}");
            if median >= LIMIT && what != BESIDE {
                slow.push(what);
            }
        }
        slow
    }
}

/// Does not change an org: shown for what a pass of the schedule over all members costs.
const BESIDE: &str = "machine connects";

/// Every command that changes an org, without those that only add or change one row like another one here.
const KINDS: &[(&str, Make)] = &[
    ("apply limits", |_, round| {
        (Actor::User(ALICE), limits(ORG, round))
    }),
    ("limit a member", |_, round| {
        let mut set = ResourceLimits::default();
        set.set(ResourceType::Cpu, Amount(1000 + round))
            .expect("one bound");
        let body = Body::SetMemberLimits(SetMemberLimits {
            org: ORG,
            handle: handle(9),
            set,
            unset: Vec::new(),
        });
        (Actor::User(ALICE), body)
    }),
    ("change settings", |_, round| {
        let change = SettingsChange {
            contact: Some(format!("room {round}")),
            ..SettingsChange::default()
        };
        let change = Box::new(change);
        let body = Body::Org(OrgCommand::ChangeSettings { org: ORG, change });
        (Actor::User(ALICE), body)
    }),
    ("invite", |world, _| {
        world.minted += 1;
        (Actor::User(ALICE), invitation(world.minted, 1))
    }),
    ("make admin", |_, round| {
        (Actor::User(ALICE), role(round, Role::Admin))
    }),
    ("make member", |_, round| {
        (Actor::User(ALICE), role(round, Role::Member))
    }),
    ("join", |world, round| {
        let number = MEMBERS + round;
        let code = world.minted;
        (Actor::Stranger, enrol(code, number))
    }),
    ("register machine", |_, round| {
        (Actor::User(ALICE), register(MACHINES + round))
    }),
    ("approve machine", |_, round| {
        (Actor::User(ALICE), approve(MACHINES + round))
    }),
    (BESIDE, |_, round| {
        (Actor::Machine(machine(MACHINES + round)), connect())
    }),
    ("remove machine", |_, round| {
        let body = Body::RemoveMachine {
            org: ORG,
            name: name(&format!("box{}", 100 + round)),
        };
        (Actor::User(ALICE), body)
    }),
    ("submit job", |world, _| {
        world.minted += 1;
        (Actor::User(member(7)), submit(world.minted))
    }),
    ("remove member", |_, round| {
        let body = Body::RemoveMember {
            org: ORG,
            handle: handle(500 + round),
        };
        (Actor::User(ALICE), body)
    }),
];

fn limits_of_small(_: &mut World, round: u64) -> (Actor, Body) {
    (Actor::User(ALICE), limits(SMALL, round))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn role(round: u64, role: Role) -> Body {
    Body::SetRole {
        org: ORG,
        handle: handle(round),
        role,
    }
}

fn limits(org: OrgId, round: u64) -> Body {
    let limits = Limits {
        max_machines_per_user: Some(1000 + u32::try_from(round).expect("a small number")),
        ..Limits::default()
    };
    Body::ApplyLimits {
        org,
        limits: Box::new(limits),
    }
}

fn approve(number: u64) -> Body {
    Body::ApproveMachine {
        org: ORG,
        name: name(&format!("box{number}")),
    }
}

fn connect() -> Body {
    let capacity = Capacity {
        cpu: MilliCpu::cpus(PROCESSORS),
        memory: Bytes::gib(64),
        disk: Bytes::gib(500),
        gpus: Vec::new(),
    };
    let report = MachineReport::lending_all(
        capacity,
        Isolation::of(IsolationLevel::A),
        SystemInfo::default(),
    );
    Body::ConnectMachine {
        report,
        attempts: Vec::new(),
    }
}

fn submit(number: u64) -> Body {
    Body::SubmitJob {
        job: JobId::from_bytes(id(number)),
        request: SubmitJob {
            org: ORG,
            spec: spec(),
            key: IdempotencyKey::from_bytes(id(number)),
            dry_run: false,
        },
    }
}
