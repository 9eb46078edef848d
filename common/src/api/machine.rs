//! Machines: why they get nothing, what is said of them, and letting in again what was set aside.

use serde::{Deserialize, Serialize};

use super::explain::BlockerCode;
use crate::{
    id::OrgId,
    label::Label,
    name::Name,
    status::MachineStatus,
    time::{Span, Timestamp},
};

/// Most kinds of waiting tasks that are listed; the counts are always exact.
pub const MAX_CLASSES_SHOWN: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineRequest {
    /// Lets jobs onto it at once. Answered by [`super::Answer::Done`], also where it is not set aside.
    Readmit { org: OrgId, name: Name },
    /// Asked by its owner or an admin, answered by [`super::Answer::MachineExplanation`].
    Explain { org: OrgId, name: Name },
    /// Answered by [`super::Answer::Done`].
    Label(LabelMachine),
}

/// Says something of a machine, or takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelMachine {
    pub org: OrgId,
    pub name: Name,
    /// In place of what is said of their keys; at most [`crate::label::MAX_LABELS`].
    pub set: Vec<Label>,
    /// Whose keys nothing is said of any more; before the others are set.
    pub unset: Vec<Label>,
}

/// Why a machine gets nothing, or what it could run now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineExplanation {
    pub machine: Name,
    pub status: MachineStatus,
    /// What keeps everything, or everything of other members, from it, whatever it asks for.
    pub obstacles: Vec<Obstacle>,
    pub lately: Lately,
    /// Tasks that wait for a machine in the org now.
    pub waiting: u64,
    /// Tasks that wait for something else first: approval, their moment, their job's other tasks.
    pub not_ready: u64,
    /// The former by what they ask for and what is in the way here: first what could start, then the most tasks; at most
    /// [`MAX_CLASSES_SHOWN`].
    pub classes: Vec<WaitingClass>,
    /// Classes that were left out of the list.
    pub classes_left_out: u64,
}

/// What a machine did in the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lately {
    /// The beginning of an hour.
    pub since: Timestamp,
    /// Tasks that ran and ended.
    pub tasks: u64,
    pub running: u32,
    /// How long tasks ran, those that run now too; those at the same time count each.
    pub busy: Span,
}

/// One thing in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    pub code: BlockerCode,
    pub text: String,
}

/// Waiting tasks that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingClass {
    pub tasks: u64,
    /// What each asks for, in words.
    pub asks: String,
    /// All that is in the way here; empty where one could start now.
    pub obstacles: Vec<Obstacle>,
}
