//! Tasks that a pass puts behind running ones of their job, and those that it wants back from there.
//!
//! When a task ends, its place is that of the one behind it, and its machine asks nobody. So a task is put there only
//! where it would be given that very place: it has no room anywhere now, and is the next one there. Where that is not
//! so any more, what waits is wanted back, and is in the queue once its machine has said that it has not begun.

mod claim;

use std::{collections::BTreeMap, time::Duration};

use common::{
    id::{AttemptId, JobId, MachineId, OrgId},
    status::EndReason,
    wire::agent::MAX_ATTEMPTS_PER_MACHINE,
};

use self::claim::Claim;
use super::{Pass, Placement};
use crate::{
    lifecycle::attempt::AttemptState,
    schedule::{
        candidates::Passed, choose::Scope, data::Needs, feasible::max_runtime, history::History,
        rank::Wishes,
    },
    state::{
        State,
        attempt::Attempt,
        job::{Job, JobProgress},
    },
};

/// Most jobs of an org that a pass looks at for that.
const MAX_JOBS: usize = 64;
/// Most running tasks of a job behind which it puts others.
const MAX_PLACES: usize = 256;
/// Most tasks behind one where other jobs could have its place, and may soon be the next there.
const MOST_CONTENDED: usize = 2;
/// Most attempts of a machine, with those that wait: as many again have room in its desired set.
const MAX_ON_MACHINE: usize = MAX_ATTEMPTS_PER_MACHINE / 2;
/// A task that has run for so long is none of the short ones: nothing waits behind it.
const LONG: Duration = Duration::from_secs(2);

/// Returns tasks that wait behind others in an org in which nothing may start now: they are wanted back. At most
/// [`MAX_PLACES`], then others.
pub(super) fn unwanted(state: &State, org: OrgId) -> Vec<(AttemptId, MachineId)> {
    let jobs = state.index.chains.quick(org);
    let waiting = jobs.flat_map(|job| state.index.chains.waiting(job));
    let unwanted = waiting.filter_map(|id| {
        let row = state.attempts.get(&id)?;
        let here = row.state == AttemptState::Next && state.is_connected(row.machine);
        here.then_some((id, row.machine))
    });
    unwanted.take(MAX_PLACES).collect()
}

impl<'a> Pass<'a> {
    /// Puts what waits of jobs with short tasks behind their running ones, and takes back what should not wait there.
    pub(super) fn follow(&mut self, most: usize) {
        let state = self.state;
        for id in state.index.chains.quick(self.org).take(MAX_JOBS) {
            if let (Some(job), Some(progress)) = (state.jobs.get(&id), state.progress.get(&id)) {
                self.follow_job(id, job, progress, most);
            }
        }
    }

    fn follow_job(&mut self, id: JobId, job: &'a Job, progress: &'a JobProgress, most: usize) {
        let state = self.state;
        let places = state.index.live.get(&id).into_iter().flatten();
        let places: Vec<AttemptId> = places.copied().take(MAX_PLACES).collect();
        let depth = depth(job, progress, places.len());
        let mut claims: BTreeMap<MachineId, Claim> = BTreeMap::new();
        let mut longest: Vec<AttemptId> = Vec::new();
        for place in places {
            // What a machine knows that is not here now is told when it is back, or its lease runs out.
            let row = state.attempts.get(&place);
            let Some(row) = row.filter(|row| state.is_connected(row.machine)) else {
                continue;
            };
            let behind: Vec<AttemptId> = state.index.chains.all_behind(place).collect();
            let claim = match claims.get(&row.machine) {
                Some(claim) => *claim,
                None => {
                    let claim = self.claim(id, job, progress, row);
                    claims.insert(row.machine, claim);
                    claim
                }
            };
            let depth = match claim {
                Claim::Nobody => 0,
                Claim::Contended => depth.min(MOST_CONTENDED),
                Claim::Alone => depth,
            };
            if depth == 0 || self.is_long(row) {
                self.want_back(&behind);
                continue;
            }
            // Not one by one: each time the machine is told of all that it has.
            if behind.len() * 2 <= depth {
                let last = behind.last().copied().unwrap_or(place);
                self.put_behind(id, job, progress, (last, row), depth - behind.len(), most);
            }
            if behind.len() > longest.len() {
                longest = behind;
            }
        }
        self.spread(id, job, progress, &longest);
    }

