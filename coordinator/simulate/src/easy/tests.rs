use super::*;
use crate::{
    run::run,
    trace::{
        synthetic::make,
        tests::{gang, job, trace},
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

/// Of three machines one is free, one will be at 100 and one at 200: the gang has the first two from 100 on. Until then
/// the free one is there for who is through by that time, and for nobody else.
#[test]
fn a_gang_has_a_reservation_on_several_machines() {
    let jobs = |last| vec![job(0, 4, 100), job(0, 4, 200), gang(1, 2, 4, 50), last];
    let through = jobs(job(2, 4, 98));
    check(&trace(through), "3x4:32GiB", &[0, 0, 100, 100, 2]);
    let too_long = jobs(job(2, 4, 99));
    check(&trace(too_long), "3x4:32GiB", &[0, 0, 100, 100, 150]);
}

/// On each of its machines the gang leaves one processor. A long task may have that of the free one; for the second one
/// there is none before the other machine is free.
#[test]
fn what_a_gang_leaves_is_there_for_long_tasks() {
    let jobs = vec![
        job(0, 4, 100),
        job(0, 4, 200),
        gang(1, 2, 3, 50),
        job(2, 1, 900),
        job(2, 1, 900),
    ];
    check(&trace(jobs), "3x4:32GiB", &[0, 0, 100, 100, 2, 100]);
}

/// Both machines have a processor free while the head waits for one of them. A gang that is through by then may have
/// both; a longer one may not, and one machine alone is of no use to it.
#[test]
fn a_gang_fills_holes_as_one() {
    let jobs = |last| vec![job(0, 3, 100), job(0, 3, 100), job(1, 4, 50), last];
    let through = jobs(gang(2, 2, 1, 98));
    check(&trace(through), "2x4:32GiB", &[0, 0, 100, 2, 2]);
    let too_long = jobs(gang(2, 2, 1, 99));
    check(&trace(too_long), "2x4:32GiB", &[0, 0, 100, 150, 150]);
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
            let reserved = self.easy.reserve(&self.easy.trace.jobs[job]);
            let at_ms = reserved.map_or(u64::MAX, |reserved| reserved.at_ms);
            self.promised.entry(task).or_insert(at_ms);
        }
        Ok(steps)
    }
}

/// What backfill promises: whoever is at the head starts no later than was said when they came there.
#[test]
fn no_head_starts_later_than_was_promised() {
    let mixed = Pool::parse("2x4:16GiB,1x8:32GiB:1xh200").unwrap();
    let alike = Pool::parse("4x8:32GiB,1x4:16GiB").unwrap();
    let seeds = 1..5;
    for (name, pool, seed) in
        seeds.flat_map(|seed| [("steady", &mixed, seed), ("gangs-and-ants", &alike, seed)])
    {
        let trace = make(name, seed, 3, pool).unwrap();
        let mut watched = Watched {
            easy: Easy::new(&trace, pool),
            promised: BTreeMap::new(),
            kept: 0,
        };
        run(&trace, pool, &mut watched).unwrap();
        assert!(watched.kept > 10, "{name}: {}", watched.kept);
    }
}
