//! Machines that a pass keeps free for jobs which come first and find no room, and what had one kept.

use std::{collections::BTreeMap, time::Duration};

use common::{
    id::{JobId, MachineId, UserId},
    org::retention::Retention,
    resources::Allocation,
    status::Priority,
    time::Timestamp,
};

use super::Pass;
use crate::{
    schedule::{
        candidates::Candidates,
        choose::Scope,
        feasible::{Ask, could_ever},
        order::Part,
        reserve::{Running, could_be_kept, could_have},
        turns::Line,
    },
    state::{
        job::{Job, JobProgress},
        queue::{Class, ClassId, Queue, Waiting, Whose},
        reserved::{Reservation, ReservedBy},
    },
};

/// Most machines of an org that are kept free at once, and never more than half of them.
const MAX_KEPT: usize = 16;
/// Most machines that are looked at for one that could be kept.
const MAX_LOOKED: usize = 256;
/// Most jobs of a pass for which that is done.
const MAX_TRIED: u32 = 2;
/// And most of those that no machine could ever run.
const MAX_TRIED_IN_VAIN: u32 = 16;

/// After how many times as long as others a gang has machines kept free whoever's turn it is: who has had more than others
/// is behind them at every machine that ends something, and so many at once it would never find.
pub(super) const LONG_OVERDUE: u32 = 3;

/// How long after its grace something may still be there that gives way: then its place is not kept any longer.
const LATE: Duration = Duration::from_secs(60);

/// How many more machines may be kept, and jobs looked at for that.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Left {
    machines: usize,
    jobs: u32,
    looks: u32,
    /// Nothing is kept: one gang may have as many as it needs.
    untouched: bool,
}

impl Left {
    pub(super) const fn is_nothing(self) -> bool {
        self.machines == 0 && !self.untouched || self.jobs == 0 || self.looks == 0
    }

    const fn has(self, machines: usize) -> bool {
        machines <= self.machines || machines > 1 && self.untouched
    }

    pub(super) const fn take(&mut self, machines: usize) {
        self.machines = self.machines.saturating_sub(machines);
        self.untouched = false;
    }
}

impl<'a> Pass<'a> {
    /// Ends what is kept for jobs that could not have it: a limit holds them back, a rule of the machine's owner changed, or
    /// it should have been free long ago, and another machine may be sooner.
    pub(super) fn review_kept(&mut self) {
        let state = self.state;
        let reserved = &state.volatile.reserved;
        let mut kept = 0;
        for (id, machines) in reserved.jobs(self.org) {
            let Some(job) = state.jobs.get(&id) else {
                continue;
            };
            let served = self.may_be_served(job, &Class::of(job));
            let gpu_room = self.bounds(job.owner).gpu_room_ever();
            let ask = Ask {
                gpu_room_ever: &gpu_room,
                ..self.ask(id, job)
            };
            let goes: Vec<MachineId> = machines
                .iter()
                .filter(|machine| {
                    let view = self.machines.look(**machine);
                    let able = view.is_some_and(|view| could_have(view, &ask));
                    !served || !able || self.is_late(reserved.of(**machine))
                })
                .copied()
                .collect();
            // Of a gang all or none.
            let goes = match job.spec.gang() {
                Some(nodes) if !goes.is_empty() || machines.len() < nodes as usize => {
                    machines.iter().copied().collect()
                }
                _ => goes,
            };
            if goes.is_empty() && job.spec.gang().is_some() {
                self.hasten(id, machines);
            }
            let stays = machines.iter().filter(|machine| !goes.contains(machine));
            let by = stays.filter_map(|machine| reserved.of(*machine));
            kept += by.filter(|one| one.why == ReservedBy::Backfill).count();
            self.again |= !goes.is_empty();
            for machine in goes {
                if let Some(view) = self.machines.look(machine) {
                    view.kept = None;
                }
                self.released.push(machine);
            }
        }
        let machines = self.pool.room.count();
        self.keep_left = Left {
            machines: (machines.div_ceil(2)).min(MAX_KEPT).saturating_sub(kept),
            jobs: MAX_TRIED,
            looks: MAX_TRIED_IN_VAIN,
            untouched: kept == 0,
        };
    }

    /// Lets jobs of a priority have the machines that are kept for them, as soon as there is room.
    pub(super) fn serve_kept(
        &mut self,
        queue: &'a Queue,
        level: Priority,
        most: usize,
        candidates: &mut Candidates<'a>,
    ) {
        let state = self.state;
        for (id, _) in state.volatile.reserved.jobs(self.org) {
            let (Some(job), Some(progress)) = (state.jobs.get(&id), state.progress.get(&id)) else {
                continue;
            };
            let of_level = progress.level(job.spec.priority) == level;
            if of_level
                && self.placements.len() < most
                && let Some((class, waiting)) = queue.waiting_of(job, progress)
                && candidates.has(class)
            {
                let head = (job.number, id, class);
                let mut line = Line::new(waiting);
                self.serve(job.owner, head, &mut line, candidates, Scope::All);
            }
        }
    }

