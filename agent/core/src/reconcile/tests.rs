use std::collections::BTreeMap;

use common::wire::agent::{Assigned, Assignment};
use proptest::prelude::*;

use super::*;
use crate::testing::{assigned, attempt};

fn desired(attempts: Vec<Assigned>) -> Desired {
    let assignment = Assignment {
        generation: 1,
        attempts,
        trees: Vec::new(),
    };
    Desired::default().replaced_by(assignment).unwrap()
}

#[track_caller]
fn check(goal: Option<Goal>, seen: Option<Seen>, expect: Option<Action>) {
    let desired = desired(goal.map(|goal| assigned(0, 1, goal)).into_iter().collect());
    let observed = seen.map(|seen| (attempt(0, 1), seen)).into_iter().collect();
    let got = reconcile(&desired, &observed);
    assert_eq!(got, Vec::from_iter(expect), "{goal:?} x {seen:?}");
}

#[test]
fn every_pair_of_goal_and_sight_has_its_action() {
    let attempt = attempt(0, 1);
    let cancel = Goal::Stop {
        reason: EndReason::Cancelled,
    };
    let stop = |reason, grace| Action::Stop {
        attempt,
        reason,
        grace,
    };
    let grace = assigned(0, 1, Goal::Run).spec.grace;
    let unstarted = Action::EndUnstarted {
        attempt,
        reason: EndReason::Cancelled,
    };
    let (lose, forget) = (Action::Lose { attempt }, Action::Forget { attempt });

    check(Some(Goal::Run), None, Some(Action::Accept { attempt }));
    check(
        Some(Goal::Run),
        Some(Seen::Idle),
        Some(Action::Launch { attempt }),
    );
    check(Some(Goal::Run), Some(Seen::Live), None);
    check(Some(Goal::Run), Some(Seen::Stopping), None);
    check(Some(Goal::Run), Some(Seen::Ended), None);

    check(Some(cancel), None, Some(unstarted));
    check(Some(cancel), Some(Seen::Idle), Some(unstarted));
    check(
        Some(cancel),
        Some(Seen::Live),
        Some(stop(EndReason::Cancelled, grace)),
    );
    check(Some(cancel), Some(Seen::Stopping), None);
    check(Some(cancel), Some(Seen::Ended), None);

    check(Some(Goal::Collect), None, Some(lose));
    check(Some(Goal::Collect), Some(Seen::Idle), Some(lose));
    let lost = stop(EndReason::MachineLost, Span::default());
    check(Some(Goal::Collect), Some(Seen::Live), Some(lost));
    check(Some(Goal::Collect), Some(Seen::Stopping), None);
    check(Some(Goal::Collect), Some(Seen::Ended), None);

    check(None, None, None);
    check(None, Some(Seen::Idle), Some(forget));
    let killed = stop(EndReason::Cancelled, Span::default());
    check(None, Some(Seen::Live), Some(killed));
    check(None, Some(Seen::Stopping), None);
    check(None, Some(Seen::Ended), Some(forget));
}

#[test]
fn a_newer_attempt_waits_for_the_end_of_an_older_one_of_its_task() {
    let desired = desired(vec![assigned(0, 2, Goal::Run)]);
    let mut observed =
        Observed::from([(attempt(0, 1), Seen::Stopping), (attempt(0, 2), Seen::Idle)]);
    assert_eq!(reconcile(&desired, &observed), []);
    observed.insert(attempt(0, 1), Seen::Ended);
    assert_eq!(
        reconcile(&desired, &observed),
        [
            Action::Forget {
                attempt: attempt(0, 1)
            },
            Action::Launch {
                attempt: attempt(0, 2)
            }
        ]
    );
}

#[test]
fn who_has_anothers_place_waits_until_all_before_it_are_over() {
    let behind = |task: u32, after: u32, goal| Assigned {
        after: Some(attempt(after, 1)),
        ..assigned(task, 1, goal)
    };
    let check = |set: Vec<Assigned>, seen: [Option<Seen>; 3], expect: &[Action]| {
        let observed = (0..).zip(seen);
        let observed = observed.filter_map(|(task, seen)| Some((attempt(task, 1), seen?)));
        let got = reconcile(&desired(set), &observed.collect());
        assert_eq!(got, expect, "{seen:?}");
    };
    let (idle, live, ended) = (Some(Seen::Idle), Some(Seen::Live), Some(Seen::Ended));
    let row = |goal| {
        vec![
            assigned(0, 1, Goal::Run),
            behind(1, 0, goal),
            behind(2, 1, Goal::Run),
        ]
    };
    let launch = |task| Action::Launch {
        attempt: attempt(task, 1),
    };
    let back = Action::Return {
        attempt: attempt(1, 1),
    };
    check(row(Goal::Run), [live, idle, idle], &[]);
    check(row(Goal::Run), [Some(Seen::Stopping), idle, idle], &[]);
    check(row(Goal::Run), [ended, idle, idle], &[launch(1)]);
    check(row(Goal::Run), [ended, live, idle], &[]);
    check(row(Goal::Run), [ended, ended, idle], &[launch(2)]);
    // The one before it is only to be taken in.
    let accept = Action::Accept {
        attempt: attempt(0, 1),
    };
    check(row(Goal::Run), [None, idle, idle], &[accept]);
    // One that came to nothing leaves the place to whom it waited for.
    check(row(Goal::Run), [live, ended, idle], &[]);
    check(row(Goal::Return), [live, idle, idle], &[back]);
    check(row(Goal::Return), [live, None, idle], &[back]);
    check(row(Goal::Return), [ended, live, idle], &[]);
    // Whoever is in no set any more is over, once nothing of it runs.
    check(
        vec![behind(1, 0, Goal::Run)],
        [None, idle, None],
        &[launch(1)],
    );
    let stop = Action::Stop {
        attempt: attempt(0, 1),
        reason: EndReason::Cancelled,
        grace: Span::default(),
    };
    check(vec![behind(1, 0, Goal::Run)], [live, idle, None], &[stop]);
    let round = vec![behind(1, 2, Goal::Run), behind(2, 1, Goal::Run)];
    check(round, [None, ended, idle], &[]);
}

