//! The best machine for a task: one of the member's own, then one that has its data or has it soonest, then the
//! smallest kind with room.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use common::{id::MachineId, resources::Allocation};

use super::{
    candidates::Passed,
    feasible::{Ask, Unfit, fits_now},
    rank::{Wishes, rank},
    view::MachineView,
};
use crate::state::{State, pool::OrgPool, room::Room};

/// Most machines that are compared for how soon they have a task's data: of those that have some, of all others, and of
/// the member's own.
const COMPARED: usize = 16;
/// Most machines that have one of its trees and are looked at for that.
const HOLDERS_LOOKED: usize = 256;

/// The machines of an org as a pass sees them: those that it looked at, without what it took.
#[derive(Debug)]
pub(super) struct Machines<'a> {
    state: &'a State,
    pool: &'a OrgPool,
    seen: BTreeMap<MachineId, MachineView<'a>>,
}

/// Whose machines are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    /// The member's own alone.
    Own,
}

/// Where a task could go, and what it would hold there.
type Fit = (MachineId, Allocation);

impl<'a> Machines<'a> {
    pub(super) const fn new(state: &'a State, pool: &'a OrgPool) -> Self {
        Self {
            state,
            pool,
            seen: BTreeMap::new(),
        }
    }

    /// Returns how many were looked at.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn look(&mut self, machine: MachineId) -> Option<&mut MachineView<'a>> {
        match self.seen.entry(machine) {
            Entry::Occupied(seen) => Some(seen.into_mut()),
            Entry::Vacant(new) => Some(new.insert(MachineView::of(self.state, machine)?)),
        }
    }

    /// Returns the best machine with room; `passed` is what has none left, among all and among the member's own.
    pub(super) fn choose(
        &mut self,
        ask: &Ask<'_>,
        wishes: &Wishes<'_>,
        (passed, passed_own): (&mut Passed, &mut Passed),
        whose: Scope,
    ) -> Option<Fit> {
        let pool = self.pool;
        let mut fits = Vec::new();
        if let Some(own) = pool.own.get(&ask.owner) {
            self.first_in(own, ask, wishes, passed_own, &mut fits);
        }
        if whose == Scope::All {
            if !wishes.needs.is_empty() {
                self.holders(ask, wishes, &mut fits);
            }
            let good = |fits: &[Fit]| fits.iter().any(|fit| !wishes.failed_on.contains(&fit.0));
            if !wishes.needs.is_empty() || !good(&fits) {
                self.first_in(&pool.room, ask, wishes, passed, &mut fits);
            }
        } else {
            // Another one may be better than one's own.
            fits.retain(|fit| !wishes.failed_on.contains(&fit.0));
        }
        if fits.len() < 2 {
            return fits.pop();
        }
        let ranked = fits.into_iter().filter_map(|(machine, allocation)| {
            let rank = rank(self.seen.get(&machine)?, &allocation, wishes);
            Some((rank, machine, allocation))
        });
        let (_, machine, allocation) = ranked.min_by(|a, b| a.0.cmp(&b.0))?;
        Some((machine, allocation))
    }

    /// Adds the first machine that fits, in the smallest kind that has one, or for a task with data some more; where the
    /// task failed on some that fit, the first of these too.
    fn first_in(
        &mut self,
        room: &Room,
        ask: &Ask<'_>,
        wishes: &Wishes<'_>,
        passed: &mut Passed,
        fits: &mut Vec<Fit>,
    ) {
        let mut left = if wishes.needs.is_empty() { 1 } else { COMPARED };
        let mut failed = false;
        for (number, kind, group) in room.groups() {
            if !kind.has_model(ask.request) {
                continue;
            }
            let mut from = passed.of(number);
            loop {
                let Some((place, machine)) = group.next(ask.request, ask.data, from) else {
                    if passed.of(number) == from {
                        passed.set(number, usize::MAX);
                    }
                    break;
                };
                let Some(view) = self.look(machine) else {
                    from = place + 1;
                    continue;
                };
                match fits_now(view, ask) {
                    Ok(allocation) if !wishes.failed_on.contains(&machine) => {
                        fits.push((machine, allocation));
                        left -= 1;
                        if left == 0 {
                            return;
                        }
                    }
                    Ok(allocation) => {
                        if !failed {
                            fits.push((machine, allocation));
                        }
                        failed = true;
                    }
                    // A pass only ever takes: it stays so for all that ask for as much.
                    Err(Unfit::Room) => {
                        if passed.of(number) == from {
                            passed.set(number, place + 1);
                        }
                    }
                    // The same for all of a kind: where the member's own are let in before others, they were looked at
                    // already, and only they are taken back from a task.
                    Err(Unfit::Rule) if ask.given_back.is_empty() => break,
                    Err(Unfit::ModelLimit) if kind.has_one_model() => break,
                    Err(
                        Unfit::Rule
                        | Unfit::ModelLimit
                        | Unfit::Reserved
                        | Unfit::Bound
                        | Unfit::Taken,
                    ) => {}
                }
                from = place + 1;
            }
        }
    }

    /// Adds machines that have some of the task's data.
    fn holders(&mut self, ask: &Ask<'_>, wishes: &Wishes<'_>, fits: &mut Vec<Fit>) {
        let pool = self.pool;
        let trees = wishes.needs.trees();
        let holders = trees.filter_map(|tree| pool.holders.get(&tree));
        let holders: BTreeSet<MachineId> = holders
            .flat_map(|held| held.iter().take(HOLDERS_LOOKED))
            .copied()
            .collect();
        let before = fits.len();
        for machine in holders {
            let Some(view) = self.look(machine) else {
                continue;
            };
            if let Ok(allocation) = fits_now(view, ask) {
                fits.push((machine, allocation));
            }
            if fits.len() - before == COMPARED {
                return;
            }
        }
    }
}
