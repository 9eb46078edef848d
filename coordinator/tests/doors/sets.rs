//! The sets that a machine is sent, whole.

use common::wire::agent::{Assigned, Assignment, AssignmentUpdate, CoordinatorMessage};

use crate::machine::Control;

impl Control {
    /// Reads until a desired set comes that is as it should be.
    pub(crate) async fn assignment(&mut self, wanted: impl Fn(&Assignment) -> bool) -> Assignment {
        loop {
            let set = match self.next().await {
                CoordinatorMessage::Assignment(set) => set,
                CoordinatorMessage::Update(update) => self.updated(update),
                _ => continue,
            };
            self.told = set.attempts.clone();
            if wanted(&set) {
                return set;
            }
        }
    }

    /// Returns the set that an update makes of the one before.
    fn updated(&self, update: AssignmentUpdate) -> Assignment {
        let mut attempts = update.new;
        for known in update.known {
            let mut told = self.told.iter();
            let before = told.find(|assigned| assigned.attempt == known.attempt);
            attempts.push(Assigned {
                goal: known.goal,
                after: known.after,
                ..before.unwrap().clone()
            });
        }
        attempts.sort_by_key(|assigned| assigned.attempt);
        Assignment {
            generation: update.generation,
            attempts,
            trees: update.trees,
        }
    }
}
