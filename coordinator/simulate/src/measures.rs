//! What came of a simulation, in numbers. Every task counts once, also those of an array.

use serde::Serialize;

use crate::{
    pool::Pool,
    run::{History, Run, Sample},
    trace::Trace,
};

/// Runs shorter than that count as so long in the slowdown, so that the shortest do not outweigh all others
/// (D. Feitelson and L. Rudolph, 1998).
const SLOWDOWN_BOUND_MS: u64 = 10_000;
/// Members that are named for their long waits.
const NAMED: usize = 5;

/// Of one schedule. Times are seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measures {
    pub schedule: &'static str,
    /// Part of all processors that tasks held, from 0 to 1; `None` where all came at once.
    pub utilisation_until_last_submission: Option<f64>,
    pub utilisation: f64,
    pub makespan: f64,
    pub wait: Spread,
    pub wait_mean_by_size: BySize,
    /// The longest first.
    pub wait_mean_by_member: Vec<MemberWait>,
    pub slowdown: Slowdown,
    pub fairness: Fairness,
    pub preemptions: usize,
    /// Processor seconds.
    pub lost_work: f64,
    /// How often it was asked.
    pub decisions: u64,
}

/// Of all tasks' waits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// Means of tasks of so many processors, those of gangs apart; `None` where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BySize {
    /// At most one.
    pub one: Option<f64>,
    /// Up to a quarter of the largest machine.
    pub quarter: Option<f64>,
    pub more: Option<f64>,
    /// Of gangs, whatever the size of their tasks.
    pub gang: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberWait {
    pub member: String,
    pub mean: f64,
}

/// Bounded: `max(1, (wait + run) / max(run, 10 s))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Slowdown {
    pub mean: f64,
    pub p95: f64,
    /// Each member counts once, however many tasks they have.
    pub mean_of_members: f64,
}

/// Of the members' mean bounded slowdowns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fairness {
    /// Jain's index: 1 where all are alike, one part in their number where one has everything.
    pub jain: f64,
    /// The largest, times the smallest.
    pub ratio: f64,
}

/// Sums up a mean.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

/// Measures what happened.
pub fn measure(schedule: &'static str, trace: &Trace, pool: &Pool, history: &History) -> Measures {
    let (mut waits, mut slowdowns) = (Vec::new(), Vec::new());
    let mut sizes = [Mean::default(); 4];
    let mut members = vec![(Mean::default(), Mean::default()); trace.members.len()];
    for run in &history.runs {
        let job = &trace.jobs[run.task.job];
        let run_ms = job.runs_ms[run.task.task];
        let (wait_ms, slowdown) = (wait_ms(trace, run), slowdown(trace, run));
        waits.push(wait_ms);
        slowdowns.push(slowdown);
        debug_assert_eq!(run.ended_ms - run.started_ms, run_ms);
        let cpu = job.ask.cpu.0;
        let size = match cpu {
            _ if job.gang => 3,
            ..=1000 => 0,
            _ if cpu <= pool.largest().cpu.0 / 4 => 1,
            _ => 2,
        };
        sizes[size].add(seconds(wait_ms));
        members[job.member].0.add(seconds(wait_ms));
        members[job.member].1.add(slowdown);
    }
    waits.sort_unstable();
    slowdowns.sort_unstable_by(f64::total_cmp);
    let means: Vec<f64> = members
        .iter()
        .filter_map(|(_, slowdown)| slowdown.value())
        .collect();
    let end_ms = history
        .runs
        .iter()
        .map(|run| run.ended_ms)
        .max()
        .unwrap_or_default();
    let last_ms = trace.jobs.last().map_or(0, |job| job.submit_ms);
    let part = |until_ms| held_part(&history.samples, pool.cpu(), until_ms);
    let [one, quarter, more, gang] = sizes.map(Mean::value);
    Measures {
        schedule,
        utilisation_until_last_submission: part(last_ms),
        utilisation: part(end_ms).unwrap_or_default(),
        makespan: seconds(end_ms),
        wait: Spread {
            median: seconds(rank(&waits, 50)),
            p95: seconds(rank(&waits, 95)),
            p99: seconds(rank(&waits, 99)),
            max: seconds(rank(&waits, 100)),
        },
        wait_mean_by_size: BySize {
            one,
            quarter,
            more,
            gang,
        },
        wait_mean_by_member: longest(trace, &members),
        slowdown: Slowdown {
            mean: slowdowns.iter().sum::<f64>() / slowdowns.len().max(1) as f64,
            p95: rank(&slowdowns, 95),
            mean_of_members: means.iter().sum::<f64>() / means.len().max(1) as f64,
        },
        fairness: fairness(&means),
        preemptions: history.preemptions,
        lost_work: history.lost_work as f64 / 1e6,
        decisions: history.decisions,
    }
}

