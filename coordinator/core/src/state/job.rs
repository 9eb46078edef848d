//! Jobs as rows: what was submitted, which never changes, and how far it is. An array is one of each.

use common::{
    dataset::DatasetRef,
    id::{AttemptId, DatasetId, IdempotencyKey, OrgId, ProjectId, TreeId, UserId},
    job::{JobNumber, JobRef, JobSpec, TaskCounts},
    name::Name,
    status::{EndReason, JobStatus, Visibility},
    time::Timestamp,
    units::Bytes,
};
use serde::{Deserialize, Serialize};

use super::{delays::Delays, ranges::TaskRanges};
use crate::lifecycle::job::JobState;

/// What was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) org: OrgId,
    pub(crate) number: JobNumber,
    pub(crate) owner: UserId,
    #[serde(default)]
    pub(crate) project: Option<ProjectId>,
    /// What it said, or else what the org said when it was submitted; `None` in a project, and before orgs said it.
    #[serde(default)]
    pub(crate) visibility: Option<Visibility>,
    pub(crate) key: IdempotencyKey,
    /// As it came, so that the same submission is known again; what opens its image's registry is forgotten
    /// once the job has ended.
    pub(crate) spec: JobSpec,
    /// What its datasets were at that moment, in the order of the specification.
    pub(crate) pinned: Vec<PinnedDataset>,
    /// What its image was, where that is kept as a dataset; the path means nothing.
    #[serde(default)]
    pub(crate) pinned_image: Option<PinnedDataset>,
    /// What other jobs left, as it was at that moment.
    #[serde(default)]
    pub(crate) pinned_artifacts: Vec<PinnedArtifacts>,
    /// How much of a machine's cache all of that takes, where it does not come while the job runs.
    #[serde(default)]
    pub(crate) data: Bytes,
    pub(crate) submitted_at: Timestamp,
}

/// One version of a dataset that a job reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedDataset {
    pub dataset: DatasetId,
    pub name: Name,
    pub version: u32,
    pub tree: TreeId,
    pub path: String,
    /// Nothing of it has to be on the machine before the job starts.
    #[serde(default)]
    pub lazy: bool,
}

/// What an attempt of another job left, that a job reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedArtifacts {
    pub attempt: AttemptId,
    /// As people name it: without the task where the job has one only.
    pub job: JobRef,
    pub tree: TreeId,
    /// When it came.
    pub at: Timestamp,
    pub path: String,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobProgress {
    pub(crate) state: JobState,
    pub(crate) queued: TaskRanges,
    pub(crate) counts: TaskCounts,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    /// Tasks that count as queued, and that the schedule does not see until their moment comes.
    #[serde(default)]
    pub(crate) delayed: Delays,
}

/// What becomes of a task whose attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskFate {
    /// It waits for another try.
    Requeued,
    /// It is tried again, not before a moment.
    Delayed {
        until: Timestamp,
        after: EndReason,
        /// What it asks for then, where it had too little.
        memory: Option<Bytes>,
    },
    Succeeded,
    Failed,
    Cancelled,
}

impl TaskFate {
    /// Returns what the next try asks for, where that is more than the last one did.
    pub(crate) const fn memory(self) -> Option<Bytes> {
        match self {
            Self::Delayed { memory, .. } => memory,
            Self::Requeued | Self::Succeeded | Self::Failed | Self::Cancelled => None,
        }
    }
}

impl PinnedDataset {
    /// Returns it as people name it: `digits@3`.
    pub(crate) fn reference(&self) -> DatasetRef {
        DatasetRef {
            name: self.name.clone(),
            version: Some(self.version),
        }
    }
}

impl PinnedArtifacts {
    /// Returns it as people name it: `job:42`, or `job:42.7` for a task of an array.
    pub(crate) fn reference(&self) -> String {
        format!("job:{}", self.job)
    }
}

impl Job {
    /// Returns who besides its owner may see it, where it belongs to no project.
    pub(crate) fn visibility(&self) -> Visibility {
        let said = self.visibility.or(self.spec.visibility);
        said.unwrap_or(Visibility::Personal)
    }

    /// Returns the first and last task.
    pub(crate) fn bounds(&self) -> (u32, u32) {
        self.spec
            .array
            .map_or((0, 0), |array| (array.first, array.last))
    }

