//! The clerk on a book of its own, as `cargo xtask bench org` times it. Not part of the programs.

use std::{path::Path, sync::Arc};

use common::problem::Problem;
use coordinator_core::{Actor, Body, State};

use crate::{
    clock::Clock,
    engine::Clerk,
    store::{Opened, Store},
};

/// What the engine's thread works with, without the thread.
#[derive(Debug)]
pub struct Measured {
    clerk: Clerk<Store>,
}

impl Measured {
    /// Makes a new book.
    ///
    /// # Errors
    /// There is a file already, or it cannot be made.
    pub fn on(book: &Path) -> Result<Self, Problem> {
        let store = Store::create(book)?;
        let clerk = Clerk::new(State::new(), store, Arc::new(Clock::default()));
        Ok(Self { clerk })
    }

    /// Opens a book and reads all of it.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn open(book: &Path) -> Result<Self, Problem> {
        let Opened { store, state, .. } = Store::open(book)?;
        let clerk = Clerk::new(state, store, Arc::new(Clock::default()));
        Ok(Self { clerk })
    }

    /// Does the commands as one batch: decides, applies, lets the schedule do what is due, and commits. Returns how
    /// many events each led to.
    ///
    /// # Errors
    /// The commit failed, or a command was refused.
    pub fn batch(&mut self, commands: Vec<(Actor, Body)>) -> Result<Vec<usize>, Problem> {
        let replies = self.clerk.process(commands)?.replies.into_iter();
        let counts = replies.map(|reply| reply.map(|events| events.len()));
        counts.collect::<Result<_, _>>().map_err(Problem::from)
    }
}
