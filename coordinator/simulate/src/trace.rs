//! What is submitted when, by whom, and how long it would run.

mod fields;
mod random;
pub mod sacct;
pub mod swf;
pub mod synthetic;

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use common::{
    code::Code,
    job::MAX_NODES,
    problem::{Problem, shown},
    units::MilliCpu,
};

use crate::pool::{Amount, Pool};

/// Largest file that is read.
pub const MAX_BYTES: u64 = 256 << 20;
/// Most jobs of a trace.
pub const MAX_JOBS: usize = 200_000;
/// Most tasks of all jobs of a trace.
pub const MAX_TASKS: usize = 500_000;
/// Most members; what one invitation lets in.
pub const MAX_MEMBERS: usize = 10_000;
/// Longest time from the first submission to the last.
pub const MAX_MS: u64 = 10 * 366 * DAY_MS;
/// Longest run of a task, and longest that is asked for.
pub const MAX_RUN_MS: u64 = 366 * DAY_MS;
/// A day of a trace.
pub const DAY_MS: u64 = 86_400_000;

/// Jobs in the order of their submission. A file's first comes at 0, a made-up day begins then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub title: String,
    pub jobs: Vec<Job>,
    pub members: Vec<String>,
    /// What was changed to make it fit here, for people.
    pub notes: Vec<String>,
}

/// One job: tasks that ask for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub submit_ms: u64,
    /// Place of the member.
    pub member: usize,
    /// Of each task.
    pub ask: Amount,
    /// The run time that was asked for.
    pub limit_ms: u64,
    /// How long each task runs, at most as long as was asked for; never empty.
    pub runs_ms: Vec<u64>,
    /// Whether its tasks start together or not at all, each on a machine of its own; all of them run equally long.
    pub gang: bool,
}

impl Job {
    /// Returns how many of its tasks start in one step, each on a machine of its own: all of a gang, otherwise one.
    pub fn nodes(&self) -> usize {
        if self.gang { self.runs_ms.len() } else { 1 }
    }
}

/// A job as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    submit_ms: u64,
    user: String,
    processors: u64,
    /// In bytes, of the whole job.
    memory: Option<u64>,
    /// What was asked for; `None` where the file does not say.
    limit_ms: Option<u64>,
    run_ms: u64,
}

/// What a file has besides its jobs.
#[derive(Debug, Default)]
struct Counts {
    gangs: usize,
    arrays: usize,
    split_tasks: usize,
    over: usize,
    unlimited: usize,
    clipped: usize,
    skipped: usize,
}

impl Trace {
    /// Returns all tasks of all jobs.
    pub fn tasks(&self) -> usize {
        self.jobs.iter().map(|job| job.runs_ms.len()).sum()
    }

    /// Makes jobs that fit into the pool of what a file says.
    fn of(
        title: String,
        mut records: Vec<Record>,
        skipped: usize,
        pool: &Pool,
    ) -> Result<Self, Problem> {
        if records.is_empty() {
            let why = "there is no job in it that ran";
            return Err(Problem::new(
                Code::BadRequest,
                format!("{title} cannot be simulated"),
                why,
            )
            .help("Choose another trace, or more of it with --days."));
        }
        records.sort_by_key(|record| record.submit_ms);
        let first_ms = records[0].submit_ms;
        let mut counts = Counts {
            skipped,
            ..Counts::default()
        };
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut members = Vec::new();
        let (mut jobs, mut tasks) = (Vec::with_capacity(records.len()), 0);
        for record in records {
            let place = *places.entry(record.user.clone()).or_insert_with(|| {
                members.push(record.user.clone());
                members.len() - 1
            });
            let mut job = record.into_job(pool, place, &mut counts);
            job.submit_ms -= first_ms;
            tasks += job.runs_ms.len();
            jobs.push(job);
            if tasks > MAX_TASKS {
                break;
            }
        }
        let trace = Self {
            title,
            jobs,
            members,
            notes: counts.notes(),
        };
        trace.check()?;
        Ok(trace)
    }

    fn check(&self) -> Result<(), Problem> {
        let tasks = self.tasks();
        let over = [
            (self.jobs.len(), MAX_JOBS, "jobs"),
            (tasks, MAX_TASKS, "tasks"),
            (self.members.len(), MAX_MEMBERS, "members"),
        ];
        for (count, most, what) in over {
            if count > most {
                let why =
                    format!("it has more than {most} {what}, the most that a simulation takes");
                return Err(Problem::new(
                    Code::BadRequest,
                    format!("{} is too large", self.title),
                    why,
                )
                .help("Take fewer days of it with --days."));
            }
        }
        Ok(())
    }
}

