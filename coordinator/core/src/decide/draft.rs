//! Events in the making, where one follows from another: the end of an attempt decides its task, the last
//! task its job. Keeps how far the jobs would be by then, so that no event is said twice.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{ApprovalId, AttemptId, JobId},
    job::{ArtifactsView, AttemptUsage, Outcome},
    status::EndReason,
    time::{Span, Timestamp},
};

use super::{approval, checkpoint, gang, retry, set_aside, settle::settle};
use crate::{
    event::{Event, LogState, TaskFate, waiting::WaitingEvent},
    lifecycle::{
        attempt::{AttemptState, AttemptStep},
        job::{JobState, JobStep},
    },
    state::{
        State,
        approval::of_job,
        attempt::Attempt,
        job::{Job, JobProgress},
    },
};

pub(super) struct Draft<'a> {
    state: &'a State,
    at: Timestamp,
    events: Vec<Event>,
    progress: BTreeMap<JobId, JobProgress>,
    stopping: BTreeSet<AttemptId>,
    /// Each with how, where it was not well.
    ended: BTreeMap<AttemptId, Option<EndReason>>,
    /// Requests for approval that are answered here.
    decided: BTreeSet<ApprovalId>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(state: &'a State, at: Timestamp) -> Self {
        Self {
            state,
            at,
            events: Vec::new(),
            progress: BTreeMap::new(),
            stopping: BTreeSet::new(),
            ended: BTreeMap::new(),
            decided: BTreeSet::new(),
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Answers a request for approval; what follows for its subject comes after.
    pub(super) fn decide_approval(&mut self, id: ApprovalId, event: Event) {
        if self.decided.insert(id) {
            self.events.push(event);
        }
    }

    /// Takes back a request for approval that still waits, its subject being gone.
    pub(super) fn withdraw_approval(&mut self, id: ApprovalId) {
        if let Some(event) = approval::withdrawn(self.state, id, self.at) {
            self.decide_approval(id, event);
        }
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Takes what waits out of the queue and tells what runs to stop.
    pub(super) fn cancel_job(&mut self, id: JobId) {
        let Some(progress) = self.progress(id) else {
            return;
        };
        let Ok(state) = progress.state.transition(JobStep::Cancel) else {
            return;
        };
        progress.state = state;
        progress.cancel_all_queued();
        self.events.push(Event::JobCancelled { job: id });
        let live = self.state.index.live.get(&id);
        let live = live.into_iter().flatten().copied();
        for attempt in live.chain(self.state.index.chains.waiting(id)) {
            self.stop(attempt, EndReason::Cancelled);
        }
        self.end_job_if_through(id);
    }

    /// Takes a waiting task out of the queue.
    pub(super) fn cancel_queued_task(&mut self, id: JobId, task: u32) {
        let Some(progress) = self.progress(id) else {
            return;
        };
        progress.cancel_queued_task(task);
        self.events.push(Event::TaskCancelled { job: id, task });
        self.end_job_if_through(id);
    }

    /// Tells an attempt to end, unless it was told before.
    pub(super) fn stop(&mut self, id: AttemptId, reason: EndReason) {
        let Some(attempt) = self.state.attempts.get(&id) else {
            return;
        };
        let news = attempt
            .state
            .transition(AttemptStep::Stop { reason })
            .is_ok();
        if news && !self.ended.contains_key(&id) && self.stopping.insert(id) {
            self.events.push(Event::AttemptStopping {
                attempt: id,
                machine: attempt.machine,
                reason,
            });
        }
    }

    /// Ends an attempt that a machine reports as ended.
    pub(super) fn end(&mut self, id: AttemptId, at: Timestamp, outcome: Outcome, artifacts: bool) {
        let artifacts = if artifacts {
            ArtifactsView::Pending
        } else {
            ArtifactsView::None
        };
        let log = match outcome.log_bytes {
            0 => LogState::Complete { bytes: 0 },
            bytes => LogState::Awaited { bytes },
        };
        self.finish(id, at, outcome, artifacts, log);
    }

    /// Ends an attempt whose machine is gone, with everything that it still held.
    pub(super) fn end_without_machine(&mut self, id: AttemptId, reason: EndReason, why: &str) {
        let Some(attempt) = self.state.attempts.get(&id) else {
            return;
        };
        let next = matches!(attempt.state, AttemptState::Next | AttemptState::Returning);
        let told = self.stopping.contains(&id);
        if next && !told && attempt.waits_behind().is_some() {
            return self.take_back(id);
        }
        // Who was to give way has done so.
        let reason = match attempt.state {
            AttemptState::Stopping {
                reason: told @ EndReason::Preempted,
            } if attempt.preempted.is_some() => told,
            _ => reason,
        };
        let wall = attempt.started_at.map(|start| self.at.since(start));
        let outcome = Outcome {
            reason,
            exit_code: None,
            signal: None,
            detail: Some(why.to_owned()),
            usage: AttemptUsage {
                wall: wall.map(Span::from).unwrap_or_default(),
                ..AttemptUsage::default()
            },
            log_bytes: 0,
        };
        self.finish(id, self.at, outcome, ArtifactsView::Lost, LogState::Lost);
    }

    /// Takes an attempt out that was placed behind another one and has not begun: its task waits in the queue again, and
    /// it was no try. One that was to end has ended.
    pub(super) fn take_back(&mut self, id: AttemptId) {
        let Some(attempt) = self.state.attempts.get(&id) else {
            return;
        };
        let reason = match attempt.state {
            AttemptState::Next | AttemptState::Returning => None,
            AttemptState::Stopping { reason } if attempt.started_at.is_none() => Some(reason),
            _ => return,
        };
        if let Some(reason) = reason {
            let outcome = Outcome {
                reason,
                exit_code: None,
                signal: None,
                detail: Some("it ended before it began".to_owned()),
                usage: AttemptUsage::default(),
                log_bytes: 0,
            };
            return self.end(id, self.at, outcome, false);
        }
        if self.ended.contains_key(&id) {
            return;
        }
        self.ended.insert(id, None);
        let next = self.next(id);
        if let Some(progress) = self.progress(id.job) {
            progress.give_back(id.task, id.number);
        }
        let (state, at) = (self.state, self.at);
        let lender = state.machines.get(&attempt.machine).map(|row| row.owner);
        let owner = state.jobs.get(&id.job).map(|job| job.owner);
        if let Some(lender) = lender.or(owner) {
            self.events.push(Event::AttemptReturned {
                attempt: id,
                org: attempt.org,
                machine: attempt.machine,
                lender,
                next,
                at,
            });
        }
    }

    /// Returns who waits right behind an attempt, of those that are still there by then.
    fn next(&self, id: AttemptId) -> Option<AttemptId> {
        let mut behind = self.state.index.chains.all_behind(id);
        behind.find(|next| !self.ended.contains_key(next))
    }

    /// Gives up what an ended attempt's machine still held.
    pub(super) fn give_up_rest(&mut self, id: AttemptId) {
        let Some(attempt) = self.state.attempts.get(&id) else {
            return;
        };
        let machine = attempt.machine;
        if attempt.artifacts == ArtifactsView::Pending {
            self.events.push(Event::ArtifactsSettled {
                attempt: id,
                machine,
                artifacts: ArtifactsView::Lost,
                at: self.at,
            });
            self.events.extend(checkpoint::came(self.state, id));
        }
        if matches!(attempt.log, LogState::Awaited { .. }) {
            self.events.push(Event::LogSettled {
                attempt: id,
                machine,
                log: LogState::Lost,
            });
        }
    }

    fn finish(
        &mut self,
        id: AttemptId,
        at: Timestamp,
        mut outcome: Outcome,
        artifacts: ArtifactsView,
        log: LogState,
    ) {
        let Some(attempt) = self
            .state
            .attempts
            .get(&id)
            .filter(|attempt| attempt.is_live())
        else {
            return;
        };
        let Some(job) = self.state.jobs.get(&id.job) else {
            return;
        };
        let ill = (!outcome.succeeded()).then_some(outcome.reason);
        if self.ended.contains_key(&id) {
            return;
        }
        self.ended.insert(id, ill);
        let usage = settle(self.state, attempt, job, &outcome);
        let machine = self.state.machines.get(&attempt.machine);
        let fate = self.fate((id, attempt), job, &mut outcome, artifacts);
        if let Some(progress) = self.progress(id.job) {
            progress.end_attempt(id.task, fate);
        }
        let next = self.next(id);
        let judged = set_aside::after(self.state, self.at, attempt, job, &outcome);
        self.events.push(Event::AttemptEnded {
            attempt: id,
            org: attempt.org,
            machine: attempt.machine,
            lender: machine.map_or(job.owner, |machine| machine.owner),
            at,
            outcome,
            artifacts,
            log,
            fate,
            usage: Box::new(usage),
            next,
        });
        self.events.extend(judged);
        if job.spec.gang().is_some() {
            self.end_together(id, job, ill.is_some(), artifacts);
        }
        self.end_job_if_through(id.job);
    }

    /// Ends the rest of a gang of which a task did not end well, and has all of it tried again once nothing of it runs,
    /// where its job wants that.
    fn end_together(&mut self, id: AttemptId, job: &Job, ill: bool, artifacts: ArtifactsView) {
        let live = self.state.index.live.get(&id.job).filter(|_| ill);
        for peer in live.into_iter().flatten() {
            self.stop(*peer, EndReason::PeerEnded);
        }
        let over = self.progress(id.job).is_some_and(|progress| {
            progress.counts.running == 0 && progress.state == JobState::Open
        });
        let again =
            over.then(|| gang::again(self.state, (self.at, artifacts), id, job, &self.ended));
        if let Some(later) = again.flatten()
            && let Some(progress) = self.progress(id.job)
        {
            progress.restart(&job.ranges(), later);
            let restarted = WaitingEvent::GangRestarted { job: id.job, later };
            self.events.push(Event::Waiting(restarted));
        }
    }

    /// Decides what becomes of a task.
    fn fate(
        &mut self,
        (id, attempt): (AttemptId, &Attempt),
        job: &Job,
        outcome: &mut Outcome,
        artifacts: ArtifactsView,
    ) -> TaskFate {
        let reason = EndReason::Cancelled;
        let told_to_stop = attempt.state == AttemptState::Stopping { reason }
            || self.stopping.contains(&id)
            || self
                .progress(id.job)
                .is_some_and(|p| p.state == JobState::Cancelling);
        if outcome.succeeded() {
            TaskFate::Succeeded
        } else if told_to_stop || outcome.reason == EndReason::Cancelled {
            TaskFate::Cancelled
        } else if job.spec.gang().is_some() {
            // Whether it is tried again is decided of all of them.
            match outcome.reason {
                EndReason::PeerEnded => TaskFate::Cancelled,
                _ => TaskFate::Failed,
            }
        } else {
            retry::fate(
                self.state,
                (self.at, artifacts),
                (id, attempt),
                job,
                outcome,
            )
        }
    }

    fn end_job_if_through(&mut self, id: JobId) {
        let at = self.at;
        let Some(progress) = self.progress(id) else {
            return;
        };
        let result = progress.state.result(&progress.counts);
        if progress.is_through()
            && let Ok(state) = progress.state.transition(JobStep::End(result))
        {
            progress.state = state;
            self.events.push(Event::JobEnded {
                job: id,
                result,
                at,
            });
            self.withdraw_approval(of_job(id));
            let job = self.state.jobs.get(&id);
            if job.is_some_and(|job| job.spec.registry_login.is_some()) {
                self.events.push(Event::LoginForgotten { job: id });
            }
        }
    }

    /// Returns how far the job would be by then.
    pub(super) fn progress(&mut self, id: JobId) -> Option<&mut JobProgress> {
        if !self.progress.contains_key(&id) {
            let progress = self.state.progress.get(&id)?.clone();
            self.progress.insert(id, progress);
        }
        self.progress.get_mut(&id)
    }
}
