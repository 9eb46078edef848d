//! Machines as rows.

use common::{
    code::Code,
    dataset::DatasetRef,
    id::{Fingerprint, OrgId, TreeId, UserId},
    label::Label,
    machine::MachineReport,
    name::Name,
    time::{Span, Timestamp},
};
use serde::{Deserialize, Serialize};

use super::{
    activity::Activity,
    trouble::{SetAside, Troubles},
};
use crate::lifecycle::machine::MachineState;

/// A member's computer. What it reports of itself is a row of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) org: OrgId,
    pub(crate) name: Name,
    pub(crate) owner: UserId,
    /// Of the key that was made on it.
    pub(crate) key: Fingerprint,
    pub(crate) registered_at: Timestamp,
    pub(crate) state: MachineState,
    /// Of its desired set; grows with every change.
    pub(crate) generation: u64,
    /// When it last connected, reported or left.
    pub(crate) last_seen: Option<Timestamp>,
    /// Attempts that ended on it, ever, and their wall time.
    pub(crate) executed: u64,
    pub(crate) lent: Span,
    /// Data that members want on it before jobs do, by tree.
    #[serde(default)]
    pub(crate) warm: Vec<Warm>,
    #[serde(default)]
    pub(crate) troubles: Troubles,
    #[serde(default)]
    pub(crate) set_aside: Option<SetAside>,
    #[serde(default)]
    pub(crate) activity: Activity,
    /// What admins say of it, as [`Label::by_key`] makes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<Label>,
}

/// A version of a dataset that is to be on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Warm {
    pub(crate) tree: TreeId,
    /// With its version.
    pub(crate) dataset: DatasetRef,
    pub(crate) until: Timestamp,
    /// Why the machine cannot have it.
    #[serde(default)]
    pub(crate) failed: Option<WarmFailure>,
}

/// Why a machine could not fetch something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmFailure {
    pub kind: Code,
    pub why: String,
}

impl Machine {
    /// Returns when a machine that is set aside may be tried, where it may not yet.
    pub(crate) fn waking(&self) -> Option<Timestamp> {
        let aside = self.set_aside.as_ref();
        aside.filter(|_| self.state.is_approved())?.waking()
    }

    /// Returns all that is said of it: what admins say of a key wins over what its owner does.
    pub(crate) fn labels(&self, report: &MachineReport) -> Vec<Label> {
        let all = report.labels.iter().chain(&self.labels);
        Label::by_key(all.cloned())
    }

    /// Returns the data that it is to fetch before a job wants it.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Warm> {
        self.warm.iter().filter(|warm| warm.failed.is_none())
    }
}
