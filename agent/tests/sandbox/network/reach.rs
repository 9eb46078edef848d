//! Whom a job reaches, tried in a town (see `town`) by root, and on the machine as it is by everybody.

use std::net::{IpAddr, TcpListener};

use agent_core::sandbox_plan::{PROXY_PORT, ProxyRules};
use common::{status::LogStream, units::Bytes};
use rustix::{
    mount::{MountPropagationFlags, mount_change},
    thread::UnshareFlags,
};

use super::{
    online,
    town::{COORDINATOR, MACHINE, NEIGHBOURS, PORT, SERVER, in_a_town},
    whole,
};
use crate::world::{Finished, everyone, row};

/// Addresses at which nobody can be, or only the machine itself.
const SELF: [&str; 11] = [
    "127.0.0.1",
    "127.0.0.2",
    "0.0.0.0",
    "10.9.0.2",
    MACHINE,
    "::1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "fe80::1",
    "224.0.0.1",
    "255.255.255.255",
];

/// Returns what tries every address straight, by TCP and UDP, all at once, and says which answered.
fn straight(addresses: &[&str], port: u16) -> String {
    let list = addresses.join(" ");
    format!(
        "perl -MSocket=:all -MFcntl -e '
        for my $a (@ARGV) {{
            my $d = $a =~ /:/ ? AF_INET6 : AF_INET; my $ip = inet_pton($d, $a) or die $a;
            my $to = $a =~ /:/ ? pack_sockaddr_in6({port}, $ip) : pack_sockaddr_in({port}, $ip);
            socket(my $u, $d, SOCK_DGRAM, 0) or die; setsockopt($u, SOL_SOCKET, SO_BROADCAST, 1);
            send($u, \"x\", 0, $to);
            socket(my $s, $d, SOCK_STREAM, 0) or die; fcntl($s, F_SETFL, O_NONBLOCK);
            connect($s, $to); push @all, [$a, $s];
        }}
        select(undef, undef, undef, 1.5);
        for (@all) {{ print \"DIRECT $_->[0]\\n\" if getpeername($_->[1]) }}
        print scalar(@all), \" tried\\n\"' {list}\n"
    )
}

/// Returns what asks the proxy for every address, and says what it answered.
fn by_proxy(addresses: &[&str], port: u16) -> String {
    let list = addresses.join(" ");
    format!(
        "for a in {list}; do
            case $a in *:*) t=[$a]:{port};; *) t=$a:{port};; esac
            exec 3<>/dev/tcp/127.0.0.1/{PROXY_PORT}
            printf 'CONNECT %s HTTP/1.1\\r\\n\\r\\n' $t >&3; read -r line <&3; echo \"$a $line\"
        done"
    )
}

/// Returns what does both, one after the other.
fn tries(addresses: &[&str], port: u16) -> String {
    straight(addresses, port) + &by_proxy(addresses, port)
}

#[track_caller]
fn all_refused(finished: &Finished, addresses: usize) {
    let out = finished.stdout();
    let refused = out.lines().filter(|line| line.contains("HTTP/1.1 403 "));
    assert_eq!(refused.count(), addresses, "{out}");
    assert!(
        out.starts_with(&format!("{addresses} tried\n")),
        "{finished:?}"
    );
}

pub(super) fn rules() -> ProxyRules {
    ProxyRules {
        denied: vec![COORDINATOR.parse().unwrap()],
        most_bytes: None,
    }
}

#[test]
fn n1_nobody_is_reached_whom_the_machine_reaches() {
    row(
        &["N1"],
        "network::reach::n1_nobody_is_reached_whom_the_machine_reaches",
        || {
            // What is on this machine, whoever runs it.
            let service = TcpListener::bind("[::]:0").unwrap();
            service.set_nonblocking(true).unwrap();
            let port = service.local_addr().unwrap().port();
            let finished = online(&tries(&SELF[..8], port), rules()).run();
            let out = finished.stdout();
            assert!(!out.contains("DIRECT") && !out.contains(" 200 "), "{out}");
            assert!(service.accept().is_err(), "{out}");
            if !rustix::process::geteuid().is_root() {
                return;
            }
            let way = crate::matrix::way();
            in_a_town(move |town| {
                crate::matrix::on_this_thread(way);
                let addresses: Vec<&str> = [NEIGHBOURS.as_slice(), &SELF, &[COORDINATOR]].concat();
                let finished = online(&tries(&addresses, PORT), rules()).run();
                all_refused(&finished, addresses.len());
                assert_eq!(town.around.visited(), [] as [IpAddr; 0]);
                assert_eq!(town.machine.visited(), [] as [IpAddr; 0]);
            });
        },
    );
}

/// The same without a proxy: whatever a job with a full network sends, nobody but the public hears.
#[test]
fn n1_a_full_network_ends_at_the_same_addresses() {
    everyone(
        "network::reach::n1_a_full_network_ends_at_the_same_addresses",
        || {
            if !rustix::process::geteuid().is_root() || whole("true", rules()).is_none() {
                eprintln!("not done: it takes root, slirp4netns, nft and /dev/net/tun");
                return;
            }
            let way = crate::matrix::way();
            in_a_town(move |town| {
                crate::matrix::on_this_thread(way);
                // By themselves 10.0.2.2 and 10.0.2.3 are the machine's loopback and its name servers.
                let special = [
                    "10.0.2.2",
                    "10.0.2.3",
                    "10.9.0.2",
                    MACHINE,
                    "::ffff:10.0.0.1",
                    "fe80::1",
                    "224.0.0.1",
                    "255.255.255.255",
                ];
                let addresses: Vec<&str> =
                    [NEIGHBOURS.as_slice(), &special, &[COORDINATOR]].concat();
                let script = straight(&addresses, PORT)
                    + &format!(
                        "exec 3<>/dev/tcp/{SERVER}/{PORT} && echo out
                        head -c 1000 /dev/zero >&3; echo x > /dev/udp/{SERVER}/{PORT}; sleep 0.2"
                    );
                let finished = whole(&script, rules()).unwrap().run();
                let out = finished.stdout();
                let expect = format!("{} tried\nout\n", addresses.len());
                assert_eq!(out, expect, "{finished:?}");
                let (server, datagram) = (SERVER.parse().unwrap(), IpAddr::from([0; 4]));
                assert_eq!(town.around.visited(), [server, datagram]);
                assert_eq!(town.machine.visited(), [] as [IpAddr; 0]);
                let usage = finished.result.outcome.usage;
                assert!((1_000..20_000).contains(&usage.sent.0), "{usage:?}");
            });
        },
    );
}

/// The other half: a job does get out, in each of the three ways, and what it moved is counted.
#[test]
fn a_public_server_is_reached_through_the_proxy() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not done: only root can make a network with public addresses");
        return;
    }
    in_a_town(|town| {
        let script = format!(
            "try() {{ exec 3<>/dev/tcp/127.0.0.1/{PROXY_PORT}; printf \"$1\" >&3; head -c $2 <&3; }}
            try 'CONNECT {SERVER}:{PORT} HTTP/1.1\\r\\n\\r\\n' 12; echo
            try '\\x05\\x01\\x00\\x05\\x01\\x00\\x01\\x5d\\xb8\\xd7\\x0e\\x1f\\xa3' 4 | od -An -tx1
            exec 3<>/dev/tcp/127.0.0.1/{PROXY_PORT}
            printf 'GET http://{SERVER}:{PORT}/ HTTP/1.1\\r\\n\\r\\n' >&3; sleep 1"
        );
        let finished = online(&script, rules()).run();
        assert_eq!(
            finished.stdout(),
            "HTTP/1.1 200\n 05 00 05 00\n",
            "{finished:?}"
        );
        let server: IpAddr = SERVER.parse().unwrap();
        assert_eq!(town.around.visited(), [server; 3]);
        let usage = finished.result.outcome.usage;
        assert!((20..200).contains(&usage.sent.0), "{usage:?}");
        assert_eq!(usage.received, Bytes::ZERO);
        assert_eq!(finished.text(LogStream::System), "");
    });
}

