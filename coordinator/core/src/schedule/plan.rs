//! A pass: takes tasks in their order and gives each the best machine that fits, until nothing fits or
//! enough are placed.
//!
//! An array costs per task that is placed, not per task that waits; and jobs that are alike
//! ([`crate::state::queue::Class`]) are given up together once one of them fits nowhere, since a pass only ever takes away.

mod follow;
mod gang;
mod kept;
mod own;
mod place;
mod preempt;

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{AttemptId, JobId, MachineId, OrgId, UserId},
    limits::Limits,
    resources::Allocation,
    time::{Span, Timestamp},
};

use self::{kept::Left, preempt::Looked};
use super::{
    candidates::Candidates,
    choose::{Machines, Scope},
    feasible::within_limits,
    order::{Order, Part},
    preempt::Taken,
    turns::{Head, Line, Turn, Turns},
};
use crate::{
    bounds::Bounds,
    state::{
        State,
        held::Held,
        index::MemberUse,
        job::{Job, JobProgress},
        pool::OrgPool,
        queue::{Class, ClassId, Whose},
    },
};

/// Most tasks of a job that a pass leaves where they are, to see whether one behind them fits.
const MAX_SKIPPED: u32 = 64;

/// One task and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) attempt: AttemptId,
    pub(crate) org: OrgId,
    pub(crate) machine: MachineId,
    pub(crate) allocation: Allocation,
    /// Of each of its GPUs, in their order.
    pub(crate) gpu_models: Vec<String>,
    pub(crate) max_runtime: Option<Span>,
    /// Whether it gets a kernel of its own in user space.
    pub(crate) strong: bool,
    /// Behind which one it waits, to have its place.
    pub(crate) behind: Option<AttemptId>,
}

/// What a pass found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) placements: Vec<Placement>,
    /// What waits behind others and is wanted back.
    pub(crate) returning: Vec<(AttemptId, MachineId)>,
    /// Machines that are kept free from now on, for which job, and when that should begin.
    pub(crate) kept: Vec<(OrgId, MachineId, JobId, Timestamp)>,
    /// Those that are not any more.
    pub(crate) released: Vec<(OrgId, MachineId)>,
    /// What gives way, and to which job.
    pub(crate) taken: Vec<(OrgId, JobId, Taken)>,
    /// Orgs in which that was looked at or is to be: when it was, and when it is again.
    pub(crate) looked: Vec<(OrgId, Timestamp, Option<Timestamp>)>,
    /// Orgs in which nothing more fits now.
    pub(crate) settled: Vec<OrgId>,
    /// How often a task was held against machines: what all of it costs.
    #[cfg(test)]
    pub(crate) looks: u32,
    /// How many machines were looked at for that.
    #[cfg(test)]
    pub(crate) machines: usize,
}

/// Returns at most `most` placements in the orgs where something changed.
pub(crate) fn plan(state: &State, at: Timestamp, most: u32) -> Plan {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut plan = Plan::default();
    for org in &state.volatile.due {
        if plan.placements.len() >= most {
            break;
        }
        let Some(mut pass) = Pass::new(state, *org, at) else {
            let mut unwanted = follow::unwanted(state, *org);
            if unwanted.is_empty() {
                plan.settled.push(*org);
            }
            plan.returning.append(&mut unwanted);
            continue;
        };
        pass.run(most - plan.placements.len());
        let full = plan.placements.len() + pass.placements.len() >= most;
        if !full && !pass.again {
            pass.preempt();
            // What waits behind those is wanted back by the next one.
            pass.again |= !pass.taken.is_empty();
        }
        plan.placements.append(&mut pass.placements);
        plan.returning.append(&mut pass.returning);
        let kept = pass.kept.iter();
        plan.kept
            .extend(kept.map(|(machine, job, begin)| (*org, *machine, *job, *begin)));
        let released = pass.released.iter();
        plan.released
            .extend(released.map(|machine| (*org, *machine)));
        let taken = pass.taken.drain(..);
        plan.taken
            .extend(taken.map(|(job, taken)| (*org, job, taken)));
        let looked = pass.looked.map(|looked| (*org, looked.at, looked.again));
        plan.looked.extend(looked);
        #[cfg(test)]
        {
            plan.looks += pass.looks;
            plan.machines += pass.machines.count();
        }
        if !full && !pass.again {
            plan.settled.push(*org);
        }
    }
    plan
}

