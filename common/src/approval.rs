//! What an admin is asked to approve, and what needs no asking.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    address_range::AddressRange,
    id::ApprovalId,
    job::JobNumber,
    name::Name,
    status::{ApprovalKind, ApprovalStatus, Role},
    time::Timestamp,
};

/// Most rules of one org that approve machines by themselves.
pub const MAX_MACHINE_RULES: usize = 64;
/// Longest reason of a decision, in bytes.
pub const MAX_REASON_BYTES: usize = 500;

/// How people name a request: by its id, or by what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ApprovalRef {
    Id(ApprovalId),
    /// The newest about a machine of this name.
    Machine(Name),
    Job(JobNumber),
    /// The newest by somebody who left.
    Rejoin(Name),
}

impl fmt::Display for ApprovalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Machine(name) => write!(f, "machine:{name}"),
            Self::Job(number) => write!(f, "job:{number}"),
            Self::Rejoin(handle) => write!(f, "rejoin:{handle}"),
        }
    }
}

impl FromStr for ApprovalRef {
    type Err = InvalidApprovalRef;

    fn from_str(text: &str) -> Result<Self, InvalidApprovalRef> {
        let Some((kind, subject)) = text.split_once(':') else {
            return text.parse().map(Self::Id).map_err(|_| InvalidApprovalRef);
        };
        match kind {
            "machine" => subject.parse().map(Self::Machine).ok(),
            "job" => subject.parse().map(|n| Self::Job(JobNumber(n))).ok(),
            "rejoin" => subject.parse().map(Self::Rejoin).ok(),
            _ => None,
        }
        .ok_or(InvalidApprovalRef)
    }
}

impl TryFrom<String> for ApprovalRef {
    type Error = InvalidApprovalRef;

    fn try_from(text: String) -> Result<Self, InvalidApprovalRef> {
        text.parse()
    }
}

impl From<ApprovalRef> for String {
    fn from(approval: ApprovalRef) -> Self {
        approval.to_string()
    }
}

/// The text names no request for approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request is named by its id, or as machine:NAME, job:NUMBER or rejoin:HANDLE")]
pub struct InvalidApprovalRef;

/// A request for approval as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    pub id: ApprovalId,
    pub kind: ApprovalKind,
    /// What it is about, in a way that [`ApprovalRef`] reads: `job:42`.
    pub subject: String,
    /// What makes it need approval, or what was said to it.
    pub note: String,
    pub asked_by: Name,
    pub asked_at: Timestamp,
    pub status: ApprovalStatus,
    pub decision: Option<DecisionView>,
}

/// Who decided, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    /// A handle, or the rule that did it; `None` where what was asked for went away.
    pub by: Option<String>,
    pub at: Timestamp,
    pub reason: String,
}

/// What an org asks its admins, and what it does not ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRules {
    pub job: JobRule,
    /// Any of them approves a machine at its registration.
    pub machines: Vec<MachineRule>,
}

/// Which jobs need approval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRule {
    /// Those that may use more GPU-hours than this. `None` is no job.
    pub gpu_hours_over: Option<u32>,
}

/// Approves machines at their registration: those that meet all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineRule {
    /// In the org; never used again.
    pub number: u32,
    /// Of the member who registers, or a higher one.
    pub role: Option<Role>,
    /// From where the machine is registered.
    pub addresses: Option<AddressRange>,
    pub expires_at: Option<Timestamp>,
    pub created_by: Name,
    pub created_at: Timestamp,
}

impl fmt::Display for MachineRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}", self.number)?;
        if let Some(role) = self.role {
            write!(f, ", {role} or higher")?;
        }
        match self.addresses {
            Some(addresses) => write!(f, ", from {addresses}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_what_it_is_about() {
        for text in [
            "machine:bob-laptop",
            "job:42",
            "rejoin:carol",
            "0193a1b2-0000-7000-8000-000000000001",
        ] {
            assert_eq!(text.parse::<ApprovalRef>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "job:",
            "job:x",
            "machine:Bob",
            "disk:a",
            "42",
            "job:42:1",
        ] {
            assert_eq!(
                text.parse::<ApprovalRef>(),
                Err(InvalidApprovalRef),
                "{text}"
            );
        }
    }
}
