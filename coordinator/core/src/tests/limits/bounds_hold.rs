//! Random histories of submissions, starts, ends, changed limits, changed machines and members who leave: no
//! start ever exceeds a bound, and what is counted as used is always what is there.
//!
//! Use is counted here a second time, from events and reports alone.

mod steps;

use std::collections::BTreeMap;

use common::{
    api::limits::SetMemberLimits,
    id::{AttemptId, UserId},
    limits::{Amount, Limits, ResourceLimits, ResourceType},
    status::{EndReason, Role},
    units::Bytes,
};
use proptest::{collection::vec, prelude::*};

use self::steps::{Form, Step, Wish, step};
use super::{
    super::{
        invariants,
        world::{ALICE, BOB, CAROL, ORG, World, bounds, machine_id, outcome},
    },
    lending,
};
use crate::{Actor, Body, Command, Event, apply, decide};

const RESOURCES: [&str; 5] = ["cpu", "memory", "gpu", "h200", "rtx-5090"];
const MODELS: [&str; 2] = ["h200", "rtx-5090"];
const MACHINES: [(u8, &str); 2] = [(10, "ten"), (11, "eleven")];

/// What one attempt holds, as the test counts it.
struct Holding {
    owner: UserId,
    amounts: BTreeMap<&'static str, u64>,
}

struct Trial {
    world: World,
    users: [UserId; 3],
    submitted: u8,
    held: BTreeMap<AttemptId, Holding>,
}

impl Trial {
    fn new() -> Self {
        let mut world = World::new();
        for (number, called) in MACHINES {
            world.machine(number, ALICE, called, lending(&["h200", "rtx-5090"]));
        }
        Self {
            world,
            users: [ALICE, BOB, CAROL],
            submitted: 0,
            held: BTreeMap::new(),
        }
    }

    /// Does it, looking at the bounds after each single event.
    fn run(&mut self, actor: Actor, body: Body) {
        let command = Command {
            at: self.world.now,
            actor,
            body,
        };
        let Ok(events) = decide(&self.world.state, &command) else {
            return;
        };
        for event in &events {
            apply(&mut self.world.state, event);
            match event {
                Event::AttemptPlaced { attempt, .. } => {
                    let holding = self.holding(*attempt);
                    self.held.insert(*attempt, holding);
                    self.check_start(*attempt);
                }
                Event::AttemptEnded { attempt, .. } => {
                    self.held.remove(attempt);
                }
                _ => {}
            }
        }
    }

    /// Returns what the attempt holds, by what its machine reports at this moment.
    fn holding(&self, id: AttemptId) -> Holding {
        let state = &self.world.state;
        let attempt = &state.attempts[&id];
        let gpus = &state.reports[&attempt.machine].offer.gpus;
        let mut amounts = BTreeMap::from([
            ("cpu", u64::from(attempt.allocation.cpu.0)),
            ("memory", attempt.allocation.memory.0),
            ("gpu", attempt.allocation.gpus.len() as u64),
        ]);
        for uuid in &attempt.allocation.gpus {
            let gpu = gpus.iter().find(|gpu| gpu.uuid == *uuid).unwrap();
            let model = MODELS.iter().find(|model| **model == gpu.model).unwrap();
            *amounts.entry(model).or_default() += 1;
        }
        Holding {
            owner: state.jobs[&id.job].owner,
            amounts,
        }
    }

    fn sum(&self, of: Option<UserId>, resource: &str) -> u64 {
        let counted = self.held.values();
        let counted = counted.filter(|holding| of.is_none_or(|user| holding.owner == user));
        counted
            .filter_map(|holding| holding.amounts.get(resource))
            .sum()
    }

