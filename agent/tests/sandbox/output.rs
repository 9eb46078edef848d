//! What a job says and leaves, and how its end is told.

use std::{fs, os::unix::fs::MetadataExt as _};

use agent::supervise::SupervisorEvent;
use agent_core::sandbox_plan::Identity;
use common::{
    status::{EndReason, LogStream},
    time::Span,
};

use crate::world::{Attempt, block_on, everyone, processes_with, row};

#[test]
fn every_byte_of_both_streams_arrives() {
    everyone("output::every_byte_of_both_streams_arrives", || {
        let script =
            "i=0; while [ $i -lt 3000 ]; do echo line $i; echo error $i >&2; i=$((i+1)); done
            head -c 300000 /dev/zero; printf 'no newline'; printf '\\000\\377' >&2";
        let finished = Attempt::shell(script).run();
        let mut out: Vec<u8> = (0..3000)
            .flat_map(|i| format!("line {i}\n").into_bytes())
            .collect();
        out.extend(vec![0; 300_000]);
        out.extend(b"no newline");
        let mut err: Vec<u8> = (0..3000)
            .flat_map(|i| format!("error {i}\n").into_bytes())
            .collect();
        err.extend([0, 255]);
        assert!(finished.bytes(LogStream::Stdout) == out, "stdout differs");
        assert!(finished.bytes(LogStream::Stderr) == err, "stderr differs");
        assert_eq!(finished.bytes(LogStream::System), b"");
    });
}

/// Lets a job write far more than a supervisor may hold, as one line, with what would drive a terminal in it.
#[test]
fn r6_output_without_end_costs_nobody_memory() {
    row(
        &["R6"],
        "output::r6_output_without_end_costs_nobody_memory",
        || {
            const BYTES: u64 = 48 << 20;
            const MOST_KIB: u64 = 32 << 10;
            let script = format!("printf '\\033[2J'; head -c {BYTES} /dev/zero; sleep 500");
            let attempt = Attempt::shell(&script);
            let (peak, finished) = block_on(async {
                let mut supervisor = attempt.launch();
                loop {
                    match supervisor.next().await {
                        SupervisorEvent::Logged { bytes } if bytes > BYTES => break,
                        SupervisorEvent::Ended(result) => panic!("{result:?}"),
                        _ => {}
                    }
                }
                let folder = attempt.folder.path().to_str().unwrap();
                let own = processes_with(folder).into_iter().min().unwrap();
                let status = fs::read_to_string(format!("/proc/{own}/status")).unwrap();
                let line = status.lines().find(|line| line.starts_with("VmHWM:"));
                let peak = line.unwrap().split_whitespace().nth(1).unwrap();
                let peak: u64 = peak.parse().unwrap();
                let none = Span::from_secs(0);
                supervisor.stop(EndReason::Cancelled, none).await.unwrap();
                (peak, attempt.finish(&mut supervisor).await)
            });
            assert!(peak < MOST_KIB, "{peak} KiB");
            let out = finished.bytes(LogStream::Stdout);
            // Nothing is lost and nothing is changed: whoever shows it makes it harmless.
            assert!(out.len() as u64 > BYTES / 10 * 9 && out.starts_with(b"\x1b[2J"));
        },
    );
}

#[test]
fn a_process_left_behind_does_not_keep_the_attempt_open() {
    everyone(
        "output::a_process_left_behind_does_not_keep_the_attempt_open",
        || {
            let finished = Attempt::shell("sleep 1000 & echo done").run();
            assert_eq!(finished.stdout(), "done\n");
            assert!(finished.result.outcome.succeeded());
        },
    );
}

#[track_caller]
fn ends(command: &[&str], reason: EndReason, exit: Option<i32>, signal: Option<i32>, detail: &str) {
    let finished = Attempt::of(command).run();
    let outcome = &finished.result.outcome;
    assert_eq!(
        (outcome.reason, outcome.exit_code, outcome.signal),
        (reason, exit, signal),
        "{finished:?}"
    );
    let said = outcome.detail.as_deref().unwrap_or("");
    assert!(said.contains(detail), "{said}");
    assert_eq!(
        finished.result.started_at.is_some(),
        reason != EndReason::PrepareFailed
    );
    if !detail.is_empty() {
        assert!(
            finished.text(LogStream::System).contains(detail),
            "{finished:?}"
        );
    }
}

#[test]
fn an_end_is_told_as_it_was() {
    everyone("output::an_end_is_told_as_it_was", || {
        let prepare = EndReason::PrepareFailed;
        ends(&["true"], EndReason::Exited, Some(0), None, "");
        ends(
            &["sh", "-c", "exit 3"],
            EndReason::Exited,
            Some(3),
            None,
            "",
        );
        ends(
            &["sh", "-c", "kill -9 $$"],
            EndReason::Signalled,
            None,
            Some(9),
            "",
        );
        ends(
            &["nonesuch"],
            prepare,
            Some(127),
            None,
            "not found in the sandbox: nonesuch",
        );
        ends(
            &["./train"],
            prepare,
            Some(127),
            None,
            "not found in the sandbox: ./train",
        );
        ends(
            &["/etc/passwd"],
            prepare,
            Some(126),
            None,
            "cannot run /etc/passwd",
        );
        ends(&["/usr"], prepare, Some(126), None, "cannot run /usr");
    });
}

#[test]
fn programs_of_the_work_folder_run_and_results_stay() {
    everyone(
        "output::programs_of_the_work_folder_run_and_results_stay",
        || {
            let attempt = Attempt::of(&["./run", "a b"]);
            let program = attempt.path("work/run");
            fs::write(
                &program,
                "#!/bin/sh\necho \"$1\" > $COMPUTE_SHARE_OUTPUT_DIR/result; echo x > new\n",
            )
            .unwrap();
            fs::set_permissions(
                &program,
                std::os::unix::fs::PermissionsExt::from_mode(0o755),
            )
            .unwrap();
            let finished = attempt.run();
            assert!(finished.result.outcome.succeeded(), "{finished:?}");
            let result = attempt.path("output/result");
            assert_eq!(fs::read_to_string(&result).unwrap(), "a b\n");
            assert_eq!(fs::read_to_string(attempt.path("work/new")).unwrap(), "x\n");
            let owner = match attempt.plan.identity {
                Identity::Private { uid } => uid,
                Identity::Agent => rustix::process::geteuid().as_raw(),
            };
            assert_eq!(fs::metadata(&result).unwrap().uid(), owner);
        },
    );
}

#[test]
fn what_a_sandbox_cannot_do_without_is_named() {
    everyone("output::what_a_sandbox_cannot_do_without_is_named", || {
        let missing = tempfile::tempdir().unwrap().path().join("gone");
        let attempt = Attempt::shell("true").bind(&missing, "/data");
        let outcome = attempt.run().result.outcome;
        assert_eq!(
            (outcome.reason, outcome.exit_code),
            (EndReason::PrepareFailed, None)
        );
        let detail = outcome.detail.unwrap();
        assert!(detail.contains(missing.to_str().unwrap()), "{detail}");
    });
}
