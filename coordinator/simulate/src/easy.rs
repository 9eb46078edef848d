//! EASY backfill (D. Lifka, "The ANL/IBM SP scheduling system", 1995): the task at the head of the queue has a
//! reservation, by the run times that people asked for; any other may start before it as long as that moment stays.
//!
//! A task runs on one machine, so that the reservation is one of a machine: that on which the head could start first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    pool::{Amount, Pool},
    rooms::{Held, Rooms},
    scheduler::{End, Scheduler, Step, TaskId, Violation},
    trace::Trace,
};

/// First come, first served, with backfill.
#[derive(Debug)]
pub struct Easy<'a> {
    trace: &'a Trace,
    /// Waiting tasks of each job that has some, in the order of submission.
    waiting: BTreeMap<usize, VecDeque<usize>>,
    /// The same jobs by what they ask for and how long: where one of these has no place, none of them has.
    alike: BTreeMap<(Amount, u64), BTreeSet<usize>>,
    rooms: Rooms,
}

/// Where and when the head will start at the latest.
#[derive(Debug)]
struct Reservation {
    machine: usize,
    at_ms: u64,
    /// What is free there from then on besides the head.
    extra: Amount,
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

    fn start(&mut self, now_ms: u64, job: usize, machine: usize) -> Option<Step> {
        let tasks = self.waiting.get_mut(&job)?;
        let task = TaskId {
            job,
            task: tasks.pop_front()?,
        };
        let row = &self.trace.jobs[job];
        if tasks.is_empty() {
            self.waiting.remove(&job);
            let shape = (row.ask, row.limit_ms);
            if let Some(jobs) = self.alike.get_mut(&shape) {
                jobs.remove(&job);
                if jobs.is_empty() {
                    self.alike.remove(&shape);
                }
            }
        }
        let held = Held {
            machine,
            amount: row.ask,
            ends_ms: now_ms.saturating_add(row.limit_ms),
        };
        self.rooms.take(task, held);
        Some(Step::Start {
            task,
            machine,
            holds: row.ask,
        })
    }

    /// Returns where `asked` fits first if everything takes as long as was asked for.
    fn reserve(&self, asked: &Amount) -> Option<Reservation> {
        let machines = self.rooms.machines().into_iter().enumerate();
        let first = machines.filter_map(|(machine, (mut free, mut running))| {
            running.sort_by_key(|held| held.ends_ms);
            let at_ms = running.iter().find_map(|held| {
                free = free.plus(&held.amount);
                asked.fits(&free).then_some(held.ends_ms)
            })?;
            // Whatever ends at the same moment is free by then too.
            let later = running.iter().filter(|held| held.ends_ms > at_ms);
            let all = running
                .iter()
                .fold(self.rooms.free(machine), |sum, held| sum.plus(&held.amount));
            let free = later.fold(all, |free, held| free.minus(&held.amount).unwrap_or(free));
            Some(Reservation {
                machine,
                at_ms,
                extra: free.minus(asked)?,
            })
        });
        first.min_by_key(|first| (first.at_ms, first.machine))
    }

    /// Starts what does not delay the head, in the order of submission.
    fn backfill(&mut self, now_ms: u64, head: usize, steps: &mut Vec<Step>) {
        let most = self.rooms.most();
        let firsts = self.alike.iter().filter(|((ask, _), _)| ask.fits(&most));
        let firsts = firsts.filter_map(|(shape, jobs)| Some((*jobs.first()?, *shape)));
        let mut firsts: BTreeSet<(usize, (Amount, u64))> = firsts.collect();
        if firsts.is_empty() {
            return;
        }
        let Some(mut reserved) = self.reserve(&self.trace.jobs[head].ask) else {
            return;
        };
        while let Some((job, shape)) = firsts.pop_first() {
            let (ask, limit_ms) = shape;
            let before = now_ms.saturating_add(limit_ms) <= reserved.at_ms;
            let beside = ask.fits(&reserved.extra);
            let may = |machine| machine != reserved.machine || before || beside;
            // What found no place finds none later in this pass either: a pass only ever takes.
            let Some(machine) = self.rooms.best(&ask, may) else {
                continue;
            };
            if machine == reserved.machine && !before {
                reserved.extra = reserved.extra.minus(&ask).unwrap_or_default();
            }
            steps.extend(self.start(now_ms, job, machine));
            let next = self.alike.get(&shape).and_then(BTreeSet::first);
            firsts.extend(next.map(|next| (*next, shape)));
        }
    }
}

