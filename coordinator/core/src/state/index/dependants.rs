//! Who waits for whom, for which jobs that can be decided, and which run tasks of another again.

use std::collections::BTreeSet;

use common::id::JobId;

use super::Index;
use crate::state::{
    job::{Job, JobProgress},
    waiting::Moment,
};

/// Jobs that wait for one, those first whose condition is decided first.
pub(crate) type Dependants = BTreeSet<(Moment, JobId)>;

impl Index {
    /// Comes once, when the job does: what it runs again never changes.
    pub(crate) fn rerun_in(&mut self, id: JobId, job: &Job) {
        if let Some(rerun) = &job.rerun {
            let reruns = self.reruns.entry(rerun.of).or_default();
            reruns.insert((job.number, id));
        }
    }

    pub(super) fn dependant_in(&mut self, id: JobId, progress: &JobProgress) {
        for awaited in &progress.awaits {
            let dependants = self.dependants.entry(awaited.job).or_default();
            dependants.insert((awaited.moment(), id));
        }
    }

    pub(super) fn dependant_out(&mut self, id: JobId, progress: &JobProgress) {
        for awaited in &progress.awaits {
            if let Some(dependants) = self.dependants.get_mut(&awaited.job) {
                dependants.remove(&(awaited.moment(), id));
                if dependants.is_empty() {
                    self.dependants.remove(&awaited.job);
                }
            }
        }
    }

    /// Notes whether something is to be decided for those who wait for this job. Comes after each change of the job or
    /// of who waits for it.
    pub(crate) fn note_settling(&mut self, id: JobId, progress: &JobProgress) {
        let first = self.dependants.get(&id).and_then(BTreeSet::first);
        if first.is_some_and(|(moment, _)| progress.has_come_to(*moment)) {
            self.settling.insert(id);
        } else {
            self.settling.remove(&id);
        }
    }

    /// Returns the jobs that wait for this one, whatever for.
    pub(crate) fn dependants_of(&self, id: JobId) -> impl Iterator<Item = (Moment, JobId)> {
        let dependants = self.dependants.get(&id);
        dependants.into_iter().flatten().copied()
    }
}
