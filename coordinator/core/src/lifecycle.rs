//! The lives of things that have states: which step is legal from where. Data only; [`crate::decide()`] asks
//! before it speaks an event, [`crate::apply()`] takes the step.

pub mod approval;
pub mod attempt;
pub mod job;
pub mod machine;

/// A step that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{step} is not possible for {noun} that is {state}")]
pub struct IllegalStep {
    pub noun: &'static str,
    pub state: &'static str,
    pub step: &'static str,
}