/// What makes a full network unmounts a lot for itself. Under systemd mounts are shared with whoever was started from
/// them, so the machine could lose the same; elsewhere they are made so here.
#[test]
fn a_full_network_takes_no_mounts_from_the_machine() {
    everyone(
        "network::reach::a_full_network_takes_no_mounts_from_the_machine",
        || {
            if !rustix::process::geteuid().is_root() || whole("true", rules()).is_none() {
                eprintln!("not done: it takes root, slirp4netns, nft and /dev/net/tun");
                return;
            }
            let way = crate::matrix::way();
            std::thread::spawn(move || {
                crate::matrix::on_this_thread(way);
                share_mounts();
                let mounts = || std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
                let before = mounts();
                let finished = whole("echo ran", rules()).unwrap().run();
                assert_eq!(finished.stdout(), "ran\n", "{finished:?}");
                assert_eq!(mounts(), before);
            })
            .join()
            .unwrap();
        },
    );
}

/// Gives this thread mounts of its own, which are shared with all that it starts.
#[allow(unsafe_code, reason = "namespaces are left one by one")]
fn share_mounts() {
    // SAFETY: no descriptors are unshared, which is what could hurt.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.unwrap();
    for propagation in [
        MountPropagationFlags::PRIVATE,
        MountPropagationFlags::SHARED,
    ] {
        mount_change("/", propagation | MountPropagationFlags::REC).unwrap();
    }
}
