//! Attempts that wait behind others on their machines, and the jobs that have such or could.

use std::collections::{BTreeMap, BTreeSet};

use common::id::{AttemptId, JobId, OrgId};

use crate::state::{
    attempt::Attempt,
    job::{Job, JobProgress},
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chains {
    /// Who waits, by the attempt right before it.
    behind: BTreeMap<AttemptId, AttemptId>,
    /// Those of a job.
    waiting: BTreeMap<JobId, BTreeSet<AttemptId>>,
    /// Jobs that a pass of the schedule looks at for that.
    quick: BTreeMap<OrgId, BTreeSet<JobId>>,
}

impl Chains {
    /// Returns who waits right behind an attempt.
    pub(crate) fn behind(&self, attempt: AttemptId) -> Option<AttemptId> {
        self.behind.get(&attempt).copied()
    }

    /// Returns those who wait behind an attempt, in the order in which they come.
    pub(crate) fn all_behind(&self, attempt: AttemptId) -> impl Iterator<Item = AttemptId> {
        std::iter::successors(self.behind(attempt), |before| self.behind(*before))
    }

    /// Returns every attempt of the job that waits behind another.
    pub(crate) fn waiting(&self, job: JobId) -> impl Iterator<Item = AttemptId> {
        self.waiting.get(&job).into_iter().flatten().copied()
    }

    /// Returns the jobs of an org of which tasks wait behind others, or might.
    pub(crate) fn quick(&self, org: OrgId) -> impl Iterator<Item = JobId> {
        self.quick.get(&org).into_iter().flatten().copied()
    }

    pub(crate) fn has_quick(&self, org: OrgId) -> bool {
        self.quick.contains_key(&org)
    }

    pub(super) fn attempt_in(&mut self, id: AttemptId, attempt: &Attempt) {
        if let Some(before) = attempt.waits_behind() {
            self.behind.insert(before, id);
            self.waiting.entry(id.job).or_default().insert(id);
        }
    }

    pub(super) fn attempt_out(&mut self, id: AttemptId, attempt: &Attempt) {
        let Some(before) = attempt.waits_behind() else {
            return;
        };
        // Whoever comes into its place may be there already.
        if self.behind.get(&before) == Some(&id) {
            self.behind.remove(&before);
        }
        if let Some(waiting) = self.waiting.get_mut(&id.job) {
            waiting.remove(&id);
            if waiting.is_empty() {
                self.waiting.remove(&id.job);
            }
        }
    }

    pub(super) fn job_in(&mut self, id: JobId, job: &Job, progress: &JobProgress) {
        if progress.has_followers() || progress.may_have_followers() {
            self.quick.entry(job.org).or_default().insert(id);
        }
    }

    pub(super) fn job_out(&mut self, id: JobId, job: &Job) {
        if let Some(jobs) = self.quick.get_mut(&job.org) {
            jobs.remove(&id);
            if jobs.is_empty() {
                self.quick.remove(&job.org);
            }
        }
    }
}