struct Pass<'a> {
    state: &'a State,
    org: OrgId,
    limits: &'a Limits,
    pool: &'a OrgPool,
    machines: Machines<'a>,
    order: Order<'a>,
    /// Of members of whom something was placed in this pass.
    members: BTreeMap<UserId, MemberUse>,
    /// What the org's tasks hold, with what was placed in this pass.
    held: Held,
    /// Of jobs of which something was placed in this pass.
    jobs: BTreeMap<JobId, Placed>,
    placements: Vec<Placement>,
    returning: Vec<(AttemptId, MachineId)>,
    /// What has no room for a member anywhere: it stays so for the pass, which only ever takes.
    nowhere: BTreeSet<(UserId, ClassId)>,
    kept: Vec<(MachineId, JobId, Timestamp)>,
    released: Vec<MachineId>,
    keep_left: Left,
    taken: Vec<(JobId, Taken)>,
    looked: Option<Looked>,
    /// Whether another pass may find more: a job of raised priority had its turn, and what is left of it waits at its own
    /// again, or a machine is kept for nobody any more.
    again: bool,
    #[cfg(test)]
    looks: u32,
}

/// What came of looking for a machine.
enum Place {
    Found,
    Nowhere,
    /// Nowhere, but a machine was taken back from this task that others may have, or it asks for more than they do.
    NotForThisTask,
}

/// What this pass took from a job: always the first tasks of its queue, without those that ask for more than fits.
#[derive(Debug, Clone, Copy, Default)]
struct Placed {
    count: u32,
    next_from: u32,
    skipped: u32,
}

impl<'a> Pass<'a> {
    /// Returns `None` for an org that is gone, or in which nothing may start now.
    fn new(state: &'a State, org: OrgId, at: Timestamp) -> Option<Self> {
        let limits = &state.orgs.get(&org)?.limits;
        let used = state.index.orgs.get(&org);
        let kept = used.map(|used| used.artifacts.bytes()).unwrap_or_default();
        if limits.storage.artifacts.is_some_and(|most| kept >= most) {
            return None;
        }
        let pool = state.volatile.pool.of(org)?;
        Some(Self {
            state,
            org,
            limits,
            pool,
            machines: Machines::new(state, pool),
            order: Order::of(state, org, Some(pool), at),
            members: BTreeMap::new(),
            held: used.map(|used| used.held.clone()).unwrap_or_default(),
            jobs: BTreeMap::new(),
            placements: Vec::new(),
            returning: Vec::new(),
            nowhere: BTreeSet::new(),
            kept: Vec::new(),
            released: Vec::new(),
            keep_left: Left::default(),
            taken: Vec::new(),
            looked: None,
            again: false,
            #[cfg(test)]
            looks: 0,
        })
    }

    fn run(&mut self, most: usize) {
        self.give_places(most);
        // Only once nothing more has room anywhere is it clear what waits for a place.
        if !self.again && self.placements.len() < most {
            self.follow(most);
        }
    }

    fn give_places(&mut self, most: usize) {
        let Some(queue) = self.state.index.queues.get(&self.org) else {
            return;
        };
        let mut candidates = Candidates::of(self.state, self.pool, queue);
        self.review_kept();
        let first = self.state.volatile.first.get(&self.org);
        for user in first.into_iter().flatten() {
            self.own_first(queue, *user, most, &mut candidates);
        }
        for (priority, level) in &queue.levels {
            self.serve_kept(queue, priority.0, most, &mut candidates);
            if self.placements.len() >= most {
                return;
            }
            if candidates.is_empty() {
                self.keep_for_late_gangs(queue, level, &candidates);
                continue;
            }
            let mut turns = Turns::new(&level.lines, |whose| self.part(whose));
            while self.placements.len() < most
                && !candidates.is_empty()
                && let Some(turn) = turns.next(
                    |whose| self.part(whose),
                    |whose, class| self.may_start(whose.user, class, &candidates),
                )
            {
                let Turn { whose, head, first } = turn;
                if first && let Some(waiting) = level.lines.get(&whose) {
                    self.keep_for_oldest(whose, waiting, &candidates);
                }
                let line = turns.line(whose);
                // What may not start any more gives its turn to the line's next one.
                let goes_on = line.zip(head).is_none_or(|(line, head)| {
                    self.serve(whose.user, head, line, &mut candidates, Scope::All)
                });
                if goes_on {
                    turns.again(whose, self.part(whose), |class| {
                        self.may_start(whose.user, class, &candidates)
                    });
                }
            }
            if self.placements.len() < most {
                self.keep_for_late_gangs(queue, level, &candidates);
            }
        }
    }

    fn may_start(&self, user: UserId, class: ClassId, candidates: &Candidates<'_>) -> bool {
        candidates.has(class) && (self.nowhere.is_empty() || !self.nowhere.contains(&(user, class)))
    }

