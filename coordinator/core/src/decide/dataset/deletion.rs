//! The end of datasets, or of one version. Never under a job: what a job that has not ended reads stays. What is deleted
//! is gone for people at once, and for good once it cannot be brought back any more.

use std::collections::BTreeMap;

use common::{
    api::data::DeleteDataset,
    dataset::DatasetDeletion,
    id::{DatasetId, JobId, OrgId, TreeId, UserId},
    job::JobNumber,
    name::Name,
    org::retention::Retention,
    time::Timestamp,
    units::Bytes,
};

use super::{find, find_deleted};
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
/// Most of them that are named.
const MAX_NAMED: usize = 5;

/// What would go.
pub(in crate::decide) struct Target<'a> {
    id: DatasetId,
    dataset: &'a Dataset,
    /// `None`: all of them.
    version: Option<(u32, &'a DatasetVersion)>,
    /// It was deleted before, and is kept for a while.
    was_deleted: bool,
}

/// Jobs that have not ended and read what is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readers {
    pub jobs: u64,
    /// Tasks.
    pub queued: u64,
    /// Tasks.
    pub running: u64,
    /// Whether there are jobs that were not counted.
    pub more: bool,
    /// Some of them that whoever asks may see, and whose they are.
    pub named: Vec<(JobNumber, Name)>,
}

pub(super) fn delete(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &DeleteDataset,
) -> Result<Vec<Event>, Rejection> {
    let target = Target::find(state, user, request)?;
    if let Some(refusal) = in_use(request, target.readers(state, user)) {
        return Err(refusal.into());
    }
    let until = kept_until(state, at, request)?;
    let mut events = Vec::new();
    if !target.was_deleted {
        events.push(target.deleted(at, user, until.unwrap_or(at)));
    }
    if until.is_none() {
        events.push(target.purged(at, Some(user)));
    }
    Ok(events.into_iter().map(Event::Dataset).collect())
}

/// Returns what [`delete`] would take away, and which jobs are in its way.
pub(crate) fn preview(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &DeleteDataset,
) -> Result<DatasetDeletion, Rejection> {
    let target = Target::find(state, user, request)?;
    let readers = target.readers(state, user);
    Ok(DatasetDeletion {
        name: target.dataset.name.clone(),
        version: target.version.map(|(number, _)| number),
        versions: target.versions(),
        bytes: target.bytes(),
        jobs: readers.jobs,
        queued_tasks: readers.queued,
        running_tasks: readers.running,
        more: readers.more,
        kept_until: kept_until(state, at, request)?,
        refusal: in_use(request, readers).map(|refusal| Rejection::from(refusal).into()),
    })
}

/// Returns until when what is deleted now can be brought back; `None` where it goes for good at once.
fn kept_until(
    state: &State,
    at: Timestamp,
    request: &DeleteDataset,
) -> Result<Option<Timestamp>, Rejection> {
    let org = state.orgs.get(&request.org).ok_or(Rejection::NoSuchOrg)?;
    let kept = match org.settings.deleted_data_kept {
        Retention::For(span) if !request.now => at.saturating_add(span.as_duration()),
        _ => at,
    };
    Ok(Some(kept).filter(|until| *until > at))
}

/// Returns why nothing goes while it has readers.
fn in_use(request: &DeleteDataset, readers: Readers) -> Option<DatasetRejection> {
    let dataset = request.dataset.clone();
    (readers.jobs > 0).then_some(DatasetRejection::InUse { dataset, readers })
}

impl<'a> Target<'a> {
    /// Finds what the user may delete.
    fn find(state: &'a State, user: UserId, request: &DeleteDataset) -> Result<Self, Rejection> {
        let DeleteDataset { org, dataset, now } = request;
        let name = &dataset.name;
        let role = policy::member(state, *org, user)?.role;
        let (id, row) = match (find(state, user, *org, name), dataset.version) {
            (Ok((_, id, row)), _) => (id, row),
            (Err(missing), None) if *now => {
                let mut deleted = find_deleted(state, user, *org, name)?;
                deleted.next().ok_or(missing)?
            }
            (Err(missing), _) => return Err(missing),
        };
        let version = match dataset.version {
            None => None,
            Some(number) => {
                let found = row.any_version(number).filter(|version| {
                    version.deleted_at.is_none() || *now && version.deleted.is_some()
                });
                let found = found.ok_or_else(|| Rejection::no_such_version(row, dataset))?;
                Some((number, found))
            }
        };
        policy::check_delete(state, user, role, row, version.map(|(_, version)| version))?;
        let was_deleted = match version {
            None => row.deleted.is_some(),
            Some((_, version)) => version.deleted.is_some(),
        };
        if version.is_some() && !was_deleted && row.living().nth(1).is_none() {
            let dataset = dataset.clone();
            return Err(DatasetRejection::LastVersion { dataset }.into());
        }
        Ok(Self {
            id,
            dataset: row,
            version,
            was_deleted,
        })
    }

