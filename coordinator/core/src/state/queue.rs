//! What waits in an org, in the order in which a pass of the schedule looks at it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, btree_set},
    iter::Copied,
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

/// Names a class in its queue, as long as a job of it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClassId(u32);

/// The ready jobs of an org.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    /// By priority, then member.
    pub(crate) levels: BTreeMap<Reverse<Priority>, BTreeMap<UserId, Waiting>>,
    /// Of each class there is one, whoever's jobs are of it: what fits nowhere need not be asked of every member.
    ids: BTreeMap<Class, ClassId>,
    /// How many jobs there are of each, by its id; those of which there are none are given to others.
    counts: Vec<u64>,
    vacant: BTreeSet<ClassId>,
}

/// What of a member's waits at one priority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    classes: BTreeMap<ClassId, ByAge>,
    /// The oldest job of each class, by age: who looks for the next one need not look into every class.
    heads: BTreeSet<(JobNumber, ClassId)>,
}

impl ClassId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Waiting {
    /// Returns the oldest job of each class, by age.
    pub(crate) fn heads(&self) -> Copied<btree_set::Iter<'_, (JobNumber, ClassId)>> {
        self.heads.iter().copied()
    }

    /// Returns the jobs of a class, by age.
    pub(crate) fn jobs(&self, class: ClassId) -> btree_set::Iter<'_, (JobNumber, JobId)> {
        const NONE: &ByAge = &ByAge::new();
        self.classes.get(&class).unwrap_or(NONE).iter()
    }

    pub(crate) fn classes(&self) -> impl Iterator<Item = (ClassId, &ByAge)> {
        self.classes.iter().map(|(class, jobs)| (*class, jobs))
    }

    fn insert(&mut self, class: ClassId, job: (JobNumber, JobId)) {
        let jobs = self.classes.entry(class).or_default();
        let before = jobs.first().copied();
        jobs.insert(job);
        if before.is_none_or(|before| job < before) {
            self.heads.extend(Some((job.0, class)));
            if let Some((number, _)) = before {
                self.heads.remove(&(number, class));
            }
        }
    }

    /// Returns whether it was there.
    fn remove(&mut self, class: ClassId, job: (JobNumber, JobId)) -> bool {
        let Some(jobs) = self.classes.get_mut(&class) else {
            return false;
        };
        let was_first = jobs.first() == Some(&job);
        let was_there = jobs.remove(&job);
        if was_first {
            self.heads.remove(&(job.0, class));
            let next = jobs.first().map(|(number, _)| (*number, class));
            self.heads.extend(next);
        }
        if jobs.is_empty() {
            self.classes.remove(&class);
        }
        was_there
    }
}

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

    /// Returns every class of which a job waits, in order.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (&Class, ClassId)> {
        self.ids.iter().map(|(class, id)| (class, *id))
    }

    pub(super) fn insert(&mut self, id: JobId, job: &Job) {
        let class = self.count_in(Class::of(job));
        let members = self.levels.entry(Reverse(job.spec.priority)).or_default();
        let waiting = members.entry(job.owner).or_default();
        waiting.insert(class, (job.number, id));
    }

    fn count_in(&mut self, class: Class) -> ClassId {
        let Self {
            ids,
            counts,
            vacant,
            ..
        } = self;
        let id = *ids.entry(class).or_insert_with(|| {
            vacant.pop_first().unwrap_or_else(|| {
                counts.push(0);
                ClassId(u32::try_from(counts.len() - 1).unwrap_or(u32::MAX))
            })
        });
        counts[id.index()] += 1;
        id
    }

    pub(super) fn remove(&mut self, id: JobId, job: &Job) {
        let level = Reverse(job.spec.priority);
        let (Some(members), Some(class)) = (
            self.levels.get_mut(&level),
            self.ids.get(&Class::of(job)).copied(),
        ) else {
            return;
        };
        let Some(waiting) = members.get_mut(&job.owner) else {
            return;
        };
        if waiting.remove(class, (job.number, id)) {
            self.counts[class.index()] -= 1;
            if self.counts[class.index()] == 0 {
                self.ids.remove(&Class::of(job));
                self.vacant.insert(class);
            }
        }
        if waiting.classes.is_empty() {
            members.remove(&job.owner);
        }
        if members.is_empty() {
            self.levels.remove(&level);
        }
    }
}

impl PartialEq for Queue {
    /// Compares what waits: ids depend on what waited before.
    fn eq(&self, other: &Self) -> bool {
        let named = |queue: &Self| {
            let classes: BTreeMap<ClassId, Class> = queue
                .ids
                .iter()
                .map(|(class, id)| (*id, class.clone()))
                .collect();
            let mut jobs = BTreeMap::new();
            for (level, members) in &queue.levels {
                for (user, waiting) in members {
                    let heads: BTreeMap<ClassId, JobNumber> = waiting
                        .heads()
                        .map(|(number, class)| (class, number))
                        .collect();
                    for (class, of_class) in waiting.classes() {
                        let head = heads.get(&class).copied();
                        let class = classes.get(&class).cloned();
                        jobs.insert((*level, *user, class), (head, of_class.clone()));
                    }
                }
            }
            let count = |class: &ClassId| queue.counts.get(class.index()).copied();
            let counts: Vec<_> = queue.ids.values().map(count).collect();
            (jobs, counts)
        };
        named(self) == named(other)
    }
}

impl Eq for Queue {}
