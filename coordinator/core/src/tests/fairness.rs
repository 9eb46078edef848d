//! Who gets how much of the pool over time: what `schedule::order` promises, on histories that run for days.

mod ageing;
mod weights;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use common::{
    api::{
        Answer, Request,
        shares::{MemberShare, SharesAnswer, SharesRequest},
    },
    id::{AttemptId, UserId},
    job::JobSpec,
    org::settings::SettingsChange,
    status::{EndReason, Priority, Role},
    time::{Span, Timestamp},
};
use proptest::{collection::vec, prelude::*};

use super::{
    invariants,
    world::{ALICE, BOB, CAROL, ORG, World, array, capacity, job_id, name, outcome, report, spec},
};
use crate::{Actor, Body, command::OrgCommand};

const DORA: UserId = UserId::from_bytes([4; 16]);
const HOUR: u64 = 3600;

/// A world that goes on by itself: tasks run for as long as their member's do.
struct Flow {
    world: World,
    /// Of each member's tasks, in turn.
    runs: BTreeMap<UserId, Vec<u64>>,
    ends: BinaryHeap<Reverse<(Timestamp, AttemptId)>>,
    started: BTreeMap<AttemptId, (UserId, Timestamp)>,
    /// Processor-seconds that each member has had.
    had: BTreeMap<UserId, u64>,
    ended: usize,
}

