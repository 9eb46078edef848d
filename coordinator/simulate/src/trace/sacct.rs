//! What Slurm's `sacct --parsable2` prints: a header with the names of the columns, then a job a line, `|` between
//! fields. Lines of job steps (`123.batch`) are skipped.

use common::{
    code::Code,
    problem::{Problem, shown},
};
use jiff::civil::DateTime;

use super::{
    MAX_JOBS, MAX_MS, MAX_RUN_MS, Record, Trace,
    fields::{bad_line, lines},
    first, plain,
};
use crate::pool::Pool;

/// Where the columns are that are read, by their name in the header.
#[derive(Debug)]
struct Columns {
    id: usize,
    user: usize,
    submit: usize,
    start: Option<usize>,
    end: Option<usize>,
    elapsed_raw: Option<usize>,
    elapsed: Option<usize>,
    processors: usize,
    memory: Option<usize>,
    limit_raw: Option<usize>,
    limit: Option<usize>,
    state: Option<usize>,
    count: usize,
}

/// Reads what is submitted within the first `until_ms`.
pub(super) fn read(
    title: &str,
    text: &str,
    pool: Option<Pool>,
    until_ms: u64,
) -> Result<(Trace, Pool), Problem> {
    let mut lines = lines(title, text);
    let (number, header) = lines.next().unwrap_or(Ok((1, "")))?;
    let columns = Columns::of(header).map_err(|why| bad_line(title, number, &why))?;
    let Some(pool) = pool else {
        let why = "what sacct prints does not say which machines there were";
        let what = format!("{} has no pool", shown(title));
        return Err(Problem::new(Code::BadRequest, what, why)
            .help("Say what the machines are with --machines, as in 10x8:32GiB."));
    };
    let (mut records, mut skipped) = (Vec::new(), 0);
    for line in lines {
        let (number, line) = line?;
        match columns
            .record(line)
            .map_err(|why| bad_line(title, number, &why))?
        {
            Line::Job(record) => records.push(record),
            Line::NeverRan => skipped += 1,
            Line::Step => {}
        }
        if records.len() > MAX_JOBS && until_ms >= MAX_MS {
            break;
        }
    }
    first(&mut records, until_ms);
    Ok((Trace::of(title.to_owned(), records, skipped, &pool)?, pool))
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Job(Record),
    NeverRan,
    Step,
}

impl Columns {
    fn of(header: &str) -> Result<Self, String> {
        let names: Vec<&str> = header.split('|').map(str::trim).collect();
        let place = |name: &str| {
            names
                .iter()
                .position(|found| found.eq_ignore_ascii_case(name))
        };
        let must = |name: &str| {
            place(name).ok_or_else(|| {
                format!("the first line has no column {name}; it names the columns of `sacct --parsable2`")
            })
        };
        let columns = Self {
            id: must("JobID")?,
            user: must("User")?,
            submit: must("Submit")?,
            start: place("Start"),
            end: place("End"),
            elapsed_raw: place("ElapsedRaw"),
            elapsed: place("Elapsed"),
            processors: place("ReqCPUS")
                .or_else(|| place("AllocCPUS"))
                .map_or_else(|| must("AllocCPUS"), Ok)?,
            memory: place("ReqMem"),
            limit_raw: place("TimelimitRaw"),
            limit: place("Timelimit"),
            state: place("State"),
            count: names.len(),
        };
        let ran = columns.elapsed_raw.or(columns.elapsed);
        if ran.is_none() && columns.start.and(columns.end).is_none() {
            return Err(
                "the first line has neither ElapsedRaw nor Elapsed, nor Start and End".to_owned(),
            );
        }
        Ok(columns)
    }

    fn record(&self, line: &str) -> Result<Line, String> {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        if fields.len() != self.count {
            return Err(format!(
                "it has {} fields, the first line {}",
                fields.len(),
                self.count
            ));
        }
        let id = fields[self.id];
        if id.contains('.') {
            return Ok(Line::Step);
        }
        if id.is_empty() {
            return Err("JobID is empty".to_owned());
        }
        let state = self.state.map(|place| fields[place]).unwrap_or_default();
        let goes_on = ["PENDING", "RUNNING", "REQUEUED"];
        let submit_ms = moment("Submit", fields[self.submit])?;
        let (Some(run_ms), false) = (self.run_ms(&fields)?, goes_on.contains(&state)) else {
            return Ok(Line::NeverRan);
        };
        let processors = fields[self.processors];
        let processors = processors
            .parse::<u64>()
            .map_err(|_| format!("{} is not a number of processors", shown(processors)))?;
        if run_ms == 0 || processors == 0 {
            return Ok(Line::NeverRan);
        }
        Ok(Line::Job(Record {
            submit_ms,
            user: user(fields[self.user]),
            processors,
            memory: self
                .memory
                .map(|place| memory(fields[place], processors))
                .transpose()?
                .flatten(),
            limit_ms: self.limit_ms(&fields)?,
            run_ms,
        }))
    }

