//! Tasks of a job that wait on machines behind running ones of it, and whether its tasks are short enough for that.
//!
//! A task is put behind another one so that nobody has to be asked when that one ends. What waits so is bounded in time:
//! a place is never spoken for longer than [`MOST_BEHIND_MS`], as far as the job's tasks so far tell.

use std::collections::{BTreeMap, BTreeSet};

use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{job::JobProgress, rare::Nothing};
use crate::lifecycle::job::JobState;

/// How long the tasks behind a running one may take, all of them.
const MOST_BEHIND_MS: u64 = 999;
/// Most tasks that wait behind one.
pub(crate) const MAX_BEHIND: usize = 16;
/// Of so many tasks, about, the mean is that of.
const MEAN_OF: u64 = 8;

/// What of a job waits behind running tasks, and what is known for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Following {
    /// They count as queued, and the schedule does not see them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    tasks: BTreeSet<u32>,
    /// Of tasks that were given back, the number of the attempt that nothing came of: it is not used again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    returned: BTreeMap<u32, u32>,
    /// How long the job's tasks ran of late, on average; nothing until one has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean_ms: Option<u64>,
}

impl Nothing for Following {
    const NOTHING: &'static Self = &Self {
        tasks: BTreeSet::new(),
        returned: BTreeMap::new(),
        mean_ms: None,
    };
}

impl Following {
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn contains(&self, task: u32) -> bool {
        self.tasks.contains(&task)
    }

    /// Returns how many tasks may wait behind one; none where that would take too long, or nobody knows.
    pub(crate) fn depth(&self) -> usize {
        let fit = |mean: u64| usize::try_from(MOST_BEHIND_MS / mean.max(1)).unwrap_or(MAX_BEHIND);
        self.mean_ms.map_or(0, fit).min(MAX_BEHIND)
    }

    /// Returns the number of the task's last attempt that came to nothing, if there was one since its last that did not.
    pub(crate) fn returned(&self, task: u32) -> Option<u32> {
        self.returned.get(&task).copied()
    }

    /// Takes in how long a task ran. No time at all is what nobody measured.
    pub(crate) fn note(&mut self, ran_ms: u64) {
        if ran_ms == 0 {
            return;
        }
        let mean = self.mean_ms.map_or(ran_ms, |mean| {
            let sum = mean.saturating_mul(MEAN_OF - 1).saturating_add(ran_ms);
            sum / MEAN_OF
        });
        self.mean_ms = Some(mean);
    }

    pub(super) fn insert(&mut self, task: u32) {
        self.tasks.insert(task);
        self.returned.remove(&task);
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, task: u32) -> bool {
        self.tasks.remove(&task)
    }

    /// Notes that an attempt with this number came to nothing.
    pub(super) fn note_returned(&mut self, task: u32, number: u32) {
        self.returned.insert(task, number);
    }

    /// Notes that the task has an attempt again, whose number says what is next.
    pub(super) fn note_placed(&mut self, task: u32) {
        self.returned.remove(&task);
    }
}

impl JobProgress {
    /// Returns whether tasks of it wait behind others.
    pub(crate) fn has_followers(&self) -> bool {
        !self.following.is_empty()
    }

    /// Returns whether tasks of it may be put behind those that run, as far as the job itself goes.
    pub(crate) fn may_have_followers(&self) -> bool {
        let waits = self.state == JobState::Open && !self.queued.is_empty();
        waits && self.is_let_in() && self.counts.running > 0 && self.following.depth() > 0
    }

    /// Takes a task out of the queue to wait behind a running one, where it counts as queued still.
    pub(crate) fn place_behind(&mut self, task: u32) {
        if self.queued.remove(task) {
            self.following.insert(task);
        }
    }

    /// Gives a task that waited behind another the place of that one.
    pub(crate) fn take_over(&mut self, task: u32, at: Timestamp) {
        if self.following.remove(task) {
            self.begin(at);
        }
    }

    /// Puts a task back into the queue whose attempt, of that number, came to nothing.
    pub(crate) fn give_back(&mut self, task: u32, number: u32) {
        self.leave(task);
        if self.queued.insert(task) {
            self.counts.queued += 1;
        }
        self.following.note_returned(task, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_behind_a_task_is_about_a_second_of_work() {
        let check = |ran: &[u64], expect: usize| {
            let mut following = Following::default();
            ran.iter().for_each(|ms| following.note(*ms));
            assert_eq!(following.depth(), expect, "{ran:?}");
        };
        check(&[], 0);
        check(&[0], 0);
        check(&[0, 1], MAX_BEHIND);
        check(&[3, 2, 4], MAX_BEHIND);
        check(&[100], 9);
        check(&[333], 3);
        check(&[500], 1);
        check(&[1000], 0);
        check(&[u64::MAX, u64::MAX], 0);
        // One long one among short ones ends it for a while.
        check(&[10, 20_000], 0);
        let mut again = vec![10, 20_000];
        again.extend([10; 40]);
        check(&again, MAX_BEHIND);
    }
}