/// Returns what was not spent running to the end: also what was done in vain.
fn wait_ms(trace: &Trace, run: &Run) -> u64 {
    let job = &trace.jobs[run.task.job];
    let run_ms = job.runs_ms[run.task.task];
    run.ended_ms
        .saturating_sub(job.submit_ms)
        .saturating_sub(run_ms)
}

fn slowdown(trace: &Trace, run: &Run) -> f64 {
    let run_ms = trace.jobs[run.task.job].runs_ms[run.task.task];
    let whole_ms = wait_ms(trace, run) + run_ms;
    (whole_ms as f64 / run_ms.max(SLOWDOWN_BOUND_MS) as f64).max(1.0)
}

fn longest(trace: &Trace, members: &[(Mean, Mean)]) -> Vec<MemberWait> {
    let waits = members.iter().zip(&trace.members);
    let mut waits: Vec<MemberWait> = waits
        .filter_map(|((wait, _), member)| {
            let (member, mean) = (member.clone(), wait.value()?);
            Some(MemberWait { member, mean })
        })
        .collect();
    waits.sort_by(|a, b| {
        b.mean
            .total_cmp(&a.mean)
            .then_with(|| a.member.cmp(&b.member))
    });
    waits.truncate(NAMED);
    waits
}

/// R. Jain, D. Chiu and W. Hawe, 1984.
fn fairness(means: &[f64]) -> Fairness {
    let sum: f64 = means.iter().sum();
    let squares: f64 = means.iter().map(|mean| mean * mean).sum();
    let most = means.iter().copied().fold(1.0, f64::max);
    let least = means
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min)
        .min(most);
    Fairness {
        jain: sum * sum / (means.len().max(1) as f64 * squares.max(1.0)),
        ratio: most / least,
    }
}

/// Returns the part of so much that was held until then.
fn held_part(samples: &[Sample], all_cpu: u64, until_ms: u64) -> Option<f64> {
    let all = all_cpu as f64 * until_ms as f64;
    (all > 0.0).then(|| held(samples, 0, until_ms) / all)
}

/// Returns what was held in that time: thousandths of processors times milliseconds.
pub(crate) fn held(samples: &[Sample], from_ms: u64, until_ms: u64) -> f64 {
    integral(samples, from_ms, until_ms, |sample| sample.held_cpu as f64)
}

/// Returns the sum over time of what holds from each sample to the next.
pub(crate) fn integral(
    samples: &[Sample],
    from_ms: u64,
    until_ms: u64,
    value: impl Fn(&Sample) -> f64,
) -> f64 {
    let first = samples
        .partition_point(|sample| sample.at_ms <= from_ms)
        .saturating_sub(1);
    let within = samples[first..]
        .iter()
        .take_while(|sample| sample.at_ms < until_ms);
    let nexts = samples[first..].iter().skip(1).map(|sample| sample.at_ms);
    let pieces = within.zip(nexts.chain([u64::MAX]));
    let pieces = pieces.map(|(sample, next_ms)| {
        let ms = next_ms
            .min(until_ms)
            .saturating_sub(sample.at_ms.max(from_ms));
        value(sample) * ms as f64
    });
    pieces.sum()
}

