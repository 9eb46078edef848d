//! What `top` draws, from a snapshot; compared as text in its test.

use common::{
    machine::MachineView,
    status::{JobStatus, MachineStatus},
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Style, Stylize},
    text::Line,
    widgets::{Block, Borders, Row, Table},
};

use super::{
    super::{
        amounts::counted,
        escape,
        job::tasks,
        machine::gpu_counts,
        moments::{ago, took},
        pausing,
    },
    Snapshot,
};

/// Lines of the machines' part besides its rows: border and heading.
const MACHINES_FRAME: u16 = 2;

pub(super) fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot) {
    let rows = u16::try_from(snapshot.machines.len()).unwrap_or(u16::MAX);
    let most = frame.area().height / 2;
    let machines_height = rows.saturating_add(MACHINES_FRAME).min(most.max(3));
    let [head, machines, jobs, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(machines_height),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let [title, amounts] = Layout::vertical([Constraint::Length(1); 2]).areas(head);
    frame.render_widget(Line::from(title_text(snapshot)).bold(), title);
    frame.render_widget(Line::from(amounts_text(snapshot)), amounts);
    frame.render_widget(machines_table(snapshot, machines.width), machines);
    frame.render_widget(jobs_table(snapshot), jobs);
    frame.render_widget(Line::from("q quits").dim(), foot);
}

fn title_text(snapshot: &Snapshot) -> String {
    let org = &snapshot.org;
    format!(
        "{}: {}, {}, {} running, {} queued",
        org.name,
        counted(u64::from(org.members), "member"),
        counted(snapshot.machines.len() as u64, "machine"),
        counted(u64::from(org.running_tasks), "task"),
        org.queued_tasks
    )
}

fn amounts_text(snapshot: &Snapshot) -> String {
    let (free, total) = (&snapshot.org.free, &snapshot.org.total);
    let mut text = format!(
        "free: {}/{} cpu, {} of {}",
        free.cpu, total.cpu, free.memory, total.memory
    );
    for gpu in &snapshot.org.gpus {
        text += &format!(", {}/{} {}", gpu.free, gpu.total, gpu.model);
    }
    text
}

fn heading(words: &[&'static str]) -> Row<'static> {
    Row::new(words.to_vec()).style(Style::new().bold())
}

/// Returns the machines, and why those take nothing new that do not. On a narrow screen that is worth more than
/// what they hold.
fn machines_table(snapshot: &Snapshot, width: u16) -> Table<'_> {
    let any_pause = snapshot
        .machines
        .iter()
        .any(|machine| pause(machine).is_some());
    let crowded = any_pause && width < ROOM_FOR_ALL;
    let rows = snapshot.machines.iter().map(|machine| {
        let offer = machine.report.as_ref().map(|report| &report.offer);
        let cpu = offer.map(|offer| format!("{}/{}", machine.allocated.cpu, offer.cpu));
        let memory = offer.map(|offer| format!("{}/{}", machine.allocated.memory, offer.memory));
        let load = machine.load.map(|load| format!("{} %", load.cpu_percent));
        let colour = match machine.status {
            MachineStatus::Available => Color::Green,
            MachineStatus::Busy => Color::Cyan,
            MachineStatus::Offline | MachineStatus::Rejected => Color::Red,
            _ => Color::Yellow,
        };
        let mut cells = vec![
            machine.name.to_string(),
            machine.status.to_string(),
            machine.running.to_string(),
            cpu.unwrap_or_default(),
            load.unwrap_or_default(),
            offer
                .map(|offer| escape::line(&gpu_counts(&offer.gpus)))
                .unwrap_or_default(),
        ];
        if !crowded {
            cells.insert(MEMORY, memory.unwrap_or_default());
        }
        cells.extend(any_pause.then(|| pause(machine).unwrap_or_default()));
        Row::new(cells).style(Style::new().fg(colour))
    });
    let mut widths = vec![
        Constraint::Min(12),
        Constraint::Length(10),
        Constraint::Length(5),
        Constraint::Length(8),
        Constraint::Length(6),
        Constraint::Min(6),
    ];
    let mut headings = vec!["MACHINE", "STATUS", "JOBS", "CPU", "LOAD", "GPUS"];
    if !crowded {
        widths.insert(MEMORY, Constraint::Length(19));
        headings.insert(MEMORY, "MEMORY");
    }
    if any_pause {
        widths.push(Constraint::Min(30));
        headings.push("WHY");
    }
    Table::new(rows, widths)
        .header(heading(&headings))
        .block(Block::new().borders(Borders::TOP))
}

/// Where the memory stands among the columns.
const MEMORY: usize = 4;
/// Columns of a screen that shows memory and reasons beside each other.
const ROOM_FOR_ALL: u16 = 110;

/// Returns why the machine takes nothing new, where that is so.
fn pause(machine: &MachineView) -> Option<String> {
    if machine.status == MachineStatus::SetAside {
        return machine
            .set_aside
            .as_ref()
            .map(|aside| escape::line(&aside.text));
    }
    let pause = machine.report.as_ref()?.paused.as_ref()?;
    let paused = machine.status == MachineStatus::Paused;
    paused.then(|| escape::line(&pausing::reason(pause)))
}

fn jobs_table(snapshot: &Snapshot) -> Table<'_> {
    let mut jobs: Vec<_> = snapshot.jobs.iter().collect();
    // What runs first, then the queue in the order in which it was submitted.
    jobs.sort_by_key(|job| (job.status != JobStatus::Running, job.number));
    let rows = jobs.into_iter().map(|job| {
        let machines: Vec<&str> = job.machines.iter().map(|name| name.as_str()).collect();
        let colour = if job.status == JobStatus::Running {
            Color::Green
        } else {
            Color::Reset
        };
        Row::new([
            job.number.to_string(),
            escape::line(&job.name),
            job.owner.to_string(),
            job.status.to_string(),
            tasks(job),
            machines.join(", "),
            match job.started_at {
                Some(_) => took(job.started_at, job.ended_at, snapshot.at),
                None => ago(job.submitted_at, snapshot.at),
            },
        ])
        .style(Style::new().fg(colour))
    });
    let widths = [
        Constraint::Length(6),
        Constraint::Min(12),
        Constraint::Length(10),
        Constraint::Length(8),
        Constraint::Length(12),
        Constraint::Min(10),
        Constraint::Length(9),
    ];
    let header = heading(&[
        "JOB", "NAME", "OWNER", "STATUS", "TASKS", "MACHINES", "TIME",
    ]);
    Table::new(rows, widths)
        .header(header)
        .block(Block::new().borders(Borders::TOP))
}

#[cfg(test)]
mod tests;
