//! Attempts that are to have the place of another one here, without anybody being asked once that ends.

use agent_core::{desired::Desired, reconcile::Action};

use super::{Keeper, MAILBOX};
use crate::journal::JournalError;

impl Keeper {
    /// Takes in which attempts wait for another one's place, by a set that has come over this connection.
    pub(super) fn note_followers(&mut self, desired: &Desired) {
        for (attempt, held) in &mut self.held {
            held.follows |= desired.after(attempt).is_some();
        }
        self.word_is_present = true;
    }

    /// Returns whether the action may be done: what begins in another one's place, which nobody knows to be free, takes a
    /// connection over which it could be unsaid.
    pub(super) fn may_follow(&self, action: &Action) -> bool {
        let Action::Launch { attempt } = action else {
            return true;
        };
        let follows = self.held.get(attempt).is_some_and(|held| held.follows);
        let present = self.outbox.is_some() && self.word_is_present;
        !follows || present
    }

    /// Takes in what has come meanwhile, so that all of it is settled, and said, at once.
    pub(super) fn on_words_that_wait(&mut self) -> Result<(), JournalError> {
        for _ in 0..MAILBOX {
            match self.words.try_recv() {
                Ok(word) => self.on_word(word)?,
                Err(_) => break,
            }
        }
        Ok(())
    }
}
