//! What `job top` shows, on a screen or as plain text; compared as text in its test.

use common::{
    job::{AttemptView, JobDetail},
    status::{JobStatus, Network},
    time::Timestamp,
    units::Bytes,
    usage::MAX_SAMPLES,
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Style, Stylize},
    text::Line,
    widgets::{Block, Borders, Row, Table},
};

use super::{
    super::super::{
        escape,
        moments::{ago, took},
        sparkline::sparkline,
        table,
    },
    super::{
        tasks,
        used::{attempts_text, memory, percent},
    },
    Snapshot,
};

/// Bars of each row where nobody says how wide a line may be.
const PLAIN_BARS: usize = 20;
/// Fewer bars than this say nothing; other columns give way first.
const MIN_BARS: u16 = 8;
/// Between two columns.
const GAP: u16 = 1;

/// One column: its heading, its width, and what a row has in it.
struct Column {
    heading: &'static str,
    width: u16,
    cell: fn(&AttemptView) -> String,
}

const fn column(heading: &'static str, width: u16, cell: fn(&AttemptView) -> String) -> Column {
    Column {
        heading,
        width,
        cell,
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot) {
    let job = &*snapshot.job;
    let [title, more, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Line::from(title_text(job)).bold(), title);
    frame.render_widget(Line::from(state_text(job, snapshot.at)), more);
    frame.render_widget(attempts_table(job, body.width), body);
    frame.render_widget(Line::from("q quits").dim(), foot);
}

/// Returns the same for who reads it later, or pipes it.
pub(super) fn text(job: &JobDetail, at: Timestamp) -> String {
    let mut rows = table::Table::new(&[
        ">TASK", "MACHINE", "STATE", ">CPU", "LATELY", ">MEMORY", "LATELY", ">DISK", "NETWORK",
        "GPU",
    ]);
    for attempt in &job.attempts {
        let (cpu, memory) = bars(attempt, PLAIN_BARS);
        rows.row([
            attempt.task.to_string(),
            attempt.machine.to_string(),
            state(attempt),
            cpu_now(attempt),
            cpu,
            memory_now(attempt),
            memory,
            disk(attempt),
            network(attempt),
            gpu(attempt),
        ]);
    }
    let rows = rows.without_empty_columns().to_text("");
    format!("{}\n{}\n\n{rows}", title_text(job), state_text(job, at))
}

fn title_text(job: &JobDetail) -> String {
    let summary = &job.summary;
    let name = escape::line(&summary.name);
    format!(
        "job {} {name}, by {}: {}",
        summary.number, summary.owner, summary.status
    )
}

fn state_text(job: &JobDetail, at: Timestamp) -> String {
    let summary = &job.summary;
    let mut parts = vec![match summary.status {
        JobStatus::AwaitingApproval => "waits for an admin's approval".to_owned(),
        JobStatus::Queued => format!("submitted {}", ago(summary.submitted_at, at)),
        JobStatus::Running => format!(
            "{}, running for {}",
            attempts_text(&job.attempts),
            took(summary.started_at, None, at)
        ),
        _ => format!(
            "`compute-share job show {}` says what it used",
            summary.number
        ),
    }];
    parts.extend(Some(tasks(summary)).filter(|tasks| !tasks.is_empty()));
    if job.attempts_left_out > 0 {
        parts.push(format!(
            "{} more attempts are not shown",
            job.attempts_left_out
        ));
    }
    parts.join(", ")
}

fn attempts_table(job: &JobDetail, width: u16) -> Table<'static> {
    let (columns, bar_width) = fitted(job, width);
    let bars_wide = usize::from(bar_width);
    let rows = job.attempts.iter().map(|attempt| {
        let (cpu, memory) = bars(attempt, bars_wide);
        let mut cells: Vec<String> = columns
            .iter()
            .map(|column| (column.cell)(attempt))
            .collect();
        cells.insert(CPU + 1, cpu);
        cells.insert(MEMORY + 2, memory);
        let colour = if is_frozen(attempt) {
            Color::Yellow
        } else {
            Color::Reset
        };
        Row::new(cells).style(Style::new().fg(colour))
    });
    let mut headings: Vec<&str> = columns.iter().map(|column| column.heading).collect();
    let mut widths: Vec<u16> = columns.iter().map(|column| column.width).collect();
    for at in [CPU + 1, MEMORY + 2] {
        headings.insert(at, "");
        widths.insert(at, bar_width);
    }
    Table::new(rows, widths.into_iter().map(Constraint::Length))
        .column_spacing(GAP)
        .header(Row::new(headings).style(Style::new().bold()))
        .block(Block::new().borders(Borders::TOP))
}

