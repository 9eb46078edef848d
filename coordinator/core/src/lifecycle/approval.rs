//! The life of a request for approval: it waits, then it is answered, or what was asked for goes away.

use common::{
    id::UserId,
    status::{ApprovalStatus, Verdict},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::IllegalStep;

/// Where a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    Waiting,
    Approved(Decision),
    Rejected(Decision),
    Withdrawn { at: Timestamp },
}

/// Who decided, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub by: Decider,
    pub at: Timestamp,
    pub reason: String,
}

/// Who decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    User(UserId),
    /// A rule of the org, in the words that it had then.
    Rule(String),
}

/// What can happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalStep {
    Decide(Verdict, Decision),
    Withdraw { at: Timestamp },
}

impl ApprovalState {
    /// Returns the state after `step`.
    ///
    /// # Errors
    /// The step is not possible from here.
    pub fn transition(&self, step: ApprovalStep) -> Result<Self, IllegalStep> {
        match (self, step) {
            (Self::Waiting, ApprovalStep::Decide(Verdict::Approve, decision)) => {
                Ok(Self::Approved(decision))
            }
            (Self::Waiting, ApprovalStep::Decide(Verdict::Reject, decision)) => {
                Ok(Self::Rejected(decision))
            }
            (Self::Waiting, ApprovalStep::Withdraw { at }) => Ok(Self::Withdrawn { at }),
            (state, step) => Err(IllegalStep {
                noun: "a request for approval",
                state: state.status().as_str(),
                step: match step {
                    ApprovalStep::Decide(Verdict::Approve, _) => "approval",
                    ApprovalStep::Decide(Verdict::Reject, _) => "rejection",
                    ApprovalStep::Withdraw { .. } => "withdrawal",
                },
            }),
        }
    }

    pub const fn status(&self) -> ApprovalStatus {
        match self {
            Self::Waiting => ApprovalStatus::Waiting,
            Self::Approved(_) => ApprovalStatus::Approved,
            Self::Rejected(_) => ApprovalStatus::Rejected,
            Self::Withdrawn { .. } => ApprovalStatus::Withdrawn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_once() {
        let at = Timestamp::from_unix_ms(1);
        let decision = || Decision {
            by: Decider::Rule("rule 1".to_owned()),
            at,
            reason: String::new(),
        };
        let states = [
            ApprovalState::Waiting,
            ApprovalState::Approved(decision()),
            ApprovalState::Rejected(decision()),
            ApprovalState::Withdrawn { at },
        ];
        let steps = [
            ApprovalStep::Decide(Verdict::Approve, decision()),
            ApprovalStep::Decide(Verdict::Reject, decision()),
            ApprovalStep::Withdraw { at },
        ];
        for (place, state) in states.iter().enumerate() {
            for (number, step) in steps.iter().enumerate() {
                let expect = (place == 0).then(|| states[number + 1].clone());
                assert_eq!(state.transition(step.clone()).ok(), expect);
            }
        }
    }
}
