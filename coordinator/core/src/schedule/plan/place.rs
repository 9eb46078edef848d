//! Looking for a machine for one task, and taking it.

use common::{
    id::{AttemptId, JobId, MachineId, UserId},
    resources::{Allocation, GpuRoom, Request},
};

use super::{Pass, Place, Placement};
use crate::{
    schedule::{
        candidates::{Candidates, Passed},
        choose::Scope,
        data::Needs,
        feasible::{Ask, max_runtime},
        history::History,
        rank::Wishes,
    },
    state::{job::Job, queue::ClassId},
};

impl<'a> Pass<'a> {
    pub(super) fn place(
        &mut self,
        id: JobId,
        job: &Job,
        task: u32,
        class: ClassId,
        candidates: &mut Candidates<'_>,
        scope: Scope,
    ) -> Place {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        let history = History::of(self.state, id, task);
        let more = history.request(&job.spec);
        let request = more.as_ref().unwrap_or(&job.spec.request);
        if more.is_some() && !self.admits_more(job.owner, request) {
            return Place::NotForThisTask;
        }
        let gpu_room = self.gpu_room(job);
        let ask = Ask {
            request,
            given_back: &history.given_back,
            gpu_room: &gpu_room,
            ..self.ask(id, job)
        };
        let needs = Needs::of(self.state, job);
        let wishes = Wishes {
            owner: job.owner,
            needs: &needs,
            failed_on: &history.failed_on,
        };
        let nowhere = match history.given_back.is_empty() && more.is_none() {
            true => Place::Nowhere,
            false => Place::NotForThisTask,
        };
        // Where this task has no room its class may have some.
        let (mut apart, mut apart_own) = (Passed::default(), Passed::default());
        let passed = match more.is_some() {
            true => (&mut apart, &mut apart_own),
            false => match candidates.passed(class, job.owner) {
                Some(passed) => passed,
                None => return nowhere,
            },
        };
        let Some((machine, allocation)) = self.machines.choose(&ask, &wishes, passed, scope) else {
            return nowhere;
        };
        let number = history.number;
        match self.take(&ask, job, (id, task, number), (machine, allocation)) {
            true => Place::Found,
            false => nowhere,
        }
    }

    pub(super) fn ask(&self, id: JobId, job: &'a Job) -> Ask<'a> {
        Ask {
            data: job.data,
            job: Some(id),
            now: self.order.at(),
            ..Ask::of(self.state, self.limits, job.owner, &job.spec)
        }
    }

    /// Returns what the bounds leave of GPUs, and of machines held whole, where it matters.
    pub(super) fn gpu_room(&self, job: &Job) -> GpuRoom {
        match job.spec.request.gpu.is_some() || job.spec.request.exclusive {
            false => GpuRoom::unlimited(),
            true => self.bounds(job.owner).gpu_room(),
        }
    }

    /// Gives the machine to the task. Returns whether it is there.
    pub(super) fn take(
        &mut self,
        ask: &Ask<'_>,
        job: &Job,
        (id, task, number): (JobId, u32, u32),
        (machine, allocation): (MachineId, Allocation),
    ) -> bool {
        let Some(machine) = self.machines.look(machine) else {
            return false;
        };
        machine.take(&allocation, ask);
        let strong = ask.is_strong_on(machine);
        let gpu_models = machine.models(&allocation);
        let borrowed = machine.owner != job.owner;
        let machine = machine.id;
        let used = self.state.index.members.get(&(self.org, job.owner));
        let member = self
            .members
            .entry(job.owner)
            .or_insert_with(|| used.cloned().unwrap_or_default());
        member.running += 1;
        member.held.add(&allocation, &gpu_models);
        if borrowed {
            member.borrowed.add(&allocation);
        }
        self.held.add(&allocation, &gpu_models);
        let placed = self.jobs.entry(id).or_default();
        placed.count += 1;
        placed.next_from = task.saturating_add(1);
        self.placements.push(Placement {
            attempt: AttemptId {
                job: id,
                task,
                number,
            },
            org: self.org,
            machine,
            allocation,
            gpu_models,
            max_runtime: max_runtime(job.spec.max_runtime, self.limits),
            strong,
            behind: None,
        });
        true
    }

    /// Returns whether the bounds leave room for a task that asks for more than its class.
    fn admits_more(&self, owner: UserId, request: &Request) -> bool {
        let most = self.limits.max_job_memory;
        most.is_none_or(|most| request.memory <= most) && self.bounds(owner).admit(request, 1)
    }
}
