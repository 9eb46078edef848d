use super::*;
use crate::trace::tests::{gang, job, trace};

/// Does what it is told, one list of steps for each pass.
#[derive(Debug)]
struct Script {
    passes: Vec<Vec<Step>>,
    ends: Vec<(u64, TaskId, End)>,
}

impl Script {
    fn of(passes: Vec<Vec<Step>>) -> Self {
        Self {
            passes,
            ends: Vec::new(),
        }
    }
}

impl Scheduler for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn submit(&mut self, _: u64, _: usize) -> Result<(), Violation> {
        Ok(())
    }

    fn end(&mut self, now_ms: u64, task: TaskId, end: End) -> Result<(), Violation> {
        self.ends.push((now_ms, task, end));
        Ok(())
    }

    fn pass(&mut self, _: u64) -> Result<Vec<Step>, Violation> {
        match self.passes.is_empty() {
            true => Ok(Vec::new()),
            false => Ok(self.passes.remove(0)),
        }
    }

    fn looks_at_the_clock(&self) -> bool {
        true
    }
}

const FIRST: TaskId = TaskId { job: 0, task: 0 };
const SECOND: TaskId = TaskId { job: 1, task: 0 };

fn start(trace: &Trace, task: TaskId) -> Step {
    Step::Start {
        task,
        machine: 0,
        holds: trace.jobs[task.job].ask,
    }
}

fn play(trace: &Trace, passes: Vec<Vec<Step>>) -> (Result<History, Violation>, Script) {
    let pool = Pool::parse("1x4:32GiB").unwrap();
    let mut script = Script::of(passes);
    (run(trace, &pool, &mut script), script)
}

#[test]
fn what_breaks_an_invariant_ends_it() {
    let trace = trace(vec![job(0, 3, 100), job(0, 2, 100), job(500, 1, 1)]);
    let first = start(&trace, FIRST);
    let check = |steps: Vec<Step>| play(&trace, vec![steps]).0.unwrap_err();
    let over = Violation::OverCapacity {
        machine: 0,
        job: 1,
        task: 0,
    };
    assert_eq!(check(vec![first, start(&trace, SECOND)]), over);
    let twice = Violation::NotWaiting {
        job: 0,
        task: 0,
        state: "running",
    };
    assert_eq!(check(vec![first, first]), twice);
    let early = Violation::NotWaiting {
        job: 2,
        task: 0,
        state: "not submitted yet",
    };
    assert_eq!(
        check(vec![start(&trace, TaskId { job: 2, task: 0 })]),
        early
    );
    let Step::Start { task, machine, .. } = first else {
        unreachable!()
    };
    let holds = Amount::default();
    let less = Step::Start {
        task,
        machine,
        holds,
    };
    assert_eq!(
        check(vec![less]),
        Violation::WrongAmount { job: 0, task: 0 }
    );
    let waiting = Violation::NotRunning {
        job: 1,
        task: 0,
        state: "waiting",
    };
    assert_eq!(check(vec![Step::Preempt { task: SECOND }]), waiting);
    let nobody = TaskId { job: 0, task: 9 };
    assert!(matches!(
        check(vec![Step::Preempt { task: nobody }]),
        Violation::Unknown { .. }
    ));
    assert_eq!(check(vec![first]), Violation::Stalled { waiting: 2 });
}

#[test]
fn what_is_done_does_not_run_again() {
    let trace = trace(vec![job(0, 1, 10), job(20, 1, 10)]);
    let again = start(&trace, FIRST);
    let (history, _) = play(&trace, vec![vec![again], vec![], vec![again]]);
    let done = Violation::NotWaiting {
        job: 0,
        task: 0,
        state: "done",
    };
    assert_eq!(history, Err(done));
}

/// Told at 40 to give way, the task ends at 70 and starts again at the next tick.
#[test]
fn who_gives_way_has_a_grace_and_runs_again() {
    let trace = trace(vec![job(0, 2, 100), job(40, 4, 10)]);
    let passes = vec![
        vec![start(&trace, FIRST)],
        vec![Step::Preempt { task: FIRST }],
        vec![start(&trace, SECOND)],
        vec![start(&trace, FIRST)],
    ];
    let (history, script) = play(&trace, passes);
    let history = history.unwrap();
    let expect = [
        (70_000, FIRST, End::Preempted),
        (80_000, SECOND, End::Done),
        (180_000, FIRST, End::Done),
    ];
    assert_eq!(script.ends, expect);
    assert_eq!((history.preemptions, history.lost_work), (1, 2000 * 70_000));
    assert_eq!(
        (history.runs[0].started_ms, history.runs[0].ended_ms),
        (80_000, 180_000)
    );
}

