//! What a schedule has to answer while the clock moves.

use crate::pool::Amount;

/// A task of a job of the trace: both are places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId {
    pub job: usize,
    pub task: usize,
}

/// What a schedule decides. Machines are places in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Of a gang all start in one pass.
    Start {
        task: TaskId,
        machine: usize,
        /// What it was given there.
        holds: Amount,
    },
    /// The running task has to give way: it ends after its grace and waits again. Of a gang all are told in one pass.
    Preempt { task: TaskId },
}

/// How a running task came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Done,
    /// It gave way, and what it did is lost.
    Preempted,
}

/// Something that says which task runs where. Moments are milliseconds since the trace began, and never go back.
pub trait Scheduler {
    fn name(&self) -> &'static str;

    /// Takes a job of the trace in.
    ///
    /// # Errors
    /// It is refused.
    fn submit(&mut self, now_ms: u64, job: usize) -> Result<(), Violation>;

    /// Learns that a task has ended.
    ///
    /// # Errors
    /// It cannot be.
    fn end(&mut self, now_ms: u64, task: TaskId, end: End) -> Result<(), Violation>;

    /// Decides what happens now, after all that was told.
    ///
    /// # Errors
    /// It contradicts itself.
    fn pass(&mut self, now_ms: u64) -> Result<Vec<Step>, Violation>;

    /// Whether time alone can change what it decides.
    fn looks_at_the_clock(&self) -> bool {
        false
    }
}

/// What must not happen in a simulation: a fault of a schedule, or of the simulation itself. Only one that takes too long is
/// a fault of the trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("machine {machine} does not have what task {task} of job {job} was given there")]
    OverCapacity {
        machine: usize,
        job: usize,
        task: usize,
    },
    #[error("task {task} of job {job} was given something else than it asked for")]
    WrongAmount { job: usize, task: usize },
    #[error("task {task} of job {job} was started while it was {state}")]
    NotWaiting {
        job: usize,
        task: usize,
        state: &'static str,
    },
    #[error("task {task} of job {job} was told to give way while it was {state}")]
    NotRunning {
        job: usize,
        task: usize,
        state: &'static str,
    },
    #[error("of the gang that job {job} is, a part runs without the rest, or shares a machine")]
    TornGang { job: usize },
    #[error("{what} is not in the trace")]
    Unknown { what: String },
    #[error("nothing runs and nothing comes, and still {waiting} tasks wait")]
    Stalled { waiting: usize },
    #[error("it takes more than {years} years until all is done")]
    TooLong { years: u64 },
    #[error("{what} was refused: {why}")]
    Refused { what: String, why: String },
    #[error("task {task} of job {job} was given up instead of being tried again")]
    GivenUp { job: usize, task: usize },
}
