//! Whose place a job may take that waits, and when.

use std::collections::BTreeMap;

use common::{preemption::MayPreempt, status::JobStatus, time::Timestamp};

use super::Inquiry;
use crate::{
    schedule::{
        history::History,
        order::Order,
        preempt::{Parts, Rules, Taker, Way},
        reserve::could_have,
    },
    state::{queue::Whose, reserved::ReservedBy},
};

/// Most machines that are looked at.
const MAX_LOOKED: usize = 256;

/// Returns what its next task may do, where nothing but machines that are busy keeps it from starting.
pub(super) fn may_preempt(
    inquiry: &Inquiry<'_>,
    history: &History,
    now: Timestamp,
) -> Option<MayPreempt> {
    let state = inquiry.state;
    let (id, job, progress) = inquiry.subject.job?;
    let held = inquiry.archived().is_some() || inquiry.over_parallel().is_some();
    let waits = progress.status() == JobStatus::AwaitingApproval || progress.in_queue() == 0;
    let limited = !inquiry.reached.is_empty() || !inquiry.waits.is_empty();
    if held || waits || limited || history.gave_way > 0 || history.request(&job.spec).is_some() {
        return None;
    }
    let org = inquiry.subject.org;
    let rules = Rules::of(&state.orgs.get(&org)?.settings)?;
    let reserved = &state.volatile.reserved;
    if reserved.taken(org, id).next().is_some() {
        return None;
    }
    let order = Order::of(state, org, state.volatile.pool.of(org), now);
    let taker = Taker {
        ask: &inquiry.ask,
        whose: Whose::of(job),
        priority: job.spec.priority,
        rules,
        parts: Parts {
            state,
            order: &order,
            members: &BTreeMap::new(),
        },
    };
    let machines = inquiry.machines.iter().filter(|machine| {
        let own = machine.owner == job.owner;
        let free = reserved.of(machine.id).is_none_or(|one| match one.why {
            ReservedBy::Preemption => false,
            ReservedBy::Backfill => one.job == id || own,
        });
        free && could_have(machine, &inquiry.ask) && !history.failed_on.contains(&machine.id)
    });
    let waited = progress.waits_since.saturating_add(rules.waits);
    let mut best: Option<MayPreempt> = None;
    for machine in machines.take(MAX_LOOKED) {
        let (from, tasks) = match taker.on(machine, &[]) {
            None => continue,
            Some(Way::Needless) => return None,
            Some(Way::Now(taken)) => (now, taken.cost.tasks),
            Some(Way::Later(from, tasks)) => (from, tasks),
        };
        let from = from.max(waited);
        if best.is_none_or(|best| (from, tasks) < (best.from, best.tasks)) {
            best = Some(MayPreempt { tasks, from });
        }
    }
    best
}