    fn run_ms(&self, fields: &[&str]) -> Result<Option<u64>, String> {
        if let Some(place) = self.elapsed_raw {
            return seconds("ElapsedRaw", fields[place], 1);
        }
        if let Some(place) = self.elapsed {
            return duration("Elapsed", fields[place]);
        }
        let (Some(start), Some(end)) = (self.start, self.end) else {
            return Ok(None);
        };
        if [fields[start], fields[end]]
            .iter()
            .any(|text| ["", "Unknown", "None"].contains(text))
        {
            return Ok(None);
        }
        let (start, end) = (moment("Start", fields[start])?, moment("End", fields[end])?);
        let run = end.checked_sub(start).ok_or("End is before Start")?;
        match run <= MAX_RUN_MS {
            true => Ok(Some(run)),
            false => Err("it ran for more than a year".to_owned()),
        }
    }

    fn limit_ms(&self, fields: &[&str]) -> Result<Option<u64>, String> {
        match (self.limit_raw, self.limit) {
            (Some(place), _) => seconds("TimelimitRaw", fields[place], 60),
            (None, Some(place)) => duration("Timelimit", fields[place]),
            (None, None) => Ok(None),
        }
    }
}

/// No longer than fits into a table.
fn user(text: &str) -> String {
    let name = plain(text, 16);
    if name.is_empty() {
        "(nobody)".to_owned()
    } else {
        name
    }
}

/// Reads a number of `unit` seconds; Slurm writes words where there is none.
fn seconds(column: &str, text: &str, unit: u64) -> Result<Option<u64>, String> {
    if ["", "UNLIMITED", "Partition_Limit", "INVALID"].contains(&text) {
        return Ok(None);
    }
    let number = text.parse::<u64>().ok();
    let ms = number
        .and_then(|number| number.checked_mul(unit * 1000))
        .filter(|ms| *ms <= MAX_RUN_MS);
    ms.map(Some).ok_or_else(|| {
        format!(
            "{column} is {}, not a number, or more than a year",
            shown(text)
        )
    })
}

/// Reads `[DAYS-]HOURS:MINUTES:SECONDS`.
fn duration(column: &str, text: &str) -> Result<Option<u64>, String> {
    if ["", "UNLIMITED", "Partition_Limit", "INVALID"].contains(&text) {
        return Ok(None);
    }
    let wrong = || {
        format!(
            "{column} is {}, not [DAYS-]HOURS:MINUTES:SECONDS, or more than a year",
            shown(text)
        )
    };
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let clock = clock.split('.').next().unwrap_or(clock);
    let parts: Result<Vec<u64>, _> = clock.split(':').map(str::parse).collect();
    let (days, parts) = (
        days.parse::<u64>().map_err(|_| wrong())?,
        parts.map_err(|_| wrong())?,
    );
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes, seconds] => (hours, minutes, seconds),
        [minutes, seconds] => (0, minutes, seconds),
        _ => return Err(wrong()),
    };
    let sum = days
        .checked_mul(86_400)
        .and_then(|sum| sum.checked_add(hours.checked_mul(3600)?))
        .and_then(|sum| sum.checked_add(minutes.checked_mul(60)?))
        .and_then(|sum| sum.checked_add(seconds)?.checked_mul(1000));
    sum.filter(|ms| *ms <= MAX_RUN_MS)
        .map(Some)
        .ok_or_else(wrong)
}

/// Reads `2024-03-05T10:11:12`; only differences count, so that the zone does not matter.
fn moment(column: &str, text: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{column} is {}, not a moment such as 2024-03-05T10:11:12",
            shown(text)
        )
    };
    let moment: DateTime = text.parse().map_err(|_| wrong())?;
    let zoned = moment
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_err(|_| wrong())?;
    u64::try_from(zoned.timestamp().as_millisecond()).map_err(|_| wrong())
}

/// Reads `4G`, `4000Mn` or `2Gc`: of the job, of its node, or of each processor.
fn memory(text: &str, processors: u64) -> Result<Option<u64>, String> {
    if ["", "0", "?"].contains(&text) {
        return Ok(None);
    }
    let wrong = || {
        format!(
            "ReqMem is {}, not an amount such as 4G, 4000Mn or 2Gc",
            shown(text)
        )
    };
    let (amount, times) = match text.strip_suffix('c') {
        Some(amount) => (amount, processors),
        None => (text.strip_suffix('n').unwrap_or(text), 1),
    };
    let digits = amount.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &amount[digits.len()..] {
        "K" => 10,
        "" | "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    // Hundredths are as exact as Slurm writes them.
    let hundredths = format!("{fraction:0<2}");
    let hundredths = hundredths
        .get(..2)
        .and_then(|text| text.parse::<u128>().ok())
        .ok_or_else(wrong)?;
    let whole = whole.parse::<u64>().map_err(|_| wrong())?;
    let bytes = ((u128::from(whole) * 100 + hundredths) << shift) / 100;
    let bytes = bytes.saturating_mul(u128::from(times));
    Ok(Some(u64::try_from(bytes).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests;