    /// Returns the part of the pool that the line's member has, with what was placed in this pass.
    fn part(&self, whose: Whose) -> Part {
        let used = self.member(whose.user);
        let borrowed = used.map(|used| used.borrowed).unwrap_or_default();
        self.order.part(whose, &borrowed)
    }

    /// Places one task of the member's oldest job, or gives its class up. Returns whether the member may
    /// have another turn.
    fn serve(
        &mut self,
        user: UserId,
        (_, id, class): Head,
        line: &mut Line<'_>,
        candidates: &mut Candidates<'a>,
        scope: Scope,
    ) -> bool {
        if !self.has_turns_left(user, 1) {
            return false;
        }
        if scope == Scope::All && !self.may_start(user, class, candidates) {
            return true;
        }
        let (Some(job), Some(progress), Some(asks)) = (
            self.state.jobs.get(&id),
            self.state.progress.get(&id),
            candidates.class(class),
        ) else {
            line.advance(class);
            return true;
        };
        // A pass only ever takes, so what is over a bound now is given up with all of its class, of this member.
        if !self.is_within_bounds(user, asks) {
            line.give_up(class);
            return true;
        }
        let Some(task) = self.next_task(id, job, progress) else {
            line.advance(class);
            return true;
        };
        let place = match job.spec.gang() {
            None => self.place(id, job, task, class, candidates, scope),
            Some(nodes) => self.place_gang(id, job, nodes, class, candidates, scope),
        };
        match place {
            Place::Found => {
                // What may wait behind it is found once it has its place.
                let followed = progress.following.depth() > 0 && !progress.queued.is_empty();
                self.again |= progress.raised > 0 || self.is_kept_for(id) || followed;
                if progress.raised > 0 || self.next_task(id, job, progress).is_none() {
                    line.advance(class);
                }
            }
            // Elsewhere there may be room for it.
            Place::NotForThisTask if scope == Scope::Own => line.advance(class),
            // Says nothing of others that ask for as much, nor of the job's other tasks.
            Place::NotForThisTask => {
                if !self.skip(id, task) || self.next_task(id, job, progress).is_none() {
                    line.advance(class);
                }
            }
            Place::Nowhere if scope == Scope::Own => line.give_up(class),
            Place::Nowhere => {
                self.keep_for(id, class, candidates);
                candidates.refresh(class, &self.pool.room);
                self.nowhere.insert((user, class));
                if self.pool.telling_projects == 0 {
                    let alike = candidates.alike(class);
                    self.nowhere.extend(alike.map(|other| (user, other)));
                }
            }
        }
        true
    }

    /// Returns whether the member may have so many more tasks running.
    fn has_turns_left(&self, user: UserId, tasks: u32) -> bool {
        let running = self.member(user).map_or(0, |used| used.running);
        let most = self.limits.max_concurrent_jobs_per_user;
        most.is_none_or(|most| running.saturating_add(tasks) <= most)
    }

    /// Returns whether limits leave the member all that starts at once of jobs of a class.
    fn is_within_bounds(&self, user: UserId, asks: &Class) -> bool {
        within_limits(asks, self.limits)
            && self.has_turns_left(user, asks.together)
            && self.bounds(user).admit(&asks.request, asks.together)
    }

    fn next_task(&self, id: JobId, job: &Job, progress: &JobProgress) -> Option<u32> {
        let placed = self.jobs.get(&id).copied().unwrap_or_default();
        if job.spec.gang().is_some() && placed.next_from > 0 {
            return None;
        }
        let running = progress.counts.running + placed.count;
        if job.parallel().is_some_and(|most| running >= most) {
            return None;
        }
        progress.queued.first_from(placed.next_from)
    }

    /// Leaves a task where it is. Returns whether those behind it are looked at.
    fn skip(&mut self, id: JobId, task: u32) -> bool {
        let placed = self.jobs.entry(id).or_default();
        placed.next_from = task.saturating_add(1);
        placed.skipped += 1;
        placed.skipped <= MAX_SKIPPED
    }

    /// Returns what the member has, with what was placed in this pass.
    fn member(&self, user: UserId) -> Option<&MemberUse> {
        let before = || self.state.index.members.get(&(self.org, user));
        self.members.get(&user).or_else(before)
    }

    fn bounds(&self, user: UserId) -> Bounds<'_> {
        let own = self.state.own_limits.get(&(self.org, user));
        Bounds::with(Some(self.limits), own, Some(&self.held), self.member(user))
    }
}
