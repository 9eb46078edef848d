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
    label::WantedLabel,
    resources::Request,
    status::{MinIsolation, Network, Priority},
    time::Span,
    units::Bytes,
};

use super::{
    dense::{self, Dense},
    job::{Job, JobProgress},
};

/// What decides where a job's tasks can go, its owner given: jobs alike in this fit or fail together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    pub(crate) request: Request,
    pub(crate) max_runtime: Option<Span>,
    network: Network,
    /// Whether it brings an image.
    image: bool,
    isolation: Option<MinIsolation>,
    labels: Vec<WantedLabel>,
    /// How many of its tasks start together.
    pub(crate) together: u32,
    /// What its data takes of a machine's cache.
    pub(crate) data: Bytes,
    /// Last, so that classes which differ in nothing else lie together.
    pub(crate) project: Option<ProjectId>,
}

/// Jobs of one class by age.
pub(crate) type ByAge = Dense<JobNumber, JobId>;

/// Names a class in its queue, as long as a job of it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClassId(u32);

/// Jobs that come one after the other by age: those of one member in one project, or in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Whose {
    pub(crate) user: UserId,
    pub(crate) project: Option<ProjectId>,
}

/// The ready jobs of an org.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    /// By the priority at which they wait.
    pub(crate) levels: BTreeMap<Reverse<Priority>, Level>,
    /// Of each class there is one, whoever's jobs are of it: what fits nowhere need not be asked of every member.
    ids: BTreeMap<Class, ClassId>,
    /// How many jobs there are of each, by its id; those of which there are none are given to others.
    counts: Vec<u64>,
    vacant: BTreeSet<ClassId>,
}

/// What waits at one priority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) lines: BTreeMap<Whose, Waiting>,
    /// The oldest job of each line, by age.
    oldest: BTreeSet<(JobNumber, Whose)>,
}

/// What of a line waits at one priority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    classes: BTreeMap<ClassId, ByAge>,
    /// The oldest job of each class, by age: who looks for the next one need not look into every class.
    heads: BTreeSet<(JobNumber, ClassId)>,
    /// How many tasks wait, by the numbers of their jobs, so many numbers together.
    tasks: BTreeMap<u64, u64>,
}

