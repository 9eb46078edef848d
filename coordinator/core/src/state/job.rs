//! Jobs as rows: what was submitted, which never changes, and how far it is. An array is one of each.

use common::{
    dataset::DatasetRef,
    id::{AttemptId, DatasetId, IdempotencyKey, JobId, OrgId, ProjectId, TreeId, UserId},
    image::Image,
    job::{IndexRange, JobNumber, JobRef, JobSpec, TaskCounts},
    name::Name,
    org::retention::Retention,
    status::{EndReason, JobStatus, Priority, Visibility},
    time::Timestamp,
    units::Bytes,
};
use serde::{Deserialize, Serialize};

use super::{
    delays::Delays,
    following::Following,
    ranges::TaskRanges,
    rare::Rare,
    specification::Specification,
    waiting::{Awaited, Broken, Hold},
};
use crate::lifecycle::job::JobState;

/// What was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) org: OrgId,
    pub(crate) number: JobNumber,
    pub(crate) owner: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<ProjectId>,
    /// What it said, or else what the org said when it was submitted; `None` in a project, and before orgs said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) visibility: Option<Visibility>,
    pub(crate) key: IdempotencyKey,
    /// As it came, so that the same submission is known again; what opens its image's registry is forgotten
    /// once the job has ended.
    pub(crate) spec: Specification,
    /// What its datasets were at that moment, in the order of the specification.
    #[serde(default, skip_serializing_if = "Rare::is_nothing")]
    pub(crate) pinned: Rare<Vec<PinnedDataset>>,
    /// What its image was, where that is kept as a dataset; the path means nothing.
    #[serde(default, skip_serializing_if = "Rare::is_nothing")]
    pub(crate) pinned_image: Rare<Option<PinnedDataset>>,
    /// What other jobs left, as it was at that moment.
    #[serde(default, skip_serializing_if = "Rare::is_nothing")]
    pub(crate) pinned_artifacts: Rare<Vec<PinnedArtifacts>>,
    /// How much of a machine's cache all of that takes, where it does not come while the job runs.
    #[serde(default, skip_serializing_if = "is_none_of_it")]
    pub(crate) data: Bytes,
    pub(crate) submitted_at: Timestamp,
    /// Of which it runs tasks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rerun: Option<Rerun>,
    /// Its image's registry asked for a login, which was forgotten when it ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) login_forgotten: bool,
}