impl Record {
    /// Returns the job, cut into tasks that each fit on a machine. Where there are as many such machines the tasks are a
    /// gang, as they ran together; otherwise an array, which can run on fewer.
    fn into_job(self, pool: &Pool, member: usize, counts: &mut Counts) -> Job {
        let largest = pool
            .kinds()
            .iter()
            .max_by_key(|kind| (kind.each.cpu, kind.each.memory));
        let room = largest.map(|kind| kind.each).unwrap_or_default();
        let most = u64::from(room.cpu.0 / 1000).max(1);
        let tasks = self.processors.div_ceil(most).max(1);
        let each = self.processors.div_ceil(tasks).max(1);
        let memory = self
            .memory
            .map_or(1 << 20, |memory| memory / tasks)
            .max(1 << 20);
        counts.clipped += usize::from(memory > room.memory.0);
        let limit_ms = self.limit_ms.unwrap_or(self.run_ms).max(1);
        counts.unlimited += usize::from(self.limit_ms.is_none());
        counts.over += usize::from(self.run_ms > limit_ms);
        let tasks = usize::try_from(tasks)
            .unwrap_or(usize::MAX)
            .min(MAX_TASKS + 1);
        let ask = Amount {
            cpu: MilliCpu::cpus(u32::try_from(each).unwrap_or(u32::MAX)),
            memory: room.memory.min(common::units::Bytes(memory)),
            gpus: 0,
        };
        let together = pool.holding(&ask).min(MAX_NODES as usize);
        let gang = tasks > 1 && tasks <= together;
        if tasks > 1 {
            counts.gangs += usize::from(gang);
            counts.arrays += usize::from(!gang);
            counts.split_tasks = counts.split_tasks.saturating_add(tasks);
        }
        Job {
            submit_ms: self.submit_ms,
            member,
            ask,
            limit_ms,
            runs_ms: vec![self.run_ms.min(limit_ms); tasks],
            gang,
        }
    }
}

impl Counts {
    fn notes(&self) -> Vec<String> {
        let Self {
            gangs,
            arrays,
            split_tasks,
            over,
            unlimited,
            clipped,
            skipped,
        } = *self;
        let notes = [
            (
                "jobs larger than a machine, now gangs that start together",
                gangs,
            ),
            (
                "jobs larger than as many machines as a gang may have, now arrays of equal tasks",
                arrays,
            ),
            ("tasks that these became", split_tasks),
            (
                "jobs that ask for more memory than a machine has, and get all of one",
                clipped,
            ),
            (
                "jobs that ran longer than they asked for, and end at that time",
                over,
            ),
            (
                "jobs that do not say how long they would run, taken to know it",
                unlimited,
            ),
            ("jobs that never ran, left out", skipped),
        ];
        let said = notes.into_iter().filter(|(_, count)| *count > 0);
        said.map(|(note, count)| format!("{note}: {count}"))
            .collect()
    }
}

/// Reads a file: SWF where its name ends so, otherwise what `sacct --parsable2` printed. Returns it with the pool that
/// was given, or that it describes itself.
///
/// # Errors
/// It cannot be read, a line is not what it should be, or it is too large.
pub fn read(path: &Path, pool: Option<Pool>, days: Option<u64>) -> Result<(Trace, Pool), Problem> {
    let shown_path = shown(&path.to_string_lossy());
    let what = || format!("{shown_path} was not read");
    let unread = |error: std::io::Error| {
        Problem::new(Code::Io, what(), error.to_string())
            .help("Name a file: --trace FILE.swf, or what `sacct --parsable2` printed.")
    };
    let file = fs::File::open(path).map_err(unread)?;
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(unread)?;
    if text.len() as u64 > MAX_BYTES {
        let why = format!("it is larger than {} MiB", MAX_BYTES >> 20);
        return Err(
            Problem::new(Code::BadRequest, what(), why).help("Cut it: the first lines will do.")
        );
    }
    let text = String::from_utf8_lossy(&text);
    let name = path.file_name().unwrap_or(path.as_os_str());
    let title = plain(&name.to_string_lossy(), 80);
    let until_ms = days.map_or(MAX_MS, |days| days.saturating_mul(DAY_MS));
    let is_swf = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("swf"));
    match is_swf {
        true => swf::read(&title, &text, pool, until_ms),
        false => sacct::read(&title, &text, pool, until_ms),
    }
}

/// Returns so much of a foreign text as may stand in a terminal and in a picture.
fn plain(text: &str, most: usize) -> String {
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || c.is_ascii_graphic() || *c == ' ');
    kept.take(most).collect()
}

/// Takes what is submitted within so long of the first.
fn first(records: &mut Vec<Record>, until_ms: u64) {
    let begin = records.iter().map(|record| record.submit_ms).min();
    let end = begin.unwrap_or_default().saturating_add(until_ms);
    records.retain(|record| record.submit_ms < end);
}

#[cfg(test)]
pub(crate) mod tests;
