//! What a job tries in order to get out; the names are those of the escape table.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
};

use agent::sandbox::probe_with;
use agent_core::sandbox_plan::Backend;
use common::status::{EndReason, IsolationLevel, LogStream};

use crate::world::{Attempt, everyone, program, row};

/// Runs the agent's own trials from inside: F1, F4 to F6, F12, F15, F16, F19, F20, F24, F26, N1, N4.
#[test]
fn every_trial_from_inside_holds() {
    row(
        &[
            "F1", "F4", "F5", "F6", "F12", "F15", "F16", "F17", "F19", "F20", "F24", "F26", "N4",
        ],
        "escapes::every_trial_from_inside_holds",
        || {
            let dataset = tempfile::tempdir().unwrap();
            let attempt = Attempt::of(&["/check", "supervise", "--check"])
                .bind(&program(), "/check")
                .data(dataset.path(), "/dataset");
            let mut attempt = attempt;
            attempt.plan.limits.memory = common::units::Bytes::gib(1);
            let finished = attempt.run();
            let out = finished.stdout();
            let broken: Vec<&str> = out
                .lines()
                .filter(|line| !line.starts_with("held "))
                .collect();
            assert!(broken.is_empty(), "{broken:#?}");
            assert!(out.lines().count() > 70, "{out}");
            assert_eq!(finished.result.outcome.exit_code, Some(0), "{finished:?}");
        },
    );
}

#[test]
fn the_probe_tells_the_level_that_it_saw() {
    everyone("escapes::the_probe_tells_the_level_that_it_saw", || {
        let scratch = tempfile::tempdir().unwrap();
        let attempt = Attempt::shell("true");
        let isolation = probe_with(&program(), scratch.path(), &attempt.host);
        let expect = match (attempt.has_cgroup(), attempt.host.superuser) {
            (true, true) => IsolationLevel::A,
            (true, false) => IsolationLevel::B,
            (false, _) => IsolationLevel::C,
        };
        assert_eq!(isolation.level, expect, "{isolation:?}");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    });
}

#[test]
fn f1_files_of_the_host_are_not_there() {
    row(
        &["F1"],
        "escapes::f1_files_of_the_host_are_not_there",
        || {
            let canary = tempfile::NamedTempFile::new().unwrap();
            fs::write(canary.path(), "secret of the host").unwrap();
            let script = format!(
                "cat {} ; cat /etc/shadow; ls /root /home /var; ls -A / /tmp",
                canary.path().display()
            );
            let attempt = Attempt::shell(&script);
            let finished = attempt.run();
            assert!(!finished.stdout().contains("secret"), "{finished:?}");
            let expect =
                "/:\nbin\ndev\netc\nlib\nlib64\noutput\nproc\nsbin\ntmp\nusr\nwork\n\n/tmp:\n";
            if cfg!(target_arch = "x86_64") && !fs::exists("/lib32").unwrap() {
                // Bubblewrap runs our own program inside, which stays in sight.
                let ours = match attempt.plan.backend {
                    Backend::Bubblewrap { .. } => ".compute-share\n",
                    _ => "",
                };
                let out = finished.stdout().replacen(ours, "", 1);
                assert_eq!(out, expect);
            }
        },
    );
}

#[test]
fn f3_a_dataset_cannot_be_changed() {
    row(
        &["F3", "F4", "F5"],
        "escapes::f3_a_dataset_cannot_be_changed",
        || {
            let dataset = tempfile::Builder::new()
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .tempdir()
                .unwrap();
            let file = dataset.path().join("table");
            fs::write(&file, "1 2 3\n").unwrap();
            let before = fs::metadata(&file).unwrap();
            let script = "cat /data/table
            for attempt in 'echo 4 > /data/table' 'echo 4 >> /data/table' 'echo > /data/new' \
                'rm /data/table' 'mv /data/table /data/other' 'chmod 777 /data/table' \
                'touch /data/table' 'ln /data/table /data/link' 'truncate -s 0 /data/table' \
                'mount -o remount,rw /data' 'mount -o remount,bind,rw /data' 'umount /data' \
                'umount -l /data' 'mount --bind /work /data' 'mount -t tmpfs none /data'; do
                sh -c \"$attempt\" 2>&1 && echo \"WENT THROUGH: $attempt\"
            done; cat /data/table";
            let finished = Attempt::shell(script).data(dataset.path(), "/data").run();
            let out = finished.stdout();
            assert!(!out.contains("WENT THROUGH"), "{out}");
            assert!(
                out.starts_with("1 2 3\n") && out.ends_with("1 2 3\n"),
                "{out}"
            );
            assert!(out.contains("Read-only file system"), "{out}");
            let after = fs::metadata(&file).unwrap();
            assert_eq!(
                (after.mtime_nsec(), after.ctime_nsec(), after.mode()),
                (before.mtime_nsec(), before.ctime_nsec(), before.mode())
            );
        },
    );
}

