//! What belongs together is there as a whole: those who wait behind one another, and gangs.

use std::collections::{BTreeMap, BTreeSet};

use common::id::{JobId, MachineId};

use crate::state::{State, following::MAX_BEHIND};

/// Checks that who waits behind another waits for a place that somebody has, of its own job and for as much.
pub(super) fn chains_are_whole(state: &State) {
    for (id, attempt) in &state.attempts {
        let Some(before) = attempt.waits_behind() else {
            continue;
        };
        assert_eq!(
            state.index.chains.behind(before),
            Some(*id),
            "each behind one"
        );
        let first = &state.attempts[&before];
        assert!(first.is_live(), "it waits behind what has ended");
        assert_eq!(before.job, id.job);
        assert_eq!(
            (first.machine, &first.allocation),
            (attempt.machine, &attempt.allocation)
        );
        let mut ahead = vec![before];
        while let Some(next) = state.attempts[&ahead[ahead.len() - 1]].waits_behind() {
            ahead.push(next);
            assert!(ahead.len() <= MAX_BEHIND, "it waits behind too many");
        }
        assert!(state.progress[&id.job].following.contains(id.task));
    }
}

/// Checks that a gang waits as a whole, and is tried as a whole on as many machines.
pub(super) fn gang_is_whole(state: &State, id: JobId, nodes: usize) {
    let progress = &state.progress[&id];
    let waiting = (progress.in_queue() as usize, progress.delayed.len());
    assert!(
        [(0, 0), (nodes, 0), (0, nodes)].contains(&waiting),
        "half of a gang waits"
    );
    assert!(
        waiting == (0, 0) || progress.counts.running == 0,
        "half of a gang waits, the other half runs"
    );
    let attempts = state.attempts.iter().filter(|(of, _)| of.job == id);
    let mut rounds: BTreeMap<u32, BTreeSet<MachineId>> = BTreeMap::new();
    let mut count = 0;
    for (of, attempt) in attempts {
        rounds.entry(of.number).or_default().insert(attempt.machine);
        count += 1;
    }
    assert!(
        rounds.values().all(|machines| machines.len() == nodes),
        "a gang is half placed"
    );
    assert_eq!(count, rounds.len() * nodes);
}
