//! The coordinator's own schedule on a trace of jobs and a virtual clock, beside two rivals that are made of the same
//! pieces: strict FIFO and EASY backfill.
//!
//! The schedule is not imitated: `ours` drives `coordinator-core` with the commands that the engine would give it. The
//! same trace, pool and seed give the same bytes. `cargo xtask simulate` calls the program around this; no daemon does.
//!
//! Reading order: [`pool`] and [`trace`] are what is simulated; [`scheduler`] is what a schedule has to answer, `ours`,
//! `fifo` and `easy` are the three; [`run`] moves the clock and holds the invariants; [`measures`] says what came of
//! it, [`table`] and [`plot`] show it.

pub mod pool;
pub mod trace;

pub mod easy;
pub mod fifo;
pub mod ours;
mod rooms;
pub mod scheduler;

pub mod measures;
pub mod plot;
pub mod run;
pub mod table;

mod nearest;
