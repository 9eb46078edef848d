//! Whose turn it is: who has less of the pool, and had less of it lately, for their weight.
//!
//! A member's part is the largest of any one resource (dominant resource fairness, Ghodsi et al., NSDI 2011) of what is
//! lent in all. What one holds counts as if it had been held for as long as anything is remembered, and what has ended
//! counts for as long as it was, forgotten by half in every half-life: who submits much at once is behind others at once,
//! and who waits comes before all others in the end. What runs on a member's own machine counts nowhere.

use common::{
    id::{OrgId, ProjectId, UserId},
    org::{percent::Percent, retention::Retention},
    time::Timestamp,
};

use crate::state::{
    State,
    decay::HalfLife,
    pool::OrgPool,
    queue::Whose,
    standing::{Borrowed, Standing, Taken},
};

/// Parts are counted in so many of the whole.
const WHOLE: u128 = 1_000_000_000;

/// What turns what members have and had into an order.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    state: &'a State,
    org: OrgId,
    at: Timestamp,
    half_life: HalfLife,
    window_ms: u64,
    credit: Percent,
    /// What to multiply processors, memory and GPUs with, in parts of 2^64.
    parts: [u128; 3],
}

/// A member's part of the pool, for its weight; the least is first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part(pub(crate) u64);

impl<'a> Order<'a> {
    pub(crate) fn of(state: &'a State, org: OrgId, pool: Option<&OrgPool>, at: Timestamp) -> Self {
        let settings = state.orgs.get(&org).map(|org| &org.settings);
        let half_life = settings.map_or(Retention::Forever, |settings| settings.usage_half_life);
        let half_life = HalfLife::of(half_life);
        let window_ms = half_life.window_ms();
        let part_of =
            |total: u64| (WHOLE << 64) / (u128::from(total.max(1)) * u128::from(window_ms));
        let total = |of: fn(&OrgPool) -> u64| pool.map_or(0, of);
        Self {
            state,
            org,
            at,
            half_life,
            window_ms,
            credit: settings
                .map(|settings| settings.lending_credit)
                .unwrap_or_default(),
            parts: [
                part_of(total(|pool| pool.total.milli_cpu.div_ceil(1000))),
                part_of(total(|pool| pool.total.memory >> 20)),
                part_of(total(|pool| pool.total.gpus)),
            ],
        }
    }

    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns the part of a line's member, who holds so much now.
    pub(crate) fn part(&self, whose: Whose, borrowed: &Borrowed) -> Part {
        let Whose { user, project } = whose;
        let standing = self.state.standings.get(&(self.org, user));
        let part = self.of_member(standing, borrowed);
        let weight = standing.map(|standing| standing.weight).unwrap_or_default();
        Part(self.of_project(project, weight.of(part)))
    }

    /// Returns the part of what a member holds, had and lent, whatever it weighs.
    pub(crate) fn of_member(&self, standing: Option<&Standing>, borrowed: &Borrowed) -> u64 {
        let held = |amount: u64| amount.saturating_mul(self.window_ms);
        let held = Taken {
            cpu_ms: held(borrowed.milli_cpu) / 1000,
            memory_mib_ms: held(borrowed.memory >> 20),
            gpu_ms: held(borrowed.gpus),
        };
        let Some(standing) = standing else {
            return self.dominant(&held);
        };
        let now = |taken: &Taken| taken.left_between(self.half_life, standing.at, self.at);
        let part = self.dominant(&now(&standing.used).and(&held));
        match self.credit {
            credit if credit == Percent::default() => part,
            credit => part.saturating_sub(credit.of(self.dominant(&now(&standing.lent)))),
        }
    }

    fn of_project(&self, project: Option<ProjectId>, part: u64) -> u64 {
        let project = project.and_then(|project| self.state.projects.get(&project));
        project.map_or(part, |project| project.weight.of(part))
    }

    /// Returns the largest part of any one resource.
    pub(crate) fn dominant(&self, taken: &Taken) -> u64 {
        let amounts = [taken.cpu_ms, taken.memory_mib_ms, taken.gpu_ms];
        let parts = amounts.iter().zip(self.parts);
        let parts = parts.map(|(amount, part)| u128::from(*amount).saturating_mul(part) >> 64);
        u64::try_from(parts.max().unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// Returns what the member holds of others' machines.
    pub(crate) fn borrowed(&self, user: UserId) -> Borrowed {
        let used = self.state.index.members.get(&(self.org, user));
        used.map(|used| used.borrowed).unwrap_or_default()
    }
}
