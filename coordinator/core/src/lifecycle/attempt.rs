//! The life of an attempt, as the coordinator knows it.

use common::{
    job::Outcome,
    status::{AttemptStatus, EndReason},
};
use serde::{Deserialize, Serialize};

use super::IllegalStep;

/// Where an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    Placed,
    /// Placed behind another one, and not begun, wherever it stands by now.
    Next,
    /// Wanted back, if it has not begun.
    Returning,
    Preparing,
    Running,
    /// Told to end; grace is running.
    Stopping {
        reason: EndReason,
    },
    Ended(Outcome),
}

/// What can happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptStep {
    Prepare,
    Start,
    Return,
    /// It had begun before the word that it is wanted back.
    Keep,
    Stop {
        reason: EndReason,
    },
    End(Outcome),
}

impl AttemptState {
    /// Returns the state after `step`. Steps may be left out but never taken back.
    ///
    /// # Errors
    /// The step is not possible from here.
    pub fn transition(&self, step: AttemptStep) -> Result<Self, IllegalStep> {
        match (self, step) {
            (Self::Placed | Self::Next | Self::Returning, AttemptStep::Prepare) => {
                Ok(Self::Preparing)
            }
            (Self::Placed | Self::Next | Self::Returning | Self::Preparing, AttemptStep::Start) => {
                Ok(Self::Running)
            }
            (Self::Next, AttemptStep::Return) => Ok(Self::Returning),
            (Self::Returning, AttemptStep::Keep) => Ok(Self::Next),
            // It started before the word to stop reached it: the start is noted, the goal stays.
            (Self::Stopping { reason }, AttemptStep::Start) => {
                Ok(Self::Stopping { reason: *reason })
            }
            // Who was to be tried again is not, once nobody wants it any more.
            (
                Self::Stopping {
                    reason: EndReason::Preempted,
                },
                AttemptStep::Stop {
                    reason: reason @ EndReason::Cancelled,
                },
            ) => Ok(Self::Stopping { reason }),
            (
                Self::Placed | Self::Next | Self::Returning | Self::Preparing | Self::Running,
                AttemptStep::Stop { reason },
            ) => Ok(Self::Stopping { reason }),
            (
                Self::Placed
                | Self::Next
                | Self::Returning
                | Self::Preparing
                | Self::Running
                | Self::Stopping { .. },
                AttemptStep::End(outcome),
            ) => Ok(Self::Ended(outcome)),
            (state, step) => Err(IllegalStep {
                noun: "an attempt",
                state: state.status().as_str(),
                step: match step {
                    AttemptStep::Prepare => "preparing",
                    AttemptStep::Start => "the start",
                    AttemptStep::Return => "returning",
                    AttemptStep::Keep => "staying",
                    AttemptStep::Stop { .. } => "stopping",
                    AttemptStep::End(_) => "the end",
                },
            }),
        }
    }

    pub const fn status(&self) -> AttemptStatus {
        match self {
            Self::Placed | Self::Next | Self::Returning => AttemptStatus::Placed,
            Self::Preparing => AttemptStatus::Preparing,
            Self::Running => AttemptStatus::Running,
            Self::Stopping { .. } => AttemptStatus::Stopping,
            Self::Ended(_) => AttemptStatus::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use common::job::AttemptUsage;

    use super::*;

    #[test]
    fn the_whole_table() {
        let outcome = Outcome {
            reason: EndReason::Exited,
            exit_code: Some(0),
            signal: None,
            detail: None,
            usage: AttemptUsage::default(),
            log_bytes: 0,
        };
        let reason = EndReason::Cancelled;
        let states = [
            AttemptState::Placed,
            AttemptState::Next,
            AttemptState::Returning,
            AttemptState::Preparing,
            AttemptState::Running,
            AttemptState::Stopping { reason },
            AttemptState::Ended(outcome.clone()),
        ];
        let steps = [
            AttemptStep::Prepare,
            AttemptStep::Start,
            AttemptStep::Return,
            AttemptStep::Keep,
            AttemptStep::Stop { reason },
            AttemptStep::End(outcome),
        ];
        let table: Vec<Vec<&str>> = states
            .iter()
            .map(|state| {
                let after = |step: &AttemptStep| {
                    let after = state.transition(step.clone());
                    after.map_or("-", |state| match state {
                        AttemptState::Returning => "returning",
                        state => state.status().as_str(),
                    })
                };
                steps.iter().map(after).collect()
            })
            .collect();
        assert_eq!(
            table,
            [
                ["preparing", "running", "-", "-", "stopping", "ended"],
                [
                    "preparing",
                    "running",
                    "returning",
                    "-",
                    "stopping",
                    "ended"
                ],
                ["preparing", "running", "-", "placed", "stopping", "ended"],
                ["-", "running", "-", "-", "stopping", "ended"],
                ["-", "-", "-", "-", "stopping", "ended"],
                ["-", "stopping", "-", "-", "-", "ended"],
                ["-", "-", "-", "-", "-", "-"],
            ]
        );
    }
}
