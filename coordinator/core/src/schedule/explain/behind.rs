//! Tasks that wait on machines behind running ones of their job.

use std::collections::BTreeSet;

use common::{api::explain::MAX_NAMED_MACHINES, name::Name};

use super::Subject;
use crate::state::State;

/// Returns whether all that waits of a job waits so.
pub(super) fn is_all(subject: &Subject<'_>) -> bool {
    let progress = subject.job.map(|(_, _, progress)| progress);
    progress.is_some_and(|progress| {
        progress.has_followers() && progress.counts.queued == progress.following.len()
    })
}

/// Returns how many tasks wait so, and where.
pub(super) fn text(state: &State, subject: &Subject<'_>) -> Option<String> {
    let (id, _, progress) = subject.job.filter(|(_, _, p)| p.has_followers())?;
    let waiting = state.index.chains.waiting(id);
    let machines = waiting.filter_map(|id| state.attempts.get(&id));
    let machines = machines.filter_map(|row| state.machines.get(&row.machine));
    let machines: BTreeSet<&Name> = machines.map(|machine| &machine.name).collect();
    let named = machines.iter().take(MAX_NAMED_MACHINES);
    let mut named: Vec<String> = named.map(ToString::to_string).collect();
    if machines.len() > MAX_NAMED_MACHINES {
        named.push(format!("{} more", machines.len() - MAX_NAMED_MACHINES));
    }
    let named = named.join(", ");
    Some(match progress.following.len() {
        1 => format!("1 task is next in the place of a running one of the job, on {named}"),
        count => {
            format!("{count} tasks are next in the places of running ones of the job, on {named}")
        }
    })
}
