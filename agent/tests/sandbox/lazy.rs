//! Lazily mounted datasets: what a job sees of them, who is asked for what, and what happens when nobody answers.

mod dataset;

use std::{
    fs,
    time::{Duration, Instant},
};

use agent::lazy::listen;
use common::{
    status::{EndReason, LogStream},
    time::Span,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::dataset::{Dataset, LONG, Mounted, PLENTY, sha, with_device};
use crate::world::{Attempt, block_on};

#[test]
fn a_job_sees_what_a_cached_tree_would_show() {
    with_device("lazy::a_job_sees_what_a_cached_tree_would_show", |device| {
        let dataset = Dataset::new(300_000, None);
        let script =
            "cd /data; find . | LC_ALL=C sort | od -An -c | tr -d ' \\n' | sha256sum | cut -c1-8
            stat -c '%A %s %Y %u' large a/run small .; readlink a/link; cat a/link
            cat small/?? | wc -l; wc -c < a/empty; cat odd-*; sha256sum < large
            stat nowhere 2>&1 | grep -c 'No such'; stat -f -c %l .";
        let mounted = Mounted::new(&dataset, device, PLENTY, LONG, script);
        let finished = mounted.run(&dataset.depot);
        let told = finished.text(LogStream::System) + &finished.text(LogStream::Stderr);
        let out = finished.stdout();
        let lines: Vec<&str> = out.lines().skip(1).collect();
        let large = format!("{}  -", sha(&dataset.large));
        assert_eq!(
            lines,
            [
                "-r--r--r-- 300000 946684800 65534",
                "-r-xr-xr-x 19 946684800 65534",
                "dr-xr-xr-x 4096 946684800 65534",
                "dr-xr-xr-x 4096 946684800 65534",
                "../small/07",
                "this is number 7",
                "40",
                "0",
                "odd",
                large.as_str(),
                "1",
                "255",
            ],
            "{told}"
        );
        drop(mounted.pinned);
    });
}

#[test]
fn nobody_writes_runs_or_finds_another_way_in() {
    with_device(
        "lazy::nobody_writes_runs_or_finds_another_way_in",
        |device| {
            let dataset = Dataset::new(100, None);
            let script = "cd /data; for f in large new; do (echo x > $f) 2>&1; (exec 3<> $f) 2>&1; done
            mkdir d 2>&1; chmod 777 large 2>&1; rm -f large 2>&1; ln -s x y 2>&1; mv large l 2>&1
            a/run 2>&1; ls /dev/fuse 2>&1; ls /proc/self/fd | wc -l; unshare -rm mount -o remount,rw /data 2>&1
            grep ' /data ' /proc/mounts";
            let mounted = Mounted::new(&dataset, device, PLENTY, LONG, script);
            let out = mounted.run(&dataset.depot).stdout();
            assert_eq!(out.matches("Read-only file system").count(), 9, "{out}");
            assert!(out.contains("a/run: Permission denied"), "{out}");
            assert!(out.contains("/dev/fuse': No such file"), "{out}");
            assert!(out.contains("\n4\n"), "no device is open: {out}");
            let mount = out
                .lines()
                .find(|line| line.starts_with("dataset /data"))
                .unwrap();
            for option in ["ro", "nosuid", "nodev", "noexec"] {
                assert!(mount.contains(option), "{mount}");
            }
        },
    );
}

#[test]
fn a_first_read_asks_once_and_only_for_what_it_needs() {
    with_device(
        "lazy::a_first_read_asks_once_and_only_for_what_it_needs",
        |device| {
            let dataset = Dataset::new(8 << 20, None);
            // In the middle of a file, where nobody can know what will be read next.
            let script =
                "dd if=/data/large bs=4096 skip=1024 count=1 iflag=direct status=none | sha256sum";
            let mounted = Mounted::new(&dataset, device, PLENTY, LONG, script);
            let finished = mounted.run(&dataset.depot);
            let at = 4096 * 1024;
            assert_eq!(
                finished.stdout(),
                format!("{}  -\n", sha(&dataset.large[at..at + 4096]))
            );
            let asked = dataset.asked();
            assert_eq!(asked.len(), 1, "one round: {asked:?}");
            assert_eq!(asked[0].len(), 1, "one chunk: {asked:?}");
        },
    );
}

#[test]
fn who_goes_on_reading_finds_the_rest_there() {
    with_device("lazy::who_goes_on_reading_finds_the_rest_there", |device| {
        let dataset = Dataset::new(16 << 20, None);
        let script = "sha256sum < /data/large; cat /data/small/* | sha256sum > /dev/null";
        let mounted = Mounted::new(&dataset, device, PLENTY, LONG, script);
        let finished = mounted.run(&dataset.depot);
        assert_eq!(finished.stdout(), format!("{}  -\n", sha(&dataset.large)));
        let asked = dataset.asked();
        let all: usize = asked.iter().map(Vec::len).sum();
        assert_eq!(
            all,
            dataset.manifest.chunks().len() - 2,
            "everything but two files, once"
        );
        assert!(
            asked.len() < 60,
            "{} rounds for 16 MiB and 40 files",
            asked.len()
        );
        // A second job asks nobody.
        let again = Mounted {
            attempt: {
                let mut attempt = Attempt::shell(script);
                attempt
                    .plan
                    .mounts
                    .extend(mounted.attempt.plan.mounts.last().cloned());
                attempt
            },
            store: mounted.store.clone(),
            pinned: mounted.store.pin(dataset.manifest.id()).unwrap(),
        };
        let finished = block_on(async {
            let mut supervisor = again.attempt.launch();
            again.attempt.finish(&mut supervisor).await
        });
        assert_eq!(finished.stdout(), format!("{}  -\n", sha(&dataset.large)));
        assert_eq!(dataset.asked().len(), asked.len());
    });
}

#[test]
fn more_is_read_than_fits_and_what_was_damaged_comes_again() {
    with_device(
        "lazy::more_is_read_than_fits_and_what_was_damaged_comes_again",
        |device| {
            let dataset = Dataset::new(48 << 20, None);
            let limit = 20 << 20;
            let mounted = Mounted::new(&dataset, device, limit, LONG, "sha256sum < /data/large");
            let right = format!("{}  -\n", sha(&dataset.large));
            assert_eq!(mounted.run(&dataset.depot).stdout(), right);
            assert!(mounted.store.held().0 <= limit);
            let data = mounted.pinned.folder().join("data");
            let on_disk =
                std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&data).unwrap()) * 512;
            assert!(
                on_disk <= limit + (1 << 20),
                "{on_disk} bytes are on the disk"
            );
            // What is there now is overwritten by something else.
            let file = fs::File::options().write(true).open(&data).unwrap();
            let zeros = vec![9; 48 << 20];
            std::os::unix::fs::FileExt::write_all_at(&file, &zeros, 0).unwrap();
            assert_eq!(
                mounted.run(&dataset.depot).stdout(),
                right,
                "no wrong byte is seen"
            );
        },
    );
}