/// It would have been through within its grace anyway.
#[test]
fn who_is_done_within_the_grace_is_done() {
    let trace = trace(vec![job(0, 2, 60), job(40, 4, 10)]);
    let passes = vec![
        vec![start(&trace, FIRST)],
        vec![Step::Preempt { task: FIRST }],
        vec![start(&trace, SECOND)],
    ];
    let (history, script) = play(&trace, passes);
    let history = history.unwrap();
    assert_eq!(script.ends[0], (60_000, FIRST, End::Done));
    assert_eq!((history.preemptions, history.lost_work), (1, 0));
}

/// While something waits there is a tick a minute; while nothing does the clock leaps.
#[test]
fn the_clock_ticks_only_while_something_waits() {
    let trace = trace(vec![job(0, 4, 200), job(100_000, 1, 10)]);
    let passes = vec![
        vec![],
        vec![],
        vec![start(&trace, FIRST)],
        vec![],
        vec![start(&trace, SECOND)],
    ];
    let (history, script) = play(&trace, passes);
    // At 0, 60, 120; its end at 320; the submission at 100,000 and its end.
    assert_eq!(history.unwrap().decisions, 6);
    assert!(script.passes.is_empty());
}

#[test]
fn what_takes_a_hundred_years_is_not_simulated() {
    let year = 366 * 86_400;
    let trace = trace((0..101).map(|_| job(0, 4, year)).collect());
    let pool = Pool::parse("1x4:32GiB").unwrap();
    let mut fifo = crate::fifo::Fifo::new(&trace, &pool);
    let too_long = Violation::TooLong { years: 100 };
    assert_eq!(run(&trace, &pool, &mut fifo), Err(too_long));
}

/// On two machines of 4 processors.
fn play_on_two(trace: &Trace, passes: Vec<Vec<Step>>) -> (Result<History, Violation>, Script) {
    let pool = Pool::parse("2x4:32GiB").unwrap();
    let mut script = Script::of(passes);
    (run(trace, &pool, &mut script), script)
}

/// Starts both tasks of the first job, on these machines.
fn both(trace: &Trace, machines: [usize; 2]) -> Vec<Step> {
    let holds = trace.jobs[0].ask;
    let starts = machines.into_iter().enumerate();
    let starts = starts.map(|(task, machine)| Step::Start {
        task: TaskId { job: 0, task },
        machine,
        holds,
    });
    starts.collect()
}

const GANG: [TaskId; 2] = [FIRST, TaskId { job: 0, task: 1 }];

#[test]
fn a_torn_gang_ends_it() {
    let trace = trace(vec![gang(0, 2, 2, 100), job(10, 1, 1)]);
    let check = |passes: Vec<Vec<Step>>| {
        let torn = Violation::TornGang { job: 0 };
        assert_eq!(play_on_two(&trace, passes).0, Err(torn));
    };
    let all = both(&trace, [0, 1]);
    check(vec![all[..1].to_vec()]);
    check(vec![all[..1].to_vec(), all[1..].to_vec()]);
    check(vec![both(&trace, [1, 1])]);
    let one = vec![Step::Preempt { task: GANG[1] }];
    check(vec![all, one]);
}

/// Who would be through within the grace is torn as well when only a part of it is told, or ends.
#[test]
fn a_gang_is_told_as_one_and_ends_as_one() {
    let torn = Err(Violation::TornGang { job: 0 });
    let short = trace(vec![gang(0, 2, 2, 20), job(10, 1, 1)]);
    let passes = vec![both(&short, [0, 1]), vec![Step::Preempt { task: GANG[0] }]];
    assert_eq!(play_on_two(&short, passes).0, torn);
    let mut uneven = trace(vec![gang(0, 2, 2, 20)]);
    uneven.jobs[0].runs_ms[1] = 10_000;
    let passes = vec![both(&uneven, [0, 1])];
    assert_eq!(play_on_two(&uneven, passes).0, torn);
}

/// Told at 40, both tasks end at 70; they run again from 80, where the other job was.
#[test]
fn a_gang_gives_way_and_runs_again() {
    let trace = trace(vec![gang(0, 2, 2, 100), job(40, 4, 10)]);
    let passes = vec![
        both(&trace, [0, 1]),
        GANG.map(|task| Step::Preempt { task }).to_vec(),
        vec![start(&trace, SECOND)],
        both(&trace, [1, 0]),
    ];
    let (history, script) = play_on_two(&trace, passes);
    let history = history.unwrap();
    let expect = [
        (70_000, GANG[0], End::Preempted),
        (70_000, GANG[1], End::Preempted),
        (80_000, SECOND, End::Done),
        (180_000, GANG[0], End::Done),
        (180_000, GANG[1], End::Done),
    ];
    assert_eq!(script.ends, expect);
    let lost = 2 * 2000 * 70_000;
    assert_eq!((history.preemptions, history.lost_work), (2, lost));
    assert_eq!(history.runs[0].started_ms, history.runs[1].started_ms);
}
