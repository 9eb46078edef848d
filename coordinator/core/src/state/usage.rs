//! What ended attempts consumed: settled once, when an attempt ends, and summed by org and day.
//!
//! An attempt's own row keeps what it was settled with; the sums follow from the rows, so that they are always those over
//! all attempts, and what is deleted with its org is in no sum any more. Whole numbers only: milliseconds of a thing.

use std::collections::BTreeMap;

use common::{
    id::{MachineId, OrgId, ProjectId, UserId},
    job::ArtifactsView,
    status::EndReason,
    time::Timestamp,
    units::Bytes,
};
use serde::{Deserialize, Serialize};

use super::attempt::Attempt;

/// What an attempt is settled with. Never changes, whoever leaves and whatever else is reported later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Who submitted it.
    pub member: UserId,
    pub project: Option<ProjectId>,
    pub charge: Charge,
    /// From the program's start to its end, the time in which it was frozen included.
    pub wall_ms: u64,
    /// Processors that were reserved, times the time in which it was not frozen.
    pub cpu_ms: u64,
    /// Processor time that the program took, as its machine measured it.
    pub cpu_used_ms: u64,
    /// Mebibytes that were reserved, times the whole time: a frozen program keeps its memory.
    pub memory_mib_ms: u64,
    /// By model. A share of a GPU counts by its part of the memory.
    pub gpu_ms: BTreeMap<String, u64>,
    /// Over the network, both ways.
    pub moved: Bytes,
}

/// Whether the time counts as the submitter's use; see [`EndReason::billed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    Billed,
    /// It was taken from the job by what was done to it: the machine's loss, its owner's return.
    Unbilled,
}

impl Settled {
    /// Returns whose standing it changes, where it ran on that member's machine: nobody's on one's own.
    pub(crate) fn charged(&self, lender: UserId) -> impl Iterator<Item = UserId> + use<> {
        let counts = self.charge == Charge::Billed && self.member != lender;
        let both = counts.then_some([self.member, lender]);
        both.into_iter().flatten()
    }
}

impl Charge {
    pub(crate) const fn of(reason: EndReason) -> Self {
        if reason.billed() {
            Self::Billed
        } else {
            Self::Unbilled
        }
    }
}

/// A day of UTC, counted from 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(u64);

const DAY_MS: u64 = 86_400_000;

impl Day {
    pub(crate) const LAST: Self = Self(u64::MAX);

    pub(crate) const fn of(moment: Timestamp) -> Self {
        Self(moment.unix_ms() / DAY_MS)
    }

    pub(crate) const fn begin(self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.saturating_mul(DAY_MS))
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Whose use it is, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UsageKey {
    pub(crate) member: UserId,
    pub(crate) project: Option<ProjectId>,
    pub(crate) machine: MachineId,
}

/// Sums over attempts. As wide as they are, they never overflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) attempts: u64,
    pub(crate) wall_ms: u128,
    pub(crate) cpu_ms: u128,
    pub(crate) cpu_used_ms: u128,
    pub(crate) memory_mib_ms: u128,
    pub(crate) gpu_ms: BTreeMap<String, u128>,
    pub(crate) stored: u128,
    pub(crate) moved: u128,
}

/// Sums of what is billed and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) billed: Sums,
    pub(crate) unbilled: Sums,
}

/// What all attempts of an org consumed that ended on one day.
type OfDay = BTreeMap<UsageKey, Used>;

/// The sums of all orgs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UsageIndex {
    days: BTreeMap<(OrgId, Day), OfDay>,
}

impl Used {
    fn of_mut(&mut self, charge: Charge) -> &mut Sums {
        match charge {
            Charge::Billed => &mut self.billed,
            Charge::Unbilled => &mut self.unbilled,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.billed.add(&other.billed);
        self.unbilled.add(&other.unbilled);
    }

    /// Returns the sum of both.
    pub(crate) fn together(&self) -> Sums {
        let mut sum = self.billed.clone();
        sum.add(&self.unbilled);
        sum
    }
}

impl Sums {
    fn of(settled: &Settled, stored: u64) -> Self {
        let gpus = settled.gpu_ms.iter();
        Self {
            attempts: 1,
            wall_ms: settled.wall_ms.into(),
            cpu_ms: settled.cpu_ms.into(),
            cpu_used_ms: settled.cpu_used_ms.into(),
            memory_mib_ms: settled.memory_mib_ms.into(),
            gpu_ms: gpus
                .map(|(model, ms)| (model.clone(), (*ms).into()))
                .collect(),
            stored: stored.into(),
            moved: settled.moved.0.into(),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        for (sum, more) in self.numbers_mut().into_iter().zip(other.numbers()) {
            *sum += more;
        }
        for (model, ms) in &other.gpu_ms {
            *self.gpu_ms.entry(model.clone()).or_default() += ms;
        }
    }

    /// Takes away what was added.
    fn take(&mut self, other: &Self) {
        self.attempts -= other.attempts;
        for (sum, less) in self.numbers_mut().into_iter().zip(other.numbers()) {
            *sum -= less;
        }
        for (model, ms) in &other.gpu_ms {
            if let Some(sum) = self.gpu_ms.get_mut(model) {
                *sum -= ms;
            }
        }
        self.gpu_ms.retain(|_, ms| *ms > 0);
    }

    const fn numbers(&self) -> [u128; 6] {
        [
            self.wall_ms,
            self.cpu_ms,
            self.cpu_used_ms,
            self.memory_mib_ms,
            self.stored,
            self.moved,
        ]
    }

    const fn numbers_mut(&mut self) -> [&mut u128; 6] {
        [
            &mut self.wall_ms,
            &mut self.cpu_ms,
            &mut self.cpu_used_ms,
            &mut self.memory_mib_ms,
            &mut self.stored,
            &mut self.moved,
        ]
    }
}

impl UsageIndex {
    pub(super) fn attempt_in(&mut self, attempt: &Attempt) {
        if let Some((day, key, charge, sums)) = place(attempt) {
            let keys = self.days.entry((attempt.org, day)).or_default();
            keys.entry(key).or_default().of_mut(charge).add(&sums);
        }
    }

    pub(super) fn attempt_out(&mut self, attempt: &Attempt) {
        let Some((day, key, charge, sums)) = place(attempt) else {
            return;
        };
        let Some(keys) = self.days.get_mut(&(attempt.org, day)) else {
            return;
        };
        if let Some(used) = keys.get_mut(&key) {
            used.of_mut(charge).take(&sums);
            if *used == Used::default() {
                keys.remove(&key);
            }
        }
        if keys.is_empty() {
            self.days.remove(&(attempt.org, day));
        }
    }

    /// Returns the first day, from this one on, on which an attempt of the org ended, with its sums.
    pub(crate) fn first_from(&self, org: OrgId, day: Day) -> Option<(Day, &OfDay)> {
        let mut days = self.days.range((org, day)..=(org, Day::LAST));
        days.next().map(|((_, day), keys)| (*day, keys))
    }
}

/// Returns where an attempt's sums belong; `None` where nothing is settled.
fn place(attempt: &Attempt) -> Option<(Day, UsageKey, Charge, Sums)> {
    let (settled, ended_at) = (attempt.settled.as_ref()?, attempt.ended_at?);
    let stored = match attempt.artifacts {
        ArtifactsView::Stored { bytes, .. } => bytes.0,
        _ => 0,
    };
    let key = UsageKey {
        member: settled.member,
        project: settled.project,
        machine: attempt.machine,
    };
    Some((
        Day::of(ended_at),
        key,
        settled.charge,
        Sums::of(settled, stored),
    ))
}