/// How many numbers are counted together: of a million waiting jobs neither a thousand counts nor the jobs of one are
/// long to walk.
const COUNTED_TOGETHER: u64 = 1024;

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
    pub(crate) fn jobs(&self, class: ClassId) -> dense::Iter<'_, JobNumber, JobId> {
        const NONE: &ByAge = &ByAge::new();
        self.classes.get(&class).unwrap_or(NONE).iter()
    }

    pub(crate) fn classes(&self) -> impl Iterator<Item = (ClassId, &ByAge)> {
        self.classes.iter().map(|(class, jobs)| (*class, jobs))
    }

    /// Returns how many tasks wait, of jobs older than that; `tasks` says how many of one.
    pub(crate) fn tasks_before(
        &self,
        number: Option<JobNumber>,
        tasks: impl Fn(JobId) -> u64,
    ) -> u64 {
        let Some(number) = number else {
            return self.tasks.values().sum();
        };
        let block = number.0 / COUNTED_TOGETHER;
        let whole: u64 = self.tasks.range(..block).map(|(_, tasks)| tasks).sum();
        let first = JobNumber(block * COUNTED_TOGETHER);
        let jobs = self.classes.values();
        let jobs = jobs.flat_map(|jobs| jobs.range(first..number));
        whole + jobs.map(|(_, id)| tasks(*id)).sum::<u64>()
    }

    fn count(&mut self, number: JobNumber, change: impl FnOnce(u64) -> u64) {
        let block = number.0 / COUNTED_TOGETHER;
        let tasks = self.tasks.entry(block).or_default();
        *tasks = change(*tasks);
        if *tasks == 0 {
            self.tasks.remove(&block);
        }
    }

    fn oldest(&self) -> Option<(JobNumber, JobId)> {
        let (number, id, _) = self.oldest_of_class()?;
        Some((number, id))
    }

    /// Returns the oldest job, with its class.
    pub(crate) fn oldest_of_class(&self) -> Option<(JobNumber, JobId, ClassId)> {
        let (_, class) = self.heads.first()?;
        let (number, id) = self.jobs(*class).next()?;
        Some((*number, *id, *class))
    }

    fn insert(&mut self, class: ClassId, job: (JobNumber, JobId)) {
        let jobs = self.classes.entry(class).or_default();
        let before = jobs.first().map(|(number, _)| *number);
        jobs.insert(job.0, job.1);
        if before.is_none_or(|before| job.0 < before) {
            self.heads.extend(Some((job.0, class)));
            if let Some(number) = before {
                self.heads.remove(&(number, class));
            }
        }
    }

    /// Returns whether it was there.
    fn remove(&mut self, class: ClassId, job: (JobNumber, JobId)) -> bool {
        let Some(jobs) = self.classes.get_mut(&class) else {
            return false;
        };
        let was_first = jobs.first() == Some((&job.0, &job.1));
        let was_there = jobs.get(&job.0) == Some(&job.1) && jobs.remove(&job.0).is_some();
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

impl Level {
    /// Returns the oldest job of each line, by age.
    pub(crate) fn oldest(&self) -> impl Iterator<Item = (JobNumber, JobId)> {
        let heads = self.oldest.iter();
        heads.filter_map(|(_, whose)| self.lines.get(whose)?.oldest())
    }

    /// Returns a member's lines.
    pub(crate) fn lines_of(&self, user: UserId) -> impl Iterator<Item = (&Whose, &Waiting)> {
        let project = None;
        let lines = self.lines.range(Whose { user, project }..);
        lines.take_while(move |(whose, _)| whose.user == user)
    }

    fn change<T>(&mut self, whose: Whose, change: impl FnOnce(&mut Waiting) -> T) -> T {
        let waiting = self.lines.entry(whose).or_default();
        let before = waiting.oldest().map(|(number, _)| number);
        let changed = change(waiting);
        let after = waiting.oldest().map(|(number, _)| number);
        if waiting.classes.is_empty() {
            self.lines.remove(&whose);
        }
        if before != after {
            let head = |number: JobNumber| (number, whose);
            if let Some(before) = before {
                self.oldest.remove(&head(before));
            }
            self.oldest.extend(after.map(head));
        }
        changed
    }
}

impl Whose {
    pub(crate) const fn of(job: &Job) -> Self {
        Self {
            user: job.owner,
            project: job.project,
        }
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
            labels: job.spec.labels.clone(),
            together: job.spec.gang().unwrap_or(1),
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
            labels,
            together,
            data,
            project: _,
        } = self;
        request == &other.request
            && (max_runtime, network) == (&other.max_runtime, &other.network)
            && (image, isolation, data) == (&other.image, &other.isolation, &other.data)
            && (labels, together) == (&other.labels, &other.together)
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

    /// Returns the line in which a job waits, and its class.
    pub(crate) fn waiting_of(
        &self,
        job: &Job,
        progress: &JobProgress,
    ) -> Option<(ClassId, &Waiting)> {
        let level = self
            .levels
            .get(&Reverse(progress.level(job.spec.priority)))?;
        let waiting = level.lines.get(&Whose::of(job))?;
        Some((*self.ids.get(&Class::of(job))?, waiting))
    }

    pub(super) fn insert(&mut self, id: JobId, job: &Job, progress: &JobProgress) {
        let class = self.count_in(Class::of(job));
        let level = progress.level(job.spec.priority);
        let level = self.levels.entry(Reverse(level)).or_default();
        level.change(Whose::of(job), |waiting| {
            waiting.insert(class, (job.number, id));
            waiting.count(job.number, |tasks| tasks + u64::from(progress.in_queue()));
        });
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

    pub(super) fn remove(&mut self, id: JobId, job: &Job, progress: &JobProgress) {
        let level = Reverse(progress.level(job.spec.priority));
        let (Some(lines), Some(class)) = (
            self.levels.get_mut(&level),
            self.ids.get(&Class::of(job)).copied(),
        ) else {
            return;
        };
        let was_there = lines.change(Whose::of(job), |waiting| {
            let was_there = waiting.remove(class, (job.number, id));
            if was_there {
                let less = u64::from(progress.in_queue());
                waiting.count(job.number, |tasks| tasks.saturating_sub(less));
            }
            was_there
        });
        if was_there {
            self.counts[class.index()] -= 1;
            if self.counts[class.index()] == 0 {
                self.ids.remove(&Class::of(job));
                self.vacant.insert(class);
            }
        }
        if lines.lines.is_empty() {
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
            for (level, Level { lines, oldest }) in &queue.levels {
                for (whose, waiting) in lines {
                    let is_oldest =
                        |(number, _): (JobNumber, JobId)| oldest.contains(&(number, *whose));
                    let heads: BTreeMap<ClassId, JobNumber> = waiting
                        .heads()
                        .map(|(number, class)| (class, number))
                        .collect();
                    for (class, of_class) in waiting.classes() {
                        let head = heads.get(&class).copied();
                        let class = classes.get(&class).cloned();
                        let oldest = waiting.oldest().map(is_oldest);
                        let row = (head, of_class.clone(), oldest, waiting.tasks.clone());
                        jobs.insert((*level, *whose, class), row);
                    }
                }
            }
            let count = |class: &ClassId| queue.counts.get(class.index()).copied();
            let counts: Vec<_> = queue.ids.values().map(count).collect();
            let oldest = queue.levels.values().map(|level| level.oldest.len());
            (jobs, counts, oldest.sum::<usize>())
        };
        named(self) == named(other)
    }
}

impl Eq for Queue {}
