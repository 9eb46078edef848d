//! `usage show`: what was consumed, by whom and where, and what machines gave to others.

mod csv;

use std::time::Duration;

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, MAX_ROWS, Request,
        usage::{ShowUsage, UsageReport},
    },
    code::Code,
    problem::Problem,
    status::UsageBy,
    time::Span,
    units::Bytes,
    usage::{MilliSeconds, UsageRow, UsageSums},
};

use super::{
    Context,
    moments::{local, now, since},
    output::{BOLD, Format},
    session::{Session, ask},
    table::Table,
};

/// Look at what was consumed
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share usage show --by machine --since 30d")]
pub(super) enum Usage {
    Show(Show),
}

/// Show what ended attempts consumed: members their own, admins everybody's
///
/// Reserved processors and memory count for as long as an attempt ran. Attempts that ended by no doing of the job (its
/// machine was lost, its owner came back) are not billed, and counted apart.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share usage show --since 7d\n  compute-share usage show --by machine --csv > usage.csv"
)]
pub(super) struct Show {
    #[arg(long, value_name = "member|machine|project|gpu", default_value_t = UsageBy::Member)]
    by: UsageBy,
    /// Only what ended since: a span, a day or a moment. Counted by whole days of UTC
    #[arg(long, value_name = "7d|2026-11-01")]
    since: Option<String>,
    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
}

impl Usage {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::Show(show) => show.run(context).await,
        }
    }
}

impl Show {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        if self.csv && (context.output.format == Format::Json || context.output.quiet) {
            let why = "--csv, -o json and -q are three ways to print the same";
            let what = "cannot print it in two ways at once";
            return Err(Problem::new(Code::BadRequest, what, why).help("Give one of them."));
        }
        let since = self.since.map(|text| since(&text, now())).transpose()?;
        let session = context.session().await?;
        let request = ShowUsage {
            org: session.org,
            by: self.by,
            since,
            after: None,
            limit: MAX_ROWS,
        };
        let report = fetch(&session, request).await?;
        session.end().await;
        let ids = |report: &UsageReport| report.rows.iter().map(|row| row.id.clone()).collect();
        let human = |report: &UsageReport| {
            if self.csv {
                csv::of(report)
            } else {
                to_text(report)
            }
        };
        context.output.show(&report, ids, human)
    }
}

/// Fetches all pages.
async fn fetch(session: &Session, mut request: ShowUsage) -> Result<UsageReport, Problem> {
    let mut rows: Vec<UsageRow> = Vec::new();
    loop {
        let ask = Request::ShowUsage(request.clone());
        let mut page = ask!(session, ask, Answer::Usage(page) => page)?;
        rows.append(&mut page.rows);
        match page.after.take() {
            Some(after) if request.after.as_ref().is_none_or(|last| after > *last) => {
                request.after = Some(after);
            }
            _ => {
                page.rows = rows;
                return Ok(page);
            }
        }
    }
}

/// Those who used most come first.
fn by_use(report: &UsageReport) -> Vec<&UsageRow> {
    let weight = |row: &UsageRow| {
        let gpu: u64 = row.billed.gpu_seconds.values().map(|gpu| gpu.0).sum();
        (gpu, row.billed.cpu_seconds, row.lent.cpu_seconds)
    };
    let mut rows: Vec<&UsageRow> = report.rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(weight(row)));
    rows
}

fn to_text(report: &UsageReport) -> String {
    let heading = match report.by {
        UsageBy::Member => "MEMBER",
        UsageBy::Machine => "MACHINE",
        UsageBy::Project => "PROJECT",
        UsageBy::Gpu => "GPU",
    };
    let mut table = Table::new(&[
        heading,
        ">ATTEMPTS",
        ">CPU",
        ">CPU USED",
        ">MEMORY GiB",
        ">GPU",
        ">STORED",
        ">MOVED",
        ">NOT BILLED",
        ">OWN",
        ">LENT",
    ]);
    for row in by_use(report) {
        let used = &row.billed;
        table.row([
            row.name.clone().unwrap_or_else(|| "(none)".to_owned()),
            some(used.attempts),
            time(used.cpu_seconds),
            time(used.cpu_used_seconds),
            gibibytes(used),
            gpus(used, report.by),
            bytes(used.stored),
            bytes(used.moved),
            processors(&row.unbilled),
            processors(&row.own),
            processors(&row.lent),
        ]);
    }
    let rows = table.without_empty_columns().to_text(match report.by {
        UsageBy::Gpu => "No attempt with a GPU has ended in that time.",
        UsageBy::Member | UsageBy::Machine | UsageBy::Project => "Nothing has ended in that time.",
    });
    if report.rows.is_empty() {
        return rows;
    }
    let (all, since) = (&report.billed, report.since);
    let since = since.map(|since| format!(" since {}", local(since)));
    format!(
        "{rows}\n{BOLD}All{}{BOLD:#}: {} attempts, {} of CPU, {} of GPU; not billed: {} attempts, {} of CPU.\n",
        since.unwrap_or_default(),
        all.attempts,
        span(all.cpu_seconds),
        span(all_gpus(all)),
        report.unbilled.attempts,
        span(report.unbilled.cpu_seconds),
    )
}

fn all_gpus(sums: &UsageSums) -> MilliSeconds {
    let times = sums.gpu_seconds.values();
    MilliSeconds(times.fold(0, |sum, gpu| sum.saturating_add(gpu.0)))
}

/// Returns GPU time; of each model where rows are not of one each.
fn gpus(sums: &UsageSums, by: UsageBy) -> String {
    if by == UsageBy::Gpu {
        return time(all_gpus(sums));
    }
    let times = sums.gpu_seconds.iter();
    times
        .map(|(model, ms)| format!("{model}: {}", span(*ms)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns the processor time, and GPU time where there is any.
fn processors(sums: &UsageSums) -> String {
    match (sums.cpu_seconds.0, all_gpus(sums).0) {
        (_, 0) => time(sums.cpu_seconds),
        (0, _) => format!("{} GPU", span(all_gpus(sums))),
        _ => format!("{} + {} GPU", span(sums.cpu_seconds), span(all_gpus(sums))),
    }
}

/// Returns gibibytes times hours as people say it: `12.5 h`.
fn gibibytes(sums: &UsageSums) -> String {
    let tenths = sums.memory_mib_seconds.0 / (1024 * 360_000);
    match (sums.memory_mib_seconds.0, tenths) {
        (0, _) => String::new(),
        (_, 0) => "< 0.1 h".to_owned(),
        _ => format!("{}.{} h", tenths / 10, tenths % 10),
    }
}

fn time(ms: MilliSeconds) -> String {
    match ms.0 {
        0 => String::new(),
        _ => span(ms),
    }
}

fn span(ms: MilliSeconds) -> String {
    Span::from(Duration::from_millis(ms.0)).to_string()
}

fn bytes(bytes: Bytes) -> String {
    match bytes {
        Bytes::ZERO => String::new(),
        _ => bytes.to_string(),
    }
}

fn some(count: u64) -> String {
    match count {
        0 => String::new(),
        _ => count.to_string(),
    }
}
