//! What a job may take.

use common::{
    status::{EndReason, LogStream},
    time::Span,
    units::{Bytes, MilliCpu},
};

use crate::world::{Attempt, Verdict, row, slowness};

#[test]
fn r1_memory_beyond_the_limit_ends_the_job() {
    row(
        &["R1"],
        "limits::r1_memory_beyond_the_limit_ends_the_job",
        || {
            let mut attempt = Attempt::shell("head -c 256M /dev/zero | tail | wc -c; exit 9");
            attempt.plan.limits.memory = Bytes::mib(64);
            attempt.plan.limits.mapped = attempt.plan.limits.mapped.map(|_| Bytes::mib(64));
            let finished = attempt.run();
            let outcome = &finished.result.outcome;
            if attempt.has_cgroup() {
                assert_eq!(outcome.reason, EndReason::OutOfMemory, "{finished:?}");
                assert!(outcome.usage.peak_memory.unwrap() <= Bytes::mib(64));
                assert!(outcome.detail.as_ref().unwrap().contains("64 MiB"));
                Verdict::Held
            } else {
                // Each process is refused what is beyond, and the job sees that.
                assert_eq!(outcome.exit_code, Some(9), "{finished:?}");
                assert!(
                    finished
                        .text(LogStream::Stderr)
                        .contains("memory exhausted")
                );
                Verdict::NotHeld("each process has the limit, not the job as a whole")
            }
        },
    );
}

#[test]
fn r2_memory_behind_files_counts_as_well() {
    row(
        &["R2"],
        "limits::r2_memory_behind_files_counts_as_well",
        || {
            let mut attempt = Attempt::shell("head -c 256M /dev/zero > /tmp/file");
            attempt.plan.limits.memory = Bytes::mib(64);
            for mount in &mut attempt.plan.mounts {
                if let agent_core::sandbox_plan::Content::Scratch { size } = &mut mount.content {
                    *size = Bytes::mib(if mount.target == "/tmp" { 96 } else { 1 });
                }
            }
            let finished = attempt.run();
            let outcome = &finished.result.outcome;
            if attempt.has_cgroup() {
                assert_eq!(outcome.reason, EndReason::OutOfMemory, "{finished:?}");
                Verdict::Held
            } else {
                assert_eq!(outcome.exit_code, Some(1), "{finished:?}");
                Verdict::NotHeld(
                    "files in memory have bounds of their own, besides the memory of processes",
                )
            }
        },
    );
}

#[test]
fn r3_processes_are_bounded() {
    row(&["R3"], "limits::r3_processes_are_bounded", || {
        let mut attempt =
            Attempt::shell("i=0; while [ $i -lt 500 ]; do sleep 500 & i=$((i+1)); done");
        attempt.plan.limits.processes = 64;
        let finished = attempt.run();
        let errors = finished.text(LogStream::Stderr);
        assert!(errors.contains("annot fork"), "{finished:?}");
        assert_ne!(finished.result.outcome.exit_code, Some(0));
    });
}

#[test]
fn r4_processor_time_is_shared_out() {
    row(&["R4"], "limits::r4_processor_time_is_shared_out", || {
        let mut attempt = Attempt::shell(
            "i=0; while [ $i -lt 64 ]; do (while :; do :; done) & i=$((i+1)); done; wait",
        );
        attempt.plan.limits.cpu = MilliCpu(500);
        attempt.plan.max_runtime = Some(Span::from_secs(4));
        let usage = attempt.run().result.outcome.usage;
        assert!(usage.cpu.as_duration().as_millis() > 0, "{usage:?}");
        if !attempt.has_cgroup() {
            return Verdict::NotHeld("processor time is not limited");
        }
        let (cpu, wall) = (usage.cpu.as_duration(), usage.wall.as_duration());
        // Emulated processors are taken away while the kernel inside counts on.
        let most = if slowness() == 1 { 0.55 } else { 0.8 };
        assert!(cpu <= wall.mul_f64(most), "{usage:?}");
        Verdict::Held
    });
}

#[test]
fn r5_disk_beyond_the_limit_ends_the_job() {
    row(
        &["R5"],
        "limits::r5_disk_beyond_the_limit_ends_the_job",
        || {
            let script =
                "i=0; while [ $i -lt 16 ]; do head -c 1M /dev/zero > /output/$i; i=$((i+1)); done
            exec sleep 500";
            let mut attempt = Attempt::shell(script);
            attempt.plan.limits.disk = Bytes::mib(8);
            let outcome = attempt.run().result.outcome;
            assert_eq!(outcome.reason, EndReason::DiskLimit);
            assert!(outcome.detail.unwrap().contains("8 MiB"));
        },
    );
}

#[test]
fn r5_memory_that_looks_like_a_disk_is_full_for_the_job_alone() {
    row(
        &["R5"],
        "limits::r5_memory_that_looks_like_a_disk_is_full_for_the_job_alone",
        || {
            let mut attempt = Attempt::shell(
                "head -c 64M /dev/zero > /dev/shm/file; wc -c < /dev/shm/file; : > /dev/shm/other",
            );
            for mount in &mut attempt.plan.mounts {
                if let agent_core::sandbox_plan::Content::Scratch { size } = &mut mount.content {
                    *size = Bytes::mib(8);
                }
            }
            let finished = attempt.run();
            let errors = finished.text(LogStream::Stderr);
            assert!(errors.contains("No space left"), "{finished:?}");
            assert_eq!(finished.stdout(), format!("{}\n", 8 << 20), "{finished:?}");
            assert_eq!(finished.result.outcome.reason, EndReason::Exited);
        },
    );
}

#[test]
fn r10_time_runs_out_even_for_who_does_not_listen() {
    row(
        &["R10"],
        "limits::r10_time_runs_out_even_for_who_does_not_listen",
        || {
            let mut attempt = Attempt::shell("trap '' TERM; while :; do sleep 500; done");
            attempt.plan.max_runtime = Some(Span::from_millis(300));
            attempt.plan.grace = Span::from_millis(300);
            let finished = attempt.run();
            let outcome = &finished.result.outcome;
            assert_eq!(
                (outcome.reason, outcome.signal),
                (EndReason::TimeLimit, Some(9))
            );
            let wall = outcome.usage.wall.as_duration().as_millis();
            assert!((600..5_000).contains(&wall), "{wall} ms");
            assert!(
                finished
                    .text(LogStream::System)
                    .contains("the time limit of 300ms was reached")
            );
        },
    );
}

#[test]
fn r13_no_core_is_dumped() {
    row(&["R13"], "limits::r13_no_core_is_dumped", || {
        let finished = Attempt::shell("ulimit -c; ulimit -Hn; kill -SEGV $$").run();
        assert!(finished.stdout().starts_with("0\n"), "{finished:?}");
        assert_eq!(finished.result.outcome.signal, Some(11));
    });
}
