//! How jobs make room for the machine's owner: what the rules decide now, done to each attempt.

use std::{collections::BTreeMap, sync::Arc};

use agent_core::{
    observed::Seen,
    owner::{Lend, OwnJobs, OwnerRules, Running},
};
use common::{
    id::AttemptId,
    machine::{Pause, PausedBy},
    status::EndReason,
    time::Span,
};

use super::{
    Keeper,
    held::{Frost, Held},
};
use crate::clock;

/// What an attempt does because of its machine's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Yields {
    Runs,
    Freezes,
    Ends { words: String },
}

impl Keeper {
    /// Decides anew by the owner's rules.
    pub(super) fn decide(&mut self) {
        let rules = Arc::clone(&self.rules.borrow_and_update().rules);
        let now = self.machine.surroundings();
        self.circumstances.mark_unchanged();
        let decision = self.decision.after(&rules, &now);
        if decision.lend != self.decision.lend || decision.running != self.decision.running {
            tracing::info!(lend = ?decision.lend, running = ?decision.running, "the owner's rules");
        }
        self.decision = decision;
        match self.decision.running {
            Running::Run => self.freeze_file.keep(None),
            Running::Freeze { since, .. } => self.freeze_file.keep(Some(since)),
            // Until it goes on: a daemon that is started meanwhile would freeze again what is left.
            Running::Evict { .. } => {}
        }
    }

    /// Returns why nothing new is taken: an end that was announced, the owner's command, a rule.
    pub(super) fn pause(&self) -> Option<Pause> {
        if self.draining {
            return Some(Pause {
                until: None,
                reason: "its agent is about to stop".to_owned(),
                by: PausedBy::Draining,
            });
        }
        if let Some(paused) = &self.paused {
            return Some(paused.clone());
        }
        match &self.decision.lend {
            Lend::Open => None,
            Lend::Closed { reason, until } => Some(Pause {
                until: *until,
                reason: reason.clone(),
                by: PausedBy::Rule,
            }),
        }
    }

    /// Returns the GPUs that are kept back, each with why.
    pub(super) fn withheld(&self) -> BTreeMap<String, Pause> {
        let by_rule = self.decision.withheld.iter().map(|(gpu, reason)| {
            let pause = Pause {
                until: None,
                reason: reason.clone(),
                by: PausedBy::Rule,
            };
            (gpu.clone(), pause)
        });
        let mut withheld: BTreeMap<String, Pause> = by_rule.collect();
        withheld.extend(self.paused_gpus.clone());
        withheld
    }

    /// Freezes, thaws and ends what runs, so that it is as the owner wants it now.
    pub(super) fn yield_to_owner(&mut self) {
        let rules = Arc::clone(&self.rules.borrow().rules);
        let mut ends: Vec<(AttemptId, String, Span)> = Vec::new();
        let wanted: Vec<(AttemptId, Yields)> = self
            .held
            .iter()
            .filter(|(_, held)| held.seen() == Seen::Live)
            .map(|(attempt, held)| (*attempt, self.wanted(held, &rules)))
            .collect();
        for (attempt, yields) in wanted {
            let Some(held) = self.held.get_mut(&attempt) else {
                continue;
            };
            match yields {
                Yields::Ends { words } => {
                    let grace = held.spec.grace;
                    let grace = rules.yielding.grace.map_or(grace, |most| most.min(grace));
                    ends.push((attempt, words, grace));
                }
                Yields::Freezes => held.freeze(attempt),
                Yields::Runs => held.thaw(attempt),
            }
        }
        for (attempt, words, grace) in ends {
            tracing::info!(%attempt, words, "the attempt makes room for the machine's owner");
            self.stop(attempt, EndReason::MachineOwner, grace);
            if let Some(held) = self.held.get_mut(&attempt) {
                held.evicted = Some(words);
            }
        }
    }

    fn wanted(&self, held: &Held, rules: &OwnerRules) -> Yields {
        let own = held.spec.own_machine && rules.yielding.own_jobs == OwnJobs::Stay;
        let mut gpus = held.spec.allocation.gpus.iter();
        // What the owner commands holds for own jobs, too. A frozen job would keep the GPU's memory.
        let command = gpus.clone().find(|gpu| self.paused_gpus.contains_key(*gpu));
        if command.is_some() {
            let words = "its owner paused the GPU".to_owned();
            return Yields::Ends { words };
        }
        if own {
            return Yields::Runs;
        }
        if let Some(words) = gpus.find_map(|gpu| self.decision.withheld.get(gpu)) {
            let words = words.clone();
            return Yields::Ends { words };
        }
        match &self.decision.running {
            Running::Run => Yields::Runs,
            Running::Freeze { .. } => Yields::Freezes,
            Running::Evict { reason } => Yields::Ends {
                words: reason.clone(),
            },
        }
    }

    /// Returns how the machine stands with its owner, in words.
    pub(super) fn standing_words(&self) -> String {
        let lending = match self.pause() {
            None => "lends".to_owned(),
            Some(pause) if pause.reason.is_empty() => {
                "lends nothing new: its owner paused it".to_owned()
            }
            Some(pause) => format!("lends nothing new: {}", pause.reason),
        };
        let live = || self.held.values().filter(|held| held.seen().may_run());
        let frozen = live().any(|held| matches!(held.frost, Frost::Frozen { .. }));
        let ending = live().any(|held| held.evicted.is_some());
        let jobs = match (frozen, ending) {
            (_, true) => "; jobs are ended",
            (true, false) => "; jobs are frozen",
            (false, false) => "",
        };
        format!("{lending}{jobs}")
    }
}

impl Held {
    fn freeze(&mut self, attempt: AttemptId) {
        if matches!(self.frost, Frost::Frozen { .. }) {
            return;
        }
        if let Some(performing) = &self.performing {
            tracing::info!(%attempt, "the attempt is frozen");
            performing.freeze(true);
            self.frost = Frost::Frozen {
                since: clock::now(),
            };
        }
    }

    fn thaw(&mut self, attempt: AttemptId) {
        if self.frost == Frost::Thawed {
            return;
        }
        if let Some(performing) = &self.performing {
            tracing::info!(%attempt, "the attempt goes on");
            performing.freeze(false);
            self.frost = Frost::Thawed;
        }
    }
}
