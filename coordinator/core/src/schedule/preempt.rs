//! Preemption: which tasks on a machine give way to one that waits.
//!
//! As few as possible; of as many those of lower priority, and of these who lose the least. By priority as it was
//! submitted, never as it rose, so that nobody takes a place back from who took it; between equal priorities only where
//! the exchange leaves the one who takes with less of the pool than the one who gives. On a member's own machine the
//! member's jobs come before guests, whatever their priority, and guests never before the member's.

use std::{collections::BTreeMap, time::Duration};

use common::{
    id::{AttemptId, MachineId, UserId},
    org::{OrgSettings, retention::Retention},
    resources::Allocation,
    status::{EndReason, Precedence, Preemption, Priority},
    time::Timestamp,
};

use super::{
    feasible::Ask,
    order::{Order, Part},
    reserve::{Running, could_have},
    view::{MachineView, Occupied},
};
use crate::state::{
    State, attempt::Attempt, index::MemberUse, job::Job, queue::Whose, standing::Borrowed,
};

/// Most often that a task gives way. After that it runs to its end, so that no stream of urgent work starves it; only
/// the owner of its machine comes before it still.
pub(crate) const MAX_GAVE_WAY: u32 = 3;
/// What ends by itself about as soon as something that gives way is waited for instead.
pub(crate) const ENDS_SOON: Duration = Duration::from_secs(60);
/// Most sets of tasks that are weighed against each other on one machine; with more, a good one is taken for the best.
const MAX_WEIGHED: u32 = 256;

/// What an org lets jobs do that wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) share: bool,
    /// How long a job waits before.
    pub(crate) waits: Duration,
    /// How long a task runs before it gives way.
    pub(crate) runs: Duration,
}

/// A task that waits.
#[derive(Debug)]
pub(crate) struct Taker<'t> {
    pub(crate) ask: &'t Ask<'t>,
    pub(crate) whose: Whose,
    /// As it was submitted.
    pub(crate) priority: Priority,
    pub(crate) rules: Rules,
    pub(crate) parts: Parts<'t>,
}

/// Who has how much of the pool.
#[derive(Debug)]
pub(crate) struct Parts<'t> {
    pub(crate) state: &'t State,
    pub(crate) order: &'t Order<'t>,
    /// Of whom something was placed just now.
    pub(crate) members: &'t BTreeMap<UserId, MemberUse>,
}

/// What a task may do on a machine.
#[derive(Debug)]
pub(crate) enum Way {
    /// There is room, or will be soon.
    Needless,
    Now(Taken),
    /// From that moment on, if it still runs then.
    Later(Timestamp, u32),
}

/// The tasks that would give way on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) machine: MachineId,
    pub(crate) victims: Vec<(AttemptId, Precedence)>,
    pub(crate) cost: Cost,
}

/// What giving way costs; the least is best.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cost {
    /// Tasks that are not tried again: they asked for that.
    lost_for_good: u32,
    pub(crate) tasks: u32,
    highest: Option<Priority>,
    lost_ms: u128,
}

/// Something that could give way.
#[derive(Debug)]
struct Victim<'a> {
    id: AttemptId,
    allocation: &'a Allocation,
    whose: Whose,
    precedence: Precedence,
    /// When it has run for long enough.
    ready_at: Timestamp,
    cost: Cost,
}

impl Rules {
    /// Returns nothing where nobody gives way.
    pub(crate) fn of(settings: &OrgSettings) -> Option<Self> {
        let (Retention::For(waits), Retention::For(runs)) =
            (settings.preempts_after, settings.preempted_after)
        else {
            return None;
        };
        (settings.preemption != Preemption::Off).then_some(Self {
            share: settings.preemption == Preemption::Share,
            waits: waits.as_duration(),
            runs: runs.as_duration(),
        })
    }
}

impl Parts<'_> {
    fn part(&self, whose: Whose, change: impl FnOnce(&mut Borrowed)) -> Part {
        let placed = self.members.get(&whose.user).map(|used| used.borrowed);
        let mut borrowed = placed.unwrap_or_else(|| self.order.borrowed(whose.user));
        change(&mut borrowed);
        self.order.part(whose, &borrowed)
    }
}