    /// Returns whether no limit holds the job back, nor its project.
    pub(super) fn may_be_served(&self, job: &Job, class: &Class) -> bool {
        self.is_within_bounds(job.owner, class) && !self.state.is_archived(job.project)
    }

    /// Returns whether the machine should have been free for so long that another one may be sooner.
    fn is_late(&self, reservation: Option<&Reservation>) -> bool {
        let Some(reservation) = reservation else {
            return true;
        };
        let after = match reservation.why {
            ReservedBy::Backfill => self.reserved_after(),
            ReservedBy::Preemption => Some(LATE),
        };
        after.is_none_or(|after| reservation.begin.saturating_add(after) < self.order.at())
    }

    /// Keeps a machine free for the oldest job of a line whose turn it is, where that has waited for long and finds no
    /// room: what comes after it would take whatever ends.
    pub(super) fn keep_for_oldest(
        &mut self,
        whose: Whose,
        waiting: &'a Waiting,
        candidates: &Candidates<'a>,
    ) {
        if self.keep_left.is_nothing() {
            return;
        }
        if let Some((_, id, class)) = waiting.oldest_of_class()
            && !self.may_start(whose.user, class, candidates)
        {
            self.keep_for(id, class, candidates);
        }
    }

    /// Keeps a machine free for a job that found no room, if it has waited for long and is the next one there.
    pub(super) fn keep_for(&mut self, id: JobId, class: ClassId, candidates: &Candidates<'a>) {
        if self.keep_left.is_nothing() {
            return;
        }
        let Some(progress) = self.state.progress.get(&id) else {
            return;
        };
        // First what most jobs fail in, at the least cost.
        if !self.is_overdue(id, progress) {
            return;
        }
        let (Some(job), Some(asks)) = (self.state.jobs.get(&id), candidates.class(class)) else {
            return;
        };
        let served = self.may_be_served(job, asks) && self.next_task(id, job, progress).is_some();
        if !served || self.is_kept_for(id) || self.kept.iter().any(|(_, job, _)| *job == id) {
            return;
        }
        let nodes = asks.together as usize;
        if !self.keep_left.has(nodes) {
            return;
        }
        self.keep_left.looks -= 1;
        if nodes > 1 {
            self.keep_left.jobs -= 1;
            return self.keep_gang((id, job), progress, asks, nodes);
        }
        let Some((begin, machine)) = self.begins(id, asks).into_iter().min() else {
            return;
        };
        self.keep_left.jobs -= 1;
        if self.is_next_on(machine, job, progress) {
            self.keep_left.take(1);
            self.keep(machine, id, asks, begin);
        }
    }

    /// Keeps a machine free from now on.
    pub(super) fn keep(
        &mut self,
        machine: MachineId,
        id: JobId,
        asks: &'a Class,
        begin: Timestamp,
    ) {
        let placed = self.placed_on(machine);
        // One machine alone is free when it is; of several, when the last one is.
        let together = (asks.together > 1).then_some(begin);
        if let Some(view) = self.machines.look(machine) {
            view.keep(id, &asks.request, placed, together);
        }
        self.kept.push((machine, id, begin));
    }

    /// Returns whether a machine is kept free for the job.
    pub(super) fn is_kept_for(&self, id: JobId) -> bool {
        let reserved = &self.state.volatile.reserved;
        let mut machines = reserved.machines(self.org, id);
        machines.any(|machine| !self.released.contains(&machine))
    }

    /// Returns whether it waited for long, and was given nothing in this pass either.
    fn is_overdue(&self, id: JobId, progress: &JobProgress) -> bool {
        let given = self.jobs.get(&id).is_some_and(|placed| placed.count > 0);
        !given && self.waited_since(progress.waits_since, 1)
    }

    /// Returns whether that is so many times as long ago as jobs wait before a machine is kept free for them.
    pub(super) fn waited_since(&self, since: Timestamp, times: u32) -> bool {
        let after = self.reserved_after();
        let after = after.map(|after| after.saturating_mul(times));
        after.is_some_and(|after| since.saturating_add(after) <= self.order.at())
    }

    fn reserved_after(&self) -> Option<Duration> {
        let org = self.state.orgs.get(&self.org)?;
        match org.settings.reserved_after {
            Retention::Forever => None,
            Retention::For(after) => Some(after.as_duration()),
        }
    }