#[test]
fn reads_wait_for_an_agent_that_comes_back_and_for_no_longer_than_they_may() {
    let test = "lazy::reads_wait_for_an_agent_that_comes_back_and_for_no_longer_than_they_may";
    with_device(test, |device| {
        let dataset = Dataset::new(1 << 20, None);
        let script = "echo begun; sha256sum < /data/large";
        let mounted = Mounted::new(&dataset, device, PLENTY, LONG, script);
        let finished = block_on(async {
            let mut supervisor = mounted.attempt.launch();
            while !matches!(
                supervisor.next().await,
                agent::supervise::SupervisorEvent::Logged { .. }
            ) {}
            let stopping = CancellationToken::new();
            let _end = stopping.clone().drop_guard();
            let (door, store) = (mounted.attempt.path("door"), mounted.store.clone());
            listen(&door, store, dataset.depot.clone(), stopping).unwrap();
            mounted.attempt.finish(&mut supervisor).await
        });
        assert_eq!(
            finished.stdout(),
            format!("begun\n{}  -\n", sha(&dataset.large))
        );

        let nobody = Dataset::new(1 << 20, Some(Semaphore::new(0)));
        let script = "cat /data/large 2>&1; cat /data/small/01 2>&1; ls /data | wc -l";
        let mounted = Mounted::new(&nobody, device, PLENTY, Span::from_secs(1), script);
        let finished = mounted.run(&nobody.depot);
        let out = finished.stdout();
        assert_eq!(out.matches("Input/output error").count(), 2, "{out}");
        assert!(
            out.ends_with("\n5\n"),
            "what is known can still be seen: {out}"
        );
        let told = finished.text(LogStream::System);
        let why = "a file of digits@3 cannot be read: its data did not come within 1 s";
        assert!(told.contains(why), "{told}");
    });
}

#[test]
fn a_job_that_waits_for_data_can_be_ended() {
    with_device("lazy::a_job_that_waits_for_data_can_be_ended", |device| {
        let dataset = Dataset::new(1 << 20, Some(Semaphore::new(0)));
        let script = "for i in 1 2 3 4; do cat /data/large & done; cat /data/small/01 & wait";
        let mut mounted = Mounted::new(&dataset, device, PLENTY, LONG, script);
        mounted.attempt.plan.max_runtime = Some(Span::from_millis(700));
        mounted.attempt.plan.grace = Span::from_millis(300);
        let begun = Instant::now();
        let finished = mounted.run(&dataset.depot);
        assert_eq!(finished.result.outcome.reason, EndReason::TimeLimit);
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    });
}
