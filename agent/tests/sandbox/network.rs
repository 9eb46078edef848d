//! What a job with a network reaches, and what it does not; the names are those of the escape table.

mod names;
mod reach;
mod town;

use std::{fs, net::TcpStream, time::Instant};

use agent::supervise::SupervisorEvent;
use agent_core::sandbox_plan::{NetworkPlan, PROXY_PORT, ProxyRules};
use common::{
    status::{EndReason, LogStream},
    time::Span,
    units::Bytes,
};

use crate::world::{Attempt, block_on, everyone, processes_with, row};

/// What every proxy has in its command line.
const PROXY: &str = "supervise\0--proxy";

/// Returns an attempt with the internet, for a job that finds its proxy by itself.
fn online(script: &str, rules: ProxyRules) -> Attempt {
    let mut attempt = Attempt::of(&["/bin/bash", "-c", script]);
    attempt.plan.network = NetworkPlan::Proxy(rules);
    attempt
}

/// Returns an attempt with a full network, where this machine and user can make one.
fn whole(script: &str, rules: ProxyRules) -> Option<Attempt> {
    let mut attempt = Attempt::of(&["/bin/bash", "-c", script]);
    let device = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    let tools = attempt.host.tools.clone();
    let (Some(slirp4netns), Some(nft), Ok(_)) = (tools.slirp4netns, tools.nft, device) else {
        eprintln!(
            "not done with a full network: slirp4netns, nft or /dev/net/tun are not there for this user"
        );
        return None;
    };
    attempt.plan.network = NetworkPlan::Full {
        slirp4netns,
        nft,
        rules,
    };
    Some(attempt)
}

/// Marks a job's proxy, so that it is told from those of other tests.
fn marked(rules: ProxyRules, marker: u64) -> ProxyRules {
    ProxyRules {
        most_bytes: Some(Bytes(marker)),
        ..rules
    }
}

fn proxies(marker: u64) -> Vec<u32> {
    let mut found = processes_with(&marker.to_string());
    found.retain(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(PROXY)
    });
    found
}

/// A number that no other test's processes have in their command line.
fn marker(number: u64) -> u64 {
    (1 << 50) + number * (1 << 32) + u64::from(std::process::id())
}

#[test]
fn a_job_without_a_network_has_no_proxy() {
    everyone("network::a_job_without_a_network_has_no_proxy", || {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{PROXY_PORT} && echo REACHED");
        let finished = Attempt::of(&["/bin/bash", "-c", &script]).run();
        assert_eq!(finished.stdout(), "");
        assert!(finished.text(LogStream::Stderr).contains("refused"));
    });
}

/// The process that is the proxy has given up what it does not need.
#[test]
fn the_proxy_has_no_rights_and_ends_with_its_job() {
    everyone(
        "network::the_proxy_has_no_rights_and_ends_with_its_job",
        || {
            let marker = marker(1);
            // Whoever answers has been through all that the proxy does first.
            let script = format!(
                "exec 3<>/dev/tcp/127.0.0.1/{PROXY_PORT}; printf 'nonsense\\r\\n\\r\\n' >&3
            head -n 1 <&3; sleep 500"
            );
            let attempt = online(&script, marked(ProxyRules::default(), marker));
            block_on(async {
                let mut supervisor = attempt.launch();
                while !matches!(supervisor.next().await, SupervisorEvent::Logged { .. }) {}
                let found = proxies(marker);
                let [pid] = found.as_slice() else {
                    panic!("{found:?}")
                };
                let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
                let field = |name: &str| {
                    let mut lines = status.lines();
                    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
                    line.unwrap_or_default().to_owned()
                };
                for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                    assert_eq!(field(set), "0000000000000000", "{set}");
                }
                assert_eq!(
                    (field("NoNewPrivs").as_str(), field("Seccomp").as_str()),
                    ("1", "2")
                );
                assert!(
                    !field("Uid").split('\t').any(|uid| uid == "0"),
                    "{}",
                    field("Uid")
                );
                supervisor
                    .stop(EndReason::Cancelled, Span::from_millis(50))
                    .await
                    .unwrap();
                attempt.finish(&mut supervisor).await
            });
            assert_eq!(proxies(marker), Vec::<u32>::new());
        },
    );
}

