//! A network to try things in: the machine in one network namespace, everything around it in another, joined by a
//! cable. Needs root. Nothing of it is seen outside, and it is gone with the threads that live in it.
//!
//! Around the machine there is a gateway in a private network, a server at a public address, and somebody at every
//! address that a job must not reach.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::world::patience;

/// Where everybody in the town listens.
pub(super) const PORT: u16 = 8099;
/// The public server, and the machine's own public address.
pub(super) const SERVER: &str = "93.184.215.14";
pub(super) const MACHINE: &str = "198.0.0.7";
/// Another public address: the coordinator's.
pub(super) const COORDINATOR: &str = "198.0.0.9";

/// Private and other special addresses at which somebody is.
pub(super) const NEIGHBOURS: [&str; 14] = [
    "10.9.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "198.18.0.1",
    "192.0.2.1",
    "203.0.113.1",
    "192.88.99.1",
    "240.0.0.1",
    "fd00::1",
    "2001:db8::1",
];

/// Somebody who listens at every address of a namespace and counts who comes.
pub(super) struct Canary {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Canary {
    /// Returns one in the namespace of this thread.
    fn here() -> io::Result<Self> {
        let tcp = TcpListener::bind(("::", PORT))?;
        tcp.set_nonblocking(true)?;
        let udp = UdpSocket::bind(("::", PORT))?;
        udp.set_nonblocking(true)?;
        Ok(Self { tcp, udp })
    }

    /// Answers the next who comes, and returns at which address it was.
    pub(super) fn answer(&self, text: &str) -> IpAddr {
        let mut waiting = [PollFd::new(&self.tcp, PollFlags::IN)];
        let most = Timespec::try_from(patience()).unwrap();
        assert_eq!(poll(&mut waiting, Some(&most)), Ok(1), "nobody came");
        let (mut stream, _) = self.tcp.accept().unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).unwrap() > 0);
        stream.write_all(text.as_bytes()).unwrap();
        stream.local_addr().unwrap().ip().to_canonical()
    }

    /// Returns at which addresses somebody came since the last time.
    pub(super) fn visited(&self) -> Vec<IpAddr> {
        let mut at = Vec::new();
        while let Ok((stream, _)) = self.tcp.accept() {
            at.push(stream.local_addr().unwrap().ip().to_canonical());
        }
        let mut datagram = [0; 64];
        while self.udp.recv_from(&mut datagram).is_ok() {
            at.push(IpAddr::from([0; 4]));
        }
        at
    }
}

/// The town, seen from the machine. The machine's thread is the one that made it.
pub(super) struct Town {
    /// On the machine itself, and everywhere around it.
    pub(super) machine: Canary,
    pub(super) around: Canary,
}

/// Runs `body` on the machine of a town of its own.
pub(super) fn in_a_town<T: Send + 'static>(body: impl FnOnce(&Town) -> T + Send + 'static) -> T {
    thread::spawn(move || {
        let town = build().unwrap();
        body(&town)
    })
    .join()
    .unwrap()
}

fn build() -> io::Result<Town> {
    new_namespace()?;
    let (made, maker) = mpsc::channel();
    let (cable, laid) = mpsc::channel::<()>();
    thread::spawn(move || {
        let around = new_namespace().and_then(|()| {
            made.send(Err(rustix::thread::gettid()))
                .map_err(io::Error::other)?;
            laid.recv().map_err(io::Error::other)?;
            ip("link set lo up")?;
            ip("addr add 10.9.0.1/24 dev cable1")?;
            ip("addr add fd09::1/64 dev cable1 nodad")?;
            ip("link set cable1 up")?;
            for address in NEIGHBOURS.iter().chain(&[SERVER, COORDINATOR]) {
                // The gateway is there already.
                let _ = ip(&format!("addr add {address} dev lo"));
            }
            Canary::here()
        });
        // Sockets keep the namespace; the thread is not needed any more.
        let _ = made.send(Ok(around));
    });
    let gone = || io::Error::other("the town's other thread ended");
    let Ok(Err(around)) = maker.recv() else {
        return Err(gone());
    };
    ip("link set lo up")?;
    ip(&format!(
        "link add cable0 type veth peer name cable1 netns {}",
        around.as_raw_nonzero()
    ))?;
    cable.send(()).map_err(io::Error::other)?;
    let Ok(Ok(around)) = maker.recv() else {
        return Err(gone());
    };
    let around = around?;
    ip("addr add 10.9.0.2/24 dev cable0")?;
    ip("addr add fd09::2/64 dev cable0 nodad")?;
    ip(&format!("addr add {MACHINE} dev lo"))?;
    ip("link set cable0 up")?;
    ip("route add default via 10.9.0.1")?;
    ip("route add default via fd09::1")?;
    let machine = Canary::here()?;
    let town = Town { machine, around };
    // Everybody is where they should be: what a job does not reach is there to be reached.
    for address in NEIGHBOURS.iter().chain(&[SERVER, COORDINATOR]) {
        let to = SocketAddr::new(address.parse().map_err(io::Error::other)?, PORT);
        TcpStream::connect_timeout(&to, Duration::from_secs(5))
            .map_err(|error| io::Error::other(format!("{to}: {error}")))?;
        let visited = town.around.visited();
        assert_eq!(visited, [to.ip()], "{to}");
    }
    Ok(town)
}

#[allow(unsafe_code, reason = "namespaces are left one by one")]
fn new_namespace() -> io::Result<()> {
    let network = rustix::thread::UnshareFlags::NEWNET;
    // SAFETY: no descriptors are unshared, which is what could hurt.
    Ok(unsafe { rustix::thread::unshare_unsafe(network) }?)
}

/// Runs `ip` in the namespace of this thread.
fn ip(arguments: &str) -> io::Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("ip {arguments}: {why}")))
}
