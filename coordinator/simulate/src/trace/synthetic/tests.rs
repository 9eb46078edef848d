use super::*;

fn pool() -> Pool {
    Pool::parse("10x8:32GiB").unwrap()
}

#[test]
fn a_seed_is_a_trace() {
    for (name, _) in NAMES {
        let make = |seed| make(name, seed, 1, &pool()).unwrap();
        assert_eq!(make(7), make(7), "{name}");
        assert_ne!(make(7).jobs, make(8).jobs, "{name}");
    }
}

#[test]
fn every_task_can_run_and_no_longer_than_it_asks() {
    for (name, _) in NAMES {
        for pool in [pool(), Pool::parse("3x2:2GiB,1x4:8GiB:1xh200").unwrap()] {
            let trace = make(name, 3, 1, &pool).unwrap();
            for job in &trace.jobs {
                assert!(
                    pool.rooms().iter().any(|room| job.ask.fits(room)),
                    "{name}: {job:?}"
                );
                assert!(
                    job.runs_ms.iter().all(|run| *run <= job.limit_ms),
                    "{name}: {job:?}"
                );
                assert!(job.member < trace.members.len());
            }
            assert!(trace.jobs.is_sorted_by_key(|job| job.submit_ms));
        }
    }
}

#[test]
fn steady_asks_for_nine_tenths() {
    let trace = make("steady", 1, 4, &pool()).unwrap();
    let work = |job: &Job| f64::from(job.ask.cpu.0) * job.runs_ms[0] as f64;
    let asked: f64 = trace.jobs.iter().map(work).sum();
    let part = asked / (pool().cpu() as f64 * 4.0 * DAY_MS as f64);
    assert!((0.9..0.92).contains(&part), "{part}");
}

#[test]
fn an_unknown_name_tells_the_nearest() {
    let problem = make("burtsy", 1, 1, &pool()).unwrap_err();
    assert!(
        problem
            .help
            .starts_with("Did you mean bursty? The names are bursty, steady"),
        "{problem:?}"
    );
    let problem = make("thesis", 1, 1, &pool()).unwrap_err();
    assert!(problem.help.starts_with("The names are"), "{problem:?}");
    assert!(make("steady", 1, 0, &pool()).is_err() && make("steady", 1, 61, &pool()).is_err());
}

#[test]
fn steady_uses_the_gpus_that_there_are() {
    let pool = Pool::parse("10x8:32GiB,2x16:64GiB:2xrtx-4090").unwrap();
    let trace = make("steady", 1, 2, &pool).unwrap();
    let run = |job: &Job| job.runs_ms[0] * u64::from(job.ask.gpus);
    let asked: u64 = trace.jobs.iter().map(run).sum();
    let part = asked as f64 / (4.0 * 2.0 * DAY_MS as f64);
    assert!((0.8..0.9).contains(&part), "{part}");
    let without = make("steady", 1, 1, &self::pool()).unwrap();
    assert!(without.jobs.iter().all(|job| job.ask.gpus == 0));
}

#[test]
fn gangs_are_of_two_to_four_whole_machines() {
    #[track_caller]
    fn check(pool: &str, sizes: &[usize]) {
        let pool = Pool::parse(pool).unwrap();
        let trace = make("gangs-and-ants", 1, 2, &pool).unwrap();
        let gangs: Vec<&Job> = trace.jobs.iter().filter(|job| job.gang).collect();
        let mut seen: Vec<usize> = gangs.iter().map(|job| job.nodes()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, sizes);
        for job in &gangs {
            assert_eq!(job.ask.cpu, pool.largest().cpu);
            assert!(job.runs_ms.iter().all(|run| *run == job.runs_ms[0]));
        }
        let large = trace.jobs.iter().filter(|job| job.member < 3);
        let work = large.map(|job| job.runs_ms.iter().sum::<u64>() * u64::from(job.ask.cpu.0));
        let all = pool.cpu() as f64 * 2.0 * DAY_MS as f64;
        let part = work.sum::<u64>() as f64 / all;
        assert!((0.25..0.29).contains(&part), "{part}");
    }
    check("10x8:32GiB", &[2, 3, 4]);
    check("3x8:32GiB", &[2, 3]);
    check("2x8:32GiB,5x4:32GiB", &[2]);
    check("1x8:32GiB,5x4:32GiB", &[]);
}