/// The proxy and the sandbox go with a supervisor that is killed.
#[test]
fn a_killed_supervisor_takes_the_proxy_along() {
    everyone("network::a_killed_supervisor_takes_the_proxy_along", || {
        let marker = marker(2);
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{PROXY_PORT}; printf 'nonsense\\r\\n\\r\\n' >&3
            head -n 1 <&3; sleep 500"
        );
        let attempt = online(&script, marked(ProxyRules::default(), marker));
        block_on(async {
            let mut supervisor = attempt.launch();
            while !matches!(supervisor.next().await, SupervisorEvent::Logged { .. }) {}
            assert_eq!(proxies(marker).len(), 1);
            for pid in processes_with(attempt.folder.path().to_str().unwrap()) {
                let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
            while supervisor.next().await != SupervisorEvent::Died {}
        });
        let begin = Instant::now();
        while !proxies(marker).is_empty() {
            assert!(begin.elapsed().as_secs() < 5, "the proxy lives");
            std::thread::yield_now();
        }
    });
}

/// What is refused is said to the job and in its log.
#[test]
fn n2_the_proxy_refuses_whatever_the_spelling() {
    row(
        &["N2"],
        "network::n2_the_proxy_refuses_whatever_the_spelling",
        || {
            // Somebody's service on this machine, at an address that the job must not get to.
            let service = std::net::TcpListener::bind("[::]:0").unwrap();
            service.set_nonblocking(true).unwrap();
            let port = service.local_addr().unwrap().port();
            let targets = [
                format!("localhost:{port}"),
                format!("127.0.0.1:{port}"),
                format!("2130706433:{port}"),
                format!("0x7f000001:{port}"),
                format!("0177.0.0.1:{port}"),
                format!("127.1:{port}"),
                format!("[::1]:{port}"),
                format!("[::ffff:127.0.0.1]:{port}"),
                format!("0.0.0.0:{port}"),
                "10.0.0.1:80".to_owned(),
                "169.254.169.254:80".to_owned(),
                "8.8.4.4:443".to_owned(),
                "[::ffff:8.8.4.4]:443".to_owned(),
            ];
            let script = format!(
                "for t in {}; do
                exec 3<>/dev/tcp/127.0.0.1/{PROXY_PORT}
                printf 'CONNECT %s HTTP/1.1\\r\\n\\r\\n' $t >&3; read -r line <&3; echo \"$t $line\"
            done",
                targets.join(" ")
            );
            let denied = vec!["8.8.4.4".parse().unwrap()];
            let rules = ProxyRules {
                denied,
                most_bytes: None,
            };
            let finished = online(&script, rules).run();
            let out = finished.stdout();
            assert_eq!(out.lines().count(), targets.len(), "{finished:?}");
            for line in out.lines() {
                assert!(line.contains("HTTP/1.1 403 "), "{out}");
            }
            assert!(service.accept().is_err(), "the service was reached: {out}");
            let said = finished.text(LogStream::System);
            assert!(said.contains("127.0.0.1 is a loopback address"), "{said}");
            assert!(said.lines().count() < targets.len() + 2, "{said}");
        },
    );
}

/// What holds a job's network together cannot be changed from inside.
#[test]
fn n3_a_job_cannot_change_its_network() {
    row(
        &["N3"],
        "network::n3_a_job_cannot_change_its_network",
        || {
            let script = "PATH=/usr/sbin:/usr/bin
            for attempt in 'nft flush ruleset' 'nft list ruleset' 'nft delete table inet job' \
                'ip addr add 192.168.7.7/24 dev lo' 'ip addr add 192.168.7.7/24 dev tap0' \
                'ip route add 10.0.0.0/8 dev lo' 'ip route add default via 10.0.2.2' \
                'ip link set lo name other' 'ip link set tap0 down' 'ip link set lo down' \
                'ip link add d type dummy' 'ip netns add n' 'iptables -F' \
                'unshare -n true' 'unshare -Un true'; do
                $attempt >/dev/null 2>&1 && echo \"WENT THROUGH: $attempt\"
            done; cat /proc/net/dev";
            let attempts = [
                Some(online(script, ProxyRules::default())),
                whole(script, ProxyRules::default()),
            ];
            for attempt in attempts.into_iter().flatten() {
                let out = attempt.run().stdout();
                assert!(!out.contains("WENT THROUGH"), "{out}");
                let full = matches!(attempt.plan.network, NetworkPlan::Full { .. });
                assert_eq!(out.contains("tap0:"), full, "{out}");
                assert!(out.contains("lo:"), "{out}");
            }
        },
    );
}

