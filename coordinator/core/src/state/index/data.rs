//! Datasets, and what attempts left: what is called what, what is kept, who reads it, and what goes when.

use common::{
    id::{AttemptId, DatasetId, JobId, OrgId},
    units::Bytes,
};

use super::{Index, belongings};
use crate::state::{
    State,
    attempt::Attempt,
    dataset::{Dataset, DatasetVersion},
    job::Job,
};

/// Most deleted datasets whose sizes are summed up for a sentence.
const MAX_SUMMED: usize = 1000;

impl Index {
    /// Takes in a dataset with all its versions, there or deleted.
    pub(crate) fn dataset_in(&mut self, id: DatasetId, row: &Dataset) {
        let org = row.org;
        match row.deleted {
            None => {
                self.belongings.dataset_in(row);
                let names = self.dataset_names.entry(org).or_default();
                names.insert(row.name.clone(), id);
            }
            Some(deleted) => {
                let name = (org, row.name.clone());
                belongings::put(&mut self.deleted_names, name, (deleted.at, id));
                belongings::put(&mut self.ends, org, (deleted.until, id, 0));
            }
        }
        for (version, deleted) in row.restorable() {
            belongings::put(&mut self.ends, org, (deleted.until, id, version));
        }
        for (_, version) in row.kept() {
            self.version_in(org, version);
        }
    }

    pub(crate) fn dataset_out(&mut self, id: DatasetId, row: &Dataset) {
        let org = row.org;
        match row.deleted {
            None => {
                self.belongings.dataset_out(row);
                if let Some(names) = self.dataset_names.get_mut(&org) {
                    names.remove(&row.name);
                    if names.is_empty() {
                        self.dataset_names.remove(&org);
                    }
                }
            }
            Some(deleted) => {
                let name = (org, row.name.clone());
                belongings::take(&mut self.deleted_names, &name, &(deleted.at, id));
                belongings::take(&mut self.ends, &org, &(deleted.until, id, 0));
            }
        }
        for (version, deleted) in row.restorable() {
            belongings::take(&mut self.ends, &org, &(deleted.until, id, version));
        }
        for (_, version) in row.kept() {
            self.org_less(org, |used| used.datasets.take(version.tree));
        }
    }

    /// Returns about how much of what an org keeps of datasets was deleted: content that is elsewhere counts, too.
    pub(crate) fn deleted_bytes(&self, state: &State, org: OrgId) -> Bytes {
        let ends = self.ends.get(&org).into_iter().flatten().take(MAX_SUMMED);
        let sizes = ends.filter_map(|(_, id, number)| {
            let row = state.datasets.get(id)?;
            Some(match number {
                0 => row.bytes(),
                number => row.any_version(*number)?.bytes.0,
            })
        });
        Bytes(sizes.fold(0, u64::saturating_add))
    }

    pub(crate) fn version_in(&mut self, org: OrgId, version: &DatasetVersion) {
        let used = self.orgs.entry(org).or_default();
        used.datasets.add(version.tree, version.bytes);
    }

    /// Takes in what was sent along with a job, which stays as long as the job is shown: until its org is deleted.
    pub(crate) fn sent_in(&mut self, job: &Job) {
        for tree in job.spec.sent() {
            let used = self.orgs.entry(job.org).or_default();
            *used.sent.entry(tree).or_default() += 1;
        }
    }

    /// Takes in what a job reads until it ends. Apart from [`Self::job_in`], which every start of a task calls.
    pub(crate) fn reader_in(&mut self, id: JobId, job: &Job) {
        for pinned in job.pinned.iter().chain(&job.pinned_image) {
            let version = (pinned.dataset, pinned.version);
            belongings::put(&mut self.readers, version, id);
        }
        for pinned in &job.pinned_artifacts {
            belongings::put(&mut self.artifact_readers, pinned.attempt, id);
            let end = (pinned.at, pinned.attempt);
            belongings::take(&mut self.artifacts, &job.org, &end);
        }
    }

    pub(crate) fn reader_out(&mut self, id: JobId, job: &Job) {
        for pinned in job.pinned.iter().chain(&job.pinned_image) {
            let version = (pinned.dataset, pinned.version);
            belongings::take(&mut self.readers, &version, &id);
        }
        for pinned in &job.pinned_artifacts {
            belongings::take(&mut self.artifact_readers, &pinned.attempt, &id);
            if !self.artifact_readers.contains_key(&pinned.attempt) {
                let end = (pinned.at, pinned.attempt);
                belongings::put(&mut self.artifacts, job.org, end);
            }
        }
    }

    pub(super) fn artifacts_in(&mut self, id: AttemptId, attempt: &Attempt) {
        if let Some((tree, bytes, at)) = attempt.stored() {
            let used = self.orgs.entry(attempt.org).or_default();
            used.artifacts.add(tree, bytes);
            if !self.artifact_readers.contains_key(&id) {
                belongings::put(&mut self.artifacts, attempt.org, (at, id));
            }
        }
    }

    pub(super) fn artifacts_out(&mut self, id: AttemptId, attempt: &Attempt) {
        if let Some((tree, _, at)) = attempt.stored() {
            self.org_less(attempt.org, |used| used.artifacts.take(tree));
            belongings::take(&mut self.artifacts, &attempt.org, &(at, id));
        }
    }
}
