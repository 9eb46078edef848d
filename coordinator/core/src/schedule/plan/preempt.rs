//! Jobs that waited for long and take the place of what comes after them.
//!
//! Looked at seldom: at most once a period in an org, and otherwise when time alone may let something give way.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::Duration,
};

use common::{
    id::{JobId, MachineId, UserId},
    job::JobNumber,
    status::Priority,
    time::Timestamp,
};

use super::Pass;
use crate::{
    schedule::{
        feasible::Ask,
        history::History,
        order::Part,
        preempt::{ENDS_SOON, Parts, Rules, Taken, Taker, Way},
    },
    state::{
        job::{Job, JobProgress},
        queue::{Class, Queue, Whose},
        reserved::ReservedBy,
    },
};

/// Least time between two looks at an org.
const PERIOD: Duration = Duration::from_secs(10);
/// Most lines of a priority that are looked at, those with the oldest jobs first, and most classes of each.
const MAX_LINES: usize = 64;
const MAX_CLASSES: usize = 16;
/// Most jobs of a class that are passed by for one whose own priority is high enough.
const MAX_PASSED: usize = 4;
/// Most jobs for which machines are looked at, most machines for each of their tasks, and most that are passed by
/// because they are too small.
const MAX_JOBS: u32 = 16;
const MAX_MACHINES: usize = 128;
const MAX_TOO_SMALL: usize = 4096;
/// Most machines on which something gives way at once.
const MAX_TAKEN: u32 = 64;

/// Jobs that may take others' place, best first.
type Head = (Reverse<Priority>, Part, JobNumber, JobId);

/// What gives way already, for whom.
#[derive(Debug, Default)]
struct Pending {
    all: u32,
    members: BTreeMap<UserId, u32>,
    jobs: BTreeMap<JobId, u32>,
}

/// When a look was, and when the next one is worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) at: Timestamp,
    pub(super) again: Option<Timestamp>,
}

/// What came of looking for tasks that give way to one.
enum Outcome {
    Takes(Taken),
    /// Not before that, if ever.
    Waits(Option<Timestamp>),
}

impl Pending {
    fn add(&mut self, member: UserId, job: JobId) {
        self.all += 1;
        *self.members.entry(member).or_default() += 1;
        *self.jobs.entry(job).or_default() += 1;
    }

    fn of_member(&self, member: UserId) -> u32 {
        self.members.get(&member).copied().unwrap_or(0)
    }

    fn of_job(&self, job: JobId) -> u32 {
        self.jobs.get(&job).copied().unwrap_or(0)
    }
}

impl<'a> Pass<'a> {
    /// Lets jobs that waited for long take the place of others, where it is time to look.
    pub(super) fn preempt(&mut self) {
        let state = self.state;
        let org = state.orgs.get(&self.org);
        let rules = org.and_then(|org| Rules::of(&org.settings));
        let queue = state.index.queues.get(&self.org);
        let runs = state.index.orgs.get(&self.org);
        let runs = runs.is_some_and(|used| used.held.milli_cpu > 0);
        let (Some(rules), Some(queue), true) = (rules, queue, runs) else {
            return;
        };
        let now = self.order.at();
        let last = state.volatile.looks.of(self.org);
        let early = last.map(|last| (last, last.at.saturating_add(PERIOD)));
        if let Some((last, soon)) = early.filter(|(_, soon)| now < *soon) {
            let again = Some(last.again.map_or(soon, |again| again.min(soon)));
            let planned = again == last.again;
            self.looked = (!planned).then_some(Looked { at: last.at, again });
            return;
        }
        let mut pending = self.pending();
        let mut next: Option<Timestamp> = None;
        let mut left = MAX_JOBS;
        for (_, _, _, id) in self.heads(queue, rules) {
            let (Some(job), Some(progress)) = (state.jobs.get(&id), state.progress.get(&id)) else {
                continue;
            };
            let from = progress.waits_since.saturating_add(rules.waits);
            let again = if from > now {
                Some(from)
            } else if left > 0 && self.may_be_served(job, &Class::of(job)) {
                left -= 1;
                self.take_places(id, job, progress, rules, &mut pending)
            } else {
                None
            };
            next = next.into_iter().chain(again).min();
        }
        let soon = now.saturating_add(PERIOD);
        let again = next.map(|next| next.max(soon));
        self.looked = Some(Looked { at: now, again });
    }

