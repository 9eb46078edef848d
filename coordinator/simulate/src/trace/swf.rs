//! The Standard Workload Format (D. Feitelson and others, version 2.2): one job a line, 18 numbers, -1 for what is not
//! known; a header of comments that begin with `;`.

use common::{
    code::Code,
    problem::{Problem, shown},
    units::{Bytes, MilliCpu},
};

use super::{
    MAX_JOBS, MAX_MS, MAX_RUN_MS, Record, Trace,
    fields::{bad_line, lines},
    first,
};
use crate::pool::{Amount, Kind, Pool};

const FIELDS: usize = 18;
/// Places of the fields that are used, counted from 0.
const SUBMIT: usize = 1;
const RUN_TIME: usize = 3;
const ALLOCATED_PROCESSORS: usize = 4;
const USED_MEMORY: usize = 6;
const REQUESTED_PROCESSORS: usize = 7;
const REQUESTED_TIME: usize = 8;
const REQUESTED_MEMORY: usize = 9;
const STATUS: usize = 10;
const USER: usize = 11;

/// Status of a part of a job that was checkpointed: the whole of it has a line of its own.
const PARTIAL: [i64; 3] = [2, 3, 4];

/// Of a machine of the header, which does not say how much there is: enough never to be what is short.
const MEMORY_PER_PROCESSOR: Bytes = Bytes::gib(64);

/// Archives count from their first job, but some from 1970: the moment itself may be large.
const MAX_MOMENT_MS: u64 = 20 * MAX_MS;

/// Reads what is submitted within the first `until_ms`.
pub(super) fn read(
    title: &str,
    text: &str,
    pool: Option<Pool>,
    until_ms: u64,
) -> Result<(Trace, Pool), Problem> {
    let mut records = Vec::new();
    let (mut processors, mut nodes, mut skipped) = (None, None, 0);
    for line in lines(title, text) {
        let (number, line) = line?;
        if let Some(comment) = line.trim_start().strip_prefix(';') {
            let said = |key: &str| {
                let (name, value) = comment.split_once(':')?;
                let value = value.split_whitespace().next()?.parse::<u32>().ok()?;
                (name.trim() == key && value > 0).then_some(value)
            };
            processors = processors.or_else(|| said("MaxProcs"));
            nodes = nodes.or_else(|| said("MaxNodes"));
            continue;
        }
        match record(line).map_err(|why| bad_line(title, number, &why))? {
            Some(record) => records.push(record),
            None => skipped += 1,
        }
        if records.len() > MAX_JOBS && until_ms >= MAX_MS {
            break;
        }
    }
    let pool = match pool {
        Some(pool) => pool,
        None => described(title, processors, nodes)?,
    };
    first(&mut records, until_ms);
    Ok((Trace::of(title.to_owned(), records, skipped, &pool)?, pool))
}

/// Returns the job of a line, or `None` for one that did not run.
fn record(line: &str) -> Result<Option<Record>, String> {
    let mut fields = [0; FIELDS];
    let mut count = 0;
    for word in line.split_ascii_whitespace() {
        if let Some(field) = fields.get_mut(count) {
            // Some archives have fractions of seconds.
            let whole = word.split('.').next().unwrap_or(word);
            *field = whole.parse::<i64>().map_err(|_| {
                format!(
                    "{} is not a number (field {} of {FIELDS})",
                    shown(word),
                    count + 1
                )
            })?;
        }
        count += 1;
    }
    if count != FIELDS {
        return Err(format!("it has {count} fields; a job has {FIELDS} numbers"));
    }
    let known = |place: usize| u64::try_from(fields[place]).ok();
    let positive = |place: usize| known(place).filter(|value| *value > 0);
    let submit = known(SUBMIT).ok_or("field 2, when it was submitted, is not known")?;
    let (Some(run), Some(processors)) = (
        positive(RUN_TIME),
        positive(REQUESTED_PROCESSORS).or_else(|| positive(ALLOCATED_PROCESSORS)),
    ) else {
        return Ok(None);
    };
    if PARTIAL.contains(&fields[STATUS]) {
        return Ok(None);
    }
    let memory = positive(REQUESTED_MEMORY).or_else(|| positive(USED_MEMORY));
    Ok(Some(Record {
        submit_ms: milliseconds(submit, MAX_MOMENT_MS)
            .ok_or("field 2, when it was submitted, is too large")?,
        user: format!("user{}", fields[USER]),
        processors,
        // In KiB of each processor.
        memory: memory.map(|kib| kib.saturating_mul(1024).saturating_mul(processors)),
        limit_ms: positive(REQUESTED_TIME)
            .map(|time| milliseconds(time, MAX_RUN_MS).unwrap_or(MAX_RUN_MS)),
        run_ms: milliseconds(run, MAX_RUN_MS).ok_or("field 4, the run time, is too large")?,
    }))
}

/// Returns so many seconds, or `None` beyond the bound.
fn milliseconds(seconds: u64, most: u64) -> Option<u64> {
    seconds.checked_mul(1000).filter(|ms| *ms <= most)
}

