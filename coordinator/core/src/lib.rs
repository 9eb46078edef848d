//! What the coordinator decides, without doing any of it: commands in, events out, state as data.
//!
//! Pure and deterministic: time, ids and random secrets come in with the [`Command`]; the same state and
//! command give the same bytes. The shell around this (`coordinator`) owns the clock, the store and the
//! connections. Nothing here is called by agents or the command line.
//!
//! Reading order: [`command`], [`event`], [`effect`] and [`rejection`] are the four vocabularies; [`state`]
//! is what is known; [`decide()`] turns a command into events or a rejection; [`apply()`] is the only thing that
//! changes the state; [`effects`] says what the shell has to do because of an event; [`schedule`] places
//! tasks; [`assign()`] derives a machine's desired set; [`swarm`] says who gives which block of a tree to whom; [`audit`] says whose log an event goes into; [`query`] answers
//! questions.

pub mod command;
pub mod effect;
pub mod event;
pub mod rejection;

pub mod state;

pub mod apply;
pub mod assign;
pub mod audit;
mod bounds;
pub mod decide;
pub mod lifecycle;
pub mod policy;
pub mod query;
pub mod schedule;
pub mod swarm;

pub use self::{
    apply::apply,
    assign::{assign, assign_update},
    command::{Actor, Body, Command},
    decide::decide,
    effect::{Effect, Topic, effects},
    event::Event,
    rejection::Rejection,
    state::{
        State,
        rows::{RowKey, Table},
    },
};

#[cfg(test)]
mod tests;
