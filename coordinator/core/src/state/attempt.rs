//! Attempts as rows.

use common::{
    id::{AttemptId, JobId, MachineId, OrgId, TreeId},
    job::ArtifactsView,
    resources::Allocation,
    status::{EndReason, Precedence},
    time::{Span, Timestamp},
    units::Bytes,
};
use serde::{Deserialize, Serialize};

use super::{State, usage::Settled};
use crate::lifecycle::attempt::AttemptState;

/// One try of a task on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) org: OrgId,
    pub(crate) machine: MachineId,
    pub(crate) allocation: Allocation,
    /// The model of each of its GPUs, in their order. Fixed at placement: what the machine reports may change,
    /// and what is held, and settled as usage, must not change with it.
    #[serde(default)]
    pub(crate) gpu_models: Vec<String>,
    /// Fixed at placement: a limit that is lowered later does not end what runs.
    pub(crate) max_runtime: Option<Span>,
    /// Whether it has a kernel of its own in user space; fixed at placement as well.
    #[serde(default)]
    pub(crate) strong: bool,
    /// Behind which one it waits on its machine, which has its place until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<AttemptId>,
    /// When it was given its place.
    pub(crate) placed_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) state: AttemptState,
    pub(crate) artifacts: ArtifactsView,
    /// When they came, if they did; those of before this was written down came as it ended.
    #[serde(default)]
    pub(crate) artifacts_at: Option<Timestamp>,
    pub(crate) log: LogState,
    /// What it consumed, once it has ended; one that ended before there was usage has none.
    #[serde(default)]
    pub(crate) settled: Option<Settled>,
    /// What the task asks for from then on, where it had too little memory.
    #[serde(default)]
    pub(crate) next_memory: Option<Bytes>,
    /// What took its place, where it was told to give way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) preempted: Option<Preempted>,
    /// What the task had left by then, where its job goes on from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restore: Option<TreeId>,
}

/// What took an attempt's place, and by what it came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preempted {
    pub job: JobId,
    pub precedence: Precedence,
}

/// What is still to come of an attempt's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogState {
    Growing,
    /// The attempt ended; so many bytes are the whole of it.
    Awaited {
        bytes: u64,
    },
    /// All of it is on the coordinator's disk.
    Complete {
        bytes: u64,
    },
    /// The rest went with the machine: what has arrived is all there will be.
    Lost,
}

impl State {
    /// Returns the attempts of the task before this one.
    pub(crate) fn earlier(&self, id: AttemptId) -> impl DoubleEndedIterator<Item = &Attempt> {
        let first = AttemptId { number: 0, ..id };
        let earlier = self.attempts.range(first..id);
        earlier.map(|(_, attempt)| attempt)
    }

    /// Returns the newest attempt of a task.
    pub(crate) fn newest_attempt(&self, job: JobId, task: u32) -> Option<(AttemptId, &Attempt)> {
        let attempt = |number| AttemptId { job, task, number };
        let mut attempts = self.attempts.range(attempt(0)..=attempt(u32::MAX));
        attempts.next_back().map(|(id, row)| (*id, row))
    }

    /// Returns what the task left last before an attempt, where its job goes on from that.
    pub(crate) fn left_before(&self, id: AttemptId) -> Option<TreeId> {
        self.jobs.get(&id.job)?.spec.checkpoint?;
        let mut left = self.earlier(id).rev().filter_map(Attempt::stored);
        left.next().map(|(tree, ..)| tree)
    }

    /// Returns how often the task gave way to other jobs before this attempt.
    pub(crate) fn gave_way(&self, id: AttemptId) -> u32 {
        let gave_way = self.earlier(id).filter(|attempt| attempt.gave_way());
        u32::try_from(gave_way.count()).unwrap_or(u32::MAX)
    }
}

impl Attempt {
    /// Returns what it left and when that came, while it is kept.
    pub(crate) fn stored(&self) -> Option<(TreeId, Bytes, Timestamp)> {
        match self.artifacts {
            ArtifactsView::Stored { tree, bytes, .. } => {
                let at = self.artifacts_at.or(self.ended_at);
                Some((tree, bytes, at.unwrap_or(self.placed_at)))
            }
            _ => None,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.state, AttemptState::Ended(_))
    }

    /// Returns behind which one it waits.
    pub(crate) fn waits_behind(&self) -> Option<AttemptId> {
        self.after.filter(|_| self.is_live())
    }

    /// Returns whether it holds what was allocated for it.
    pub(crate) fn has_place(&self) -> bool {
        self.is_live() && self.after.is_none()
    }

    /// Returns whether its machine is to run it, and not only to end it.
    pub(crate) fn is_to_run(&self) -> bool {
        matches!(
            self.state,
            AttemptState::Placed
                | AttemptState::Next
                | AttemptState::Returning
                | AttemptState::Preparing
                | AttemptState::Running
        )
    }

    /// Returns whether it ended because it gave way to another job's: that was no try of it.
    pub(crate) fn gave_way(&self) -> bool {
        let ended = match &self.state {
            AttemptState::Ended(outcome) => outcome.reason == EndReason::Preempted,
            _ => false,
        };
        ended && self.preempted.is_some()
    }

    /// Returns whether the machine still has something that is wanted.
    pub(crate) fn is_desired(&self) -> bool {
        self.is_live()
            || matches!(self.log, LogState::Awaited { .. })
            || self.artifacts == ArtifactsView::Pending
    }
}