impl Taker<'_> {
    /// Returns what the task may do there, besides what was `placed` just now; nothing where that would not help.
    pub(crate) fn on(&self, machine: &MachineView<'_>, placed: &[Running]) -> Option<Way> {
        if machine.is_full() || !could_have(machine, self.ask) {
            return None;
        }
        let offer = &machine.report?.offer;
        let now = self.ask.now;
        let stays = |running: &Running| !running.ends_within(ENDS_SOON, now);
        let live: Vec<(AttemptId, &Attempt)> = machine
            .live()
            .filter(|(_, attempt)| stays(&Running::of(attempt)))
            .collect();
        let placed = placed.iter().filter(|running| stays(running));
        let stays = live.iter().map(|(_, attempt)| &attempt.allocation);
        let mut stays = stays.chain(placed.map(|running| &running.allocation));
        let held = stays.try_fold(Allocation::default(), |held, one| held.checked_add(one))?;
        let fits = |gone: &[&Victim<'_>]| {
            let mut gone = gone.iter().map(|victim| victim.allocation);
            let left = gone.try_fold(held.clone(), |left, one| left.checked_sub(one));
            left.is_some_and(|left| {
                let free = offer.minus(&left);
                free.allocate_within(self.ask.request, self.ask.gpu_room)
                    .is_ok()
            })
        };
        if fits(&[]) {
            // What its owner lends besides is nobody's while one task has the machine to itself.
            let shared = machine.occupied != Occupied::Exclusively;
            return shared.then_some(Way::Needless);
        }
        let mut victims = self.victims(machine, &live);
        victims.sort_by_key(|victim| (victim.cost, victim.id));
        let mut moments: Vec<Timestamp> = victims.iter().map(|one| one.ready_at.max(now)).collect();
        moments.sort_unstable();
        moments.dedup();
        for moment in moments {
            let ready = victims.iter().filter(|victim| victim.ready_at <= moment);
            let ready: Vec<&Victim<'_>> = ready.collect();
            if let Some((cost, chosen)) = self.fewest(ready, &fits) {
                return Some(match moment <= now {
                    false => Way::Later(moment, cost.tasks),
                    true => Way::Now(Taken {
                        machine: machine.id,
                        victims: chosen.iter().map(|one| (one.id, one.precedence)).collect(),
                        cost,
                    }),
                });
            }
        }
        None
    }

    /// Returns what could give way there at all.
    fn victims<'m>(
        &self,
        machine: &MachineView<'_>,
        live: &[(AttemptId, &'m Attempt)],
    ) -> Vec<Victim<'m>> {
        let state = self.parts.state;
        let victims = live.iter().filter_map(|(id, attempt)| {
            let job = state.jobs.get(&id.job)?;
            let precedence = self.precedence(machine, job, attempt)?;
            let owner = precedence == Precedence::OwnMachine;
            if !attempt.is_to_run() || (!owner && state.gave_way(*id) >= MAX_GAVE_WAY) {
                return None;
            }
            let since = attempt.started_at.unwrap_or(attempt.placed_at);
            let retries = &job.spec.retries;
            let again = retries.max > 0 && retries.covers(EndReason::Preempted);
            // Who writes down how far it is goes on from there.
            let begins_anew = job.spec.checkpoint.is_none();
            let started = attempt.started_at.filter(|_| begins_anew);
            let lost = started.map(|start| self.ask.now.since(start));
            Some(Victim {
                id: *id,
                allocation: &attempt.allocation,
                whose: Whose::of(job),
                precedence,
                ready_at: since.saturating_add(self.rules.runs),
                cost: Cost {
                    lost_for_good: u32::from(!again),
                    tasks: 1,
                    highest: Some(job.spec.priority),
                    lost_ms: lost.unwrap_or_default().as_millis(),
                },
            })
        });
        victims.collect()
    }

    /// Returns by what the task comes before one that runs there, if it does.
    fn precedence(
        &self,
        machine: &MachineView<'_>,
        job: &Job,
        attempt: &Attempt,
    ) -> Option<Precedence> {
        let (own, its_own) = (machine.owner == self.whose.user, machine.owner == job.owner);
        // With one task of a gang all the others would end, on machines that nobody asked for.
        if job.spec.gang().is_some() {
            return None;
        }
        match job.spec.priority.cmp(&self.priority) {
            _ if own && !its_own => Some(Precedence::OwnMachine),
            _ if its_own && !own => None,
            std::cmp::Ordering::Less => Some(Precedence::Priority),
            std::cmp::Ordering::Equal if self.rules.share && job.owner != self.whose.user => {
                let asks = self.part_with_it();
                let gives = self
                    .parts
                    .part(Whose::of(job), |held| held.take(&attempt.allocation));
                (asks < gives).then_some(Precedence::Share)
            }
            _ => None,
        }
    }

    /// Returns the part of the pool that the task's member would have with it.
    fn part_with_it(&self) -> Part {
        let request = self.ask.request;
        let gpus = request.gpu.as_ref().map_or(0, |gpu| gpu.count);
        self.parts.part(self.whose, |held| {
            held.milli_cpu += u64::from(request.cpu.0);
            held.memory = held.memory.saturating_add(request.memory.0);
            held.gpus += u64::from(gpus);
        })
    }

    /// Returns the best set that makes room.
    fn fewest<'v, 'a>(
        &self,
        victims: Vec<&'v Victim<'a>>,
        fits: &impl Fn(&[&Victim<'_>]) -> bool,
    ) -> Option<(Cost, Vec<&'v Victim<'a>>)> {
        if !fits(&victims) {
            return None;
        }
        let again = victims
            .iter()
            .filter(|victim| victim.cost.lost_for_good == 0);
        let again: Vec<&Victim<'_>> = again.copied().collect();
        let victims = if fits(&again) { again } else { victims };
        let does = |set: &[&Victim<'_>]| fits(set) && self.keeps_the_order(set);
        let mut left = MAX_WEIGHED;
        for count in 1..=victims.len() {
            let mut best: Option<(Cost, Vec<&Victim<'_>>)> = None;
            let mut places: Option<Vec<usize>> = Some((0..count).collect());
            while let Some(chosen) = places {
                let Some(less) = left.checked_sub(1) else {
                    let any = || self.without_superfluous(victims.clone(), &does);
                    return best.or_else(any);
                };
                left = less;
                let set: Vec<&Victim<'_>> = chosen.iter().map(|place| victims[*place]).collect();
                let cost = cost_of(&set);
                if best.as_ref().is_none_or(|(least, _)| cost < *least) && does(&set) {
                    best = Some((cost, set));
                }
                places = next_choice(chosen, victims.len());
            }
            if best.is_some() {
                return best;
            }
        }
        None
    }

    /// Returns what is left of a set without those, the costliest first, that need not give way.
    fn without_superfluous<'v, 'a>(
        &self,
        mut set: Vec<&'v Victim<'a>>,
        does: &impl Fn(&[&Victim<'_>]) -> bool,
    ) -> Option<(Cost, Vec<&'v Victim<'a>>)> {
        for place in (0..set.len()).rev() {
            let spared = set.remove(place);
            if !does(&set) {
                set.insert(place, spared);
            }
        }
        does(&set).then(|| (cost_of(&set), set))
    }

    /// Returns whether each who gives way to a member with less of the pool still has more afterwards: then the same
    /// rule never turns it round.
    fn keeps_the_order(&self, set: &[&Victim<'_>]) -> bool {
        let mut shares = set.iter().filter(|one| one.precedence == Precedence::Share);
        let asks = self.part_with_it();
        shares.all(|victim| {
            let of_the_same = set.iter().filter(|one| one.whose.user == victim.whose.user);
            let gives = self.parts.part(victim.whose, |held| {
                of_the_same.for_each(|one| held.take(one.allocation));
            });
            asks < gives
        })
    }
}

fn cost_of(set: &[&Victim<'_>]) -> Cost {
    set.iter().fold(Cost::default(), |sum, victim| Cost {
        lost_for_good: sum.lost_for_good + victim.cost.lost_for_good,
        tasks: sum.tasks + 1,
        highest: sum.highest.max(victim.cost.highest),
        lost_ms: sum.lost_ms + victim.cost.lost_ms,
    })
}

/// Returns the next choice of as many of `all` places, in order.
fn next_choice(mut chosen: Vec<usize>, all: usize) -> Option<Vec<usize>> {
    let count = chosen.len();
    let turn = (0..count)
        .rev()
        .find(|at| chosen[*at] + (count - at) < all)?;
    chosen[turn] += 1;
    for at in turn + 1..count {
        chosen[at] = chosen[at - 1] + 1;
    }
    Some(chosen)
}
