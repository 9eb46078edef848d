//! What should run on this machine: the coordinator's last word, and how a new one replaces it.

use std::collections::BTreeMap;

use common::{
    id::AttemptId,
    wire::agent::{
        Assigned, Assignment, Goal, MAX_ATTEMPTS_PER_MACHINE, MAX_WANTED_TREES, WantedTree,
    },
};

/// The desired set that is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    generation: u64,
    attempts: BTreeMap<AttemptId, Assigned>,
    /// Data that jobs may want soon.
    trees: Vec<WantedTree>,
}

impl Desired {
    /// Returns an empty set that refuses everything older than `generation`.
    pub fn resumed(generation: u64) -> Self {
        Self {
            generation,
            attempts: BTreeMap::new(),
            trees: Vec::new(),
        }
    }

    /// Returns the data that is to be here before a job wants it.
    pub fn trees(&self) -> &[WantedTree] {
        &self.trees
    }

    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns what should become of an attempt; `None` is that nobody wants it any more.
    pub fn goal(&self, attempt: &AttemptId) -> Option<Goal> {
        self.attempts.get(attempt).map(|assigned| assigned.goal)
    }

    /// Returns behind which one an attempt of the set waits.
    pub fn after(&self, attempt: &AttemptId) -> Option<AttemptId> {
        self.attempts.get(attempt)?.after
    }

    /// Returns every attempt in the set, by id.
    pub fn attempts(&self) -> impl Iterator<Item = &Assigned> {
        self.attempts.values()
    }

    /// Returns the set that `assignment` puts in the place of this one. The same generation may come again:
    /// it does after every reconnect.
    ///
    /// # Errors
    /// The assignment is older than this set, or no assignment at all.
    pub fn replaced_by(&self, assignment: Assignment) -> Result<Self, AssignmentRefused> {
        let Assignment {
            generation,
            attempts: listed,
            trees,
        } = assignment;
        if generation < self.generation {
            return Err(AssignmentRefused::Older {
                held: self.generation,
                offered: generation,
            });
        }
        if listed.len() > MAX_ATTEMPTS_PER_MACHINE || trees.len() > MAX_WANTED_TREES {
            return Err(AssignmentRefused::TooMany);
        }
        let count = listed.len();
        let attempts: BTreeMap<_, _> = listed
            .into_iter()
            .map(|assigned| (assigned.attempt, assigned))
            .collect();
        if attempts.len() != count {
            return Err(AssignmentRefused::Twice);
        }
        Ok(Self {
            generation,
            attempts,
            trees,
        })
    }
}

/// Why an assignment is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentRefused {
    #[error("it has generation {offered}, older than {held}")]
    Older { held: u64, offered: u64 },
    #[error("it names more than {MAX_ATTEMPTS_PER_MACHINE} attempts or {MAX_WANTED_TREES} trees")]
    TooMany,
    #[error("it names an attempt twice")]
    Twice,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assigned;

    #[test]
    fn older_sets_are_refused_and_the_same_one_may_come_again() {
        let set = |generation, goals: &[(u32, Goal)]| Assignment {
            generation,
            attempts: goals
                .iter()
                .map(|(task, goal)| assigned(*task, 1, *goal))
                .collect(),
            trees: Vec::new(),
        };
        let held = Desired::resumed(7);
        assert_eq!(
            held.replaced_by(set(6, &[])),
            Err(AssignmentRefused::Older {
                held: 7,
                offered: 6
            })
        );
        let taken = held.replaced_by(set(7, &[(0, Goal::Run)])).unwrap();
        assert_eq!(taken.generation(), 7);
        assert_eq!(
            taken.goal(&assigned(0, 1, Goal::Run).attempt),
            Some(Goal::Run)
        );
        let emptied = taken.replaced_by(set(8, &[])).unwrap();
        assert_eq!(emptied.attempts().count(), 0);
        assert_eq!(
            held.replaced_by(set(9, &[(0, Goal::Run), (0, Goal::Collect)])),
            Err(AssignmentRefused::Twice)
        );
        let many: Vec<_> = (0..=1024).map(|task| (task, Goal::Run)).collect();
        assert_eq!(
            held.replaced_by(set(9, &many)),
            Err(AssignmentRefused::TooMany)
        );
    }
}
