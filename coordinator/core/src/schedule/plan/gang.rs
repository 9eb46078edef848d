//! Gangs: jobs all of whose tasks start in one step, each on a machine of its own, or not at all.

use std::collections::BTreeSet;

use common::{
    id::{JobId, MachineId},
    time::Timestamp,
};

use super::{Pass, Place, kept::LONG_OVERDUE};
use crate::{
    schedule::{
        candidates::Candidates, choose::Scope, data::Needs, feasible::Ask, history::History,
        rank::Wishes,
    },
    state::{
        job::{Job, JobProgress},
        queue::{Class, ClassId, Level, Queue},
    },
};

/// Most machines, besides as many as it needs, that are looked at for those that are kept free for a gang.
const MAX_PASSED_OVER: usize = 16;

/// Most lines of a priority in which such a gang is looked for, those with the oldest jobs first.
const MAX_LINES_LOOKED: usize = 64;

impl<'a> Pass<'a> {
    /// Places all tasks of a gang. What of it is chosen is taken once the last one has a machine, too.
    pub(super) fn place_gang(
        &mut self,
        id: JobId,
        job: &Job,
        nodes: u32,
        class: ClassId,
        candidates: &mut Candidates<'_>,
        scope: Scope,
    ) -> Place {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        let history = History::of_gang(self.state, id, job);
        let needs = Needs::of(self.state, job);
        let wishes = Wishes {
            owner: job.owner,
            needs: &needs,
            failed_on: &history.failed_on,
        };
        let nowhere = match history.given_back.is_empty() {
            true => Place::Nowhere,
            false => Place::NotForThisTask,
        };
        let mut gpu_room = self.gpu_room(job);
        let mut machines: Vec<MachineId> = Vec::new();
        let mut chosen = Vec::new();
        for _ in 0..nodes {
            let ask = Ask {
                given_back: &history.given_back,
                gpu_room: &gpu_room,
                not_on: &machines,
                ..self.ask(id, job)
            };
            let Some(passed) = candidates.passed(class, job.owner) else {
                return nowhere;
            };
            let fit = self.machines.choose(&ask, &wishes, passed, scope);
            let Some((machine, allocation)) = fit else {
                return nowhere;
            };
            if let Some(view) = self.machines.look(machine) {
                gpu_room.take(&allocation, &view.models(&allocation));
            }
            machines.push(machine);
            chosen.push((machine, allocation));
        }
        for (task, place) in (0..).zip(chosen) {
            let ask = self.ask(id, job);
            self.take(&ask, job, (id, task, history.number), place);
        }
        // It needs nothing kept any more.
        self.kept.retain(|(_, job, _)| *job != id);
        Place::Found
    }

    /// Keeps as many machines free as a gang needs, where it is the next one on all of them. It begins once the last of
    /// them is free; until then others run there.
    pub(super) fn keep_gang(
        &mut self,
        (id, job): (JobId, &Job),
        progress: &JobProgress,
        asks: &'a Class,
        nodes: usize,
    ) {
        let mut begins: Vec<(Timestamp, MachineId)> = self.begins(id, asks);
        begins.sort_unstable();
        let mut kept: Vec<(Timestamp, MachineId)> = Vec::new();
        for (begin, machine) in begins.into_iter().take(nodes + MAX_PASSED_OVER) {
            if kept.len() < nodes && self.is_next_on(machine, job, progress) {
                kept.push((begin, machine));
            }
        }
        if kept.len() < nodes {
            return;
        }
        let begin = kept.iter().map(|(begin, _)| *begin).max();
        let begin = begin.unwrap_or_else(|| self.order.at());
        for (_, machine) in kept {
            self.keep(machine, id, asks, begin);
        }
        self.keep_left.take(nodes);
    }

    /// Keeps machines free for gangs of a priority which waited for so long that they do not wait for their turn.
    pub(super) fn keep_for_late_gangs(
        &mut self,
        queue: &'a Queue,
        level: &Level,
        candidates: &Candidates<'a>,
    ) {
        let state = self.state;
        for (_, id) in level.oldest().take(MAX_LINES_LOOKED) {
            let (Some(job), Some(progress)) = (state.jobs.get(&id), state.progress.get(&id)) else {
                continue;
            };
            // Those behind came later.
            if self.keep_left.is_nothing() || !self.waited_since(job.submitted_at, LONG_OVERDUE) {
                return;
            }
            if job.spec.gang().is_some()
                && self.waited_since(progress.waits_since, LONG_OVERDUE)
                && let Some((class, _)) = queue.waiting_of(job, progress)
            {
                self.keep_for(id, class, candidates);
            }
        }
    }

    /// Lets a gang begin as early as its machines can be had by now, where what runs there ended before its time: until it
    /// begins others may run there, and would go on to do so for as long as was thought at first.
    pub(super) fn hasten(&mut self, id: JobId, machines: &BTreeSet<MachineId>) {
        let reserved = &self.state.volatile.reserved;
        let planned = machines.iter().filter_map(|machine| reserved.of(*machine));
        let planned = planned.map(|reservation| reservation.begin).min();
        let now = self.order.at();
        let mut begins = Vec::with_capacity(machines.len());
        for machine in machines {
            let view = self.machines.look(*machine);
            begins.extend(view.and_then(|view| view.had_by_kept(now)));
        }
        let (Some(begin), true) = (begins.iter().max(), begins.len() == machines.len()) else {
            return;
        };
        if planned.is_some_and(|planned| *begin < planned) {
            for machine in machines {
                if let Some(kept) = self
                    .machines
                    .look(*machine)
                    .and_then(|view| view.kept.as_mut())
                {
                    kept.together = Some(*begin);
                }
                self.kept.push((*machine, id, *begin));
            }
        }
    }
}
