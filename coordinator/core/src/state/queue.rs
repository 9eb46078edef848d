//! What waits in an org, in the order in which a pass of the schedule looks at it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use common::{
    id::{JobId, ProjectId, UserId},
    image::Image,
    job::JobNumber,
    resources::Request,
    status::{MinIsolation, Network, Priority},
    time::Span,
    units::Bytes,
};

use super::job::Job;

/// What decides where a job's tasks can go, its owner given: jobs alike in this fit or fail together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    pub(crate) request: Request,
    pub(crate) max_runtime: Option<Span>,
    network: Network,
    /// Whether it brings an image.
    image: bool,
    isolation: Option<MinIsolation>,
    /// What its data takes of a machine's cache.
    pub(crate) data: Bytes,
    /// Last, so that classes which differ in nothing else lie together.
    pub(crate) project: Option<ProjectId>,
}

/// Jobs of one class by age.
pub(crate) type ByAge = BTreeSet<(JobNumber, JobId)>;

/// The ready jobs of an org: by priority, then member, then class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) levels: BTreeMap<Reverse<Priority>, BTreeMap<UserId, Classes>>,
    /// How many jobs there are of each class, whoever's: what fits nowhere need not be asked of every member.
    pub(crate) classes: BTreeMap<Arc<Class>, u64>,
}

/// A member's jobs. A class is one and the same everywhere in a queue, so that it is known by where it lies.
pub(crate) type Classes = BTreeMap<Arc<Class>, ByAge>;

impl Class {
    pub(crate) fn of(job: &Job) -> Self {
        Self {
            request: job.spec.request.clone(),
            max_runtime: job.spec.max_runtime,
            network: job.spec.network,
            image: job.spec.image != Image::Host,
            isolation: job.spec.isolation,
            data: job.data,
            project: job.project,
        }
    }

    /// Returns whether they are alike where no machine tells projects apart.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let Self {
            request,
            max_runtime,
            network,
            image,
            isolation,
            data,
            project: _,
        } = self;
        request == &other.request
            && (max_runtime, network) == (&other.max_runtime, &other.network)
            && (image, isolation, data) == (&other.image, &other.isolation, &other.data)
    }
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    pub(super) fn insert(&mut self, id: JobId, job: &Job) {
        let class = Class::of(job);
        let class = match self.classes.get_key_value(&class) {
            Some((kept, _)) => Arc::clone(kept),
            None => Arc::new(class),
        };
        self.levels
            .entry(Reverse(job.spec.priority))
            .or_default()
            .entry(job.owner)
            .or_default()
            .entry(Arc::clone(&class))
            .or_default()
            .insert((job.number, id));
        *self.classes.entry(class).or_default() += 1;
    }

    pub(super) fn remove(&mut self, id: JobId, job: &Job) {
        let (level, class) = (Reverse(job.spec.priority), Class::of(job));
        let Some(members) = self.levels.get_mut(&level) else {
            return;
        };
        if let Some(classes) = members.get_mut(&job.owner) {
            if let Some(jobs) = classes.get_mut(&class) {
                if jobs.remove(&(job.number, id))
                    && let Some(count) = self.classes.get_mut(&class)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.classes.remove(&class);
                    }
                }
                if jobs.is_empty() {
                    classes.remove(&class);
                }
            }
            if classes.is_empty() {
                members.remove(&job.owner);
            }
        }
        if members.is_empty() {
            self.levels.remove(&level);
        }
    }
}