impl Flow {
    /// Returns a pool of machines of alice's, who submits nothing.
    fn new(machines: u8, cpus: u32) -> Self {
        let mut world = World::new();
        world.join(4, "dora", Role::Member);
        for number in 0..machines {
            let name = format!("box{number}");
            world.machine(50 + number, ALICE, &name, report(capacity(cpus, 64)));
        }
        Self {
            world,
            runs: BTreeMap::new(),
            ends: BinaryHeap::new(),
            started: BTreeMap::new(),
            had: BTreeMap::new(),
            ended: 0,
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        let mut change = SettingsChange::default();
        change.set(key, value).unwrap();
        let change = Box::new(change);
        let body = Body::Org(OrgCommand::ChangeSettings { org: ORG, change });
        self.world.must(Actor::User(ALICE), body);
    }

    /// Submits more tasks than ever run.
    fn floods(&mut self, who: UserId, number: u8, seconds: &[u64]) {
        self.runs.insert(who, seconds.to_vec());
        self.world
            .submit(who, number, array(100_000, None))
            .unwrap();
    }

    /// Lets the world go on for so long.
    fn run(&mut self, seconds: u64) {
        let until = self.world.now.saturating_add(Duration::from_secs(seconds));
        loop {
            for (attempt, _) in self.world.schedule() {
                let who = self.world.state.jobs[&attempt.job].owner;
                let runs = &self.runs[&who];
                let run = runs[attempt.task as usize % runs.len()];
                let end = self.world.now.saturating_add(Duration::from_secs(run));
                self.ends.push(Reverse((end, attempt)));
                self.started.insert(attempt, (who, self.world.now));
            }
            match self.ends.peek() {
                Some(Reverse((end, _))) if *end <= until => {}
                _ => break,
            }
            let Some(Reverse((end, attempt))) = self.ends.pop() else {
                break;
            };
            self.world.now = self.world.now.max(end);
            self.end(attempt);
        }
        self.world.now = until;
    }

    fn end(&mut self, attempt: AttemptId) {
        let (who, started) = self.started.remove(&attempt).unwrap();
        let wall = self.world.now.since(started);
        let cpu = self.world.state.attempts[&attempt].allocation.cpu;
        let had = self.had.entry(who).or_default();
        *had += wall.as_secs() * u64::from(cpu.0) / 1000;
        let mut outcome = outcome(EndReason::Exited, Some(0));
        outcome.usage.wall = Span::from(wall);
        self.world.end(attempt, outcome);
        self.ended += 1;
    }

    fn had(&self, who: UserId) -> u64 {
        self.had.get(&who).copied().unwrap_or(0)
    }

    fn shares(&self, who: UserId) -> Vec<MemberShare> {
        let question = Request::Shares(SharesRequest::Show { org: ORG });
        match self.world.ask(who, &question) {
            Ok(Answer::Shares(SharesAnswer::Shares(shares))) => shares.members,
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Sharing incentive: whoever always wants more has what an equal part of the pool would have been, however long the
    /// tasks of the others are, and however many they have.
    #[test]
    fn everybody_has_an_equal_part_at_least(
        bob in vec(60..4 * HOUR, 1..5),
        carol in vec(60..4 * HOUR, 1..5),
        dora in vec(60..4 * HOUR, 1..5),
        machines in 1..4_u8,
    ) {
        let mut flow = Flow::new(machines, 2);
        flow.floods(BOB, 30, &bob);
        flow.floods(CAROL, 31, &carol);
        flow.floods(DORA, 32, &dora);
        flow.run(3 * 24 * HOUR);
        let pool = 3 * 24 * HOUR * u64::from(machines) * 2;
        // A task that has begun ends, and what has not ended is in no sum.
        let slack = 8 * HOUR * u64::from(machines) * 2;
        for who in [BOB, CAROL, DORA] {
            let had = flow.had(who);
            prop_assert!(had + slack >= pool / 3, "{had} of {pool}");
        }
        invariants::check(&flow.world);
    }
}

#[test]
fn twice_the_weight_is_twice_the_pool() {
    let mut flow = Flow::new(3, 2);
    flow.world.weigh(BOB, "2");
    flow.floods(BOB, 30, &[600]);
    flow.floods(CAROL, 31, &[600]);
    flow.run(48 * HOUR);
    let (bob, carol) = (flow.had(BOB), flow.had(CAROL));
    let ratio = bob as f64 / carol as f64;
    assert!((1.9..=2.1).contains(&ratio), "{bob} {carol}");
}

/// Bob's tasks as one array, as many jobs, and in many projects; what he had of the pool beside carol.
fn split(how: usize) -> (u64, u64) {
    let mut flow = Flow::new(2, 2);
    flow.floods(CAROL, 30, &[900]);
    flow.runs.insert(BOB, vec![900]);
    match how {
        0 => flow.floods(BOB, 31, &[900]),
        1 => {
            for number in 31..45 {
                let few = array(100, None);
                flow.world.submit(BOB, number, few).unwrap();
            }
        }
        _ => {
            for number in 31..45 {
                let project = format!("p{number}");
                flow.world.project(BOB, 100 + number, &project);
                let of_project = JobSpec {
                    project: Some(name(&project)),
                    ..array(100, None)
                };
                flow.world.submit(BOB, number, of_project).unwrap();
            }
        }
    }
    flow.run(24 * HOUR);
    (flow.had(BOB), flow.had(CAROL))
}

#[test]
fn nobody_has_more_by_splitting_what_they_want() {
    let whole = split(0);
    assert!(
        whole.0 > 0 && whole.0.abs_diff(whole.1) <= 4 * 900,
        "{whole:?}"
    );
    assert_eq!(split(1), whole);
    assert_eq!(split(2), whole);
}

#[test]
fn a_burst_is_behind_who_works_all_day() {
    // Carol's tasks come one after the other; bob submits a thousand at once.
    let mut flow = Flow::new(1, 4);
    flow.runs.insert(CAROL, vec![1800]);
    flow.floods(BOB, 30, &[1800]);
    flow.run(HOUR);
    for number in 40..60 {
        flow.world.submit(CAROL, number, spec()).unwrap();
        let asked = flow.world.now;
        flow.run(1800);
        let began = flow
            .world
            .state
            .attempts
            .keys()
            .any(|id| id.job == job_id(number));
        assert!(began, "job {number} of {asked:?}");
    }
}

#[test]
fn what_was_used_is_forgotten_by_half_a_day() {
    let mut flow = Flow::new(2, 2);
    flow.runs.insert(BOB, vec![HOUR]);
    flow.world.submit(BOB, 30, array(8, None)).unwrap();
    flow.run(3 * HOUR);
    let used = |flow: &Flow| {
        let shares = flow.shares(ALICE);
        let bob = shares.iter().find(|share| share.member == name("bob"));
        bob.map(|share| (share.used_ppm, share.holds_ppm)).unwrap()
    };
    let (before, holds) = used(&flow);
    // Eight processor-hours of four processors, in a window of 34.6 hours.
    assert!((53_000..=58_000).contains(&before), "{before}");
    assert_eq!(holds, 0);
    flow.run(24 * HOUR);
    let (after, _) = used(&flow);
    assert!(after.abs_diff(before / 2) < 500, "{before} {after}");
    // Who used less lately comes first.
    flow.runs.insert(CAROL, vec![HOUR]);
    flow.world.submit(BOB, 31, array(9, None)).unwrap();
    flow.world.submit(CAROL, 32, spec()).unwrap();
    let placed = flow.world.schedule();
    let first = placed.first().map(|(attempt, _)| attempt.job);
    assert_eq!(first, Some(job_id(32)));
}

#[test]
fn a_members_own_machine_is_the_members_first_and_costs_nothing() {
    let mut world = World::new();
    world.machine(10, BOB, "bobs", report(capacity(2, 64)));
    world.submit(CAROL, 30, array(9, None)).unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 2);
    // Both of carol's tasks end; bob's are the newer ones, and not more urgent.
    let low = JobSpec {
        priority: Priority::Low,
        ..array(3, None)
    };
    world.submit(BOB, 31, low).unwrap();
    assert!(world.schedule().is_empty());
    world.wait(60);
    for (attempt, _) in placed {
        world.succeed(attempt);
    }
    let owner: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
    assert_eq!(owner, [job_id(31), job_id(31)]);
    invariants::check(&world);
    let standings = &world.state.standings;
    assert!(standings[&(ORG, CAROL)].used.cpu_ms > 0);
    assert!(standings[&(ORG, BOB)].lent.cpu_ms > 0);
    for attempt in world.live() {
        world.succeed(attempt);
    }
    assert_eq!(world.state.standings[&(ORG, BOB)].used.cpu_ms, 0);
    // On another's machine there is no such right.
    world.machine(11, ALICE, "alices", report(capacity(1, 64)));
    assert_eq!(world.schedule().len(), 3);
    invariants::check(&world);
}

#[test]
fn what_a_members_machines_lent_counts_where_the_org_says_so() {
    let mut flow = Flow::new(1, 2);
    flow.world.machine(20, BOB, "bobs", report(capacity(2, 64)));
    flow.runs.insert(BOB, vec![HOUR]);
    flow.runs.insert(DORA, vec![HOUR]);
    flow.world.submit(DORA, 30, array(4, None)).unwrap();
    flow.run(HOUR);
    flow.world.submit(BOB, 31, array(4, None)).unwrap();
    flow.run(HOUR);
    // Of four hours of others' tasks two were on bob's machine, and two of his own on alice's.
    let bob = |flow: &Flow| {
        let shares = flow.shares(ALICE);
        let bob = shares.into_iter().find(|share| share.member == name("bob"));
        bob.unwrap()
    };
    let MemberShare {
        used_ppm,
        lent_ppm,
        standing_ppm,
        ..
    } = bob(&flow);
    assert!(used_ppm > 10_000 && lent_ppm.abs_diff(used_ppm) < 1000);
    assert_eq!(standing_ppm, used_ppm);
    flow.set("lending_credit", "50%");
    assert!(bob(&flow).standing_ppm.abs_diff(used_ppm / 2) < 1000);
    flow.set("lending_credit", "100%");
    assert!(bob(&flow).standing_ppm < 1000);
}
