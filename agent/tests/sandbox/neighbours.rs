//! Between jobs, and between a job and the owner's own programs: F21, F22, F27, R12.

use std::{
    fs,
    os::linux::net::SocketAddrExt as _,
    os::unix::net::{SocketAddr, UnixListener},
};

use common::{status::EndReason, time::Span};
use rustix::fs::inotify;

use crate::world::{Attempt, Finished, block_on, row};

/// Runs a second job while the first, which has said that it is ready, is still there.
fn beside(first: &Attempt, second: &Attempt) -> Finished {
    block_on(async {
        let mut running = first.launch();
        crate::lifecycle::heard(&mut running).await;
        let mut other = second.launch();
        let finished = second.finish(&mut other).await;
        running
            .stop(EndReason::Cancelled, Span::from_secs(0))
            .await
            .unwrap();
        first.finish(&mut running).await;
        finished
    })
}

#[test]
fn f3_a_dataset_of_one_job_is_nowhere_in_another() {
    row(
        &["F3"],
        "neighbours::f3_a_dataset_of_one_job_is_nowhere_in_another",
        || {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            let dataset = tempfile::Builder::new()
                .permissions(open)
                .tempdir()
                .unwrap();
            fs::write(dataset.path().join("canary-of-the-other"), "").unwrap();
            let first =
                Attempt::shell("ls /data; echo ready; sleep 60").data(dataset.path(), "/data");
            let name = dataset.path().file_name().unwrap().to_str().unwrap();
            let second = Attempt::shell(&format!(
                "ls -d /data {}; grep -c -e /data -e {name} /proc/self/mountinfo; \
                 find / -xdev -name 'canary-of*' 2>/dev/null; ls /proc/*/root/data 2>/dev/null; echo done",
                dataset.path().display()
            ));
            let finished = beside(&first, &second);
            let out: Vec<String> = finished.stdout().lines().map(str::to_owned).collect();
            assert_eq!(
                out.iter().filter(|line| line.contains("canary")).count(),
                0,
                "{out:?}"
            );
            assert!(
                out.ends_with(&["0".to_owned(), "done".to_owned()]),
                "{out:?}"
            );
        },
    );
}

#[test]
fn f21_the_owners_sockets_are_out_of_reach() {
    row(
        &["F21"],
        "neighbours::f21_the_owners_sockets_are_out_of_reach",
        || {
            let name = format!("compute-share-canary-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            let hidden = UnixListener::bind_addr(&address).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("agent.sock");
            let visible = UnixListener::bind(&path).unwrap();
            let script = format!(
                r#"ls -d /run /var/run /tmp/.X11-unix /var/lib 2>/dev/null
            env | grep -E 'DBUS|DISPLAY|WAYLAND|SSH|XDG|DOCKER'
            perl -MSocket -e 'for my $to ("\0{name}", "{}", "/run/dbus/system_bus_socket", "/var/run/docker.sock",
                "\0/tmp/.X11-unix/X0") {{
                socket(S, AF_UNIX, SOCK_STREAM, 0) or die;
                print connect(S, pack_sockaddr_un($to)) ? "REACHED\n" : "refused\n" }}'"#,
                path.display()
            );
            let finished = Attempt::shell(&script).run();
            assert_eq!(finished.stdout(), "refused\n".repeat(5), "{finished:?}");
            for listener in [hidden, visible] {
                listener.set_nonblocking(true).unwrap();
                assert!(listener.accept().is_err());
            }
        },
    );
}

/// Numbers of `mq_open` here.
const MQ_OPEN: u32 = if cfg!(target_arch = "x86_64") {
    240
} else {
    180
};

