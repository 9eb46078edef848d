//! The virtual clock: submissions, ends and ticks in their order, and the invariants that every schedule is held to.
//!
//! Nothing takes time but the tasks themselves: a task runs from the moment it is placed. No machine is over capacity, a
//! task runs to its end exactly once and not before it was submitted, and a gang starts and gives way as one; whatever
//! breaks that ends the simulation.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

use crate::{
    pool::{Amount, Pool},
    scheduler::{End, Scheduler, Step, TaskId, Violation},
    trace::{DAY_MS, Trace},
};

/// How often a schedule that looks at the clock is asked while something waits.
const TICK_MS: u64 = 60_000;
/// What a task that has to give way gets between SIGTERM and SIGKILL, as on a machine.
pub(crate) const GRACE_MS: u64 = 30_000;
/// How long the last task may be in coming to its end.
const MAX_YEARS: u64 = 100;
const MAX_CLOCK_MS: u64 = MAX_YEARS * 366 * DAY_MS;
/// Ticks for which something may wait while nothing runs: a virtual week.
const MAX_IDLE_TICKS: u32 = 7 * 24 * 60;

/// A task that was done, from the start of the attempt that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub task: TaskId,
    pub started_ms: u64,
    pub ended_ms: u64,
}

/// What is held and what waits from this moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub at_ms: u64,
    /// Processors, in thousandths.
    pub held_cpu: u64,
    /// Tasks.
    pub waiting: usize,
}

/// What happened under one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// In the order of the trace: each task once.
    pub runs: Vec<Run>,
    pub samples: Vec<Sample>,
    pub preemptions: usize,
    /// Thousandths of processors times milliseconds that were done in vain.
    pub lost_work: u128,
    /// How often the schedule was asked.
    pub decisions: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    NotYet,
    Waiting,
    Running {
        machine: usize,
        started_ms: u64,
        /// Which of the ends that were planned for it is the one.
        plan: u64,
        /// Whether it was told to give way, which it does unless it is done before.
        told: bool,
    },
    Done(Run),
}

impl State {
    const fn word(&self) -> &'static str {
        match self {
            Self::NotYet => "not submitted yet",
            Self::Waiting => "waiting",
            Self::Running { told: false, .. } => "running",
            Self::Running { told: true, .. } => "running, and told to give way",
            Self::Done(_) => "done",
        }
    }

    const fn together(&self) -> Together {
        match *self {
            Self::NotYet | Self::Waiting => Together::Idle,
            Self::Running {
                started_ms, told, ..
            } => Together::Running { started_ms, told },
            Self::Done(_) => Together::Done,
        }
    }

    const fn machine(&self) -> Option<usize> {
        match *self {
            Self::Running { machine, .. } => Some(machine),
            _ => None,
        }
    }
}

/// What is the same of all tasks of a gang after every pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Together {
    Idle,
    Running { started_ms: u64, told: bool },
    Done,
}

struct World<'a> {
    trace: &'a Trace,
    now_ms: u64,
    /// Of each job, its tasks.
    tasks: Vec<Vec<State>>,
    free: Vec<Amount>,
    /// Planned ends, the next one first; by moment, then in the order in which they were planned.
    ends: BinaryHeap<Reverse<(u64, u64, TaskId)>>,
    plans: u64,
    next_job: usize,
    /// Gangs of which something has started, ended or was told to give way since the last pass.
    touched: BTreeSet<usize>,
    waiting: usize,
    held_cpu: u64,
    history: History,
}