/// Equal files of two versions are one file: who has one of them mounted must not reach the other through it.
#[test]
fn f3_the_mount_itself_is_read_only_also_of_a_file_that_two_datasets_have() {
    row(
        &["F3", "F4"],
        "escapes::f3_the_mount_itself_is_read_only_also_of_a_file_that_two_datasets_have",
        || {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            let cache = tempfile::Builder::new()
                .permissions(open)
                .tempdir()
                .unwrap();
            let (one, two) = (cache.path().join("one"), cache.path().join("two"));
            fs::create_dir(&one).unwrap();
            fs::create_dir(&two).unwrap();
            fs::write(one.join("table"), "1 2 3\n").unwrap();
            // As open as can be: only the mount is in the way.
            fs::set_permissions(one.join("table"), fs::Permissions::from_mode(0o666)).unwrap();
            fs::hard_link(one.join("table"), two.join("table")).unwrap();
            let before = fs::metadata(two.join("table")).unwrap();
            let script = r#"grep -E " /(one|two) " /proc/self/mountinfo | cut -d' ' -f5,6
            perl -MFcntl -e 'for my $at ("/one/table", "/two/table") {
                open(my $read, "<", $at) or die;
                for my $to ($at, "/proc/self/fd/" . fileno($read)) { for my $how (O_RDWR, O_WRONLY, O_RDONLY|O_TRUNC) {
                    print sysopen(my $file, $to, $how) ? "OPENED $to\n" : $! + 0, "\n" } } }'
            for attempt in 'mount -o remount,rw /one' 'mount -o remount,bind,rw /one' \
                'unshare -Ur mount -o remount,bind,rw /one' 'unshare -Urm mount -o remount,bind,rw /one' \
                'unshare -Urm mount --bind /work /one' 'nsenter -t 1 -m mount -o remount,bind,rw /one'; do
                sh -c "$attempt" >/dev/null 2>&1 && echo "WENT THROUGH: $attempt"
            done; cat /one/table"#;
            let attempt = Attempt::shell(script).data(&one, "/one").data(&two, "/two");
            let finished = attempt.run();
            let out = finished.stdout();
            let mut lines = out.lines();
            for at in ["/one", "/two"] {
                let mount = lines.next().unwrap_or_default();
                assert!(mount.starts_with(&format!("{at} ro,")), "{out}");
                for flag in ["nosuid", "nodev", "noexec"] {
                    assert!(mount.contains(flag), "{flag}: {out}");
                }
            }
            let rest: Vec<&str> = lines.collect();
            let read_only = rustix::io::Errno::ROFS.raw_os_error().to_string();
            assert_eq!(rest[..12], vec![read_only.as_str(); 12], "{out}");
            assert_eq!(rest[12..], ["1 2 3"], "{out}");
            let after = fs::metadata(two.join("table")).unwrap();
            assert_eq!(
                (after.mtime_nsec(), after.ctime_nsec(), after.len()),
                (before.mtime_nsec(), before.ctime_nsec(), before.len())
            );
        },
    );
}

#[test]
fn f12_only_the_three_streams_are_open() {
    row(
        &["F12"],
        "escapes::f12_only_the_three_streams_are_open",
        || {
            // The fourth is the folder that is being listed.
            let finished = Attempt::of(&["/bin/ls", "/proc/self/fd"]).run();
            assert_eq!(finished.stdout(), "0\n1\n2\n3\n");
            let finished = Attempt::of(&["/bin/pwd"]).run();
            assert_eq!(finished.stdout(), "/work\n");
        },
    );
}

#[test]
fn f28_the_environment_is_exactly_the_plans() {
    row(
        &["F28"],
        "escapes::f28_the_environment_is_exactly_the_plans",
        || {
            let attempt = Attempt::of(&["/usr/bin/env"]);
            let mut lines: Vec<String> =
                attempt.run().stdout().lines().map(str::to_owned).collect();
            lines.sort();
            let pairs = attempt.plan.env.iter();
            let expect: Vec<String> = pairs
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            assert_eq!(lines, expect);
            assert!(lines.contains(&"ASKED=yes".to_owned()));
        },
    );
}