/// What a job runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rerun {
    pub of: JobId,
    /// Of the job that was submitted first: programs share their work out by it.
    pub task_count: u32,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<Timestamp>,
    /// Since when it has been given nothing: a task of it was placed, or it was submitted.
    #[serde(default)]
    pub(crate) waits_since: Timestamp,
    /// By how many steps its priority rose meanwhile.
    #[serde(default, skip_serializing_if = "is_not_raised")]
    pub(crate) raised: u8,
    /// What has to become of other jobs before it enters the queue; nothing once it has ended.
    #[serde(default, skip_serializing_if = "Rare::is_nothing")]
    pub(crate) awaits: Rare<Vec<Awaited>>,
    /// It starts no task as long as somebody holds it.
    #[serde(default, skip_serializing_if = "Rare::is_nothing")]
    pub(crate) held: Rare<Option<Hold>>,
    /// Why it was cancelled, where it waited for what can never be any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) broken: Option<Broken>,
    /// Tasks that count as queued, and that the schedule does not see until their moment comes.
    #[serde(default, skip_serializing_if = "Rare::is_nothing")]
    pub(crate) delayed: Rare<Delays>,
    #[serde(default, skip_serializing_if = "Rare::is_nothing")]
    pub(crate) following: Rare<Following>,
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

    /// Returns its tasks, in order; ranges never touch.
    pub(crate) fn ranges(&self) -> Vec<IndexRange> {
        let last = self.spec.gang().map_or(0, |nodes| nodes - 1);
        let without = || vec![IndexRange { first: 0, last }];
        let array = self.spec.array.as_ref();
        array.map_or_else(without, |array| array.ranges().collect())
    }

    /// Returns its tasks one by one, in order.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = u32> {
        let ranges = self.ranges().into_iter();
        ranges.flat_map(|range| range.first..=range.last)
    }

    pub(crate) fn has_task(&self, task: u32) -> bool {
        match &self.spec.array {
            Some(array) => array.contains(task),
            None => task < self.task_count(),
        }
    }

    /// Returns how many of its tasks may run at once, where it says so.
    pub(crate) fn parallel(&self) -> Option<u32> {
        self.spec.array.as_ref().and_then(|array| array.parallel)
    }

    pub(crate) fn task_count(&self) -> u32 {
        self.spec.task_count()
    }

    /// Returns of how many tasks its programs are told.
    pub(crate) fn told_count(&self) -> u32 {
        self.rerun
            .map_or(self.task_count(), |rerun| rerun.task_count)
    }

    /// Returns the specification with what was settled at submission: the versions of its datasets, and who may see it.
    pub(crate) fn pinned_spec(&self) -> JobSpec {
        let mut spec = self.spec.to_spec();
        spec.registry_login = None;
        spec.visibility = self.project.is_none().then(|| self.visibility());
        if let (Image::Imported(dataset), Some(pinned)) = (&mut spec.image, &*self.pinned_image) {
            dataset.version = Some(pinned.version);
        }
        for (mount, pinned) in spec.datasets.iter_mut().zip(&self.pinned) {
            mount.dataset.version = Some(pinned.version);
        }
        spec
    }

    /// Returns whether this is what was submitted, sent again: what opens a registry is sealed otherwise each time.
    pub(crate) fn is_same(&self, spec: &JobSpec) -> bool {
        let without = |mut spec: Specification| {
            spec.forget_login();
            spec
        };
        without(self.spec.clone()) == without(spec.clone().into())
    }

    /// Returns every tree that a machine needs to run it.
    pub(crate) fn trees(&self) -> impl Iterator<Item = TreeId> {
        self.spec.sent().chain(self.named())
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
    /// Returns the beginning of a job with these tasks, submitted at that moment.
    pub(crate) fn of(job: &Job, at: Timestamp) -> Self {
        Self {
            state: JobState::Open,
            queued: TaskRanges::of(job.ranges()),
            counts: TaskCounts {
                queued: job.task_count(),
                ..TaskCounts::default()
            },
            started_at: None,
            ended_at: None,
            waits_since: at,
            raised: 0,
            awaits: Rare::default(),
            held: Rare::default(),
            broken: None,
            delayed: Rare::default(),
            following: Rare::default(),
        }
    }

    /// Returns the priority at which it waits now.
    pub(crate) const fn level(&self, priority: Priority) -> Priority {
        match (priority, self.raised) {
            (Priority::Low, 0) => Priority::Low,
            (Priority::Low, 1) | (Priority::Normal, 0) => Priority::Normal,
            (Priority::Low | Priority::Normal | Priority::High, _) => Priority::High,
        }
    }

    /// Returns when the priority rises by one more step, where it can.
    pub(crate) fn rises_at(&self, priority: Priority, after: Retention) -> Option<Timestamp> {
        let Retention::For(after) = after else {
            return None;
        };
        let waited = after
            .as_duration()
            .saturating_mul(u32::from(self.raised) + 1);
        (self.level(priority) != Priority::High).then(|| self.waits_since.saturating_add(waited))
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
        self.is_let_in() && waits && parallel.is_none_or(|most| self.counts.running < most)
    }

    /// Returns how many tasks the schedule sees.
    pub(crate) fn in_queue(&self) -> u32 {
        let delayed = u32::try_from(self.delayed.len()).unwrap_or(u32::MAX);
        let unseen = delayed.saturating_add(self.following.len());
        self.counts.queued.saturating_sub(unseen)
    }

    /// Returns whether the task waits, be it for a moment, for a machine or for a place there.
    pub(crate) fn waits(&self, task: u32) -> bool {
        self.queued.contains(task) || self.delayed.contains(task) || self.following.contains(task)
    }

    /// Takes a task out of the queue; what waits of the job has had its turn.
    pub(crate) fn place(&mut self, task: u32, at: Timestamp) {
        if self.queued.remove(task) {
            self.following.note_placed(task);
            self.begin(at);
        }
    }

    pub(super) const fn begin(&mut self, at: Timestamp) {
        self.counts.queued -= 1;
        self.counts.running += 1;
        self.waits_since = at;
        self.raised = 0;
    }

    /// Takes a task from its place, or from behind another.
    pub(super) fn leave(&mut self, task: u32) {
        let counted = match self.following.remove(task) {
            true => &mut self.counts.queued,
            false => &mut self.counts.running,
        };
        *counted = counted.saturating_sub(1);
    }

    pub(crate) fn end_attempt(&mut self, task: u32, fate: TaskFate) {
        self.leave(task);
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

    pub(crate) fn cancel_queued_task(&mut self, task: u32) {
        if self.queued.remove(task) || self.delayed.remove(task) {
            self.counts.queued -= 1;
            self.counts.cancelled += 1;
        }
    }

    pub(crate) fn cancel_all_queued(&mut self) {
        // Machines were told of these, and have to say that nothing comes of them.
        let following = self.following.len();
        self.counts.cancelled += self.counts.queued - following;
        self.counts.queued = following;
        self.queued.clear();
        self.delayed.clear();
    }
}

fn is_none_of_it(data: &Bytes) -> bool {
    *data == Bytes::ZERO
}

fn is_not_raised(raised: &u8) -> bool {
    *raised == 0
}
