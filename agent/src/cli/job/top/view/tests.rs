use std::time::Duration;

use common::{
    job::{ArtifactsView, JobSpec, JobSummary, TaskCounts},
    resources::Allocation,
    status::AttemptStatus,
    units::MilliCpu,
    usage::UsageSample,
};
use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::cli::tests::job_summary;

fn attempt(task: u32, samples: Vec<UsageSample>) -> AttemptView {
    AttemptView {
        preempted_by: None,
        task,
        number: 1,
        machine: "bob-workstation".parse().unwrap(),
        status: AttemptStatus::Running,
        allocation: Allocation {
            cpu: MilliCpu::cpus(2),
            memory: Bytes::gib(4),
            ..Allocation::default()
        },
        placed_at: Timestamp::default(),
        started_at: Some(Timestamp::from_unix_ms(5_000)),
        ended_at: None,
        outcome: None,
        artifacts: ArtifactsView::NotYet,
        artifacts_kept_until: None,
        samples,
    }
}

fn samples(count: u32, frozen: bool) -> Vec<UsageSample> {
    let sample = |at: u32| UsageSample {
        cpu_percent: 200 * at / count,
        memory: Some(Bytes(Bytes::gib(4).0 * u64::from(at) / u64::from(count))),
        disk: Bytes::mib(12),
        sent: Bytes::mib(1),
        frozen,
        ..UsageSample::default()
    };
    (1..=count).map(sample).collect()
}

fn snapshot() -> Snapshot {
    let job = JobDetail {
        summary: JobSummary {
            name: "train\u{1b}[2J".to_owned(),
            owner: "bob".parse().unwrap(),
            tasks: TaskCounts {
                running: 2,
                succeeded: 1,
                ..TaskCounts::default()
            },
            started_at: Some(Timestamp::from_unix_ms(5_000)),
            ..job_summary(42, JobStatus::Running)
        },
        spec: JobSpec {
            network: Network::Internet,
            ..JobSpec::of(vec!["train".to_owned()])
        },
        attempts: vec![attempt(0, samples(8, false)), attempt(7, samples(4, true))],
        attempts_left_out: 0,
        approval: None,
        rerun_of: None,
        reruns: Vec::new(),
        after: Vec::new(),
        unmet: None,
        delayed: Vec::new(),
        delayed_left_out: 0,
    };
    Snapshot {
        job: Box::new(job),
        at: Timestamp::default().saturating_add(Duration::from_secs(65)),
    }
}

fn screen(snapshot: &Snapshot, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, snapshot)).unwrap();
    let text = terminal.backend().to_string();
    let lines = text
        .lines()
        .map(|line| line.trim_matches('"').trim_end().to_owned());
    lines.collect()
}

#[test]
fn every_attempt_has_its_bars_and_a_frozen_one_says_so() {
    let lines = screen(&snapshot(), 140, 8);
    assert_eq!(lines[0], "job 42 train\\u{1b}[2J, by bob: running");
    assert_eq!(
        lines[1],
        "2 attempts, 1 of them frozen, running for 1m, 1/3 done"
    );
    assert!(lines[3].starts_with("TASK   MACHINE"), "{lines:#?}");
    for expect in [
        "running",
        "200 %",
        "▁▂▃▄▅▆▇█",
        "4 GiB of 4 GiB",
        "12 MiB",
        "↑ 1 MiB ↓ 0 B",
    ] {
        assert!(lines[4].contains(expect), "{expect}: {lines:#?}");
    }
    assert!(
        lines[5].starts_with("7 ") && lines[5].contains("frozen"),
        "{lines:#?}"
    );
    assert_eq!(lines[7], "q quits");
}

#[test]
fn on_a_narrow_screen_other_columns_give_way_to_the_bars() {
    let shown = |width| screen(&snapshot(), width, 8)[3].clone();
    assert!(shown(140).contains("NETWORK") && shown(140).contains("DISK"));
    assert!(!shown(100).contains("NETWORK") && shown(100).contains("DISK"));
    assert!(!shown(80).contains("DISK") && shown(80).contains("MEMORY"));
    assert!(screen(&snapshot(), 80, 8)[4].contains('█'));
    for (width, height) in [(1, 1), (20, 3), (500, 200)] {
        screen(&snapshot(), width, height);
    }
}

#[test]
fn who_pipes_it_gets_the_same_once() {
    let snapshot = snapshot();
    let text = text(&snapshot.job, snapshot.at);
    let text = anstream::adapter::strip_str(&text).to_string();
    for expect in [
        "job 42 train\\u{1b}[2J, by bob: running\n",
        "▁▂▃▄▅▆▇█",
        "frozen",
        "NETWORK",
    ] {
        assert!(text.contains(expect), "{expect}: {text}");
    }
    assert!(!text.contains("GPU"), "{text}");
}