    /// Returns what gives way already.
    fn pending(&self) -> Pending {
        let mut pending = Pending::default();
        let reserved = &self.state.volatile.reserved;
        for (id, _) in reserved.jobs(self.org) {
            let owner = self.state.jobs.get(&id).map(|job| job.owner);
            let taken = reserved.taken(self.org, id);
            let taken = taken.filter(|machine| !self.released.contains(machine));
            for owner in taken.filter_map(|_| owner) {
                pending.add(owner, id);
            }
        }
        pending
    }

    /// Returns jobs that come before something that runs, by their own priority and by whose turn it is.
    fn heads(&self, queue: &Queue, rules: Rules) -> Vec<Head> {
        let state = self.state;
        let guests = state.index.orgs.get(&self.org).map(|used| &used.guests);
        let lowest = guests.and_then(|guests| guests.lowest());
        let may = |job: &Job| {
            // One machine is taken at a time, and what runs beside the victims stays.
            let takes_part = job.spec.gang().is_none() && !job.spec.request.exclusive;
            let priority = job.spec.priority;
            let below = lowest.is_some_and(|least| least < priority);
            let equal = rules.share && lowest == Some(priority);
            takes_part && (below || equal || self.pool.own.contains_key(&job.owner))
        };
        let mut heads = Vec::new();
        for level in queue.levels.values() {
            for (_, oldest) in level.oldest().take(MAX_LINES) {
                let whose = state.jobs.get(&oldest).map(Whose::of);
                let line = whose.and_then(|whose| Some((whose, level.lines.get(&whose)?)));
                let Some((whose, waiting)) = line else {
                    continue;
                };
                for (_, class) in waiting.heads().take(MAX_CLASSES) {
                    let jobs = waiting.jobs(class).take(MAX_PASSED);
                    let mut jobs = jobs.filter_map(|(_, id)| Some((*id, state.jobs.get(id)?)));
                    if let Some((id, job)) = jobs.find(|(_, job)| may(job)) {
                        let priority = Reverse(job.spec.priority);
                        heads.push((priority, self.part(whose), job.number, id));
                    }
                }
            }
        }
        heads.sort_unstable();
        heads
    }

    /// Lets tasks of a job take the place of others, on a machine each. Returns when more of them may.
    fn take_places(
        &mut self,
        id: JobId,
        job: &'a Job,
        progress: &'a JobProgress,
        rules: Rules,
        pending: &mut Pending,
    ) -> Option<Timestamp> {
        let placed = self.jobs.get(&id).copied().unwrap_or_default();
        let mut from = placed.next_from;
        let mut before = pending.of_job(id);
        while let Some(task) = progress.queued.first_from(from) {
            from = task.saturating_add(1);
            let history = History::of(self.state, id, task);
            // Who gave way takes nobody's place in turn. What grew since is not what is kept for the job.
            if history.gave_way > 0 || history.request(&job.spec).is_some() {
                return None;
            }
            if before > 0 {
                before -= 1;
                continue;
            }
            if !self.has_room_in_limits(id, job, progress, pending) {
                return None;
            }
            let rules = Rules {
                share: rules.share && pending.all == 0,
                ..rules
            };
            match self.look_for_place(id, job, &history, rules) {
                Outcome::Waits(again) => return again,
                Outcome::Takes(taken) => {
                    pending.add(job.owner, id);
                    self.taken.push((id, taken));
                }
            }
        }
        None
    }

    /// Returns whether limits let one more task start besides those to which something gives way already. Where amounts
    /// are bounded it is one at a time.
    fn has_room_in_limits(
        &self,
        id: JobId,
        job: &Job,
        progress: &JobProgress,
        pending: &Pending,
    ) -> bool {
        let placed = self.jobs.get(&id).map_or(0, |placed| placed.count);
        let of_job = progress.counts.running + placed + pending.of_job(id);
        let running = self.member(job.owner).map_or(0, |used| used.running);
        let of_member = running + pending.of_member(job.owner);
        let most = self.limits.max_concurrent_jobs_per_user;
        let bounded = self.bounds(job.owner).iter().next().is_some();
        pending.all < MAX_TAKEN
            && (!bounded || pending.all == 0)
            && most.is_none_or(|most| of_member < most)
            && job.parallel().is_none_or(|most| of_job < most)
    }

