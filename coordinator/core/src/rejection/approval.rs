//! What is said no to about approvals.

use common::{
    approval::ApprovalRef,
    status::{ApprovalStatus, Role},
};

use super::Rejection;

/// Why nothing is decided, or a rule cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalRejection {
    /// There is none, or the caller may not see it.
    NoSuchApproval {
        approval: ApprovalRef,
    },
    Decided {
        approval: ApprovalRef,
        status: ApprovalStatus,
        /// Who did.
        by: Option<String>,
    },
    OwnJob {
        role: Role,
    },
    ReasonTooLong {
        bytes: usize,
    },
    /// A rule that every machine meets.
    RuleForAll,
    RuleRole,
    RuleLife,
    TooManyRules,
    NoSuchRule {
        number: u32,
    },
}

impl From<ApprovalRejection> for Rejection {
    fn from(rejection: ApprovalRejection) -> Self {
        Self::Approval(rejection)
    }
}
