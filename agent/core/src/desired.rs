//! What should run on this machine: the coordinator's last word, and how a new one replaces it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use common::{
    id::AttemptId,
    wire::agent::{
        Assigned, Assignment, AssignmentUpdate, AttemptSpec, Goal, KnownAttempt,
        MAX_ATTEMPTS_PER_MACHINE, MAX_WANTED_TREES, WantedTree,
    },
};

/// The desired set that is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    generation: u64,
    attempts: BTreeMap<AttemptId, Wanted>,
    /// Data that jobs may want soon.
    trees: Vec<WantedTree>,
}

/// One attempt of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub goal: Goal,
    /// Behind which one of the set it waits.
    pub after: Option<AttemptId>,
    pub spec: Arc<AttemptSpec>,
}

impl From<Assigned> for Wanted {
    fn from(assigned: Assigned) -> Self {
        let Assigned {
            attempt: _,
            goal,
            spec,
            after,
        } = assigned;
        Self {
            goal,
            after,
            spec: Arc::new(spec),
        }
    }
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

    /// Returns one attempt of the set.
    pub fn get(&self, attempt: &AttemptId) -> Option<&Wanted> {
        self.attempts.get(attempt)
    }

    /// Returns every attempt in the set, by id.
    pub fn attempts(&self) -> impl Iterator<Item = (&AttemptId, &Wanted)> {
        self.attempts.iter()
    }

    /// Returns the set that `assignment` puts in the place of this one. The same generation may come again:
    /// it does after every reconnect.
    ///
    /// # Errors
    /// The assignment is older than this set, or no assignment at all.
    pub fn replaced_by(&self, assignment: Assignment) -> Result<Self, AssignmentRefused> {
        let Assignment {
            generation,
            attempts,
            trees,
        } = assignment;
        self.updated_by(AssignmentUpdate {
            generation,
            new: attempts,
            known: Vec::new(),
            trees,
        })
    }

    /// Returns the set that `update` makes of this one. What is known is what it was before.
    ///
    /// # Errors
    /// As for [`Self::replaced_by`], and where this set does not have what is said to be known.
    pub fn updated_by(&self, update: AssignmentUpdate) -> Result<Self, AssignmentRefused> {
        let AssignmentUpdate {
            generation,
            new,
            known,
            trees,
        } = update;
        if generation < self.generation {
            return Err(AssignmentRefused::Older {
                held: self.generation,
                offered: generation,
            });
        }
        let count = new.len().saturating_add(known.len());
        if count > MAX_ATTEMPTS_PER_MACHINE || trees.len() > MAX_WANTED_TREES {
            return Err(AssignmentRefused::TooMany);
        }
        let mut attempts = BTreeMap::new();
        let mut add = |attempt, wanted| match attempts.entry(attempt) {
            Entry::Vacant(place) => {
                place.insert(wanted);
                Ok(())
            }
            Entry::Occupied(_) => Err(AssignmentRefused::Twice),
        };
        for assigned in new {
            add(assigned.attempt, assigned.into())?;
        }
        for KnownAttempt {
            attempt,
            goal,
            after,
        } in known
        {
            let before = self.attempts.get(&attempt);
            let spec = Arc::clone(&before.ok_or(AssignmentRefused::Unknown)?.spec);
            add(attempt, Wanted { goal, after, spec })?;
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
    #[error("it does not say what an attempt is that is new here")]
    Unknown,
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

    #[test]
    fn what_is_known_need_not_be_said_again() {
        let set = |generation, attempts| Assignment {
            generation,
            attempts,
            trees: Vec::new(),
        };
        let known = |task, goal| KnownAttempt {
            attempt: assigned(task, 1, goal).attempt,
            goal,
            after: None,
        };
        let [first, second] = [0, 1].map(|task| assigned(task, 1, Goal::Run));
        let held = Desired::resumed(1);
        let held = held.replaced_by(set(2, vec![first.clone(), second]));
        let held = held.unwrap();
        // The first is over, the second is not wanted any more, the third is new.
        let update = AssignmentUpdate {
            generation: 3,
            new: vec![assigned(2, 1, Goal::Run)],
            known: vec![known(0, Goal::Collect)],
            trees: Vec::new(),
        };
        let whole = [assigned(2, 1, Goal::Run), assigned(0, 1, Goal::Collect)];
        let expect = held.replaced_by(set(3, whole.to_vec()));
        assert_eq!(held.updated_by(update.clone()), expect);
        let refused = |change: AssignmentUpdate| held.updated_by(change).unwrap_err();
        let unknown = AssignmentUpdate {
            known: vec![known(2, Goal::Run)],
            ..AssignmentUpdate::default()
        };
        let unknown = AssignmentUpdate {
            generation: 3,
            ..unknown
        };
        assert_eq!(refused(unknown), AssignmentRefused::Unknown);
        let twice = AssignmentUpdate {
            new: vec![first],
            ..update.clone()
        };
        assert_eq!(refused(twice), AssignmentRefused::Twice);
        let many = AssignmentUpdate {
            known: vec![known(0, Goal::Run); MAX_ATTEMPTS_PER_MACHINE],
            ..update
        };
        assert_eq!(refused(many), AssignmentRefused::TooMany);
    }
}
