use common::{
    id::{JobId, MachineId, OrgId},
    job::{JobNumber, JobSummary, TaskCounts},
    limits::Limits,
    machine::{Isolation, MachineReport, MachineView, Pause, PausedBy, SystemInfo, UnseenProjects},
    org::{Amounts, OrgOverview},
    resources::{Allocation, Capacity},
    status::{IsolationLevel, Priority},
    time::{Span, Timestamp},
    units::{Bytes, MilliCpu},
};
use ratatui::{Terminal, backend::TestBackend};

use super::*;

fn job(number: u64, status: JobStatus) -> JobSummary {
    let running = status == JobStatus::Running;
    JobSummary {
        id: JobId::from_bytes([1; 16]),
        number: JobNumber(number),
        name: "train\u{1b}[2J".to_owned(),
        owner: "bob".parse().unwrap(),
        project: None,
        status,
        priority: Priority::Normal,
        tasks: TaskCounts {
            running: 1,
            succeeded: 2,
            ..TaskCounts::default()
        },
        submitted_at: Timestamp::from_unix_ms(0),
        started_at: running.then(|| Timestamp::from_unix_ms(5_000)),
        ended_at: None,
        machines: if running {
            vec!["box".parse().unwrap()]
        } else {
            Vec::new()
        },
        exit_code: None,
        held: None,
        awaits: 0,
    }
}

fn snapshot() -> Snapshot {
    let amounts = |cpus, gib| Amounts {
        cpu: MilliCpu::cpus(cpus),
        memory: Bytes::gib(gib),
        disk: Bytes::ZERO,
    };
    Snapshot {
        org: OrgOverview {
            id: OrgId::from_bytes([1; 16]),
            name: "lab".parse().unwrap(),
            owner: "alice".parse().unwrap(),
            created_at: Timestamp::from_unix_ms(0),
            members: 2,
            machines: vec![common::org::MachineCount {
                status: MachineStatus::Busy,
                count: 1,
            }],
            total: amounts(8, 16),
            free: amounts(7, 15),
            gpus: Vec::new(),
            running_tasks: 1,
            queued_tasks: 3,
            compute_time: Span::default(),
            limits: Limits::default(),
            settings: common::org::OrgSettings::default(),
            logo: None,
        },
        machines: vec![MachineView {
            id: MachineId::from_bytes([1; 16]),
            name: "box".parse().unwrap(),
            owner: "bob".parse().unwrap(),
            status: MachineStatus::Busy,
            status_detail: None,
            registered_at: Timestamp::from_unix_ms(0),
            last_heartbeat: None,
            running: 1,
            executed: 0,
            lent: Span::default(),
            report: None,
            allocated: Allocation::default(),
            load: None,
            unseen: UnseenProjects::default(),
            cached: Vec::new(),
            set_aside: None,
            labels: Vec::new(),
        }],
        jobs: vec![job(8, JobStatus::Queued), job(7, JobStatus::Running)],
        at: Timestamp::from_unix_ms(65_000),
    }
}

#[test]
fn the_screen_shows_machines_then_running_then_waiting() {
    let mut terminal = Terminal::new(TestBackend::new(90, 12)).unwrap();
    terminal.draw(|frame| draw(frame, &snapshot())).unwrap();
    let text = terminal.backend().to_string();
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim_matches('"').trim_end())
        .collect();
    let expect = [
        "lab: 2 members, 1 machine, 1 task running, 3 queued",
        "free: 7/8 cpu, 15 GiB of 16 GiB",
        "─",
        "MACHINE",
        "box",
        "─",
        "JOB",
        "7      train\\u{1b}[2J",
        "8      train\\u{1b}[2J",
        "",
        "",
        "q quits",
    ];
    assert_eq!(lines.len(), expect.len(), "{text}");
    for (line, expect) in lines.iter().zip(expect) {
        assert!(
            line.starts_with(expect),
            "{line:?} does not begin with {expect:?} in\n{text}"
        );
    }
    assert!(
        lines[7].contains("running") && lines[7].ends_with("1m"),
        "{text}"
    );
    assert!(
        lines[8].contains("queued") && lines[8].ends_with("1m 5s ago"),
        "{text}"
    );
}

#[test]
fn a_paused_machine_says_why() {
    let mut paused = snapshot();
    let machine = &mut paused.machines[0];
    machine.status = MachineStatus::Paused;
    let isolation = Isolation::of(IsolationLevel::A);
    machine.report = Some(MachineReport {
        paused: Some(Pause {
            until: None,
            reason: "its owner is back\u{1b}[2J".to_owned(),
            by: PausedBy::Rule,
        }),
        ..MachineReport::lending_all(Capacity::default(), isolation, SystemInfo::default())
    });
    for width in [80, 120] {
        let mut terminal = Terminal::new(TestBackend::new(width, 12)).unwrap();
        terminal.draw(|frame| draw(frame, &paused)).unwrap();
        let text = terminal.backend().to_string();
        assert!(text.contains("its owner is back\\u{1b}[2J"), "{text}");
        assert_eq!(text.contains("MEMORY"), width == 120, "{text}");
    }
}

#[test]
fn a_tiny_terminal_does_not_break_it() {
    for (width, height) in [(1, 1), (20, 3), (500, 200)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &snapshot())).unwrap();
    }
}