    /// Checks that no bound on what the attempt holds is exceeded now that it has started.
    fn check_start(&self, id: AttemptId) {
        let state = &self.world.state;
        let holding = &self.held[&id];
        let owner = holding.owner;
        let limits = &state.orgs[&ORG].limits;
        let own = state.own_limits.get(&(ORG, owner));
        for (resource, amount) in &holding.amounts {
            if *amount == 0 {
                continue;
            }
            let key: ResourceType = resource.parse().unwrap();
            let singly = own.and_then(|own| own.resources.get(&key));
            let singly = singly.map(|own| own.most);
            let of_member = singly.or(limits.per_user.most(&key));
            for (most, of) in [
                (limits.concurrent.most(&key), None),
                (of_member, Some(owner)),
            ] {
                let used = self.sum(of, resource);
                assert!(
                    most.is_none_or(|most| used <= most.0),
                    "{resource} of {of:?}: {used} of {most:?} after a start"
                );
            }
        }
        let running = self
            .held
            .values()
            .filter(|other| other.owner == owner)
            .count();
        let most = limits.max_concurrent_jobs_per_user;
        assert!(most.is_none_or(|most| running <= most as usize));
    }

    /// Checks that what is counted is what is there.
    fn check_counts(&self) {
        let index = &self.world.state.index;
        let counted = |held: Option<&crate::state::held::Held>, key: &ResourceType| {
            held.map_or(Amount(0), |held| held.of(key))
        };
        for resource in RESOURCES {
            let key: ResourceType = resource.parse().unwrap();
            let org = index.orgs.get(&ORG).map(|used| &used.held);
            assert_eq!(counted(org, &key).0, self.sum(None, resource), "{resource}");
            for user in self.users {
                let used = index.members.get(&(ORG, user)).map(|used| &used.held);
                let sum = self.sum(Some(user), resource);
                assert_eq!(counted(used, &key).0, sum, "{resource} of {user}");
            }
        }
    }

    fn take(&mut self, step: &Step) {
        let scaled = |resource: usize, most: u64| match RESOURCES[resource] {
            "cpu" => most * 1_000,
            "memory" => Bytes::gib(most).0,
            _ => most,
        };
        match step {
            Step::Submit { member, wish } => {
                self.submitted = self.submitted.wrapping_add(1);
                let user = self.users[*member];
                let _refused = self.world.submit(user, self.submitted, wish.spec());
            }
            Step::Schedule(most) => self.run(Actor::System, Body::Schedule { most: *most }),
            Step::End(index, well) => {
                let live = self.world.live();
                if !live.is_empty() {
                    self.end(live[index.index(live.len())], *well);
                }
            }
            Step::Cancel(number) => {
                let _missing = self.world.cancel(ALICE, *number, None);
            }
            Step::OrgLimits {
                concurrent,
                per_user,
                running,
            } => {
                let set = |all: &[Option<u64>; 5]| {
                    let all = all.iter().enumerate();
                    let set = all.filter_map(|(index, most)| {
                        Some((RESOURCES[index], scaled(index, (*most)?)))
                    });
                    bounds(&set.collect::<Vec<_>>())
                };
                self.world.limit(Limits {
                    concurrent: set(concurrent),
                    per_user: set(per_user),
                    max_concurrent_jobs_per_user: *running,
                    ..Limits::default()
                });
            }
            Step::MemberLimit {
                member,
                resource,
                most,
            } => {
                let key = RESOURCES[*resource];
                let handle = self.world.state.users[&self.users[*member]].handle.clone();
                let request = SetMemberLimits {
                    org: ORG,
                    handle,
                    set: most.map_or_else(ResourceLimits::default, |most| {
                        bounds(&[(key, scaled(*resource, most))])
                    }),
                    unset: vec![key.parse().unwrap()],
                };
                self.run(Actor::User(ALICE), Body::SetMemberLimits(request));
            }
            Step::Report { machine, models } => {
                let models: Vec<&str> = models.iter().map(|index| MODELS[*index]).collect();
                let mut report = lending(&models);
                for (number, gpu) in report.offer.gpus.iter_mut().enumerate() {
                    gpu.uuid = format!("GPU-{number}");
                }
                report.capacity = report.offer.clone();
                let actor = Actor::Machine(machine_id(MACHINES[*machine].0));
                self.run(actor, Body::ReportMachine { report });
            }
            Step::Expire(machine) => {
                let machine = machine_id(MACHINES[*machine].0);
                self.run(Actor::System, Body::DisconnectMachine { machine });
                self.run(Actor::System, Body::ExpireLease { machine });
            }
            Step::Back(machine) => {
                let id = machine_id(MACHINES[*machine].0);
                let used = self.world.state.index.machines.get(&id);
                let attempts = used.map(|used| used.desired.iter().copied().collect());
                let body = Body::ConnectMachine {
                    report: lending(&["h200", "rtx-5090"]),
                    attempts: attempts.unwrap_or_default(),
                };
                self.run(Actor::Machine(id), body);
            }
            Step::Remove(member) => {
                let handle = self.world.state.users[&self.users[*member]].handle.clone();
                self.run(Actor::User(ALICE), Body::RemoveMember { org: ORG, handle });
            }
            Step::Rejoin(member) => self.rejoin(*member),
        }
    }

