//! Whose the place of a running task is once that ends.

use common::id::{JobId, UserId};

use crate::{
    bounds::Bounds,
    lifecycle::job::JobState,
    schedule::{
        feasible::{Ask, fits_now, within_limits},
        plan::Pass,
    },
    state::{
        attempt::Attempt,
        index::MemberUse,
        job::{Job, JobProgress},
        queue::{Class, Whose},
    },
};

/// Most jobs of others that are asked whether they could have the place.
const MAX_LOOKED: usize = 256;

/// Whether the place of a running task is its own job's, once that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nobody else could have it.
    Alone,
    /// Others could, and come after it.
    Contended,
    /// Somebody else comes before it, or a limit or a rule keeps the job from it.
    Nobody,
}

impl<'a> Pass<'a> {
    /// Returns whether a job would be given the place that one of its attempts has.
    pub(super) fn claim(
        &mut self,
        id: JobId,
        job: &'a Job,
        progress: &JobProgress,
        row: &Attempt,
    ) -> Claim {
        let open = progress.state == JobState::Open
            && progress.is_let_in()
            && !self.state.is_archived(job.project);
        let mut used = self.member(job.owner).cloned().unwrap_or_default();
        used.running = used.running.saturating_sub(1);
        used.held.take(&row.allocation, &row.gpu_models);
        let lender = self.machines.look(row.machine).map(|view| view.owner);
        if lender != Some(job.owner) {
            used.borrowed.take(&row.allocation);
        }
        let free = open && self.limits_allow(job, row, &used) && self.fits(id, job, row);
        match free {
            false => Claim::Nobody,
            true => self.turn(id, job, progress, row, (lender, &used)),
        }
    }

    /// Returns whether limits let the job have the place again, its member having what `used` says without it.
    fn limits_allow(&self, job: &Job, row: &Attempt, used: &MemberUse) -> bool {
        let most = self.limits.max_concurrent_jobs_per_user;
        let mut held = self.held.clone();
        held.take(&row.allocation, &row.gpu_models);
        let own = self.state.own_limits.get(&(self.org, job.owner));
        let bounds = Bounds::with(Some(self.limits), own, Some(&held), Some(used));
        let request = &job.spec.request;
        most.is_none_or(|most| used.running < most)
            && within_limits(&Class::of(job), self.limits)
            && bounds.admit(request, 1)
            && (request.gpu.is_none() || bounds.gpu_room().is_unlimited())
    }

    /// Returns whether the job fits where the attempt is, with what that holds and no more. What is kept free for another
    /// job it does not have.
    fn fits(&mut self, id: JobId, job: &'a Job, row: &Attempt) -> bool {
        let used = self.state.index.machines.get(&row.machine);
        let rest = used.and_then(|used| used.held.checked_sub(&row.allocation));
        let ask: Ask<'_> = self.ask(id, job);
        let request = ask.request;
        let Some(view) = self.machines.look(row.machine) else {
            return false;
        };
        let (Some(report), Some(rest), None) = (view.report, rest, &view.kept) else {
            return false;
        };
        let free = std::mem::replace(&mut view.free, report.offer.minus(&rest));
        let fits = fits_now(view, &ask).is_ok();
        view.free = free;
        fits && (row.allocation.cpu, row.allocation.memory) == (request.cpu, request.memory)
    }

    /// Returns whose turn it is once the place is free: whoever comes before the job, or the machine's owner.
    fn turn(
        &mut self,
        id: JobId,
        job: &'a Job,
        progress: &JobProgress,
        row: &Attempt,
        (lender, used): (Option<UserId>, &MemberUse),
    ) -> Claim {
        let Some(queue) = self.state.index.queues.get(&self.org) else {
            return Claim::Alone;
        };
        let level = progress.level(job.spec.priority);
        let own = (self.order.part(Whose::of(job), &used.borrowed), job.number);
        let (mut claim, mut looked) = (Claim::Alone, 0);
        for (at, lines) in &queue.levels {
            for (whose, waiting) in &lines.lines {
                let part = match whose.user == job.owner {
                    true => self.order.part(*whose, &used.borrowed),
                    false => self.part(*whose),
                };
                let lends = whose.user != job.owner && lender == Some(whose.user);
                for (number, class) in waiting.heads() {
                    let first = waiting.jobs(class).next().map(|(_, other)| *other);
                    let before = lends || at.0 > level || (at.0 == level && (part, number) < own);
                    let matters = before || (at.0 == level && claim == Claim::Alone);
                    let Some(other) = first.filter(|other| *other != id && matters) else {
                        continue;
                    };
                    looked += 1;
                    if looked > MAX_LOOKED {
                        return Claim::Nobody;
                    }
                    let row_of = self.state.jobs.get(&other);
                    if row_of
                        .is_some_and(|other_job| self.would_have(row.machine, other, other_job))
                    {
                        if before {
                            return Claim::Nobody;
                        }
                        claim = Claim::Contended;
                    }
                }
            }
        }
        claim
    }
}
