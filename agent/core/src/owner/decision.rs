//! What follows from the rules and the circumstances: whether anything new begins, what running jobs do, which
//! GPUs are kept back.

use std::{collections::BTreeMap, time::Duration};

use common::time::Timestamp;

use super::{
    OwnerRules,
    causes::{Effect, Hold, gpus_withheld, holding},
    circumstances::Circumstances,
    when::OtherUse,
};

/// What is decided, and what the next decision has to know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    pub lend: Lend,
    pub running: Running,
    /// GPUs that are kept back, by the driver's identifier, and why. Jobs on them end.
    pub withheld: BTreeMap<String, String>,
    /// How long this holds at most though nothing happens.
    pub again: Option<Duration>,
    holds: Vec<Hold>,
    earlier: Option<Earlier>,
}

/// For how long an agent that was started anew counts a freeze as one with that before: until then it may not have
/// seen yet that its owner is there.
const SETTLING: Duration = Duration::from_secs(10);

/// A freeze by an agent before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Earlier {
    since: Duration,
    counts_until: Duration,
}

/// Whether anything new begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Lend {
    #[default]
    Open,
    Closed {
        /// As people read it after a colon: `its owner is at the keyboard (since 14:02)`.
        reason: String,
        /// `None` where nobody can tell.
        until: Option<Timestamp>,
    },
}

/// What running jobs do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Running {
    #[default]
    Run,
    Freeze {
        reason: String,
        /// On the clock of [`Circumstances::now`].
        since: Duration,
    },
    /// They end, and are tried again elsewhere.
    Evict { reason: String },
}

impl Decision {
    /// Returns where an agent begins that is started while jobs are frozen `since` then.
    #[must_use]
    pub fn resumed(since: Duration, now: Duration) -> Self {
        Self {
            earlier: Some(Earlier {
                since,
                counts_until: now + SETTLING,
            }),
            ..Self::default()
        }
    }

    /// Decides by `rules` what follows from `now`, after what was decided before.
    #[must_use]
    pub fn after(&self, rules: &OwnerRules, now: &Circumstances) -> Self {
        let holds = holding(rules, now, &self.holds);
        let lend = match holds.first() {
            None => Lend::Open,
            Some(first) => Lend::Closed {
                reason: first.words.clone(),
                until: first.until.filter(|_| holds.len() == 1),
            },
        };
        let strongest = holds.iter().map(|hold| hold.effect).max();
        let reason = |effect| {
            let first = holds.iter().find(|hold| hold.effect == effect);
            first.map(|hold| hold.words.clone()).unwrap_or_default()
        };
        let at_most = rules.yielding.freeze_at_most.as_duration();
        let mut thaw_or_evict = None;
        let running = match strongest {
            None | Some(Effect::Continue) => Running::Run,
            Some(Effect::Freeze) => {
                let since = self.frozen_since(now.now).unwrap_or(now.now);
                let left = at_most.saturating_sub(now.now.saturating_sub(since));
                let reason = reason(Effect::Freeze);
                // Who was ended for being frozen too long is not frozen again by the same reason.
                if left.is_zero() || matches!(self.running, Running::Evict { .. }) {
                    Running::Evict { reason }
                } else {
                    thaw_or_evict = Some(left);
                    Running::Freeze { reason, since }
                }
            }
            Some(Effect::Evict) => Running::Evict {
                reason: reason(Effect::Evict),
            },
        };
        let again = holds.iter().filter_map(|hold| hold.again);
        let again = again
            .chain(thaw_or_evict)
            .chain(to_next_hour(rules, now))
            .min();
        Self {
            withheld: withheld(rules, now, &holds),
            lend,
            running,
            again,
            holds,
            earlier: self.earlier,
        }
    }

    fn frozen_since(&self, now: Duration) -> Option<Duration> {
        match self.running {
            Running::Freeze { since, .. } => Some(since),
            _ => {
                let earlier = self.earlier.filter(|earlier| now < earlier.counts_until);
                earlier.map(|earlier| earlier.since)
            }
        }
    }
}

/// Returns how long the present hours still last.
fn to_next_hour(rules: &OwnerRules, now: &Circumstances) -> Option<Duration> {
    let minutes = rules.when.hours.as_ref()?.minutes_to_change(now.local)?;
    let into_minute = Duration::from_millis(now.at.unix_ms() % 60_000);
    let whole = Duration::from_secs(u64::from(minutes) * 60);
    Some(whole.saturating_sub(into_minute))
}

fn withheld(rules: &OwnerRules, now: &Circumstances, holds: &[Hold]) -> BTreeMap<String, String> {
    let present = gpus_withheld(rules, now, holds);
    let reason = |used_by_others: bool| {
        let others = used_by_others && rules.gpu_use.while_used_by_others == OtherUse::Evict;
        present
            .clone()
            .or_else(|| others.then(|| "another program uses the GPU".to_owned()))
    };
    let named = now.gpus.iter().filter_map(|gpu| {
        let reason = reason(gpu.used_by_others)?;
        Some((gpu.uuid.clone(), reason))
    });
    named.collect()
}