    /// Puts the next tasks of a job behind an attempt, the first of them right behind it.
    fn put_behind(
        &mut self,
        id: JobId,
        job: &'a Job,
        progress: &JobProgress,
        (mut last, row): (AttemptId, &Attempt),
        count: usize,
        most: usize,
    ) {
        for _ in 0..count {
            let from = self.jobs.get(&id).map_or(0, |placed| placed.next_from);
            let (Some(task), Some(machine)) = (
                progress.queued.first_from(from),
                self.machines.look(row.machine),
            ) else {
                return;
            };
            let history = History::of(self.state, id, task);
            let full = self.placements.len() >= most || machine.attempts >= MAX_ON_MACHINE;
            if full || !history.is_clean() {
                return;
            }
            machine.attempts += 1;
            let attempt = AttemptId {
                job: id,
                task,
                number: history.number,
            };
            self.placements.push(Placement {
                attempt,
                org: self.org,
                machine: row.machine,
                allocation: row.allocation.clone(),
                gpu_models: row.gpu_models.clone(),
                max_runtime: max_runtime(job.spec.max_runtime, self.limits),
                strong: row.strong,
                behind: Some(last),
            });
            self.jobs.entry(id).or_default().next_from = task.saturating_add(1);
            last = attempt;
        }
    }

    /// Wants the later half of what waits behind one back where a machine has room for it, and nothing else of the job
    /// waits that would go there.
    fn spread(&mut self, id: JobId, job: &'a Job, progress: &JobProgress, longest: &[AttemptId]) {
        let placed = self.jobs.get(&id).copied().unwrap_or_default();
        let running = progress.counts.running + placed.count;
        let state = self.state;
        let waits = |id: &AttemptId| {
            let row = state.attempts.get(id);
            row.is_some_and(|row| row.state == AttemptState::Next)
        };
        if longest.is_empty()
            || !longest.iter().all(waits)
            || progress.queued.first_from(placed.next_from).is_some()
            || job.parallel().is_some_and(|most| running >= most)
        {
            return;
        }
        let used = self.member(job.owner).map_or(0, |used| used.running);
        let most = self.limits.max_concurrent_jobs_per_user;
        if most.is_some_and(|most| used >= most)
            || !self.bounds(job.owner).admit(&job.spec.request, 1)
        {
            return;
        }
        let gpu_room = self.bounds(job.owner).gpu_room();
        let mut ask = self.ask(id, job);
        ask.gpu_room = &gpu_room;
        let needs = Needs::of(state, job);
        let wishes = Wishes {
            owner: job.owner,
            needs: &needs,
            failed_on: &[],
        };
        let (mut passed, mut passed_own) = (Passed::default(), Passed::default());
        let passed = (&mut passed, &mut passed_own);
        let room = self.machines.choose(&ask, &wishes, passed, Scope::All);
        if room.is_some() {
            self.want_back(&longest[longest.len() / 2..]);
        }
    }

    fn want_back(&mut self, attempts: &[AttemptId]) {
        let state = self.state;
        for id in attempts {
            if let Some(row) = state.attempts.get(id)
                && row.state == AttemptState::Next
            {
                self.returning.push((*id, row.machine));
            }
        }
    }

    /// Returns whether the attempt is none of the short ones any more, or told to end, which may take a while.
    fn is_long(&self, row: &Attempt) -> bool {
        let since = row.started_at.unwrap_or(row.placed_at);
        let late = since.saturating_add(LONG) < self.order.at();
        late || matches!(row.state, AttemptState::Stopping { .. })
    }
}

/// Returns how many tasks of a job may wait behind each of so many that run. Where its machine is lost, nobody knows
/// whether one had begun there, so that only what may be tried again then waits so.
fn depth(job: &Job, progress: &JobProgress, places: usize) -> usize {
    let retries = &job.spec.retries;
    if retries.max == 0 || !retries.covers(EndReason::MachineLost) {
        return 0;
    }
    let waiting = progress.in_queue() + progress.following.len();
    let waiting = usize::try_from(waiting).unwrap_or(usize::MAX);
    let share = waiting.div_ceil(places.max(1));
    progress.following.depth().min(share)
}
