//! Names and answers that lead a proxy astray, tried in a town with a name server of its own, by root.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    thread,
};

use agent_core::sandbox_plan::PROXY_PORT;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

use super::{
    online,
    reach::rules,
    town::{PORT, SERVER, Town, in_a_town},
};
use crate::world::Finished;

const METADATA: &str = "169.254.169.254";
const NEIGHBOUR: &str = "10.0.0.1";
/// What a name comes to, question after question; the last for ever.
const NAMES: [(&str, &[&str]); 4] = [
    ("turning.example", &[SERVER, NEIGHBOUR]),
    ("private.example", &[NEIGHBOUR]),
    ("metadata.example", &[METADATA]),
    ("local.example", &["127.0.0.1"]),
];

#[test]
fn a_name_cannot_turn_private_after_it_was_judged() {
    with_names(|town| {
        let names = ["turning", "turning", "private", "metadata", "local"];
        let script = format!(
            "for name in {}; do
                exec 3<>/dev/tcp/127.0.0.1/{PROXY_PORT}
                printf 'CONNECT %s.example:{PORT} HTTP/1.1\\r\\n\\r\\n' $name >&3
                read -r line <&3; echo $name $line
            done",
            names.join(" ")
        );
        let finished = online(&script, rules()).run();
        let out = finished.stdout();
        let answers: Vec<&str> = out
            .lines()
            .filter_map(|line| line.split(' ').nth(2))
            .collect();
        assert_eq!(answers, ["200", "403", "403", "403", "403"], "{finished:?}");
        // Once, where it was judged to be: neither its second address nor any other.
        assert_eq!(town.around.visited(), [SERVER.parse::<IpAddr>().unwrap()]);
        assert_eq!(town.machine.visited(), [] as [IpAddr; 0]);
    });
}

#[test]
fn a_public_server_sends_nobody_to_a_private_one() {
    with_names(|town| {
        for place in [METADATA, "private.example", "127.0.0.1"] {
            let place = format!("http://{place}:{PORT}/latest/meta-data/");
            let found = format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\n\r\n");
            let script = format!(
                r#"get() {{
                    exec 3<>/dev/tcp/127.0.0.1/{PROXY_PORT}
                    printf 'GET %s HTTP/1.1\r\nHost: somewhere\r\n\r\n' "$1" >&3
                    read -r _ status _ <&3
                }}
                get http://{SERVER}:{PORT}/
                while read -r name place <&3 && [ "$name" != Location: ]; do :; done
                place=${{place%$'\r'}}; get "$place"; echo "$status $place""#
            );
            let finished = thread::scope(|scope| {
                let server = scope.spawn(|| town.around.answer(&found));
                let finished: Finished = online(&script, rules()).run();
                let at = server.join().unwrap();
                assert_eq!(at, SERVER.parse::<IpAddr>().unwrap());
                finished
            });
            // The program does as it was told, through the proxy, and is refused there.
            assert_eq!(finished.stdout(), format!("403 {place}\n"), "{finished:?}");
            assert_eq!(town.around.visited(), [] as [IpAddr; 0]);
            assert_eq!(town.machine.visited(), [] as [IpAddr; 0]);
        }
    });
}

/// Runs `body` in a town whose machine asks our own name server.
fn with_names(body: impl FnOnce(&Town) + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not done: only root can make a network with public addresses");
        return;
    }
    in_a_town(|town| {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
        // Ends with the test's process.
        thread::spawn(move || serve(&server));
        let servers = tempfile::NamedTempFile::new().unwrap();
        fs::write(&servers, "nameserver 127.0.0.1\n").unwrap();
        // Whoever looks up names does so without rights.
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(&servers, all).unwrap();
        own_mounts();
        mount_bind(servers.path(), "/etc/resolv.conf").unwrap();
        body(town);
    });
}

/// Gives this thread mounts of its own.
#[allow(unsafe_code, reason = "namespaces are left one by one")]
fn own_mounts() {
    let mounts = rustix::thread::UnshareFlags::NEWNS;
    // SAFETY: no descriptors are unshared, which is what could hurt.
    unsafe { rustix::thread::unshare_unsafe(mounts) }.unwrap();
    let alone = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", alone).unwrap();
}

/// Answers questions for IPv4 addresses; whatever else is asked has no answer.
fn serve(socket: &UdpSocket) {
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    let mut question = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut question) {
        let question = &question[..length];
        // After the header: labels, each after its length, then two bytes of type and two of class.
        let mut labels = Vec::new();
        let mut at = 12;
        while question[at] > 0 {
            let end = at + 1 + usize::from(question[at]);
            labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
            at = end;
        }
        let end = at + 5;
        let name = labels.join(".");
        let known = NAMES.iter().find(|(known, _)| *known == name);
        let address = known.filter(|_| question[at + 1..end] == [0, 1, 0, 1]);
        let address = address.map(|(_, addresses)| {
            let times = asked.entry(name.clone()).or_default();
            let address = addresses[(*times).min(addresses.len() - 1)];
            *times += 1;
            address.parse::<Ipv4Addr>().unwrap().octets()
        });
        let answers = u8::from(address.is_some());
        let mut answer = [
            &question[..2],
            &[0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0],
            &question[12..end],
        ]
        .concat();
        if let Some(address) = address {
            // The name asked for, an address, of the internet, for no time at all.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            answer.extend(address);
        }
        socket.send_to(&answer, from).unwrap();
    }
}
