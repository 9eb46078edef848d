//! Traces that are made up: by name, seed and pool.
//!
//! What is asked of a pool is measured by what it has, so that a trace means the same on a larger one. People ask for
//! more time than they need, as they do (A. Mu'alem and D. Feitelson, 2001): one to five times, in round numbers.

use common::{
    code::Code,
    problem::{Problem, shown},
    units::{Bytes, MilliCpu},
};

use super::{DAY_MS, Job, MAX_JOBS, Trace, random::Random};
use crate::{
    nearest::nearest,
    pool::{Amount, Pool},
};

/// Most days of a made-up trace.
pub const MAX_DAYS: u64 = 60;

/// The names and what they are.
pub const NAMES: [(&str, &str); 4] = [
    (
        "bursty",
        "a day of a class of 30 before its deadline at 18:00, beside four heavy users",
    ),
    (
        "steady",
        "arrivals at random at 0.9 of what the pool can do, of all sizes",
    ),
    (
        "gangs-and-ants",
        "jobs that need two to four whole machines at once, among thousands of small short ones",
    ),
    (
        "greedy",
        "one member submits 10,000 tasks at once, nine others small jobs all day",
    ),
];

/// What people ask for, in minutes.
const ROUND_LIMITS: [u64; 10] = [5, 10, 15, 30, 60, 120, 240, 480, 720, 1440];
const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;
/// Shortest and longest run that is drawn.
const RUNS_MS: (u64, u64) = (5_000, 12 * HOUR_MS);

/// Makes the trace of that name.
///
/// # Errors
/// There is none of that name, or it would be too large.
pub fn make(name: &str, seed: u64, days: u64, pool: &Pool) -> Result<Trace, Problem> {
    let known = NAMES.map(|(name, _)| name);
    if days == 0 || days > MAX_DAYS {
        let why = format!("a made-up trace has 1 to {MAX_DAYS} days");
        return Err(Problem::new(
            Code::BadRequest,
            format!("{days} days cannot be simulated"),
            why,
        )
        .help("Say how many with --days."));
    }
    let mut maker = Maker {
        random: Random::new(seed),
        pool,
        days,
        jobs: Vec::new(),
    };
    match name {
        "bursty" => maker.bursty(),
        "steady" => maker.steady(),
        "gangs-and-ants" => maker.gangs_and_ants(),
        "greedy" => maker.greedy(),
        _ => {
            let meant = nearest(name, &known);
            let meant = meant
                .map(|name| format!("Did you mean {name}? "))
                .unwrap_or_default();
            let help = format!(
                "{meant}The names are {}; a file is given with --trace FILE.",
                known.join(", ")
            );
            let why = "no trace has that name";
            return Err(
                Problem::new(Code::NotFound, format!("{} is not known", shown(name)), why)
                    .help(help),
            );
        }
    }
    let Maker { mut jobs, .. } = maker;
    jobs.sort_by_key(|job| job.submit_ms);
    let members = jobs
        .iter()
        .map(|job| job.member)
        .max()
        .map_or(0, |last| last + 1);
    let trace = Trace {
        title: format!(
            "{name}, seed {seed}, {days} day{}",
            if days > 1 { "s" } else { "" }
        ),
        jobs,
        members: (0..members)
            .map(|member| member_name(name, member))
            .collect(),
        notes: Vec::new(),
    };
    trace.check()?;
    Ok(trace)
}

/// Returns what the member is in this trace.
fn member_name(trace: &str, member: usize) -> String {
    let (kinds, first): (&[(&str, usize)], _) = match trace {
        "bursty" => (&[("student", 30), ("heavy", 4)], 1),
        "gangs-and-ants" => (&[("gang", 3), ("ant", 12)], 1),
        "greedy" => (&[("greedy", 1), ("other", 9)], 1),
        _ => (&[], 1),
    };
    let mut place = member;
    for (kind, count) in kinds {
        if place < *count {
            return format!("{kind}{}", place + first);
        }
        place -= count;
    }
    format!("member{}", place + first)
}

