//! Programs where there should be none, and the ones that hold the sandbox together: F8, F13, F18, F23, R11.
//!
//! What a shell cannot do is done in Perl, whose small core every Debian has; each script says a last word, so
//! that one that never ran is noticed.

use std::{fs, os::unix::fs::PermissionsExt as _};

use common::status::LogStream;

use crate::world::{Attempt, program, row};

/// Number of `memfd_create` and `ioprio_set`, `sched_setscheduler`, in this order.
#[cfg(target_arch = "x86_64")]
const CALLS: [u32; 3] = [319, 251, 144];
#[cfg(target_arch = "aarch64")]
const CALLS: [u32; 3] = [279, 30, 119];

#[test]
fn f8_nothing_of_a_dataset_can_be_run() {
    row(
        &["F8"],
        "programs::f8_nothing_of_a_dataset_can_be_run",
        || {
            let dataset = tempfile::Builder::new()
                .permissions(fs::Permissions::from_mode(0o755))
                .tempdir()
                .unwrap();
            fs::copy("/usr/bin/cat", dataset.path().join("program")).unwrap();
            let [memfd, ..] = CALLS;
            let script = format!(
                r#"/data/program /etc/hostname && echo RAN
            for loader in /lib64/ld-linux* /lib/ld-linux*; do
                test -e "$loader" && "$loader" /data/program /etc/hostname && echo RAN BY LOADER
            done
            perl -e '$^F = 255; my $fd = syscall({memfd}, my $n = "m", 0); open(my $m, "+<&=", $fd) or die;
                open(my $p, "<", "/data/program") or die; local $/; my $b = <$p>;
                syswrite($m, $b); exec "/proc/self/fd/$fd", "/proc/self/status"; die "no exec: $!"'
            echo done"#
            );
            let finished = Attempt::shell(&script).data(dataset.path(), "/data").run();
            let out = finished.stdout();
            assert!(
                out.ends_with("done\n") && !out.contains("RAN"),
                "{finished:?}"
            );
            let errors = finished.text(LogStream::Stderr);
            assert!(errors.contains("Permission denied"), "{errors}");
            assert!(errors.contains("failed to map"), "{errors}");
            // What is in memory runs, as confined as everything else.
            assert!(out.contains("CapEff:\t0000000000000000\n"), "{finished:?}");
            assert!(out.contains("Seccomp:\t2\n"), "{finished:?}");
        },
    );
}

#[test]
fn f13_the_launcher_cannot_be_overwritten() {
    row(
        &["F13"],
        "programs::f13_the_launcher_cannot_be_overwritten",
        || {
            let before = fs::read(program()).unwrap();
            let bwrap = fs::read("/usr/bin/bwrap").unwrap();
            let script = r#"for path in "/proc/$$/exe" /proc/self/exe /proc/1/exe /proc/1/root/check /check \
                /.compute-share/compute-share /.compute-share/libc.so.6; do
                sh -c "echo x >> $path" 2>&1 && echo "WENT THROUGH: $path"
            done; echo done"#;
            let finished = Attempt::shell(script).bind(&program(), "/check").run();
            let out = finished.stdout();
            assert!(out.ends_with("done\n"), "{finished:?}");
            assert!(!out.contains("WENT THROUGH"), "{out}");
            assert!(
                fs::read(program()).unwrap() == before,
                "the program changed"
            );
            assert!(
                fs::read("/usr/bin/bwrap").unwrap() == bwrap,
                "bwrap changed"
            );
        },
    );
}

#[test]
fn f18_cgroups_are_out_of_reach() {
    row(&["F18"], "programs::f18_cgroups_are_out_of_reach", || {
        let script = "cat /proc/self/cgroup; ls /sys/fs/cgroup; mkdir /tmp/c
            for kind in cgroup cgroup2; do mount -t $kind none /tmp/c && echo MOUNTED; done
            unshare -C true && echo UNSHARED
            find / -xdev -name release_agent -o -name cgroup.procs 2>/dev/null; echo done";
        let finished = Attempt::shell(script).run();
        let out = finished.stdout();
        assert!(out.ends_with("done\n"), "{finished:?}");
        let (groups, rest) = out.split_at(out.len() - "done\n".len());
        assert_eq!(rest, "done\n");
        // One's own is the root of what can be seen, so that its place on the host is not told either.
        assert!(groups.lines().all(|line| line.ends_with(":/")), "{out}");
    });
}

#[test]
fn f23_there_is_no_terminal_to_type_into() {
    row(
        &["F23"],
        "programs::f23_there_is_no_terminal_to_type_into",
        || {
            // The seventh field of a process's line is its terminal.
            let script = r#"cut -d' ' -f7 /proc/self/stat
            sh -c 'exec 3</dev/tty' 2>/dev/null && echo TERMINAL
            perl -e 'my $c = "x"; print "TYPED\n" if ioctl(STDOUT, 0x5412, $c); print $!+0, "\n"'"#;
            let finished = Attempt::shell(script).run();
            assert_eq!(finished.stdout(), "0\n1\n", "{finished:?}");
        },
    );
}

#[test]
fn r11_no_job_gets_ahead_of_its_owners_work() {
    row(
        &["R11"],
        "programs::r11_no_job_gets_ahead_of_its_owners_work",
        || {
            let [_, priority, schedule] = CALLS;
            let script = format!(
                r#"perl -e 'print syscall({schedule}, 0, 1, my $p = pack("i", 1)), " ", $!+0, "\n";
                print syscall({priority}, 1, 0, 1 << 13), " ", $!+0, "\n";'
            nice -n -20 true 2>&1 | grep -c 'cannot set niceness'
            ulimit -Hl"#
            );
            let finished = Attempt::shell(&script).run();
            // The last is what may be kept from being swapped out, in KiB.
            assert_eq!(finished.stdout(), "-1 1\n-1 1\n1\n8192\n", "{finished:?}");
        },
    );
}
