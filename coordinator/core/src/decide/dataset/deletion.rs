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

/// Jobs that have not ended and read what is to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readers {
    pub jobs: u64,
    /// Tasks.
    pub queued: u64,
    /// Tasks.
    pub running: u64,
    /// Whether there are jobs that were not counted.
    pub more: bool,
}

pub(super) fn delete(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    reference: &DatasetRef,
) -> Result<Vec<Event>, Rejection> {
    let doomed = Doomed::find(state, user, org, reference)?;
    if let Some(refusal) = in_use(reference, doomed.readers(state)) {
        return Err(refusal.into());
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
        more: readers.more,
        refusal: in_use(reference, readers).map(|refusal| Rejection::from(refusal).into()),
    })
}

/// Returns why nothing goes while it has readers.
fn in_use(reference: &DatasetRef, readers: Readers) -> Option<DatasetRejection> {
    let dataset = reference.clone();
    (readers.jobs > 0).then_some(DatasetRejection::InUse { dataset, readers })
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
        Readers::of(state, jobs.map(|(_, id)| id), MAX_COUNTED)
    }

    fn first_read(&self, job: &Job) -> Option<u32> {
        let pinned = job.pinned.iter().chain(&job.pinned_image);
        let of_it = pinned.filter(|pinned| pinned.dataset == self.id);
        of_it.map(|pinned| pinned.version).min()
    }
}

impl Readers {
    /// Counts at most so many.
    fn of(state: &State, jobs: impl IntoIterator<Item = JobId>, most: usize) -> Self {
        let mut readers = Self::default();
        let mut jobs = jobs.into_iter();
        for job in jobs.by_ref().take(most) {
            readers.jobs += 1;
            if let Some(progress) = state.progress.get(&job) {
                readers.queued += u64::from(progress.counts.queued);
                readers.running += u64::from(progress.counts.running);
            }
        }
        readers.more = jobs.next().is_some();
        readers
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_counted_is_known_to_be_there() {
        let state = State::default();
        let count = |jobs: u8, most| {
            let jobs = (0..jobs).map(|number| JobId::from_bytes([number; 16]));
            let readers = Readers::of(&state, jobs, most);
            (readers.jobs, readers.more)
        };
        assert_eq!(count(3, 3), (3, false));
        assert_eq!(count(4, 3), (3, true));
        assert_eq!(count(0, 3), (0, false));
    }
}
