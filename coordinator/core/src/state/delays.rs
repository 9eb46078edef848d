//! The tasks of a job that are tried again at a later moment, in the order of these. Never more than wait.

use std::collections::BTreeMap;

use common::{
    job::{IndexRange, TaskCounts},
    status::EndReason,
    time::Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{job::JobProgress, ranges::TaskRanges, rare::Nothing};

/// By the moment, each with how the last try ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Delays {
    tasks: BTreeMap<(Timestamp, u32), EndReason>,
}

impl Nothing for Delays {
    const NOTHING: &'static Self = &Self {
        tasks: BTreeMap::new(),
    };
}

impl Delays {
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Returns the earliest moment.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.tasks.keys().next().map(|(until, _)| *until)
    }

    /// Returns each task with its moment and how its last try ended.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Timestamp, EndReason)> {
        let tasks = self.tasks.iter();
        tasks.map(|((until, task), after)| (*task, *until, *after))
    }

    /// Returns those whose moment has come.
    pub(crate) fn due(&self, now: Timestamp) -> impl Iterator<Item = u32> {
        let due = self.tasks.range(..=(now, u32::MAX));
        due.map(|((_, task), _)| *task)
    }

    pub(crate) fn contains(&self, task: u32) -> bool {
        self.tasks.keys().any(|(_, other)| *other == task)
    }

    pub(crate) fn insert(&mut self, task: u32, until: Timestamp, after: EndReason) {
        self.tasks.insert((until, task), after);
    }

    /// Takes a task out and returns whether it was in.
    pub(crate) fn remove(&mut self, task: u32) -> bool {
        self.take(task).is_some()
    }

    /// Takes a task out and returns how its last try ended, where it was in.
    fn take(&mut self, task: u32) -> Option<EndReason> {
        let mut keys = self.tasks.keys();
        let found = keys.find(|(_, other)| *other == task).copied();
        self.tasks.remove(&found?)
    }

    pub(crate) fn clear(&mut self) {
        self.tasks.clear();
    }
}

/// A list: task, moment, how its last try ended.
impl Serialize for Delays {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Delays {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = Vec::<(u32, Timestamp, EndReason)>::deserialize(deserializer)?;
        let tasks = rows.into_iter();
        Ok(Self {
            tasks: tasks
                .map(|(task, until, after)| ((until, task), after))
                .collect(),
        })
    }
}

impl JobProgress {
    /// Lets all tasks of a gang be tried again, at once or from a moment on.
    pub(crate) fn restart(&mut self, tasks: &[IndexRange], later: Option<(Timestamp, EndReason)>) {
        let count = tasks.iter().map(|range| range.last - range.first + 1);
        self.counts = TaskCounts {
            queued: count.sum(),
            ..TaskCounts::default()
        };
        match later {
            None => self.queued = TaskRanges::of(tasks.iter().copied()),
            Some((until, after)) => {
                for task in tasks.iter().flat_map(|range| range.first..=range.last) {
                    self.delayed.insert(task, until, after);
                }
            }
        }
    }

    /// Puts tasks that wait for a moment off until a later one.
    pub(crate) fn put_off(&mut self, tasks: &[u32], until: Timestamp) {
        for task in tasks {
            if let Some(after) = self.delayed.take(*task) {
                self.delayed.insert(*task, until, after);
            }
        }
    }

    /// Lets tasks into the queue whose moment has come.
    pub(crate) fn release(&mut self, tasks: &[u32]) {
        for task in tasks {
            if self.delayed.remove(*task) {
                self.queued.insert(*task);
            }
        }
    }
}
