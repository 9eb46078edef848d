//! First come, first served: tasks start in the order of their submission, and the first that fits nowhere holds up
//! all that came after it. A gang is one of these: it starts where all of its tasks have a machine each.

use std::collections::VecDeque;

use crate::{
    pool::Pool,
    rooms::{Held, Rooms},
    scheduler::{End, Scheduler, Step, TaskId, Violation},
    trace::Trace,
};

/// Strict first come, first served.
#[derive(Debug)]
pub struct Fifo<'a> {
    trace: &'a Trace,
    waiting: VecDeque<TaskId>,
    rooms: Rooms,
}

impl<'a> Fifo<'a> {
    pub fn new(trace: &'a Trace, pool: &Pool) -> Self {
        Self {
            trace,
            waiting: VecDeque::new(),
            rooms: Rooms::new(pool),
        }
    }
}

impl Scheduler for Fifo<'_> {
    fn name(&self) -> &'static str {
        "FIFO"
    }

    fn submit(&mut self, _: u64, job: usize) -> Result<(), Violation> {
        let tasks = 0..self.trace.jobs[job].runs_ms.len();
        self.waiting.extend(tasks.map(|task| TaskId { job, task }));
        Ok(())
    }

    fn end(&mut self, _: u64, task: TaskId, _: End) -> Result<(), Violation> {
        self.rooms.give_back(task);
        Ok(())
    }

    fn pass(&mut self, now_ms: u64) -> Result<Vec<Step>, Violation> {
        let mut steps = Vec::new();
        while let Some(first) = self.waiting.front() {
            let job = &self.trace.jobs[first.job];
            let Some(machines) = self.rooms.best(&job.ask, job.nodes(), |_| true) else {
                break;
            };
            for (machine, task) in machines
                .iter()
                .copied()
                .zip(self.waiting.drain(..job.nodes()))
            {
                let held = Held {
                    machine,
                    amount: job.ask,
                    ends_ms: now_ms.saturating_add(job.limit_ms),
                };
                self.rooms.take(task, held);
                steps.push(Step::Start {
                    task,
                    machine,
                    holds: job.ask,
                });
            }
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        run::run,
        trace::tests::{gang, job, trace},
    };

    /// One machine of 4 processors. The second job needs all of it, so the third waits behind it although it would fit.
    #[test]
    fn the_head_blocks() {
        let jobs = vec![job(0, 3, 100), job(1, 4, 50), job(2, 1, 10)];
        check(&trace(jobs), "1x4:32GiB", &[0, 100, 150]);
    }

    /// One machine is free at once; the gang waits for both, and what would fit meanwhile waits behind it. Small tasks of
    /// a gang do not share a machine either.
    #[test]
    fn a_gang_waits_for_all_of_its_machines() {
        let jobs = vec![job(0, 3, 100), gang(1, 2, 4, 50), job(2, 1, 10)];
        check(&trace(jobs), "2x4:32GiB", &[0, 100, 100, 150]);
        let jobs = vec![job(0, 4, 100), gang(1, 2, 1, 50)];
        check(&trace(jobs), "2x4:32GiB", &[0, 100, 100]);
    }

    #[track_caller]
    fn check(trace: &Trace, pool: &str, expect: &[u64]) {
        let pool = Pool::parse(pool).unwrap();
        let history = run(trace, &pool, &mut Fifo::new(trace, &pool)).unwrap();
        let starts: Vec<u64> = history
            .runs
            .iter()
            .map(|run| run.started_ms / 1000)
            .collect();
        assert_eq!(starts, expect);
    }
}