/// Lets the schedule run the whole trace.
///
/// # Errors
/// An invariant does not hold.
pub fn run(
    trace: &Trace,
    pool: &Pool,
    scheduler: &mut dyn Scheduler,
) -> Result<History, Violation> {
    let states = trace
        .jobs
        .iter()
        .map(|job| vec![State::NotYet; job.runs_ms.len()]);
    let mut world = World {
        trace,
        now_ms: 0,
        tasks: states.collect(),
        free: pool.rooms(),
        ends: BinaryHeap::new(),
        plans: 0,
        next_job: 0,
        touched: BTreeSet::new(),
        waiting: 0,
        held_cpu: 0,
        history: History {
            runs: Vec::with_capacity(trace.tasks()),
            samples: Vec::new(),
            preemptions: 0,
            lost_work: 0,
            decisions: 0,
        },
    };
    let mut idle_ticks = 0;
    while let Some(next_ms) = world.next(scheduler.looks_at_the_clock()) {
        let happens = world.happens_by(next_ms);
        idle_ticks = if happens || world.held_cpu > 0 {
            0
        } else {
            idle_ticks + 1
        };
        if idle_ticks > MAX_IDLE_TICKS {
            break;
        }
        if next_ms > MAX_CLOCK_MS {
            return Err(Violation::TooLong { years: MAX_YEARS });
        }
        world.now_ms = next_ms;
        world.end_what_ends(scheduler)?;
        world.submit_what_comes(scheduler)?;
        world.history.decisions += 1;
        for step in scheduler.pass(next_ms)? {
            world.take(step)?;
        }
        world.check_gangs()?;
        world.sample();
    }
    world.finish()
}

