//! A cable between agents and the coordinator that can be pulled out.
//!
//! A UDP forwarder on loopback: everything that arrives goes on, in both directions, unless the cable is
//! cut; then it is dropped, as a real network does. Needs no rights.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How often a forwarding thread looks whether the test is over.
const LOOK: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    cut: AtomicBool,
    over: AtomicBool,
    /// One socket towards the target for every sender, as a NAT has.
    flows: Mutex<BTreeMap<SocketAddr, Arc<UdpSocket>>>,
}

impl Cable {
    /// Returns a cable whose one end is [`Cable::address`] and whose other is `target`.
    pub fn to(target: SocketAddr) -> Self {
        let near = Arc::new(loopback_socket());
        let address = near.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            target,
            cut: AtomicBool::new(false),
            over: AtomicBool::new(false),
            flows: Mutex::new(BTreeMap::new()),
        });
        let upward = Arc::clone(&shared);
        thread::spawn(move || forward_up(&near, &upward));
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::SeqCst);
    }

    pub fn mend(&self) {
        self.shared.cut.store(false, Ordering::SeqCst);
    }
}

impl Cable {
    /// Sends everything from other ports from now on, as a NAT does that forgot its table.
    pub fn rebind(&self) {
        self.shared
            .flows
            .lock()
            .expect("no thread panics with the lock")
            .clear();
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }
}

fn loopback_socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    socket
        .set_read_timeout(Some(LOOK))
        .expect("a read timeout can be set");
    socket
}

fn forward_up(near: &Arc<UdpSocket>, shared: &Arc<Shared>) {
    let mut packet = vec![0; 1 << 16];
    while !shared.over.load(Ordering::SeqCst) {
        let Ok((length, sender)) = near.recv_from(&mut packet) else {
            continue;
        };
        if shared.cut.load(Ordering::SeqCst) {
            continue;
        }
        let far = {
            let mut flows = shared.flows.lock().expect("no thread panics with the lock");
            Arc::clone(flows.entry(sender).or_insert_with(|| {
                let far = Arc::new(loopback_socket());
                let (back, near, shared) = (Arc::clone(&far), Arc::clone(near), Arc::clone(shared));
                thread::spawn(move || forward_down(&back, &near, sender, &shared));
                far
            }))
        };
        let _lost_like_any_packet = far.send_to(&packet[..length], shared.target);
    }
}

fn forward_down(far: &UdpSocket, near: &UdpSocket, sender: SocketAddr, shared: &Shared) {
    let mut packet = vec![0; 1 << 16];
    while !shared.over.load(Ordering::SeqCst) {
        let Ok((length, _)) = far.recv_from(&mut packet) else {
            continue;
        };
        if !shared.cut.load(Ordering::SeqCst) {
            let _lost_like_any_packet = near.send_to(&packet[..length], sender);
        }
    }
}
