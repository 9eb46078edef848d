use common::{
    job::JobNumber,
    machine::Isolation,
    resources::Capacity,
    status::IsolationLevel,
    units::{Bytes, MilliCpu},
    usage::UsageSample,
};

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000 + seconds * 1000)
}

fn attempt(frozen_since: Option<Timestamp>) -> RunningAttempt {
    RunningAttempt {
        job: JobNumber(42),
        task: 7,
        attempt: 1,
        job_name: "train\u{1b}[2J".to_owned(),
        submitter: "ann".parse().unwrap(),
        command: vec!["x".to_owned()],
        cpu: MilliCpu::cpus(2),
        memory: Bytes::gib(4),
        gpus: Vec::new(),
        started_at: Some(at(0)),
        stopping: false,
        sample: Some(UsageSample {
            cpu_percent: 150,
            memory: Some(Bytes::gib(1)),
            disk: Bytes::mib(3),
            ..UsageSample::default()
        }),
        frozen_since,
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn what_runs_is_told_with_its_use_and_since_when_it_is_frozen() {
    let mut fresh = attempt(None);
    fresh.sample = None;
    fresh.started_at = None;
    let text = plain(&running(
        &[attempt(Some(at(30))), attempt(None), fresh],
        at(90),
    ));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "JOB   NAME            BY          CPU          MEMORY   DISK  STATE",
            "42.7  train\\u{1b}[2J  ann  150 % of 2  1 GiB of 4 GiB  3 MiB  frozen for 1m",
            "42.7  train\\u{1b}[2J  ann  150 % of 2  1 GiB of 4 GiB  3 MiB  running for 1m 30s",
            "42.7  train\\u{1b}[2J  ann           2           4 GiB         preparing",
        ]
    );
}

#[test]
fn the_agents_own_words_come_first() {
    let pause = Pause {
        until: None,
        reason: "its owner is at the keyboard".to_owned(),
        by: PausedBy::Rule,
    };
    let mut status = AgentStatus {
        machine: "box".parse().unwrap(),
        org: "lab".parse().unwrap(),
        coordinator: "lab:7443".to_owned(),
        connection: ConnectionState::Connected { since: at(0) },
        started_at: at(0),
        isolation: Isolation {
            strong: true,
            ..Isolation::of(IsolationLevel::A)
        },
        capacity: Capacity::default(),
        offer: Capacity::default(),
        pause: Some(pause.clone()),
        standing: String::new(),
        peers: PeerStatus::default(),
        gpu_pauses: vec![GpuPause {
            gpu: "GPU-1".to_owned(),
            pause,
        }],
        circumstances: vec!["on battery (power supply)".to_owned()],
        running: Vec::new(),
        owner_rules_problem: None,
        agent_version: "1".to_owned(),
        process_id: 7,
    };
    let text = plain(&status_text(&status));
    for expect in [
        "This machine lends nothing new: its owner is at the keyboard\n",
        "GPU-1: its owner is at the keyboard\n",
        "on battery (power supply)\n",
        "a, also strong (gVisor)\n",
    ] {
        assert!(text.contains(expect), "{expect}: {text}");
    }
    status.standing = "lends nothing new: its jobs are frozen".to_owned();
    assert!(plain(&status_text(&status)).contains("lends nothing new: its jobs are frozen\n"));
}

#[test]
fn a_pause_by_hand_says_how_it_ends() {
    let by_hand = |until| Pause {
        until,
        reason: String::new(),
        by: PausedBy::Command,
    };
    assert_eq!(pause_text(None), "This machine lends");
    let open = pause_text(Some(&by_hand(None)));
    assert!(open.ends_with("until `compute-share resume`"), "{open}");
    let timed = pause_text(Some(&by_hand(Some(at(0)))));
    assert!(
        timed.starts_with("This machine lends nothing new until 2023-11-1"),
        "{timed}"
    );
}