impl World<'_> {
    /// Returns when something happens next.
    fn next(&self, ticks: bool) -> Option<u64> {
        let end = self.ends.peek().map(|Reverse((at_ms, ..))| *at_ms);
        let submission = self.trace.jobs.get(self.next_job).map(|job| job.submit_ms);
        let tick = (ticks && self.waiting > 0).then(|| self.now_ms.saturating_add(TICK_MS));
        [end, submission, tick].into_iter().flatten().min()
    }

    /// Whether anything but a tick is due by then.
    fn happens_by(&self, at_ms: u64) -> bool {
        self.next(false).is_some_and(|next_ms| next_ms <= at_ms)
    }

    fn end_what_ends(&mut self, scheduler: &mut dyn Scheduler) -> Result<(), Violation> {
        while let Some(Reverse((at_ms, plan, task))) = self.ends.peek().copied() {
            if at_ms > self.now_ms {
                break;
            }
            self.ends.pop();
            let job = &self.trace.jobs[task.job];
            let state = &mut self.tasks[task.job][task.task];
            let State::Running {
                machine,
                started_ms,
                plan: planned,
                ..
            } = *state
            else {
                continue;
            };
            if plan != planned {
                continue;
            }
            let cpu = u64::from(job.ask.cpu.0);
            self.free[machine] = self.free[machine].plus(&job.ask);
            self.held_cpu = self.held_cpu.saturating_sub(cpu);
            if job.gang {
                self.touched.insert(task.job);
            }
            if at_ms - started_ms < job.runs_ms[task.task] {
                *state = State::Waiting;
                self.waiting += 1;
                self.history.lost_work += u128::from(at_ms - started_ms) * u128::from(cpu);
                scheduler.end(at_ms, task, End::Preempted)?;
            } else {
                *state = State::Done(Run {
                    task,
                    started_ms,
                    ended_ms: at_ms,
                });
                scheduler.end(at_ms, task, End::Done)?;
            }
        }
        Ok(())
    }

    fn submit_what_comes(&mut self, scheduler: &mut dyn Scheduler) -> Result<(), Violation> {
        while let Some(job) = self.trace.jobs.get(self.next_job) {
            if job.submit_ms > self.now_ms {
                break;
            }
            self.tasks[self.next_job].fill(State::Waiting);
            self.waiting += job.runs_ms.len();
            scheduler.submit(self.now_ms, self.next_job)?;
            self.next_job += 1;
        }
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Start {
                task,
                machine,
                holds,
            } => self.start(task, machine, &holds)?,
            Step::Preempt { task } => self.preempt(task)?,
        }
        let (Step::Start { task, .. } | Step::Preempt { task }) = step;
        if self.trace.jobs[task.job].gang {
            self.touched.insert(task.job);
        }
        Ok(())
    }

    /// Refuses gangs of which a part runs, or was told to give way, and another part not, and those of which two tasks
    /// share a machine.
    fn check_gangs(&mut self) -> Result<(), Violation> {
        while let Some(job) = self.touched.pop_first() {
            let tasks = &self.tasks[job];
            let first = tasks.first().map(State::together);
            let as_one = tasks.iter().all(|task| Some(task.together()) == first);
            let mut machines = BTreeSet::new();
            let apart = tasks
                .iter()
                .filter_map(State::machine)
                .all(|machine| machines.insert(machine));
            if !(as_one && apart) {
                return Err(Violation::TornGang { job });
            }
        }
        Ok(())
    }

    fn start(&mut self, id: TaskId, machine: usize, holds: &Amount) -> Result<(), Violation> {
        let TaskId { job, task } = id;
        let row = &self.trace.jobs[job];
        let state = self.state(id)?;
        if !matches!(state, State::Waiting) {
            let state = state.word();
            return Err(Violation::NotWaiting { job, task, state });
        }
        if *holds != row.ask {
            return Err(Violation::WrongAmount { job, task });
        }
        let over = Violation::OverCapacity { machine, job, task };
        let free = self.free.get_mut(machine).ok_or_else(|| over.clone())?;
        *free = free.minus(holds).ok_or(over)?;
        self.waiting -= 1;
        self.held_cpu += u64::from(holds.cpu.0);
        let ends_ms = self.now_ms.saturating_add(row.runs_ms[task]);
        let plan = self.plan(ends_ms, id);
        self.tasks[job][task] = State::Running {
            machine,
            started_ms: self.now_ms,
            plan,
            told: false,
        };
        Ok(())
    }

    /// Ends a task when its grace is over, unless it is done before by itself.
    fn preempt(&mut self, id: TaskId) -> Result<(), Violation> {
        let TaskId { job, task } = id;
        let state = self.state(id)?;
        let State::Running {
            machine,
            started_ms,
            told: false,
            plan,
        } = state
        else {
            let state = state.word();
            return Err(Violation::NotRunning { job, task, state });
        };
        self.history.preemptions += 1;
        let killed_ms = self.now_ms.saturating_add(GRACE_MS);
        let ends_ms = started_ms.saturating_add(self.trace.jobs[job].runs_ms[task]);
        let plan = match killed_ms < ends_ms {
            true => self.plan(killed_ms, id),
            false => plan,
        };
        self.tasks[job][task] = State::Running {
            machine,
            started_ms,
            plan,
            told: true,
        };
        Ok(())
    }

    fn state(&self, TaskId { job, task }: TaskId) -> Result<State, Violation> {
        let state = self.tasks.get(job).and_then(|tasks| tasks.get(task));
        state.copied().ok_or_else(|| Violation::Unknown {
            what: format!("task {task} of job {job}"),
        })
    }

    fn plan(&mut self, at_ms: u64, task: TaskId) -> u64 {
        self.plans += 1;
        self.ends.push(Reverse((at_ms, self.plans, task)));
        self.plans
    }

    fn sample(&mut self) {
        let sample = Sample {
            at_ms: self.now_ms,
            held_cpu: self.held_cpu,
            waiting: self.waiting,
        };
        let last = self.history.samples.last();
        if last
            .is_none_or(|last| (last.held_cpu, last.waiting) != (sample.held_cpu, sample.waiting))
        {
            self.history.samples.push(sample);
        }
    }

    fn finish(self) -> Result<History, Violation> {
        let Self {
            tasks,
            mut history,
            waiting,
            ..
        } = self;
        for state in tasks.iter().flatten() {
            let State::Done(run) = state else {
                return Err(Violation::Stalled { waiting });
            };
            history.runs.push(*run);
        }
        Ok(history)
    }
}

#[cfg(test)]
mod tests;