impl Scheduler for Easy<'_> {
    fn name(&self) -> &'static str {
        "EASY"
    }

    fn submit(&mut self, _: u64, job: usize) -> Result<(), Violation> {
        let tasks = 0..self.trace.jobs[job].runs_ms.len();
        self.waiting.insert(job, tasks.collect());
        let row = &self.trace.jobs[job];
        let shape = (row.ask, row.limit_ms);
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
            match self.rooms.best(&self.trace.jobs[head].ask, |_| true) {
                Some(machine) => steps.extend(self.start(now_ms, head, machine)),
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
mod tests {
    use super::*;
    use crate::{
        run::run,
        trace::{
            synthetic::make,
            tests::{job, trace},
        },
    };

    #[track_caller]
    fn check(trace: &Trace, pool: &str, expect: &[u64]) {
        let pool = Pool::parse(pool).unwrap();
        let history = run(trace, &pool, &mut Easy::new(trace, &pool)).unwrap();
        let starts: Vec<u64> = history
            .runs
            .iter()
            .map(|run| run.started_ms / 1000)
            .collect();
        assert_eq!(starts, expect);
    }

    /// One machine of 4 processors: the second job can start at 100. The third would be through by then and starts at
    /// once; the fourth asks for a second more than there is until then, and waits for the head.
    #[test]
    fn a_hole_is_filled_and_the_head_is_not_delayed() {
        let jobs = vec![job(0, 3, 100), job(1, 4, 50), job(2, 1, 98), job(2, 1, 99)];
        check(&trace(jobs), "1x4:32GiB", &[0, 100, 2, 150]);
        let jobs = vec![job(0, 3, 100), job(1, 4, 50), job(2, 1, 99)];
        check(&trace(jobs), "1x4:32GiB", &[0, 100, 150]);
    }

    /// Beside the head, which will leave one of the six processors free, a long task may go on. A second one may not,
    /// although there is room for it until then.
    #[test]
    fn what_the_head_leaves_is_there_for_long_tasks() {
        let jobs = vec![
            job(0, 3, 100),
            job(1, 5, 50),
            job(2, 1, 900),
            job(2, 1, 900),
        ];
        check(&trace(jobs), "1x6:32GiB", &[0, 100, 2, 150]);
    }

    /// The reservation is one of a machine: the other, which frees too late, is there for whatever fits.
    #[test]
    fn other_machines_are_open() {
        let jobs = vec![
            job(0, 3, 100),
            job(0, 3, 200),
            job(1, 4, 50),
            job(2, 1, 900),
        ];
        check(&trace(jobs), "2x4:32GiB", &[0, 0, 100, 2]);
    }

    /// Who ends before the time that was asked for lets the head start sooner.
    #[test]
    fn an_early_end_brings_the_head_forward() {
        let mut jobs = vec![job(0, 4, 100), job(1, 4, 50)];
        jobs[0].runs_ms = vec![30_000];
        check(&trace(jobs), "1x4:32GiB", &[0, 30]);
    }

    /// Notes when each head could start at the latest, and when it did.
    struct Watched<'a> {
        easy: Easy<'a>,
        promised: BTreeMap<TaskId, u64>,
        kept: usize,
    }

    impl Scheduler for Watched<'_> {
        fn name(&self) -> &'static str {
            self.easy.name()
        }

        fn submit(&mut self, now_ms: u64, job: usize) -> Result<(), Violation> {
            self.easy.submit(now_ms, job)
        }

        fn end(&mut self, now_ms: u64, task: TaskId, end: End) -> Result<(), Violation> {
            self.easy.end(now_ms, task, end)
        }

        fn pass(&mut self, now_ms: u64) -> Result<Vec<Step>, Violation> {
            let steps = self.easy.pass(now_ms)?;
            for step in &steps {
                if let Step::Start { task, .. } = step
                    && let Some(promised_ms) = self.promised.remove(task)
                {
                    assert!(
                        now_ms <= promised_ms,
                        "{task:?}: {now_ms} after {promised_ms}"
                    );
                    self.kept += 1;
                }
            }
            if let Some((&job, tasks)) = self.easy.waiting.first_key_value() {
                let task = TaskId {
                    job,
                    task: tasks[0],
                };
                let reserved = self.easy.reserve(&self.easy.trace.jobs[job].ask);
                let at_ms = reserved.map_or(u64::MAX, |reserved| reserved.at_ms);
                self.promised.entry(task).or_insert(at_ms);
            }
            Ok(steps)
        }
    }

    /// What backfill promises: whoever is at the head starts no later than was said when they came there.
    #[test]
    fn no_head_starts_later_than_was_promised() {
        let pool = Pool::parse("2x4:16GiB,1x8:32GiB:1xh200").unwrap();
        for seed in 1..5 {
            let trace = make("steady", seed, 3, &pool).unwrap();
            let mut watched = Watched {
                easy: Easy::new(&trace, &pool),
                promised: BTreeMap::new(),
                kept: 0,
            };
            run(&trace, &pool, &mut watched).unwrap();
            assert!(watched.kept > 10, "{}", watched.kept);
        }
    }
}