/// Returns the value that so many of a hundred do not exceed (nearest rank).
fn rank<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fifo::Fifo,
        run::run,
        trace::tests::{gang, job, trace},
    };

    /// One machine of 4 processors, all by hand: 3 of them from 0 to 100, 4 from 100 to 150, 1 from 150 to 155.
    #[test]
    fn everything_is_measured_as_by_hand() {
        let mut jobs = vec![job(0, 3, 100), job(50, 4, 50), job(100, 1, 5)];
        jobs[2].member = 1;
        let trace = trace(jobs);
        let pool = Pool::parse("1x4:32GiB").unwrap();
        let history = run(&trace, &pool, &mut Fifo::new(&trace, &pool)).unwrap();
        let measures = measure("FIFO", &trace, &pool, &history);
        assert_eq!(measures.makespan, 155.0);
        assert_eq!(measures.utilisation_until_last_submission, Some(0.75));
        assert_eq!(measures.utilisation, (300.0 + 200.0 + 5.0) / (4.0 * 155.0));
        let Spread { median, max, .. } = measures.wait;
        assert_eq!((median, max), (50.0, 50.0));
        // Waits are 0, 50 and 50; one processor is the first size, and a quarter of the machine.
        let by_size = measures.wait_mean_by_size;
        let expect = BySize {
            one: Some(50.0),
            quarter: None,
            more: Some(25.0),
            gang: None,
        };
        assert_eq!(by_size, expect);
        // 100/100, 100/50 and 55/10.
        assert_eq!(measures.slowdown.mean, (1.0 + 2.0 + 5.5) / 3.0);
        assert_eq!(measures.slowdown.p95, 5.5);
        assert_eq!(measures.slowdown.mean_of_members, (1.5 + 5.5) / 2.0);
        let named: Vec<&str> = measures
            .wait_mean_by_member
            .iter()
            .map(|wait| &*wait.member)
            .collect();
        assert_eq!(named, ["member1", "member0"]);
        // The members' means are 1.5 and 5.5.
        assert_eq!(measures.fairness.jain, 49.0 / (2.0 * (2.25 + 30.25)));
        assert_eq!(measures.fairness.ratio, 5.5 / 1.5);
    }

    /// The gang waits for both machines, each of its tasks for 100 s.
    #[test]
    fn gangs_are_measured_apart() {
        let trace = trace(vec![job(0, 1, 100), gang(0, 2, 4, 50)]);
        let pool = Pool::parse("2x4:32GiB").unwrap();
        let history = run(&trace, &pool, &mut Fifo::new(&trace, &pool)).unwrap();
        let by_size = measure("FIFO", &trace, &pool, &history).wait_mean_by_size;
        assert_eq!((by_size.one, by_size.more), (Some(0.0), None));
        assert_eq!(by_size.gang, Some(100.0));
    }

    #[test]
    fn what_holds_between_samples_is_summed() {
        let sample = |at_ms, held_cpu| Sample {
            at_ms,
            held_cpu,
            waiting: 0,
        };
        let samples = [sample(0, 1), sample(10, 3), sample(20, 0)];
        let check = |from, until| held(&samples, from, until);
        assert_eq!(
            (check(0, 10), check(5, 15), check(0, 100)),
            (10.0, 20.0, 40.0)
        );
        assert_eq!((check(25, 30), held(&[], 0, 10)), (0.0, 0.0));
    }

    #[test]
    fn ranks_are_the_nearest() {
        let values: Vec<u32> = (1..=10).collect();
        assert_eq!(
            (rank(&values, 50), rank(&values, 95), rank(&values, 100)),
            (5, 10, 10)
        );
        assert_eq!(rank::<u32>(&[], 50), 0);
    }
}