    /// Returns how many of its tasks may run at once, where it says so.
    pub(crate) fn parallel(&self) -> Option<u32> {
        self.spec.array.and_then(|array| array.parallel)
    }

    pub(crate) fn task_count(&self) -> u32 {
        let (first, last) = self.bounds();
        last - first + 1
    }

    /// Returns whether this is what was submitted, sent again: what opens a registry is sealed otherwise each time.
    pub(crate) fn is_same(&self, spec: &JobSpec) -> bool {
        let without = |spec: &JobSpec| JobSpec {
            registry_login: None,
            ..spec.clone()
        };
        without(&self.spec) == without(spec)
    }

    /// Returns every tree that a machine needs to run it.
    pub(crate) fn trees(&self) -> impl Iterator<Item = TreeId> {
        self.spec.workdir.into_iter().chain(self.named())
    }

    /// Returns the data that people named for it: datasets, an image, what other jobs left.
    pub(crate) fn named(&self) -> impl Iterator<Item = TreeId> {
        let pinned = self.pinned.iter().chain(&self.pinned_image);
        let pinned = pinned.map(|dataset| dataset.tree);
        let artifacts = self.pinned_artifacts.iter().map(|pinned| pinned.tree);
        pinned.chain(artifacts)
    }
}

impl JobProgress {
    pub(crate) fn new(first: u32, last: u32) -> Self {
        Self {
            state: JobState::Open,
            queued: TaskRanges::of(first, last),
            counts: TaskCounts {
                queued: last - first + 1,
                ..TaskCounts::default()
            },
            started_at: None,
            ended_at: None,
            delayed: Delays::default(),
        }
    }

    pub(crate) fn status(&self) -> JobStatus {
        match self.state {
            JobState::Ended(result) => result.into(),
            JobState::Open | JobState::Cancelling if self.counts.running > 0 => JobStatus::Running,
            JobState::Open | JobState::Cancelling => JobStatus::Queued,
            JobState::AwaitingApproval => JobStatus::AwaitingApproval,
        }
    }

    /// Returns whether nothing of it waits or runs any more.
    pub(crate) fn is_through(&self) -> bool {
        self.counts.queued == 0 && self.counts.running == 0
    }

    /// Returns whether another task may be placed, as far as the job itself goes.
    pub(crate) fn is_ready(&self, parallel: Option<u32>) -> bool {
        let waits = self.state != JobState::AwaitingApproval && !self.queued.is_empty();
        waits && parallel.is_none_or(|most| self.counts.running < most)
    }

    /// Returns how many tasks the schedule sees.
    pub(crate) fn in_queue(&self) -> u32 {
        let delayed = u32::try_from(self.delayed.len()).unwrap_or(u32::MAX);
        self.counts.queued.saturating_sub(delayed)
    }

    /// Returns whether the task waits, be it for a moment or for a machine.
    pub(crate) fn waits(&self, task: u32) -> bool {
        self.queued.contains(task) || self.delayed.contains(task)
    }

    pub(crate) fn place(&mut self, task: u32) {
        if self.queued.remove(task) {
            self.counts.queued -= 1;
            self.counts.running += 1;
        }
    }

    pub(crate) fn end_attempt(&mut self, task: u32, fate: TaskFate) {
        self.counts.running = self.counts.running.saturating_sub(1);
        match fate {
            TaskFate::Requeued => {
                if self.queued.insert(task) {
                    self.counts.queued += 1;
                }
            }
            TaskFate::Delayed { until, after, .. } => {
                self.delayed.insert(task, until, after);
                self.counts.queued += 1;
            }
            TaskFate::Succeeded => self.counts.succeeded += 1,
            TaskFate::Failed => self.counts.failed += 1,
            TaskFate::Cancelled => self.counts.cancelled += 1,
        }
    }

    /// Lets tasks into the queue whose moment has come.
    pub(crate) fn release(&mut self, tasks: &[u32]) {
        for task in tasks {
            if self.delayed.remove(*task) {
                self.queued.insert(*task);
            }
        }
    }

    pub(crate) fn cancel_queued_task(&mut self, task: u32) {
        if self.queued.remove(task) || self.delayed.remove(task) {
            self.counts.queued -= 1;
            self.counts.cancelled += 1;
        }
    }

    pub(crate) fn cancel_all_queued(&mut self) {
        self.counts.cancelled += self.counts.queued;
        self.counts.queued = 0;
        self.queued.clear();
        self.delayed.clear();
    }
}