#[test]
fn g1_only_the_usual_devices_are_there() {
    row(
        &["G1"],
        "escapes::g1_only_the_usual_devices_are_there",
        || {
            let finished =
                Attempt::shell("ls /dev; echo x > /dev/null; head -c 4 /dev/zero | wc -c").run();
            let expect =
                "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\nurandom\nzero\n4\n";
            assert_eq!(finished.stdout(), expect);
            assert_eq!(finished.text(LogStream::Stderr), "");
        },
    );
}

#[test]
fn f7_set_user_id_programs_gain_nothing() {
    row(
        &["F7"],
        "escapes::f7_set_user_id_programs_gain_nothing",
        || {
            let script = "cp /usr/bin/id /work/id; chmod 6755 /work/id; /work/id -u; /work/id -ru";
            let finished = Attempt::shell(script).run();
            let out = finished.stdout();
            assert_eq!(out, "1000\n1000\n");
            assert_eq!(finished.result.outcome.reason, EndReason::Exited);
        },
    );
}

/// Plants secrets where a careless sandbox would show them, and looks for them from inside: in every file that
/// can be opened, in every process's memory of its start.
#[test]
fn f2_no_secret_of_the_host_is_within_reach() {
    row(
        &["F2"],
        "escapes::f2_no_secret_of_the_host_is_within_reach",
        || {
            let token = format!("canary{}x{}", std::process::id(), "7f3a");
            let outside = tempfile::tempdir().unwrap();
            fs::write(outside.path().join("file"), &token).unwrap();
            let shared = Path::new("/dev/shm").join(&token);
            fs::write(&shared, &token).unwrap();
            let mut keeper = Command::new("sleep");
            let mut process = keeper
                .arg("500")
                .env("SECRET", &token)
                .current_dir(outside.path())
                .stdin(fs::File::open(outside.path().join("file")).unwrap())
                .spawn()
                .unwrap();
            let attempt = Attempt::shell(
                "for p in /proc/[0-9]*; do
                for f in environ cmdline maps mem fd/0 fd/1 fd/2 fd/3 fd/4 fd/5; do
                    timeout 0.3 head -c 1000000 $p/$f < /dev/null 2>&1 | tr '\\0' '\\n'
                done
                ls -laR $p/root/root $p/root/home $p/root/var $p/root/run 2>&1
                ls -la $p/root $p/cwd $p/cwd/.. 2>&1
                ls -la $p/fd $p/exe 2>&1
            done | grep -a 'canary'
            find / -xdev \\( -path /usr -o -path /proc \\) -prune -o -name '*canary*' -print 2>&1
            grep -rsa canary /dev/shm /tmp /work /output /etc; echo looked",
            );
            // Beside the job's own folder, too, which is mounted from there.
            fs::write(attempt.path("neighbour"), &token).unwrap();
            let finished = attempt.run();
            process.kill().unwrap();
            process.wait().unwrap();
            fs::remove_file(&shared).unwrap();
            // The script names what it looks for, but not the token.
            let out = finished.stdout();
            assert!(out.ends_with("looked\n"), "{finished:?}");
            assert!(!out.contains(&token), "{out}");
        },
    );
}

/// A program of nothing but a header and these instructions.
#[cfg(target_arch = "x86_64")]
fn smallest_program(instructions: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let length = HEADERS + instructions.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for field in [BASE + HEADERS, 64, 0] {
        file.extend(field.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for field in [0, BASE, BASE, length, length, 0x1000] {
        file.extend(field.to_le_bytes());
    }
    file.extend(instructions);
    file
}

#[cfg(target_arch = "x86_64")]
#[test]
fn f25_calls_of_another_architecture_end_the_process() {
    row(
        &["F25"],
        "escapes::f25_calls_of_another_architecture_end_the_process",
        || {
            // exit(0), so that whatever came before it did no harm.
            let exit = [0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
            let getpid = [0xb8, 39, 0, 0, 0, 0x0f, 0x05];
            let old = [0xb8, 20, 0, 0, 0, 0xcd, 0x80];
            let x32 = [0xb8, 39, 0, 0, 0x40, 0x0f, 0x05];
            for (calls, killed) in [(getpid, false), (old, true), (x32, true)] {
                let attempt = Attempt::of(&["./program"]);
                let path = attempt.path("work/program");
                fs::write(&path, smallest_program(&[&calls[..], &exit[..]].concat())).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
                let outcome = attempt.run().result.outcome;
                let expect = killed.then(|| rustix::process::Signal::SYS.as_raw());
                assert_eq!(outcome.signal, expect, "{calls:x?}: {outcome:?}");
            }
        },
    );
}
