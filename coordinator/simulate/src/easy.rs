//! EASY backfill (D. Lifka, "The ANL/IBM SP scheduling system", 1995): the task at the head of the queue has a
//! reservation, by the run times that people asked for; any other may start before it as long as that moment stays.
//!
//! A task runs on one machine, so that the reservation is one of a machine: that on which the head could start first. Of a
//! gang it is one of as many machines as it has tasks, from the earliest moment at which it fits on all of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    pool::{Amount, Pool},
    rooms::{Held, Rooms},
    scheduler::{End, Scheduler, Step, TaskId, Violation},
    trace::{Job, Trace},
};

/// First come, first served, with backfill.
#[derive(Debug)]
pub struct Easy<'a> {
    trace: &'a Trace,
    /// Waiting tasks of each job that has some, in the order of submission.
    waiting: BTreeMap<usize, VecDeque<usize>>,
    /// The same jobs by what they are like: where one of these has no place, none of them has.
    alike: BTreeMap<Shape, BTreeSet<usize>>,
    rooms: Rooms,
}

/// What a task asks for and how long, and how many of them start in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    ask: Amount,
    limit_ms: u64,
    nodes: usize,
}

/// Where and when the head will start at the latest.
#[derive(Debug)]
struct Reservation {
    at_ms: u64,
    /// Its machines, and what is free there from then on besides the head.
    extra: BTreeMap<usize, Amount>,
}

impl Shape {
    fn of(job: &Job) -> Self {
        Self {
            ask: job.ask,
            limit_ms: job.limit_ms,
            nodes: job.nodes(),
        }
    }
}

impl<'a> Easy<'a> {
    pub fn new(trace: &'a Trace, pool: &Pool) -> Self {
        Self {
            trace,
            waiting: BTreeMap::new(),
            alike: BTreeMap::new(),
            rooms: Rooms::new(pool),
        }
    }

    /// Starts the job's next task, or all of a gang, on these machines.
    fn start(&mut self, now_ms: u64, job: usize, machines: &[usize]) -> Vec<Step> {
        let row = &self.trace.jobs[job];
        let Some(tasks) = self.waiting.get_mut(&job) else {
            return Vec::new();
        };
        let count = machines.len().min(tasks.len());
        let started: Vec<usize> = tasks.drain(..count).collect();
        if tasks.is_empty() {
            self.waiting.remove(&job);
            let shape = Shape::of(row);
            if let Some(jobs) = self.alike.get_mut(&shape) {
                jobs.remove(&job);
                if jobs.is_empty() {
                    self.alike.remove(&shape);
                }
            }
        }
        let places = started.into_iter().zip(machines.iter().copied());
        let steps = places.map(|(task, machine)| {
            let task = TaskId { job, task };
            let held = Held {
                machine,
                amount: row.ask,
                ends_ms: now_ms.saturating_add(row.limit_ms),
            };
            self.rooms.take(task, held);
            Step::Start {
                task,
                machine,
                holds: row.ask,
            }
        });
        steps.collect()
    }

    /// Returns where a job that has to wait fits first if everything takes as long as was asked for.
    fn reserve(&self, job: &Job) -> Option<Reservation> {
        let asked = &job.ask;
        let machines = self.rooms.machines();
        let begins = machines.iter().enumerate();
        let begins = begins.filter_map(|(machine, (free, running))| {
            let at_ms = begin(*free, running, asked)?;
            Some((at_ms, machine))
        });
        let mut begins: Vec<(u64, usize)> = begins.collect();
        begins.sort_unstable();
        // From its last machine's moment on all of them have room: what has room keeps it.
        let reserved = begins.get(..job.nodes())?;
        let (at_ms, _) = *reserved.last()?;
        let extra = reserved.iter().map(|(_, machine)| {
            let (free, running) = &machines[*machine];
            // Whatever ends at the same moment is free by then too.
            let ended = running.iter().filter(|held| held.ends_ms <= at_ms);
            let free = ended.fold(*free, |free, held| free.plus(&held.amount));
            Some((*machine, free.minus(asked)?))
        });
        Some(Reservation {
            at_ms,
            extra: extra.collect::<Option<_>>()?,
        })
    }

    /// Starts what does not delay the head, in the order of submission.
    fn backfill(&mut self, now_ms: u64, head: usize, steps: &mut Vec<Step>) {
        let most = self.rooms.most();
        let firsts = self.alike.iter().filter(|(shape, _)| shape.ask.fits(&most));
        let firsts = firsts.filter_map(|(shape, jobs)| Some((*jobs.first()?, *shape)));
        let mut firsts: BTreeSet<(usize, Shape)> = firsts.collect();
        if firsts.is_empty() {
            return;
        }
        let Some(Reservation { at_ms, mut extra }) = self.reserve(&self.trace.jobs[head]) else {
            return;
        };
        while let Some((job, shape)) = firsts.pop_first() {
            let Shape {
                ask,
                limit_ms,
                nodes,
            } = shape;
            let before = now_ms.saturating_add(limit_ms) <= at_ms;
            let may = |machine| before || extra.get(&machine).is_none_or(|room| ask.fits(room));
            // What found no place finds none later in this pass either: a pass only ever takes.
            let Some(machines) = self.rooms.best(&ask, nodes, may) else {
                continue;
            };
            for machine in machines.iter().filter(|_| !before) {
                if let Some(room) = extra.get_mut(machine) {
                    *room = room.minus(&ask).unwrap_or_default();
                }
            }
            steps.extend(self.start(now_ms, job, &machines));
            let next = self.alike.get(&shape).and_then(BTreeSet::first);
            firsts.extend(next.map(|next| (*next, shape)));
        }
    }
}

/// Returns when so much has room beside what still runs there; the beginning of time where it has now.
fn begin(mut free: Amount, running: &[Held], asked: &Amount) -> Option<u64> {
    if asked.fits(&free) {
        return Some(0);
    }
    let mut running: Vec<&Held> = running.iter().collect();
    running.sort_by_key(|held| held.ends_ms);
    running.iter().find_map(|held| {
        free = free.plus(&held.amount);
        asked.fits(&free).then_some(held.ends_ms)
    })
}

impl Scheduler for Easy<'_> {
    fn name(&self) -> &'static str {
        "EASY"
    }

    fn submit(&mut self, _: u64, job: usize) -> Result<(), Violation> {
        let tasks = 0..self.trace.jobs[job].runs_ms.len();
        self.waiting.insert(job, tasks.collect());
        let shape = Shape::of(&self.trace.jobs[job]);
        self.alike.entry(shape).or_default().insert(job);
        Ok(())
    }

    fn end(&mut self, _: u64, task: TaskId, _: End) -> Result<(), Violation> {
        self.rooms.give_back(task);
        Ok(())
    }

    fn pass(&mut self, now_ms: u64) -> Result<Vec<Step>, Violation> {
        let mut steps = Vec::new();
        while let Some((&head, _)) = self.waiting.first_key_value() {
            let Shape { ask, nodes, .. } = Shape::of(&self.trace.jobs[head]);
            match self.rooms.best(&ask, nodes, |_| true) {
                Some(machines) => steps.extend(self.start(now_ms, head, &machines)),
                None => {
                    self.backfill(now_ms, head, &mut steps);
                    break;
                }
            }
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests;