/// What listens in a job is the job's own.
#[test]
fn n5_what_listens_in_a_job_is_not_seen_outside() {
    row(
        &["N5"],
        "network::n5_what_listens_in_a_job_is_not_seen_outside",
        || {
            let script = "exec perl -MSocket -e '
            socket(my $s, PF_INET, SOCK_STREAM, 0) or die; bind($s, sockaddr_in(0, INADDR_ANY)) or die;
            listen($s, 5) or die; my ($port) = sockaddr_in(getsockname($s));
            socket(my $c, PF_INET, SOCK_STREAM, 0) or die;
            connect($c, sockaddr_in($port, INADDR_LOOPBACK)) or die; $| = 1; print \"$port\\n\"; sleep 500'";
            let attempt = online(script, ProxyRules::default());
            let port = block_on(async {
                let mut supervisor = attempt.launch();
                while !matches!(supervisor.next().await, SupervisorEvent::Logged { .. }) {}
                let log =
                    String::from_utf8_lossy(&fs::read(attempt.path("log")).unwrap()).into_owned();
                let digits = |c: char| c.is_ascii_digit();
                let number = log.split(|c| !digits(c)).rfind(|part| !part.is_empty());
                let port: u16 = number.unwrap().parse().unwrap();
                for address in ["127.0.0.1", "::1"] {
                    assert!(
                        TcpStream::connect((address, port)).is_err(),
                        "{address} {port}"
                    );
                }
                supervisor
                    .stop(EndReason::Cancelled, Span::from_millis(50))
                    .await
                    .unwrap();
                attempt.finish(&mut supervisor).await;
                port
            });
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        },
    );
}

/// However many connections a job makes, and however slowly it speaks: the proxy stays small, and the
/// supervisor does what it is told.
#[test]
fn n6_connections_without_end_and_without_words() {
    row(
        &["N6"],
        "network::n6_connections_without_end_and_without_words",
        || {
            let marker = marker(6);
            let script = format!(
                "exec perl -MSocket -MFcntl -e '
            my (@open, $made); $| = 1;
            for my $n (1..10000) {{
                socket(my $s, PF_INET, SOCK_STREAM, 0) or last; fcntl($s, F_SETFL, O_NONBLOCK);
                connect($s, sockaddr_in({PROXY_PORT}, INADDR_LOOPBACK)); $made++;
                push @open, $s; if (@open > 2000) {{ close(shift @open) }}
                syswrite($s, $n % 2 ? \"C\" : \"GET http://\" . \"a\" x 5000);
            }}
            print \"$made\\n\"; for my $s (@open) {{ syswrite($s, \"x\") }} sleep 500'"
            );
            let attempt = online(&script, marked(ProxyRules::default(), marker));
            block_on(async {
                let mut supervisor = attempt.launch();
                while !matches!(supervisor.next().await, SupervisorEvent::Logged { .. }) {}
                let found = proxies(marker);
                let status = fs::read_to_string(format!("/proc/{}/status", found[0])).unwrap();
                let mut lines = status.lines();
                let peak = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
                let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
                assert!(peak < 64 << 10, "the proxy took {peak} KiB");
                let open = fs::read_dir(format!("/proc/{}/fd", found[0]))
                    .unwrap()
                    .count();
                assert!(open < 600, "{open} descriptors");
                let asked = Instant::now();
                supervisor
                    .stop(EndReason::Cancelled, Span::from_millis(50))
                    .await
                    .unwrap();
                let finished = attempt.finish(&mut supervisor).await;
                assert_eq!(finished.stdout(), "10000\n");
                assert!(asked.elapsed().as_secs() < 3, "{:?}", asked.elapsed());
            });
            assert_eq!(proxies(marker), Vec::<u32>::new());
        },
    );
}