#[test]
fn f22_shared_memory_and_queues_are_a_jobs_own() {
    row(
        &["F22"],
        "neighbours::f22_shared_memory_and_queues_are_a_jobs_own",
        || {
            let first = Attempt::shell(&format!(
                r#"echo secret > /dev/shm/canary
            perl -e 'defined shmget(4711, 4096, 01666) or die; defined msgget(4711, 01666) or die;
                syscall({MQ_OPEN}, my $n = "canary", 0102, 0666, 0); $| = 1; print "ready\n"; sleep 500'"#
            ));
            let second = Attempt::shell(&format!(
                r#"ls -A /dev/shm
            perl -e 'print defined shmget(4711, 4096, 0666) ? "SEEN\n" : "none\n";
                print defined msgget(4711, 0666) ? "SEEN\n" : "none\n";
                print syscall({MQ_OPEN}, my $n = "canary", 02, 0666, 0) >= 0 ? "SEEN\n" : "none\n"'"#
            ));
            let finished = beside(&first, &second);
            assert_eq!(finished.stdout(), "none\n".repeat(3), "{finished:?}");
        },
    );
}

#[test]
fn f27_every_job_begins_with_nothing() {
    row(
        &["F27"],
        "neighbours::f27_every_job_begins_with_nothing",
        || {
            let first = Attempt::shell(
                "for at in /work /output /tmp /dev/shm; do echo secret > $at/canary; done; echo ready; sleep 500",
            );
            let script = format!(
                "ls -A /work /output /tmp /dev/shm; cat {}/canary /proc/*/root/work/canary",
                first.path("work").display()
            );
            let beside = beside(&first, &Attempt::shell(&script));
            let expect = "/dev/shm:\n\n/output:\n\n/tmp:\n\n/work:\n";
            assert_eq!(beside.stdout(), expect, "{beside:?}");
            // The one before it in the same place, too.
            let after = Attempt::shell(&script).run();
            assert_eq!(after.stdout(), expect, "{after:?}");
            assert_eq!(
                fs::read_to_string(first.path("work/canary")).unwrap(),
                "secret\n"
            );
        },
    );
}

#[test]
fn r12_what_a_user_may_have_is_not_used_up() {
    row(
        &["R12"],
        "neighbours::r12_what_a_user_may_have_is_not_used_up",
        || {
            // Watches, message queues, pipes, each until no more is given. Queues by name are given to no job at all.
            let first = Attempt::shell(&format!(
                r#"perl -e '$| = 1; my $i = 0; $i++ while syscall({INOTIFY_INIT}, 0) >= 0; print "$i\n";
                my $q = 0; $q++ while $q < 1000 && syscall({MQ_OPEN}, my $n = "q$q", 0102, 0666, 0) >= 0;
                my @p; for (1..500) {{ pipe(my $r, my $w) or last; push @p, $r, $w }} print "ready\n"; sleep 500'"#
            ));
            let script = format!(
                r#"perl -e 'print syscall({INOTIFY_INIT}, 0) >= 0 ? "given\n" : "none: $!\n";
                print syscall({MQ_OPEN}, my $n = "mine", 0102, 0666, 0) >= 0 ? "SOME\n" : "no queues\n";
                print pipe(R, W) ? "given\n" : "none\n"'"#
            );
            block_on(async {
                let mut running = first.launch();
                crate::lifecycle::heard(&mut running).await;
                let second = Attempt::shell(&script);
                let mut other = second.launch();
                let finished = second.finish(&mut other).await;
                assert_eq!(
                    finished.stdout(),
                    "given\nno queues\ngiven\n",
                    "{finished:?}"
                );
                // The agent's own user, whom the job is where the agent is no root.
                inotify::init(inotify::CreateFlags::empty()).unwrap();
                std::io::pipe().unwrap();
                running
                    .stop(EndReason::Cancelled, Span::from_secs(0))
                    .await
                    .unwrap();
                let used_up = first.finish(&mut running).await;
                let count: u32 = used_up.stdout().lines().next().unwrap().parse().unwrap();
                assert!((1..=16).contains(&count), "{count}");
            });
        },
    );
}

/// Number of `inotify_init1` here.
const INOTIFY_INIT: u32 = if cfg!(target_arch = "x86_64") {
    294
} else {
    26
};
