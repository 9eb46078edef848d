//! What became of a task so far, as far as the choice of its next machine goes.

use common::{
    id::{AttemptId, JobId, MachineId},
    resources::Request,
    status::EndReason,
    units::Bytes,
};

use crate::{
    lifecycle::attempt::AttemptState,
    state::{State, job::Job, specification::Specification},
};

/// What became of a task so far.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Of its next attempt.
    pub(super) number: u32,
    pub(super) failed_on: Vec<MachineId>,
    /// Those of them that their owners took back.
    pub(crate) given_back: Vec<MachineId>,
    /// How often it gave way to other jobs: no machine's doing.
    pub(super) gave_way: u32,
    /// What it asks for since it had too little.
    memory: Option<Bytes>,
}

impl History {
    pub(crate) fn of(state: &State, job: JobId, task: u32) -> Self {
        let first = AttemptId {
            job,
            task,
            number: 0,
        };
        let last = AttemptId {
            number: u32::MAX,
            ..first
        };
        let mut history = Self {
            number: 1,
            ..Self::default()
        };
        let progress = state.progress.get(&job);
        let returned = progress.and_then(|progress| progress.following.returned(task));
        history.number += returned.unwrap_or(0);
        for (id, attempt) in state.attempts.range(first..=last) {
            history.number = history.number.max(id.number + 1);
            history.memory = history.memory.max(attempt.next_memory);
            history.gave_way += u32::from(attempt.gave_way());
            if let AttemptState::Ended(outcome) = &attempt.state
                && !outcome.succeeded()
                && !attempt.gave_way()
                && outcome.reason != EndReason::PeerEnded
            {
                history.failed_on.push(attempt.machine);
                if outcome.reason == EndReason::MachineOwner {
                    history.given_back.push(attempt.machine);
                }
            }
        }
        history
    }

    /// Returns whether nothing keeps it from what any other task of its job may have.
    pub(super) fn is_clean(&self) -> bool {
        self.failed_on.is_empty() && self.memory.is_none()
    }

    /// Returns what became of all tasks of a gang, which have had as many tries.
    pub(crate) fn of_gang(state: &State, id: JobId, job: &Job) -> Self {
        let tasks = job.tasks().map(|task| Self::of(state, id, task));
        tasks.fold(Self::default(), |mut all, one| {
            all.number = all.number.max(one.number);
            all.failed_on.extend(one.failed_on);
            all.given_back.extend(one.given_back);
            all
        })
    }

    /// Returns what the task asks for, where that is more than the job does for each.
    pub(crate) fn request(&self, job: &Specification) -> Option<Request> {
        let memory = self.memory.filter(|more| *more > job.request.memory)?;
        Some(Request {
            memory,
            ..job.request.clone()
        })
    }
}