struct Maker<'a> {
    random: Random,
    pool: &'a Pool,
    days: u64,
    jobs: Vec<Job>,
}

/// What a kind of job is like.
#[derive(Clone, Copy)]
struct Shape<'a> {
    /// Some of these processors, as far as a machine has them.
    processors: &'a [u32],
    /// Of each processor, one of these.
    gib: &'a [u64],
    median_ms: u64,
    /// Of the logarithm.
    sigma: f64,
    /// Tasks of a job, one of these.
    tasks: &'a [u64],
    /// Whether they are a gang, as far as there are machines for one.
    gang: bool,
}

impl Maker<'_> {
    /// Returns what the pool can do in so long, in thousandths of processors times milliseconds.
    fn work(&self, part: f64, ms: u64) -> f64 {
        self.pool.cpu() as f64 * ms as f64 * part
    }

    /// Draws jobs until they are so much work, each of some member and submitted at some moment.
    fn fill(
        &mut self,
        work: f64,
        shape: Shape<'_>,
        who: impl Fn(&mut Random) -> usize,
        when: impl Fn(&mut Random) -> u64,
    ) {
        let mut done = 0.0;
        while done < work && self.jobs.len() <= MAX_JOBS {
            let job = self.draw(shape, &who, &when);
            done += job.runs_ms.iter().sum::<u64>() as f64 * f64::from(job.ask.cpu.0);
            self.jobs.push(job);
        }
    }

    fn draw(
        &mut self,
        shape: Shape<'_>,
        who: impl Fn(&mut Random) -> usize,
        when: impl Fn(&mut Random) -> u64,
    ) -> Job {
        let random = &mut self.random;
        let room = self
            .pool
            .kinds()
            .iter()
            .map(|kind| kind.each)
            .max_by_key(|each| each.cpu);
        let room = room.unwrap_or_default();
        let processors = random
            .among(shape.processors)
            .unwrap_or(1)
            .min(room.cpu.0 / 1000)
            .max(1);
        let gib = random.among(shape.gib).unwrap_or(1);
        let ask = Amount {
            cpu: MilliCpu::cpus(processors),
            memory: room.memory.min(Bytes::gib(gib * u64::from(processors))),
            gpus: 0,
        };
        let mut tasks = random.among(shape.tasks).unwrap_or(1);
        if shape.gang {
            let machines = u64::try_from(self.pool.holding(&ask)).unwrap_or(u64::MAX);
            tasks = tasks.min(machines.max(1));
        }
        let gang = shape.gang && tasks > 1;
        let run = |random: &mut Random| {
            let run_ms = random.lognormal_ms(shape.median_ms, shape.sigma);
            run_ms.clamp(RUNS_MS.0, RUNS_MS.1)
        };
        let drawn = if gang { 1 } else { tasks };
        let mut runs_ms: Vec<u64> = (0..drawn).map(|_| run(random)).collect();
        if gang {
            runs_ms = runs_ms.repeat(usize::try_from(tasks).unwrap_or(1));
        }
        let longest = runs_ms.iter().copied().max().unwrap_or(RUNS_MS.0);
        let asked = longest as f64 * (1.0 + 4.0 * random.unit());
        let limits = ROUND_LIMITS.map(|minutes| minutes * MINUTE_MS);
        let limit_ms = limits.into_iter().find(|limit| *limit as f64 >= asked);
        Job {
            submit_ms: when(random),
            member: who(random),
            ask,
            limit_ms: limit_ms.unwrap_or(limits[limits.len() - 1]),
            runs_ms,
            gang,
        }
    }

    /// Returns a member of `count`, the first being number `first`.
    fn some(first: usize, count: u64) -> impl Fn(&mut Random) -> usize {
        move |random| first + usize::try_from(random.below(count)).unwrap_or_default()
    }

    fn any_time(&self) -> impl Fn(&mut Random) -> u64 + use<> {
        let end_ms = self.days * DAY_MS;
        move |random| random.below(end_ms)
    }

    fn bursty(&mut self) {
        let heavy = Shape {
            processors: &[1, 2, 4],
            gib: &[2, 4],
            median_ms: HOUR_MS,
            sigma: 0.6,
            tasks: &[2, 4, 8],
            gang: false,
        };
        let when = self.any_time();
        self.fill(
            self.work(0.6, self.days * DAY_MS),
            heavy,
            Self::some(30, 4),
            when,
        );
        let homework = Shape {
            processors: &[1, 1, 2],
            gib: &[1, 2],
            median_ms: 6 * MINUTE_MS,
            sigma: 0.7,
            tasks: &[1, 1, 4],
            gang: false,
        };
        for day in 0..self.days {
            // The nearer the deadline, the more: a third of what is handed in comes within the last half hour.
            let deadline_ms = day * DAY_MS + 18 * HOUR_MS;
            let before = move |random: &mut Random| {
                let early_ms = random.exponential_ms(75 * MINUTE_MS);
                deadline_ms - early_ms.min(10 * HOUR_MS)
            };
            self.fill(
                self.work(1.0, 3 * HOUR_MS),
                homework,
                Self::some(0, 30),
                before,
            );
        }
    }

    fn steady(&mut self) {
        let shape = Shape {
            processors: &[1, 1, 1, 2, 2, 4, 8],
            gib: &[1, 2, 4],
            median_ms: 10 * MINUTE_MS,
            sigma: 1.5,
            tasks: &[1],
            gang: false,
        };
        // So many points at random are what Poisson arrivals are, given their number.
        let when = self.any_time();
        self.fill(
            self.work(0.9, self.days * DAY_MS),
            shape,
            Self::some(0, 20),
            when,
        );
        self.give_gpus(self.days * DAY_MS);
    }

    /// Lets some of the jobs ask for a GPU: eight tenths of what there are.
    fn give_gpus(&mut self, ms: u64) {
        let kinds = self.pool.kinds().iter();
        let with = kinds.filter(|kind| kind.each.gpus > 0);
        let all: f64 = with
            .clone()
            .map(|kind| kind.count as f64 * f64::from(kind.each.gpus))
            .sum();
        let largest = with.map(|kind| kind.each).max_by_key(|each| each.cpu);
        let Some(room) = largest else {
            return;
        };
        let mut done = 0.0;
        for Job { ask, runs_ms, .. } in &mut self.jobs {
            if done >= 0.8 * all * ms as f64 {
                break;
            }
            ask.gpus = 1;
            ask.cpu = ask.cpu.min(room.cpu);
            ask.memory = ask.memory.min(room.memory);
            done += runs_ms.iter().sum::<u64>() as f64;
        }
    }

    fn gangs_and_ants(&mut self) {
        let when = self.any_time();
        let gang = Shape {
            processors: &[u32::MAX],
            gib: &[3],
            median_ms: 45 * MINUTE_MS,
            sigma: 0.4,
            tasks: &[2, 2, 3, 4],
            gang: true,
        };
        self.fill(
            self.work(0.25, self.days * DAY_MS),
            gang,
            Self::some(0, 3),
            &when,
        );
        let ant = Shape {
            processors: &[1],
            gib: &[1, 2],
            median_ms: 8 * MINUTE_MS,
            sigma: 0.8,
            tasks: &[1],
            gang: false,
        };
        self.fill(
            self.work(0.65, self.days * DAY_MS),
            ant,
            Self::some(3, 12),
            &when,
        );
    }

    fn greedy(&mut self) {
        let when = self.any_time();
        let small = Shape {
            processors: &[1, 1, 2],
            gib: &[1, 2],
            median_ms: 8 * MINUTE_MS,
            sigma: 0.8,
            tasks: &[1],
            gang: false,
        };
        self.fill(
            self.work(0.25, self.days * DAY_MS),
            small,
            Self::some(1, 9),
            &when,
        );
        let many = Shape {
            processors: &[1],
            gib: &[2],
            median_ms: 5 * MINUTE_MS,
            sigma: 0.5,
            tasks: &[10_000],
            gang: false,
        };
        let job = self.draw(many, |_| 0, |_| HOUR_MS);
        self.jobs.push(job);
    }
}

#[cfg(test)]
mod tests;
