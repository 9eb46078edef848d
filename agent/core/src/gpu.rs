//! GPUs, as far as there is something to decide about them: what a fault means, whether a GPU is free, what an
//! attempt uses and whether that is more than its share. The agent's shell asks the driver and performs.

mod fault;
mod ground;
mod share;
mod xid;

use common::{id::AttemptId, units::Bytes};

pub use self::{
    fault::Faults,
    ground::{Ground, Occupation},
    share::{GpuUse, Overuse, Shares, use_of},
    xid::{Consequence, Xid},
};

/// One look at a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    pub uuid: String,
    pub memory: Bytes,
    pub memory_used: Bytes,
    /// Busy part of the last sample, whoever's.
    pub percent: Option<u32>,
    /// Every process that the driver names, each once.
    pub processes: Vec<Process>,
}

/// A process on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub whose: Whose,
    /// Whether it only draws, as the programs of a desktop do.
    pub draws_only: bool,
    /// `None` where the driver does not tell.
    pub memory: Option<Bytes>,
    /// Its part of the GPU's time; `None` where the driver does not tell.
    pub percent: Option<u32>,
}

/// Whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Attempt(AttemptId),
    Others,
    /// It is not to be seen from here: it ended a moment ago, or lives in another view of the machine.
    Unseen,
}
