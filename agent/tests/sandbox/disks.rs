//! Attempts with a disk of their own, which only root can give them.

use agent::{
    scratch::Disks,
    supervise::{Given, Supervisor},
};
use agent_core::sandbox_plan::{Content, DiskBound};
use common::{
    status::{EndReason, LogStream},
    units::Bytes,
};

use crate::world::{Attempt, Finished, Verdict, block_on, everyone, program, row};

/// What holds instead, where the agent is not root.
const COUNTED: Verdict =
    Verdict::NotHeld("disk use is counted every second, and the job ended when it is too much");

/// Returns disks; `None` where the agent is not root.
fn disks(attempt: &Attempt) -> Option<Disks> {
    attempt
        .host
        .superuser
        .then(|| Disks::open(&attempt.path("scratch")).unwrap())
}

/// Runs an attempt on a disk of its own, of the size in its plan.
fn run_on(attempt: &mut Attempt, disks: &Disks) -> Finished {
    let disk = disks.take(attempt.plan.limits.disk).unwrap();
    attempt.plan.disk = DiskBound::Own;
    let place = attempt.path("disk");
    std::fs::create_dir_all(&place).unwrap();
    for name in ["work", "output"] {
        std::fs::create_dir(disk.path().join(name)).unwrap();
    }
    for mount in &mut attempt.plan.mounts {
        if let Content::Bind { source, .. } = &mut mount.content
            && ["/work", "/output"].contains(&mount.target.as_str())
        {
            *source = place.join(&mount.target[1..]);
        }
    }
    let mounted = disk.mount_again().unwrap();
    let finished = block_on(async {
        let program = program();
        let mut supervisor = Supervisor::launch_given(
            Some(&program),
            attempt.folder.path(),
            &attempt.plan,
            Given {
                disk: Some(mounted),
                network: None,
                secrets: None,
            },
        )
        .unwrap();
        attempt.finish(&mut supervisor).await
    });
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(attempt.folder.path().to_str().unwrap()),
        "others see the disk"
    );
    disks.give_back(disk);
    finished
}

#[test]
fn r5_a_full_disk_is_told_to_the_job_and_to_nobody_else() {
    row(
        &["R5"],
        "disks::r5_a_full_disk_is_told_to_the_job_and_to_nobody_else",
        || {
            let script = "i=0; while head -c 1M /dev/zero > /output/$i; do i=$((i+1)); done
        echo $i; rm /output/0 && echo more > /work/more && echo went on; exit 3";
            let mut attempt = Attempt::shell(script);
            let Some(disks) = disks(&attempt) else {
                return COUNTED;
            };
            attempt.plan.limits.disk = Bytes::mib(8);
            let finished = run_on(&mut attempt, &disks);
            let errors = finished.text(LogStream::Stderr);
            assert!(errors.contains("No space left"), "{finished:?}");
            // What other files share the disk with takes a little.
            assert_eq!(finished.stdout(), "8\nwent on\n");
            let outcome = &finished.result.outcome;
            assert_eq!(outcome.reason, EndReason::Exited);
            let peak = outcome.usage.peak_disk.unwrap();
            assert!((7 << 20..9 << 20).contains(&peak.0), "{peak:?}");
            Verdict::Held
        },
    );
}

#[test]
fn r5_what_failed_on_a_full_disk_says_so() {
    everyone("disks::r5_what_failed_on_a_full_disk_says_so", || {
        let mut attempt = Attempt::shell("cat /dev/zero > /work/all");
        let Some(disks) = disks(&attempt) else { return };
        attempt.plan.limits.disk = Bytes::mib(4);
        let outcome = run_on(&mut attempt, &disks).result.outcome;
        assert_eq!(outcome.exit_code, Some(1));
        assert_eq!(outcome.detail.unwrap(), "its disk of 4 MiB is full");
    });
}

#[test]
fn r5_files_run_out_as_well() {
    row(&["R5"], "disks::r5_files_run_out_as_well", || {
        let script =
            "i=0; while [ $i -lt 5000 ] && : > /work/$i; do i=$((i+1)); done 2>&1; echo $i";
        let mut attempt = Attempt::shell(script);
        let Some(disks) = disks(&attempt) else {
            return COUNTED;
        };
        attempt.plan.limits.disk = Bytes::mib(1);
        let finished = run_on(&mut attempt, &disks);
        assert!(finished.stdout().contains("No space left"), "{finished:?}");
        Verdict::Held
    });
}

#[test]
fn f27_the_next_one_on_a_disk_finds_nothing() {
    everyone("disks::f27_the_next_one_on_a_disk_finds_nothing", || {
        let mut first =
            Attempt::shell("echo secret | tee /work/a /output/b; mkdir -m 0 /work/closed");
        let Some(disks) = disks(&first) else { return };
        run_on(&mut first, &disks);
        let mut second =
            Attempt::shell("find /work /output | sort; cat /work/* /output/* 2>/dev/null");
        let finished = run_on(&mut second, &disks);
        assert_eq!(finished.stdout(), "/output\n/work\n", "{finished:?}");
    });
}

#[test]
fn a_small_memory_does_not_stand_in_the_way_of_a_large_file() {
    everyone(
        "disks::a_small_memory_does_not_stand_in_the_way_of_a_large_file",
        || {
            let mut attempt =
                Attempt::shell("head -c 200M /dev/zero > /work/all && wc -c < /work/all");
            let Some(disks) = disks(&attempt) else { return };
            attempt.plan.limits.memory = Bytes::mib(48);
            attempt.plan.limits.disk = Bytes::mib(256);
            let finished = run_on(&mut attempt, &disks);
            assert_eq!(finished.stdout(), "209715200\n", "{finished:?}");
        },
    );
}
