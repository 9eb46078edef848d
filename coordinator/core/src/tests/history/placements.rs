//! What must be true where a random history places a task.

use common::{
    id::{AttemptId, MachineId},
    job::ArtifactsView,
    status::Precedence,
    wire::agent::{Assigned, Assignment, Goal},
};

use super::rules::check_rules;
use crate::{
    Event,
    decide::checkpoint::FILES_WAIT,
    event::Preempted,
    lifecycle::attempt::AttemptState,
    schedule::preempt::MAX_GAVE_WAY,
    tests::world::{ORG, World},
};

/// Checks what must be true at the moment of a placement.
pub(super) fn check_placements(before: &World, after: &World, events: &[Event]) {
    let org = &before.state.orgs[&ORG];
    for event in events {
        let Event::AttemptPlaced {
            attempt,
            machine,
            behind,
            ..
        } = event
        else {
            continue;
        };
        if let Some(behind) = behind {
            let (first, row) = (
                &after.state.attempts[behind],
                &after.state.attempts[attempt],
            );
            assert_eq!(behind.job, attempt.job);
            assert_eq!(
                (first.machine, &first.allocation),
                (*machine, &row.allocation)
            );
            assert!(!row.has_place(), "it waits for the place of another");
        }
        let offer = &after.state.reports[machine].offer;
        let held = &after.state.index.machines[machine].held;
        assert!(
            held.cpu <= offer.cpu && held.memory <= offer.memory,
            "more than is lent"
        );
        let (task, progress) = (attempt.task, &before.state.progress[&attempt.job]);
        assert!(!progress.delayed.contains(task), "before its moment");
        let tries = before.state.attempts.iter();
        let tries = tries.filter(|(id, _)| id.task_id() == attempt.task_id());
        let wanted = tries.filter_map(|(_, row)| row.next_memory).max();
        let given = after.state.attempts[attempt].allocation.memory;
        assert!(
            wanted.is_none_or(|wanted| given >= wanted),
            "less memory than it needs"
        );
        let job = &after.state.jobs[&attempt.job];
        let running = after.state.index.members[&(ORG, job.owner)].running;
        assert!(
            org.limits
                .max_concurrent_jobs_per_user
                .is_none_or(|most| running <= most)
        );
        let at_once = after.state.progress[&attempt.job].counts.running;
        assert!(job.parallel().is_none_or(|most| at_once <= most));
        let last = before
            .state
            .attempts
            .keys()
            .rfind(|id| id.task_id() == attempt.task_id());
        let last = last.map(|last| last.number);
        let last = last.max(progress.following.returned(task));
        assert_eq!(attempt.number, last.unwrap_or(0) + 1, "numbers only grow");
        if let Some(aside) = &before.state.machines[machine].set_aside {
            let live = |world: &World| {
                let used = world.state.index.machines.get(machine);
                used.map_or(0, |used| used.live.len())
            };
            assert!(aside.tried.is_some() && behind.is_none(), "it is set aside");
            assert_eq!((live(before), live(after)), (0, 1), "one at a time");
        }
        check_rules(before, after, *attempt, *machine);
        check_restored(before, after, *attempt);
        assert!(
            after.state.is_connected(*machine) && after.state.reports[machine].paused.is_none()
        );
    }
    for (id, attempt) in &before.state.attempts {
        if let AttemptState::Ended(outcome) = &attempt.state {
            let still = &after.state.attempts[id].state;
            assert_eq!(
                still,
                &AttemptState::Ended(outcome.clone()),
                "an end is final"
            );
        }
    }
    for (id, machine) in &before.state.machines {
        assert!(after.state.machines[id].generation >= machine.generation);
        let (was, is) = (
            crate::assign(&before.state, *id),
            crate::assign(&after.state, *id),
        );
        assert!(
            was.attempts == is.attempts || is.generation > was.generation,
            "a change without a generation"
        );
        check_update(after, *id, &was, &is);
    }
}

/// Checks that who was told `was` knows everything about `is` from what is said of it then.
fn check_update(after: &World, machine: MachineId, was: &Assignment, is: &Assignment) {
    let told = was.attempts.iter().map(|assigned| assigned.attempt);
    let update = crate::assign_update(&after.state, machine, &told.collect());
    assert_eq!(
        (update.generation, update.trees),
        (is.generation, is.trees.clone())
    );
    let mut all = update.new;
    for known in update.known {
        let mut before = was.attempts.iter();
        let assigned = before.find(|assigned| assigned.attempt == known.attempt);
        let (goal, after) = (known.goal, known.after);
        all.push(Assigned {
            goal,
            after,
            ..assigned.unwrap().clone()
        });
    }
    all.sort_by_key(|assigned| assigned.attempt);
    let mut expect: Vec<&Assigned> = is.attempts.iter().collect();
    expect.sort_by_key(|assigned| assigned.attempt);
    assert_eq!(all.len(), expect.len());
    for (known, expect) in all.iter().zip(expect) {
        let what = |assigned: &Assigned| (assigned.attempt, assigned.goal, assigned.after);
        assert_eq!(what(known), what(expect));
        if expect.goal == Goal::Run {
            assert_eq!(known.spec, expect.spec, "what may run has changed");
        }
    }
}

/// Checks that a task does not begin anew as long as what it left may still come.
fn check_restored(before: &World, after: &World, placed: AttemptId) {
    let job = &before.state.jobs[&placed.job];
    let last = before.state.newest_attempt(placed.job, placed.task);
    let Some((_, last)) = last.filter(|_| job.spec.checkpoint.is_some()) else {
        return;
    };
    let waited = last
        .ended_at
        .is_some_and(|at| before.now.since(at) >= FILES_WAIT);
    assert!(
        last.artifacts != ArtifactsView::Pending || waited,
        "its files may come"
    );
    if let Some((tree, ..)) = last.stored() {
        assert_eq!(after.state.attempts[&placed].restore, Some(tree));
    }
}

/// Checks what must be true where something gives way.
pub(in crate::tests) fn check_preemptions(before: &World, events: &[Event]) {
    let state = &before.state;
    for event in events {
        let Event::AttemptPreempted {
            attempt,
            machine,
            by: Preempted { job, precedence },
        } = event
        else {
            continue;
        };
        let owner = state.machines[machine].owner;
        let (takes, gives) = (&state.jobs[job], &state.jobs[&attempt.job]);
        let (high, low) = (takes.spec.priority, gives.spec.priority);
        match precedence {
            Precedence::OwnMachine => {
                assert!(takes.owner == owner && gives.owner != owner);
                continue;
            }
            Precedence::Priority => assert!(high > low, "{high} takes from {low}"),
            Precedence::Share => assert!(high == low && takes.owner != gives.owner),
        }
        assert!(
            gives.owner != owner || takes.owner == owner,
            "a guest takes from the owner"
        );
        assert!(state.gave_way(*attempt) < MAX_GAVE_WAY);
        let first = state.progress[job].queued.first_from(0);
        let first = first.map(|task| AttemptId {
            job: *job,
            task,
            number: u32::MAX,
        });
        let came_back = first.map_or(0, |first| state.gave_way(first));
        assert_eq!(came_back, 0, "who gave way takes nobody's place");
    }
}