    fn rejoin(&mut self, member: usize) {
        if self
            .world
            .state
            .members
            .contains_key(&(ORG, self.users[member]))
        {
            return;
        }
        // Counted of the three alone: whoever left has to be through first.
        let gone = self.users[member];
        if self.held.values().any(|holding| holding.owner == gone) {
            return;
        }
        let number = self.world.mint();
        self.users[member] = super::super::world::user(number);
        self.world
            .join(number, &format!("user-{number}"), Role::Member);
    }

    fn end(&mut self, attempt: AttemptId, well: bool) {
        let outcome = if well {
            outcome(EndReason::Exited, Some(0))
        } else {
            outcome(EndReason::MachineOwner, None)
        };
        let machine = self.world.state.attempts[&attempt].machine;
        let body = Body::ReportAttempt {
            attempt,
            report: common::wire::agent::AttemptReport::Ended {
                at: self.world.now,
                outcome,
                artifacts: false,
            },
            artifact_size: None,
        };
        self.run(Actor::Machine(machine), body);
    }

    /// Starts all that may.
    fn settle(&mut self) {
        const MOST_PASSES: usize = 1_000;
        for _ in 0..MOST_PASSES {
            if !self.world.state.schedule_due() {
                return;
            }
            self.run(Actor::System, Body::Schedule { most: 8 });
        }
        panic!("the schedule never settles");
    }

    /// Ends everything, and checks that nothing is counted any more.
    fn wind_up(&mut self) {
        let numbers: Vec<u64> = self
            .world
            .state
            .jobs
            .values()
            .map(|job| job.number.0)
            .collect();
        for number in numbers {
            let _ended = self.world.cancel(ALICE, number, None);
        }
        for attempt in self.world.live() {
            self.end(attempt, true);
        }
        assert!(self.held.is_empty());
        assert!(self.world.state.index.orgs.is_empty());
        assert!(self.world.state.index.members.is_empty());
        invariants::check(&self.world);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn no_start_exceeds_a_bound_and_no_use_leaks(steps in vec(step(), 1..80)) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.take(step);
            trial.check_counts();
        }
        trial.settle();
        trial.check_counts();
        invariants::check(&trial.world);
        invariants::check_waiting_is_explained(&trial.world);
        trial.wind_up();
    }
}

/// The steps are only worth something if bounds are met by them.
#[test]
fn a_bound_that_is_met_is_met_exactly() {
    let mut trial = Trial::new();
    trial.world.limit(Limits {
        concurrent: bounds(&[("gpu", 3)]),
        per_user: bounds(&[("cpu", 4_000)]),
        ..Limits::default()
    });
    for (member, gpus) in [(1, 1), (2, 1), (0, 0)] {
        let wish = Wish {
            tasks: 6,
            cpus: 1,
            gib: 1,
            gpus,
            model: None,
            share: false,
            form: Form::Array,
        };
        trial.take(&Step::Submit { member, wish });
    }
    trial.take(&Step::Schedule(100));
    trial.check_counts();
    assert_eq!(trial.sum(None, "gpu"), 3);
    assert_eq!(trial.sum(Some(ALICE), "cpu"), 4_000);
    assert_eq!(
        trial.sum(Some(BOB), "gpu") + trial.sum(Some(CAROL), "gpu"),
        3
    );
    trial.wind_up();
}