    /// Returns what is due, whoever deleted it.
    pub(in crate::decide) fn due(state: &'a State, id: DatasetId, version: u32) -> Option<Self> {
        let dataset = state.datasets.get(&id)?;
        let version = match version {
            0 => None,
            number => Some((number, dataset.any_version(number)?)),
        };
        Some(Self {
            id,
            dataset,
            version,
            was_deleted: true,
        })
    }

    fn deleted(&self, at: Timestamp, by: UserId, until: Timestamp) -> DatasetEvent {
        let (org, name) = (self.dataset.org, self.dataset.name.clone());
        match self.version {
            Some((version, row)) => DatasetEvent::DatasetVersionDeleted {
                dataset: self.id,
                org,
                name,
                version,
                tree: row.tree,
                bytes: row.bytes,
                by,
                at,
                until,
            },
            None => DatasetEvent::DatasetDeleted {
                dataset: self.id,
                org,
                name,
                owner: self.dataset.owner,
                by,
                versions: self.versions(),
                bytes: self.bytes(),
                at,
                until,
            },
        }
    }

    pub(in crate::decide) fn purged(&self, at: Timestamp, by: Option<UserId>) -> DatasetEvent {
        let trees = match self.version {
            Some((_, version)) => vec![version.tree],
            None => self.dataset.kept().map(|(_, row)| row.tree).collect(),
        };
        DatasetEvent::DatasetPurged {
            dataset: self.id,
            org: self.dataset.org,
            name: self.dataset.name.clone(),
            version: self.version.map(|(number, _)| number),
            versions: self.versions(),
            bytes: self.bytes(),
            trees,
            by,
            at,
        }
    }

    fn bytes(&self) -> Bytes {
        match self.version {
            Some((_, version)) => version.bytes,
            None => Bytes(self.dataset.bytes()),
        }
    }

    fn versions(&self) -> u32 {
        match self.version {
            Some(_) => 1,
            None => self.dataset.count(),
        }
    }

    fn readers(&self, state: &State, user: UserId) -> Readers {
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
        Readers::of(state, user, jobs.map(|(_, id)| id), MAX_COUNTED)
    }

    fn first_read(&self, job: &Job) -> Option<u32> {
        let pinned = job.pinned.iter().chain(&job.pinned_image);
        let of_it = pinned.filter(|pinned| pinned.dataset == self.id);
        of_it.map(|pinned| pinned.version).min()
    }
}

impl Readers {
    /// Counts at most so many, and names a few that the user may see.
    fn of(state: &State, user: UserId, jobs: impl IntoIterator<Item = JobId>, most: usize) -> Self {
        let mut readers = Self::default();
        let mut jobs = jobs.into_iter();
        for id in jobs.by_ref().take(most) {
            readers.jobs += 1;
            if let Some(progress) = state.progress.get(&id) {
                readers.queued += u64::from(progress.counts.queued);
                readers.running += u64::from(progress.counts.running);
            }
            if readers.named.len() < MAX_NAMED {
                readers.named.extend(named(state, user, id));
            }
        }
        readers.more = jobs.next().is_some();
        readers
    }
}

/// Returns a job's number and whose it is, if the user may see it.
fn named(state: &State, user: UserId, id: JobId) -> Option<(JobNumber, Name)> {
    let job = state.jobs.get(&id)?;
    let role = policy::member(state, job.org, user).ok()?.role;
    let owner = state.users.get(&job.owner)?;
    policy::may_see_job(state, user, role, job).then(|| (job.number, owner.handle.clone()))
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
            let readers = Readers::of(&state, UserId::from_bytes([1; 16]), jobs, most);
            (readers.jobs, readers.more)
        };
        assert_eq!(count(3, 3), (3, false));
        assert_eq!(count(4, 3), (3, true));
        assert_eq!(count(0, 3), (0, false));
    }
}
