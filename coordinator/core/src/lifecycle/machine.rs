//! The life of a machine's registration: pending, then approved or rejected, removed at last. Whether it is
//! connected, paused or busy is not part of it.

use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::IllegalStep;

/// Where a registration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    Pending,
    Approved { at: Timestamp },
    Rejected { at: Timestamp, reason: String },
    Removed { at: Timestamp },
}

/// What can happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineStep {
    Approve { at: Timestamp },
    Reject { at: Timestamp, reason: String },
    Remove { at: Timestamp },
}

impl MachineState {
    /// Returns the state after `step`.
    ///
    /// # Errors
    /// The step is not possible from here.
    pub fn transition(&self, step: MachineStep) -> Result<Self, IllegalStep> {
        match (self, step) {
            (Self::Pending, MachineStep::Approve { at }) => Ok(Self::Approved { at }),
            (Self::Pending, MachineStep::Reject { at, reason }) => {
                Ok(Self::Rejected { at, reason })
            }
            (Self::Pending | Self::Approved { .. }, MachineStep::Remove { at }) => {
                Ok(Self::Removed { at })
            }
            (state, step) => Err(IllegalStep {
                noun: "a machine",
                state: state.as_str(),
                step: step.as_str(),
            }),
        }
    }

    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::Removed { .. } => "removed",
        }
    }

    pub const fn is_approved(&self) -> bool {
        matches!(self, Self::Approved { .. })
    }

    /// Returns whether it holds its name and counts against its owner's limit.
    pub const fn is_living(&self) -> bool {
        matches!(self, Self::Pending | Self::Approved { .. })
    }

    /// Returns whether people see it among the machines.
    pub const fn is_listed(&self) -> bool {
        !matches!(self, Self::Removed { .. })
    }
}

impl MachineStep {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approval",
            Self::Reject { .. } => "rejection",
            Self::Remove { .. } => "removal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        let at = Timestamp::from_unix_ms(1);
        let reason = String::new;
        let states = [
            MachineState::Pending,
            MachineState::Approved { at },
            MachineState::Rejected {
                at,
                reason: reason(),
            },
            MachineState::Removed { at },
        ];
        let steps = [
            MachineStep::Approve { at },
            MachineStep::Reject {
                at,
                reason: reason(),
            },
            MachineStep::Remove { at },
        ];
        let table: Vec<Vec<&str>> = states
            .iter()
            .map(|state| {
                let after = |step: &MachineStep| {
                    let after = state.transition(step.clone());
                    after.map_or("-", |state| state.as_str())
                };
                steps.iter().map(after).collect()
            })
            .collect();
        assert_eq!(
            table,
            [
                ["approved", "rejected", "removed"],
                ["-", "-", "removed"],
                ["-", "-", "-"],
                ["-", "-", "-"],
            ]
        );
    }
}
