use super::*;
use crate::{
    run::{History, run},
    trace::tests::{gang, job, trace},
};

fn play(trace: &Trace, pool: &str) -> History {
    play_with(Preemption::Priority, trace, pool)
}

fn play_with(preemption: Preemption, trace: &Trace, pool: &str) -> History {
    let pool = Pool::parse(pool).unwrap();
    let mut ours = Ours::new(trace, &pool, preemption).unwrap();
    run(trace, &pool, &mut ours).unwrap()
}

fn starts(history: &History) -> Vec<u64> {
    history
        .runs
        .iter()
        .map(|run| run.started_ms / 1000)
        .collect()
}

#[test]
fn the_real_schedule_runs_a_tiny_trace() {
    let jobs = vec![job(0, 4, 100), job(1, 4, 50), job(400, 2, 10)];
    assert_eq!(starts(&play(&trace(jobs), "1x4:32GiB")), [0, 100, 400]);
    let mut array = job(0, 1, 10);
    array.runs_ms = vec![10_000, 30_000, 10_000];
    array.limit_ms = 30_000;
    let history = play(&trace(vec![array]), "1x2:32GiB");
    assert_eq!(starts(&history), [0, 0, 10]);
    assert_eq!((history.preemptions, history.lost_work), (0, 0));
}

/// It waits for both machines; what fits meanwhile starts. Small tasks of a gang do not share a machine.
#[test]
fn the_real_schedule_starts_gangs_as_one() {
    let jobs = vec![job(0, 4, 100), gang(1, 2, 4, 50), job(2, 2, 20)];
    let history = play(&trace(jobs), "2x4:32GiB");
    assert_eq!(starts(&history), [0, 100, 100, 2]);
    let jobs = vec![job(0, 4, 100), gang(1, 2, 1, 50)];
    assert_eq!(starts(&play(&trace(jobs), "2x4:32GiB")), [0, 100, 100]);
}

/// Whoever has less of the pool goes first: what makes it differ from both rivals.
#[test]
fn the_smaller_share_goes_first() {
    let mut jobs = vec![job(0, 2, 100), job(0, 2, 150), job(1, 2, 10), job(2, 2, 10)];
    jobs[3].member = 1;
    let history = play(&trace(jobs), "1x4:32GiB");
    assert_eq!(starts(&history), [0, 0, 110, 100]);
}

/// Whoever has little takes the place of who has much, once both waited and ran for a while; that is done again later.
#[test]
fn by_share_tasks_give_way() {
    let mut jobs = vec![job(0, 2, 4000), job(0, 2, 4000), job(300, 1, 10)];
    jobs[2].member = 1;
    let trace = trace(jobs);
    let history = play_with(Preemption::Share, &trace, "1x4:32GiB");
    assert_eq!(history.preemptions, 1);
    let starts = starts(&history);
    assert!((600..700).contains(&starts[2]), "{starts:?}");
    assert!(starts[..2].iter().any(|start| *start > 600), "{starts:?}");
    for preemption in [Preemption::Off, Preemption::Priority] {
        assert_eq!(play_with(preemption, &trace, "1x4:32GiB").preemptions, 0);
    }
}

#[test]
fn gpus_are_whole() {
    let mut jobs = vec![job(0, 1, 10), job(0, 1, 10), job(0, 1, 10)];
    jobs.iter_mut().for_each(|job| job.ask.gpus = 1);
    let history = play(&trace(jobs), "1x8:32GiB:2xrtx-4090");
    assert_eq!(starts(&history), [0, 0, 10]);
}

#[test]
fn what_the_core_refuses_is_said() {
    let mut jobs = vec![job(0, 1, 10)];
    jobs[0].ask.memory = Bytes::gib(64);
    let trace = trace(jobs);
    let pool = Pool::parse("1x8:32GiB").unwrap();
    let mut ours = Ours::new(&trace, &pool, Preemption::Off).unwrap();
    let refused = run(&trace, &pool, &mut ours).unwrap_err();
    assert!(
        matches!(&refused, Violation::Refused { what, .. } if what == "SubmitJob"),
        "{refused}"
    );
}

/// The core tells a task to stop by an event; it waits again once its machine has said that it ended.
#[test]
fn who_gives_way_is_placed_again() {
    let trace = trace(vec![job(0, 4, 100)]);
    let pool = Pool::parse("1x4:32GiB").unwrap();
    let mut ours = Ours::new(&trace, &pool, Preemption::Off).unwrap();
    ours.submit(0, 0).unwrap();
    let task = TaskId { job: 0, task: 0 };
    let start = Step::Start {
        task,
        machine: 0,
        holds: trace.jobs[0].ask,
    };
    for round in 0..5 {
        assert_eq!(ours.pass(round * 1000), Ok(vec![start]), "{round}");
        let (attempt, machine) = ours.running[&task];
        let reason = EndReason::Preempted;
        let stopping = Event::AttemptStopping {
            attempt,
            machine,
            reason,
        };
        ours.note(&stopping).unwrap();
        assert_eq!(ours.pass(round * 1000), Ok(vec![Step::Preempt { task }]));
        ours.end(round * 1000, task, End::Preempted).unwrap();
    }
}

/// One task is told to give way. Its end tells the other; then both are placed again in one pass.
#[test]
fn a_gang_gives_way_as_one() {
    let trace = trace(vec![gang(0, 2, 4, 100)]);
    let pool = Pool::parse("2x4:32GiB").unwrap();
    let mut ours = Ours::new(&trace, &pool, Preemption::Off).unwrap();
    ours.submit(0, 0).unwrap();
    let [first, second] = [0, 1].map(|task| TaskId { job: 0, task });
    let start = |(machine, task)| Step::Start {
        task,
        machine,
        holds: trace.jobs[0].ask,
    };
    let both: Vec<Step> = [first, second].into_iter().enumerate().map(start).collect();
    assert_eq!(ours.pass(0), Ok(both.clone()));
    ours.end(1000, first, End::Preempted).unwrap();
    assert_eq!(ours.pass(1000), Ok(vec![Step::Preempt { task: second }]));
    ours.end(31_000, second, End::Preempted).unwrap();
    assert_eq!(ours.pass(31_000), Ok(both.clone()));
    // Both at one moment: nobody is left to be told.
    ours.end(40_000, first, End::Preempted).unwrap();
    ours.end(40_000, second, End::Preempted).unwrap();
    assert_eq!(ours.pass(40_000), Ok(both));
    ours.end(99_000, first, End::Done).unwrap();
    ours.end(99_000, second, End::Done).unwrap();
    assert_eq!(ours.pass(99_000), Ok(Vec::new()));
}

/// Who is not tried again would be missing in what is compared.
#[test]
fn a_gang_that_is_given_up_is_said() {
    let trace = trace(vec![gang(0, 2, 4, 100)]);
    let pool = Pool::parse("2x4:32GiB").unwrap();
    let mut ours = Ours::new(&trace, &pool, Preemption::Off).unwrap();
    ours.submit(0, 0).unwrap();
    ours.pass(0).unwrap();
    let cancelled = Event::JobEnded {
        job: JobId::from_bytes(id(0)),
        result: JobResult::Cancelled,
        at: BEGIN,
    };
    let given_up = Violation::GivenUp { job: 0, task: 0 };
    assert_eq!(ours.note(&cancelled), Err(given_up));
}
