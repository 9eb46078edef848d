//! The end of datasets, or of one version. Never under a job: what a job that has not ended reads stays.

use std::collections::BTreeMap;

use common::{
    dataset::{DatasetDeletion, DatasetRef},
    id::{DatasetId, JobId, OrgId, TreeId, UserId},
    time::Timestamp,
    units::Bytes,
};

use super::find;
use crate::{
    command::dataset::DiscardedTree,
    event::{Event, dataset::DatasetEvent},
    policy,
    rejection::{DatasetRejection, Rejection},
    state::{
        State,
        dataset::{Dataset, DatasetVersion},
        job::Job,
    },
};

/// Most jobs that are counted; whoever is in the way of a deletion does not ask for more.
const MAX_COUNTED: usize = 10_000;

/// What would go.
struct Doomed<'a> {
    id: DatasetId,
    dataset: &'a Dataset,
    /// `None`: all of them.
    version: Option<(u32, &'a DatasetVersion)>,
}

/// Jobs that have not ended and read what is to go: at most some thousands are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readers {
    pub jobs: u64,
    /// Tasks.
    pub queued: u64,
    /// Tasks.
    pub running: u64,
}

pub(super) fn delete(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    reference: &DatasetRef,
) -> Result<Vec<Event>, Rejection> {
    let doomed = Doomed::find(state, user, org, reference)?;
    let readers = doomed.readers(state);
    if readers.jobs > 0 {
        let dataset = reference.clone();
        return Err(DatasetRejection::InUse { dataset, readers }.into());
    }
    let Doomed { id, dataset, .. } = doomed;
    let name = dataset.name.clone();
    let event = match doomed.version {
        Some((version, row)) => DatasetEvent::DatasetVersionDeleted {
            dataset: id,
            org,
            name,
            version,
            tree: row.tree,
            bytes: row.bytes,
            by: user,
            at,
        },
        None => {
            let trees = dataset.living().map(|(_, version)| version.tree);
            DatasetEvent::DatasetDeleted {
                dataset: id,
                org,
                name,
                owner: dataset.owner,
                by: user,
                versions: doomed.versions(),
                bytes: Bytes(dataset.bytes()),
                trees: trees.collect(),
                at,
            }
        }
    };
    Ok(vec![Event::Dataset(event)])
}

/// Returns what [`delete`] would take away, and which jobs are in its way.
pub(crate) fn preview(
    state: &State,
    user: UserId,
    org: OrgId,
    reference: &DatasetRef,
) -> Result<DatasetDeletion, Rejection> {
    let doomed = Doomed::find(state, user, org, reference)?;
    let readers = doomed.readers(state);
    let bytes = match doomed.version {
        Some((_, version)) => version.bytes,
        None => Bytes(doomed.dataset.bytes()),
    };
    Ok(DatasetDeletion {
        name: doomed.dataset.name.clone(),
        version: doomed.version.map(|(number, _)| number),
        versions: doomed.versions(),
        bytes,
        jobs: readers.jobs,
        queued_tasks: readers.queued,
        running_tasks: readers.running,
    })
}

impl<'a> Doomed<'a> {
    /// Finds what the user may delete.
    fn find(
        state: &'a State,
        user: UserId,
        org: OrgId,
        reference: &DatasetRef,
    ) -> Result<Self, Rejection> {
        let (member, id, dataset) = find(state, user, org, &reference.name)?;
        let version = match reference.version {
            None => None,
            Some(number) => {
                let found = dataset.version(Some(number));
                Some(found.ok_or_else(|| Rejection::no_such_version(dataset, reference))?)
            }
        };
        let row = version.map(|(_, row)| row);
        policy::check_delete(state, user, member.role, dataset, row)?;
        if version.is_some() && dataset.living().nth(1).is_none() {
            let dataset = reference.clone();
            return Err(DatasetRejection::LastVersion { dataset }.into());
        }
        Ok(Self {
            id,
            dataset,
            version,
        })
    }

    fn versions(&self) -> u32 {
        match self.version {
            Some(_) => 1,
            None => u32::try_from(self.dataset.living().count()).unwrap_or(u32::MAX),
        }
    }

    fn readers(&self, state: &State) -> Readers {
        let (first, last) = match self.version {
            Some((number, _)) => (number, number),
            None => (0, u32::MAX),
        };
        let versions = state
            .index
            .readers
            .range((self.id, first)..=(self.id, last));
        let jobs =
            versions.flat_map(|((_, version), jobs)| jobs.iter().map(|job| (*version, *job)));
        // Whoever reads several of the versions is counted with the first.
        let jobs = jobs.filter(|(version, id)| {
            let job = state.jobs.get(id);
            self.version.is_some() || job.is_some_and(|job| self.first_read(job) == Some(*version))
        });
        let mut readers = Readers::default();
        for (_, id) in jobs.take(MAX_COUNTED) {
            readers.count(state, id);
        }
        readers
    }

    fn first_read(&self, job: &Job) -> Option<u32> {
        let pinned = job.pinned.iter().chain(&job.pinned_image);
        let of_it = pinned.filter(|pinned| pinned.dataset == self.id);
        of_it.map(|pinned| pinned.version).min()
    }
}

impl Readers {
    fn count(&mut self, state: &State, job: JobId) {
        self.jobs += 1;
        if let Some(progress) = state.progress.get(&job) {
            self.queued += u64::from(progress.counts.queued);
            self.running += u64::from(progress.counts.running);
        }
    }
}

/// Notes what a sweep has dealt with; what was deleted once more since it looked is for the next one.
pub(in crate::decide) fn finish(state: &State, swept: &[DiscardedTree]) -> Vec<Event> {
    let mut done: BTreeMap<OrgId, Vec<TreeId>> = BTreeMap::new();
    for DiscardedTree { org, tree, times } in swept {
        let row = state.discarded.get(&(*org, *tree));
        if row.is_some_and(|row| row.times == *times) {
            done.entry(*org).or_default().push(*tree);
        }
    }
    let events = done.into_iter().map(|(org, trees)| {
        Event::Dataset(DatasetEvent::DatasetFilesDeleted {
            org,
            count: trees.len() as u64,
            trees,
        })
    });
    events.collect()
}