/// Returns the machines that the header describes, as alike as can be.
fn described(title: &str, processors: Option<u32>, nodes: Option<u32>) -> Result<Pool, Problem> {
    let unknown = |why: &str| {
        Problem::new(
            Code::BadRequest,
            format!("{} has no pool", shown(title)),
            why,
        )
        .help("Say what the machines are with --machines, as in 10x8:32GiB.")
    };
    let Some(processors) = processors.or(nodes) else {
        return Err(unknown("its header has neither MaxProcs nor MaxNodes"));
    };
    let nodes = nodes.unwrap_or(processors).min(processors);
    let (each, more) = (processors / nodes, processors % nodes);
    let kind = |count: u32, processors: u32| Kind {
        count: usize::try_from(count).unwrap_or(usize::MAX),
        each: Amount {
            cpu: MilliCpu::cpus(processors),
            memory: Bytes(MEMORY_PER_PROCESSOR.0.saturating_mul(u64::from(processors))),
            gpus: 0,
        },
        model: String::new(),
    };
    Pool::of(vec![
        kind(more, each.saturating_add(1)),
        kind(nodes - more, each),
    ])
    .map_err(|why| unknown(&why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "; Version: 2.2\n; MaxNodes: 4\n; MaxProcs: 18\n";

    fn job(line: &str) -> Result<Option<Record>, String> {
        record(line)
    }

    #[test]
    fn a_job_is_read() {
        let line = "  7 100 5 60 4 55 2048 8 120 1024 1 3 1 1 1 1 -1 -1";
        let expect = Record {
            submit_ms: 100_000,
            user: "user3".to_owned(),
            processors: 8,
            memory: Some(8 << 20),
            limit_ms: Some(120_000),
            run_ms: 60_000,
        };
        assert_eq!(job(line), Ok(Some(expect)));
        let bare = "7 100 -1 60.5 4 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1";
        let bare = job(bare).unwrap().unwrap();
        assert_eq!(
            (bare.processors, bare.memory, bare.limit_ms),
            (4, None, None)
        );
        for never_ran in [
            "7 100 -1 -1 4 -1 -1 4 60 -1 5 1 1 1 1 1 -1 -1",
            "7 100 -1 0 4 -1 -1 4 60 -1 0 1 1 1 1 1 -1 -1",
            "7 100 -1 60 -1 -1 -1 -1 60 -1 0 1 1 1 1 1 -1 -1",
            "7 100 -1 60 4 -1 -1 4 60 -1 2 1 1 1 1 1 -1 -1",
        ] {
            assert_eq!(job(never_ran), Ok(None), "{never_ran}");
        }
    }

    #[test]
    fn a_bad_line_is_named_with_what_was_expected() {
        #[track_caller]
        fn check(line: &str, expect: &str) {
            let text = format!("{HEADER}{line}\n");
            let problem = read("x.swf", &text, None, MAX_MS).unwrap_err();
            assert!(problem.what.contains("line 4"), "{problem}");
            assert!(problem.why.contains(expect), "{line}: {problem}");
        }
        check("1 2 3", "it has 3 fields; a job has 18 numbers");
        check(&"1 ".repeat(19), "it has 19 fields");
        check(
            "1 two 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
            "\"two\" is not a number (field 2",
        );
        check("1 -1 3 4 5 6 7 8 9 10 1 12 13 14 15 16 17 18", "field 2");
        check(
            "1 9223372036854775807 3 4 5 6 7 8 9 10 1 12 13 14 15 16 17 18",
            "too large",
        );
        check(
            "1 2 3 31622401 5 6 7 8 9 10 1 12 13 14 15 16 17 18",
            "too large",
        );
        check(
            "1 99999999999999999999 3 4 5 6 7 8 9 10 1 12 13 14 15 16 17 18",
            "not a number",
        );
        check(&"9".repeat(70_000), "longer than");
        check("\u{202e}\u{0}", "<U+202E>");
    }

    #[test]
    fn hostile_numbers_are_bounded() {
        let huge = "1 0 0 5 9223372036854775807 -1 9223372036854775807 -1 9223372036854775807 -1 1 -9223372036854775808 1 1 1 1 1 1";
        let problem = read("x.swf", &format!("{HEADER}{huge}"), None, MAX_MS).unwrap_err();
        assert!(problem.why.contains("more than"), "{problem}");
        let header = "; MaxProcs: 4294967295\n";
        assert!(read("x.swf", header, None, MAX_MS).is_err());
    }

    #[test]
    fn the_header_says_what_the_machines_are() {
        let unknown = described("x", None, None).unwrap_err();
        assert!(unknown.help.contains("--machines"), "{unknown:?}");
        let pool = described("x", Some(18), Some(4)).unwrap();
        assert_eq!(pool.to_string(), "2x5:320GiB,2x4:256GiB");
        assert_eq!(
            described("x", Some(3), None).unwrap().to_string(),
            "3x1:64GiB"
        );
        assert_eq!(
            described("x", None, Some(2)).unwrap().to_string(),
            "2x1:64GiB"
        );
    }

    #[test]
    fn days_cut_the_trace() {
        let line = |submit: u64| format!("1 {submit} 0 5 1 -1 -1 1 9 -1 1 1 1 1 1 1 -1 -1\n");
        let text = format!("{HEADER}{}{}{}", line(1000), line(87_399), line(87_400));
        let (trace, _) = read("x.swf", &text, None, super::super::DAY_MS).unwrap();
        assert_eq!(trace.jobs.len(), 2);
    }
}