fn goals() -> impl Strategy<Value = Goal> {
    prop_oneof![
        3 => Just(Goal::Run),
        1 => Just(Goal::Stop { reason: EndReason::Cancelled }),
        1 => Just(Goal::Collect),
        1 => Just(Goal::Return),
    ]
}

fn sights() -> impl Strategy<Value = Seen> {
    prop::sample::select(vec![Seen::Idle, Seen::Live, Seen::Stopping, Seen::Ended])
}

/// Something of an attempt, by task and number.
type Named<T> = Vec<((u32, u32), T)>;

fn worlds() -> impl Strategy<Value = (Vec<Named<Goal>>, Named<Seen>)> {
    let ids = (0..3_u32, 1..4_u32);
    let set = prop::collection::btree_map(ids.clone(), goals(), 0..6);
    let sets = prop::collection::vec(set.prop_map(|set| set.into_iter().collect()), 1..4);
    let seen = prop::collection::btree_map(ids, sights(), 0..6);
    (sets, seen.prop_map(|seen| seen.into_iter().collect()))
}

/// Performs actions as the shell does, and counts launches.
struct World {
    observed: Observed,
    launches: BTreeMap<AttemptId, u32>,
}

impl World {
    fn perform(&mut self, action: Action, desired: &Desired) {
        match action {
            Action::Accept { attempt } => {
                assert_eq!(desired.goal(&attempt), Some(Goal::Run));
                assert_eq!(self.observed.insert(attempt, Seen::Idle), None);
            }
            Action::Launch { attempt } => {
                assert_eq!(desired.goal(&attempt), Some(Goal::Run), "launched unwanted");
                assert_eq!(self.observed.insert(attempt, Seen::Live), Some(Seen::Idle));
                *self.launches.entry(attempt).or_default() += 1;
            }
            Action::Stop { attempt, .. } => {
                assert_eq!(
                    self.observed.insert(attempt, Seen::Stopping),
                    Some(Seen::Live)
                );
            }
            Action::EndUnstarted { attempt, .. }
            | Action::Lose { attempt }
            | Action::Return { attempt } => {
                let before = self.observed.insert(attempt, Seen::Ended);
                assert!(!before.is_some_and(Seen::may_run));
            }
            Action::Forget { attempt } => {
                let before = self.observed.remove(&attempt);
                assert!(before.is_some_and(|seen| !seen.may_run()));
            }
        }
    }

    fn live_per_task(&self) -> BTreeMap<common::id::TaskId, usize> {
        let mut count = BTreeMap::new();
        for (attempt, _) in self.observed.iter().filter(|(_, seen)| seen.may_run()) {
            *count.entry(attempt.task_id()).or_default() += 1;
        }
        count
    }
}

proptest! {
    /// Whatever was there and whatever is wanted, in any order of sets: it settles, nothing unwanted is
    /// launched, nothing is launched twice, and no launch gives a task a second live attempt.
    #[test]
    fn reconciling_settles_and_never_doubles((sets, seen) in worlds()) {
        let mut world = World {
            observed: seen.into_iter().map(|((task, number), seen)| (attempt(task, number), seen)).collect(),
            launches: BTreeMap::new(),
        };
        for set in sets {
            // A real coordinator wants one attempt of a task to run at a time, and none again that it let go.
            let mut running = std::collections::BTreeSet::new();
            let set: Vec<_> = set
                .into_iter()
                .filter(|((task, number), goal)| {
                    let id = attempt(*task, *number);
                    let again = world.launches.contains_key(&id) && !world.observed.contains_key(&id);
                    *goal != Goal::Run || (!again && running.insert(*task))
                })
                .map(|((task, number), goal)| assigned(task, number, goal))
                .collect();
            let desired = desired(set);
            let mut settled = false;
            for _ in 0..8 {
                let actions = reconcile(&desired, &world.observed);
                let before = world.live_per_task();
                for action in &actions {
                    world.perform(*action, &desired);
                }
                for (task, live) in world.live_per_task() {
                    prop_assert!(live <= before.get(&task).copied().unwrap_or(0).max(1));
                }
                let stopping = world.observed.values_mut().filter(|seen| **seen == Seen::Stopping);
                let ended = stopping.map(|seen| *seen = Seen::Ended).count();
                if actions.is_empty() && ended == 0 {
                    settled = true;
                    break;
                }
            }
            prop_assert!(settled, "did not settle: {:?}", world.observed);
            for (attempt, seen) in &world.observed {
                let goal = desired.goal(attempt);
                prop_assert!(goal.is_some(), "kept {attempt} that nobody wants");
                let runs = [Some(Goal::Run), Some(Goal::Return)].contains(&goal);
                prop_assert!(!seen.may_run() || runs);
            }
        }
        prop_assert!(world.launches.values().all(|count| *count == 1));
    }
}
