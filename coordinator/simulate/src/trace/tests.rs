use common::units::Bytes;

use super::*;

/// A job of one task that runs as long as it asks for, in seconds.
pub(crate) fn job(submit: u64, processors: u32, run: u64) -> Job {
    Job {
        submit_ms: submit * 1000,
        member: 0,
        ask: Amount {
            cpu: MilliCpu::cpus(processors),
            memory: Bytes::mib(1),
            gpus: 0,
        },
        limit_ms: run * 1000,
        runs_ms: vec![run * 1000],
        gang: false,
    }
}

/// A gang on so many machines, each task of which asks for so many processors, in seconds.
pub(crate) fn gang(submit: u64, nodes: usize, processors: u32, run: u64) -> Job {
    Job {
        runs_ms: vec![run * 1000; nodes],
        gang: true,
        ..job(submit, processors, run)
    }
}

pub(crate) fn trace(jobs: Vec<Job>) -> Trace {
    let members = jobs
        .iter()
        .map(|job| job.member)
        .max()
        .map_or(0, |last| last + 1);
    Trace {
        title: "by hand".to_owned(),
        jobs,
        members: (0..members)
            .map(|member| format!("member{member}"))
            .collect(),
        notes: Vec::new(),
    }
}

fn record(processors: u64, memory: Option<u64>) -> Record {
    Record {
        submit_ms: 5000,
        user: "7".to_owned(),
        processors,
        memory,
        limit_ms: Some(60_000),
        run_ms: 90_000,
    }
}

#[test]
fn what_is_larger_than_a_machine_becomes_a_gang() {
    let pool = Pool::parse("3x8:32GiB,9x4:32GiB").unwrap();
    let records = vec![record(20, Some(30 << 30)), record(1, Some(64 << 30))];
    let trace = Trace::of("t".to_owned(), records, 2, &pool).unwrap();
    let [large, small] = &trace.jobs[..] else {
        panic!("{trace:?}")
    };
    assert_eq!((large.runs_ms.len(), large.ask.cpu), (3, MilliCpu::cpus(7)));
    assert!(large.gang && !small.gang);
    assert_eq!((large.submit_ms, large.ask.memory), (0, Bytes::gib(10)));
    assert_eq!((large.runs_ms[0], large.limit_ms), (60_000, 60_000));
    assert_eq!(small.ask.memory, Bytes::gib(32));
    assert_eq!(trace.notes.len(), 5, "{:?}", trace.notes);
    assert_eq!(
        trace.notes[0],
        "jobs larger than a machine, now gangs that start together: 1"
    );
}

/// Too few machines of that size, or more than a gang may have: the tasks can run one after another.
#[test]
fn where_there_are_too_few_machines_it_becomes_an_array() {
    #[track_caller]
    fn check(pool: &str, processors: u64, gang: bool, tasks: usize) {
        let pool = Pool::parse(pool).unwrap();
        let records = vec![record(processors, None)];
        let trace = Trace::of("t".to_owned(), records, 0, &pool).unwrap();
        let [job] = &trace.jobs[..] else {
            panic!("{trace:?}")
        };
        assert_eq!((job.gang, job.runs_ms.len()), (gang, tasks));
        let is_array = trace.notes[0].contains("now arrays of equal tasks: 1");
        assert_eq!(is_array, !gang && tasks > 1, "{:?}", trace.notes);
    }
    check("3x8:32GiB", 20, true, 3);
    check("2x8:32GiB", 20, false, 3);
    check("2x8:32GiB,9x4:32GiB", 20, false, 3);
    check("2x8:32GiB,1x7:32GiB", 20, true, 3);
    check("2x8:32GiB", 8, false, 1);
    check("100x1:32GiB", 64, true, 64);
    check("100x1:32GiB", 65, false, 65);
}

#[test]
fn a_trace_has_its_bounds() {
    let pool = Pool::parse("1x1:1GiB").unwrap();
    let problem = Trace::of(
        "t".to_owned(),
        vec![record(u64::MAX, None); 10_000],
        0,
        &pool,
    )
    .unwrap_err();
    assert!(problem.why.contains("more than 500000 tasks"), "{problem}");
    let problem = Trace::of("t".to_owned(), Vec::new(), 3, &pool).unwrap_err();
    assert!(problem.why.contains("no job"), "{problem}");
}

/// Whatever a disk or a hand does to a file: it is read or refused, and nothing of it is out of bounds.
#[test]
fn damaged_files_are_read_or_refused() {
    let examples: [(&str, &[u8]); 2] = [
        ("x.swf", include_bytes!("../../traces/tiny.swf")),
        ("x", include_bytes!("../../traces/tiny.sacct")),
    ];
    let pool = Pool::parse("2x8:32GiB").unwrap();
    let mut random = random::Random::new(1);
    let (mut good, mut refused) = (0, 0);
    for round in 0..4000 {
        let (name, bytes) = examples[round % 2];
        let mut bytes = bytes.to_vec();
        for _ in 0..=random.below(3) {
            let place = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            let piece: &[u8] = random
                .among(&[
                    &b"-"[..],
                    b"9999999999",
                    b"|",
                    b"\n",
                    b" ",
                    b"\xff",
                    b".",
                    b":",
                    b"",
                ])
                .unwrap();
            bytes.splice(place..place + 1, piece.iter().copied());
        }
        let text = String::from_utf8_lossy(&bytes);
        let read = match name {
            "x.swf" => swf::read(name, &text, Some(pool.clone()), MAX_MS),
            _ => sacct::read(name, &text, Some(pool.clone()), MAX_MS),
        };
        let Ok((trace, _)) = read else {
            refused += 1;
            continue;
        };
        good += 1;
        assert!(trace.tasks() <= MAX_TASKS);
        for job in &trace.jobs {
            assert!(job.ask.fits(&pool.rooms()[0]), "{job:?}");
            assert!(
                job.runs_ms
                    .iter()
                    .all(|run| *run > 0 && *run <= job.limit_ms)
            );
            assert!(!job.gang || job.runs_ms.len() == 2, "{job:?}");
            assert!(job.limit_ms <= MAX_RUN_MS && job.submit_ms <= MAX_MS);
        }
    }
    assert!(good > 100 && refused > 100, "{good} {refused}");
}