/// Where the columns stand that bars come after.
const CPU: usize = 3;
const MEMORY: usize = 4;

/// Returns the columns that there is room for, and how wide the bars are beside them.
fn fitted(job: &JobDetail, width: u16) -> (Vec<Column>, u16) {
    let mut columns = vec![
        column("TASK", 6, |attempt| attempt.task.to_string()),
        column("MACHINE", 14, |attempt| attempt.machine.to_string()),
        column("STATE", 9, state),
        column("CPU", 7, cpu_now),
        column("MEMORY", 20, memory_now),
    ];
    if job
        .attempts
        .iter()
        .any(|attempt| !attempt.allocation.gpus.is_empty())
    {
        columns.push(column("GPU", 16, gpu));
    }
    columns.push(column("DISK", 9, disk));
    if job.spec.network != Network::None {
        columns.push(column("NETWORK", 22, network));
    }
    loop {
        let count = u16::try_from(columns.len()).unwrap_or(u16::MAX);
        let taken = columns.iter().map(|column| column.width + GAP).sum::<u16>() + 2 * GAP;
        let bars = width.saturating_sub(taken) / 2;
        let most = u16::try_from(MAX_SAMPLES).unwrap_or(u16::MAX);
        if bars >= MIN_BARS || usize::from(count) == MEMORY + 1 {
            return (columns, bars.min(most));
        }
        columns.pop();
    }
}

/// Returns how processors and memory were used lately, both against what the attempt holds.
fn bars(attempt: &AttemptView, width: usize) -> (String, String) {
    let cpu: Vec<u64> = attempt
        .samples
        .iter()
        .map(|one| u64::from(one.cpu_percent))
        .collect();
    let memory: Vec<u64> = attempt
        .samples
        .iter()
        .map(|one| one.memory.unwrap_or(Bytes::ZERO).0)
        .collect();
    let held = &attempt.allocation;
    (
        sparkline(&cpu, u64::from(held.cpu.0 / 10), width),
        sparkline(&memory, held.memory.0, width),
    )
}

fn is_frozen(attempt: &AttemptView) -> bool {
    attempt.samples.last().is_some_and(|last| last.frozen)
}

fn state(attempt: &AttemptView) -> String {
    if is_frozen(attempt) {
        "frozen".to_owned()
    } else {
        attempt.status.to_string()
    }
}

fn cpu_now(attempt: &AttemptView) -> String {
    attempt
        .samples
        .last()
        .map(|last| percent(last.cpu_percent))
        .unwrap_or_default()
}

fn memory_now(attempt: &AttemptView) -> String {
    let held = attempt.allocation.memory;
    attempt
        .samples
        .last()
        .map(|last| memory(last, held))
        .unwrap_or_default()
}

fn disk(attempt: &AttemptView) -> String {
    attempt
        .samples
        .last()
        .map(|last| last.disk.to_string())
        .unwrap_or_default()
}

fn network(attempt: &AttemptView) -> String {
    let moved = |last: &&common::usage::UsageSample| {
        (last.sent, last.received) != (Bytes::ZERO, Bytes::ZERO)
    };
    let last = attempt.samples.last().filter(moved);
    last.map(|last| format!("↑ {} ↓ {}", last.sent, last.received))
        .unwrap_or_default()
}

fn gpu(attempt: &AttemptView) -> String {
    let Some(last) = attempt.samples.last() else {
        return String::new();
    };
    let busy = last.gpu_percent.map(percent);
    let memory = last.gpu_memory.map(|memory| memory.to_string());
    busy.into_iter()
        .chain(memory)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
