//! How members stand to one another: what each took of other members' machines lately, and lent of its own.
//!
//! On one's own machine one takes nothing from anybody. What was no doing of the job is not charged, as in usage.
//! Reads [`super::usage::Settled`]; the schedule reads it through [`crate::schedule::order`].

use common::{
    id::{OrgId, UserId},
    resources::Allocation,
    time::Timestamp,
    weight::Weight,
};
use serde::{Deserialize, Serialize};

use super::{State, decay::HalfLife, usage::Settled};

/// A member's row; who has none never ran or lent anything, and weighs one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Standing {
    pub(crate) weight: Weight,
    /// When the sums were right; since then they have been forgotten in part.
    pub(crate) at: Timestamp,
    pub(crate) used: Taken,
    pub(crate) lent: Taken,
    /// When a job of the member's rose last: one at a time, so that a queue of old jobs does not come before all others.
    pub(crate) raised_at: Timestamp,
}

/// Amounts times milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) cpu_ms: u64,
    pub(crate) memory_mib_ms: u64,
    pub(crate) gpu_ms: u64,
}

/// What is held of other members' machines now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Borrowed {
    pub(crate) milli_cpu: u64,
    pub(crate) memory: u64,
    pub(crate) gpus: u64,
}

impl Borrowed {
    pub(crate) fn add(&mut self, allocation: &Allocation) {
        self.milli_cpu += u64::from(allocation.cpu.0);
        self.memory = self.memory.saturating_add(allocation.memory.0);
        self.gpus += allocation.gpus.len() as u64;
    }

    pub(crate) fn take(&mut self, allocation: &Allocation) {
        self.milli_cpu = self.milli_cpu.saturating_sub(u64::from(allocation.cpu.0));
        self.memory = self.memory.saturating_sub(allocation.memory.0);
        self.gpus = self.gpus.saturating_sub(allocation.gpus.len() as u64);
    }
}

impl Taken {
    /// Returns what an attempt took, as far as it counts at its end.
    fn of(settled: &Settled, half_life: HalfLife) -> Self {
        let counted = half_life.counted_ms(settled.wall_ms);
        let part = |amount: u64| {
            let part = u128::from(amount) * u128::from(counted);
            u64::try_from(part / u128::from(settled.wall_ms.max(1))).unwrap_or(u64::MAX)
        };
        let gpus = settled.gpu_ms.values();
        Self {
            cpu_ms: part(settled.cpu_ms),
            memory_mib_ms: part(settled.memory_mib_ms),
            gpu_ms: part(gpus.fold(0, |sum, ms| sum.saturating_add(*ms))),
        }
    }

    /// Returns what is left at one moment of what counted at another.
    pub(crate) fn left_between(&self, half_life: HalfLife, from: Timestamp, to: Timestamp) -> Self {
        let left = half_life.left_between(from, to);
        Self {
            cpu_ms: left.of(self.cpu_ms),
            memory_mib_ms: left.of(self.memory_mib_ms),
            gpu_ms: left.of(self.gpu_ms),
        }
    }

    pub(crate) fn and(mut self, more: &Self) -> Self {
        self.add(more);
        self
    }

    fn add(&mut self, more: &Self) {
        self.cpu_ms = self.cpu_ms.saturating_add(more.cpu_ms);
        self.memory_mib_ms = self.memory_mib_ms.saturating_add(more.memory_mib_ms);
        self.gpu_ms = self.gpu_ms.saturating_add(more.gpu_ms);
    }
}

impl Standing {
    /// Adds what an attempt took that ended at `at`, perhaps before others that were added already.
    fn add(&mut self, taken: &Taken, at: Timestamp, half_life: HalfLife, lent: bool) {
        let now = self.at.max(at);
        self.used = self.used.left_between(half_life, self.at, now);
        self.lent = self.lent.left_between(half_life, self.at, now);
        self.at = now;
        let taken = taken.left_between(half_life, at, now);
        match lent {
            true => self.lent.add(&taken),
            false => self.used.add(&taken),
        }
    }
}

/// Charges an attempt that ended to whoever submitted it, and credits whoever lent the machine.
pub(crate) fn charge(
    state: &mut State,
    org: OrgId,
    lender: UserId,
    settled: &Settled,
    at: Timestamp,
) {
    let Some(row) = state.orgs.get(&org) else {
        return;
    };
    let half_life = HalfLife::of(row.settings.usage_half_life);
    let taken = Taken::of(settled, half_life);
    for user in settled.charged(lender) {
        // Who has left since has nothing to be charged to.
        if state.members.contains_key(&(org, user)) {
            let standing = state.standings.entry((org, user)).or_default();
            standing.add(&taken, at, half_life, user == lender);
        }
    }
}