    /// Returns the best set of tasks that give way to one, on whatever machine.
    fn look_for_place(
        &mut self,
        id: JobId,
        job: &'a Job,
        history: &History,
        rules: Rules,
    ) -> Outcome {
        let gpu_room = self.bounds(job.owner).gpu_room();
        let gpu_room_ever = self.bounds(job.owner).gpu_room_ever();
        let ask = Ask {
            given_back: &history.given_back,
            gpu_room: &gpu_room,
            gpu_room_ever: &gpu_room_ever,
            ..self.ask(id, job)
        };
        let now = self.order.at();
        let mut best: Option<Taken> = None;
        let mut next: Option<Timestamp> = None;
        for machine in self.machines_for(id, job, history, rules) {
            let placed = self.placed_on(machine);
            let taker = Taker {
                ask: &ask,
                whose: Whose::of(job),
                priority: job.spec.priority,
                rules,
                parts: Parts {
                    state: self.state,
                    order: &self.order,
                    members: &self.members,
                },
            };
            let view = self.machines.look(machine);
            match view.and_then(|view| taker.on(view, &placed)) {
                None => {}
                Some(Way::Needless) => {
                    return Outcome::Waits(Some(now.saturating_add(ENDS_SOON)));
                }
                Some(Way::Later(at, _)) => next = next.into_iter().chain([at]).min(),
                Some(Way::Now(taken)) => {
                    let cost = |taken: &Taken| (taken.cost, taken.machine);
                    if best.as_ref().is_none_or(|best| cost(&taken) < cost(best)) {
                        best = Some(taken);
                    }
                }
            }
        }
        best.map_or(Outcome::Waits(next), Outcome::Takes)
    }

    /// Returns machines on which something may give way to the job: its member's own, then those with guests of the
    /// lowest priority.
    fn machines_for(
        &self,
        id: JobId,
        job: &Job,
        history: &History,
        rules: Rules,
    ) -> BTreeSet<MachineId> {
        let state = self.state;
        let own = self.pool.own.get(&job.owner).into_iter();
        let own = own.flat_map(|own| own.groups().flat_map(|(_, _, group)| group.machines()));
        let most = match rules.share {
            true => Bound::Included(job.spec.priority),
            false => Bound::Excluded(job.spec.priority),
        };
        let guests = state.index.orgs.get(&self.org).map(|used| &used.guests);
        let guests = guests.into_iter();
        let others = guests.flat_map(|guests| guests.machines((Bound::Unbounded, most)));
        let request = &job.spec.request;
        let machines = own.chain(others).take(MAX_TOO_SMALL).filter(|machine| {
            let offer = state.reports.get(machine).map(|report| &report.offer);
            let large = offer
                .is_some_and(|offer| offer.cpu >= request.cpu && offer.memory >= request.memory);
            large && !history.failed_on.contains(machine) && !self.is_for_others(*machine, id, job)
        });
        machines.take(MAX_MACHINES).collect()
    }

    /// Returns whether the room that there is or will be on a machine is another's.
    fn is_for_others(&self, machine: MachineId, id: JobId, job: &Job) -> bool {
        let owner = self.state.machines.get(&machine).map(|row| row.owner);
        let own = owner == Some(job.owner);
        let now = self.kept.iter().find(|(kept, ..)| *kept == machine);
        let taken = self.taken.iter().any(|(_, taken)| taken.machine == machine);
        let reserved = self.state.volatile.reserved.of(machine);
        let reserved = reserved.filter(|_| !self.released.contains(&machine));
        taken
            || now.is_some_and(|(_, other, _)| *other != id && !own)
            || reserved.is_some_and(|one| match one.why {
                ReservedBy::Preemption => true,
                ReservedBy::Backfill => one.job != id && !own,
            })
    }
}