    /// Returns when the job could begin on each of the machines that could be kept for it.
    pub(super) fn begins(&mut self, id: JobId, asks: &Class) -> Vec<(Timestamp, MachineId)> {
        let Some(job) = self.state.jobs.get(&id) else {
            return Vec::new();
        };
        let gpu_room = self.bounds(job.owner).gpu_room_ever();
        let ask = Ask {
            gpu_room_ever: &gpu_room,
            ..self.ask(id, job)
        };
        let able = self.pool.room.groups();
        let able = able.filter(|(_, kind, _)| kind.is_large_enough(&asks.request));
        let machines: Vec<MachineId> = able
            .flat_map(|(_, _, group)| group.machines())
            .take(MAX_LOOKED)
            .collect();
        let mut begins = Vec::new();
        for machine in machines {
            let placed = self.placed_on(machine);
            let view = self.machines.look(machine);
            let begin = view.and_then(|view| could_be_kept(view, &ask, placed));
            begins.extend(begin.map(|begin| (begin, machine)));
        }
        begins
    }

    /// Returns whether nobody else's job that could run there comes before, once what runs on the machine now has ended.
    /// Before a gang that waited for long comes only what has a higher priority.
    pub(super) fn is_next_on(
        &mut self,
        machine: MachineId,
        job: &Job,
        progress: &JobProgress,
    ) -> bool {
        let Some(queue) = self.state.index.queues.get(&self.org) else {
            return false;
        };
        let own_level = progress.level(job.spec.priority);
        let there = self.held_on(machine);
        let own = self.part_without(Whose::of(job), &there);
        let late =
            job.spec.gang().is_some() && self.waited_since(progress.waits_since, LONG_OVERDUE);
        let levels = queue.levels.iter();
        let levels = levels.take_while(|(level, _)| level.0 >= own_level);
        let lines = levels.flat_map(|(level, lines)| {
            let higher = level.0 > own_level;
            lines.lines.iter().map(move |line| (higher, line))
        });
        let first: Vec<JobId> = lines
            .filter(|(_, (whose, _))| whose.user != job.owner)
            .filter(|(higher, (whose, _))| {
                *higher || (!late && self.part_without(**whose, &there) < own)
            })
            .filter_map(|(_, (_, waiting))| Some(waiting.oldest_of_class()?.1))
            .collect();
        for id in first {
            let other = self.state.jobs.get(&id);
            if other.is_some_and(|other| self.would_have(machine, id, other)) {
                return false;
            }
        }
        true
    }

    /// Returns whether the job could run there if the machine were empty, as far as limits go now.
    pub(super) fn would_have(&mut self, machine: MachineId, id: JobId, job: &'a Job) -> bool {
        let served = self.may_be_served(job, &Class::of(job));
        let ask = self.ask(id, job);
        let view = self.machines.look(machine);
        served && view.is_some_and(|view| could_ever(view, &ask).is_ok())
    }

    /// Returns the part of the pool that the line's member has, without what there is on a machine.
    fn part_without(&self, whose: Whose, there: &BTreeMap<UserId, Vec<&Allocation>>) -> Part {
        let used = self.member(whose.user);
        let mut borrowed = used.map(|used| used.borrowed).unwrap_or_default();
        for allocation in there.get(&whose.user).into_iter().flatten() {
            borrowed.take(allocation);
        }
        self.order.part(whose, &borrowed)
    }

    /// Returns what each member's tasks hold of a machine.
    fn held_on(&self, machine: MachineId) -> BTreeMap<UserId, Vec<&Allocation>> {
        let live = self.state.index.machines.get(&machine);
        let live = live.into_iter().flat_map(|used| &used.live);
        let live = live.filter_map(|id| Some((id.job, &self.state.attempts.get(id)?.allocation)));
        let placed = self.placements.iter();
        let placed = placed.filter(|placement| placement.machine == machine);
        let placed = placed.map(|placement| (placement.attempt.job, &placement.allocation));
        let mut held: BTreeMap<UserId, Vec<&Allocation>> = BTreeMap::new();
        for (job, allocation) in live.chain(placed) {
            if let Some(job) = self.state.jobs.get(&job) {
                held.entry(job.owner).or_default().push(allocation);
            }
        }
        held
    }

    /// Returns what this pass placed on a machine.
    pub(super) fn placed_on(&self, machine: MachineId) -> Vec<Running> {
        let placements = self.placements.iter();
        let here = placements.filter(|placement| placement.machine == machine);
        here.map(|placement| {
            let allocation = placement.allocation.clone();
            Running::since(self.order.at(), placement.max_runtime, allocation)
        })
        .collect()
    }
}
