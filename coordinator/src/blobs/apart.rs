//! Where a store's work is done: what may wait for an org's bucket has threads and turns of its own, so that a bucket
//! that does not answer holds up nobody but its org.

use std::io;

use common::problem::Problem;
use link::trees::Slots;

use super::{depot, store::Store};

/// Most pieces of work at once of an org whose bytes live in a bucket, apart from everybody's work on the disk: so many
/// threads wait where its bucket does not answer.
const MAX_TRANSFERS: usize = 8;
/// As much for what is done beside: moving, clearing up, looking through everything, and trying a place.
const MAX_CHORES: usize = 2;

/// A store's turns, for what may wait for its bucket.
#[derive(Debug)]
pub(super) struct Turns {
    transfers: Slots,
    chores: Slots,
}

impl Turns {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            transfers: depot::slots(MAX_TRANSFERS)?,
            chores: depot::slots(MAX_CHORES)?,
        })
    }
}

impl Store {
    /// Returns where its methods are called that read and write pieces: apart from all others' where they may wait for
    /// the org's bucket.
    pub(crate) fn slots(&self) -> Slots {
        match self.depot() {
            Some(_) => self.0.turns.transfers.clone(),
            None => Slots::of_disk(),
        }
    }

    /// Does what is of nobody's upload or download, where it may block.
    ///
    /// # Errors
    /// What `work` returns.
    pub(crate) async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let slots = match self.depot() {
            Some(_) => self.0.turns.chores.clone(),
            None => self.0.turns.chores.here(),
        };
        let store = self.clone();
        slots.run(move || work(&store)).await
    }

    /// Does as [`Store::beside`] what may wait for a bucket that is not the org's yet.
    ///
    /// # Errors
    /// What `work` returns.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = self.clone();
        self.0.turns.chores.run(move || work(&store)).await
    }
}
