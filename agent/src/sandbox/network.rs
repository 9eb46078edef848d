//! A sandbox's network, from both sides of its making.
//!
//! Inside, the first process does what takes rights in the new network namespace, while it still has them: the
//! loopback, the socket at which the job finds its proxy, the rules of a full network. Outside, the supervisor
//! hears of that before the job begins, and gets what its helpers are started with. The words for it go over the
//! sandbox's control socket, before all others.

use std::{
    io::{self, IoSlice, IoSliceMut, Write as _},
    mem::MaybeUninit,
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    process::{Command, Stdio},
};

use agent_core::{
    address::firewall,
    sandbox_plan::{NetworkPlan, PROXY_PORT, SandboxPlan},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, recv, recvmsg, send,
        sendmsg, socket,
    },
    process::Pid,
    thread::{
        CapabilitySet, capabilities, clear_ambient_capability_set,
        configure_capability_in_ambient_set, set_capabilities,
    },
};

use super::{
    cgroup::{Doors, MAX_DOORS},
    init::{Failed, at, wait_for_go},
    note::{GO, MAX_NOTE_BYTES, Note},
    slirp::{Namespaces, Slirp},
    system,
};
use crate::proxy::own_addresses;

/// Longest list of rules; what the machine's own addresses add has a few thousand bytes at most.
const MAX_RULES_BYTES: usize = 64 << 10;
/// How long the inside may take for its part; it has nothing to wait for.
const PATIENCE: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// Does the inside's part. The process is alone in the network namespace and has every right in it.
pub(super) fn begin(plan: &SandboxPlan, control: &OwnedFd) -> Result<(), Failed> {
    let up = socket(AddressFamily::INET, SocketType::DGRAM, None)
        .map_err(io::Error::from)
        .and_then(|socket| system::loopback_up(socket.as_fd()));
    match &plan.network {
        // A job without even a loopback is a job still.
        NetworkPlan::None => Ok(()),
        NetworkPlan::Proxy(_) => {
            up.map_err(at("bring the loopback up"))?;
            begin_with_loopback(plan, control)
        }
        NetworkPlan::Full { nft, .. } => {
            up.map_err(at("bring the loopback up"))?;
            let rules = hear_rules(control).map_err(at("hear the network's rules"))?;
            set_rules(nft, &rules).map_err(at("set the network's rules"))?;
            send(control, &Note::Network.encode(), SendFlags::NOSIGNAL)
                .map_err(at("tell of the network's rules"))?;
            // Now there is something that they are about.
            wait_for_go(control).map_err(at("wait for the network"))
        }
    }
}

/// Does what is left of the inside's part where another program has made the network namespace and brought the
/// loopback up, and the process has no rights in it.
pub(super) fn begin_with_loopback(plan: &SandboxPlan, control: &OwnedFd) -> Result<(), Failed> {
    match &plan.network {
        // A full network was made before that program began.
        NetworkPlan::None | NetworkPlan::Full { .. } => Ok(()),
        NetworkPlan::Proxy(_) => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT))
                .map_err(at("listen for the job's connections"))?;
            let socket = std::iter::once(listener.as_fd());
            hand(control, &Note::Network.encode(), socket)
                .map_err(at("hand the proxy's socket out"))
        }
    }
}

fn hear_rules(control: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut rules = vec![0; MAX_RULES_BYTES];
    let (length, _) = recv(control, &mut rules, RecvFlags::empty())?;
    rules.truncate(length);
    if rules.is_empty() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    Ok(rules)
}

/// Runs `nft` with the one right that it needs. It is taken away again here, and for good when the process gives up
/// everything.
fn set_rules(nft: &Path, rules: &[u8]) -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.inheritable |= CapabilitySet::NET_ADMIN;
    set_capabilities(None, sets)?;
    configure_capability_in_ambient_set(CapabilitySet::NET_ADMIN, true)?;
    let mut child = Command::new(nft)
        .args(["-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    clear_ambient_capability_set()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules)?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let first = why.lines().next().unwrap_or("it did not say why");
    Err(io::Error::other(format!("{}: {first}", nft.display())))
}

/// Sends a word together with open files, of which there may be none.
fn hand<'a>(
    control: &OwnedFd,
    word: &[u8],
    files: impl Iterator<Item = BorrowedFd<'a>>,
) -> io::Result<()> {
    let files: Vec<BorrowedFd<'_>> = files.collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DOORS))];
    let mut handed = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        handed.push(SendAncillaryMessage::ScmRights(&files));
    }
    let sent = sendmsg(
        control,
        &[IoSlice::new(word)],
        &mut handed,
        SendFlags::NOSIGNAL,
    );
    sent.map(|_| ()).map_err(io::Error::from)
}

/// What the supervisor has of a sandbox's network.
#[derive(Debug)]
pub(crate) enum Outside {
    /// Where the job finds its proxy.
    Socket(OwnedFd),
    Whole(Slirp),
}

/// Does the outside's part, in the supervisor: tells the first process to go, and waits until the network is as
/// it has to be before the job begins.
pub(super) fn go(
    plan: &SandboxPlan,
    first: Pid,
    control: &OwnedFd,
    doors: &Doors,
) -> Result<Option<Outside>, Failed> {
    let tell = |word: &[u8]| {
        send(control, word, SendFlags::NOSIGNAL)
            .map(|_| ())
            .map_err(at("start the sandbox"))
    };
    let begin = || hand(control, &[GO], doors.files()).map_err(at("start the sandbox"));
    match &plan.network {
        NetworkPlan::None => begin().map(|()| None),
        NetworkPlan::Proxy(_) => {
            begin()?;
            let socket = await_inside(control)?;
            let missing = || Failed::told("the sandbox handed no socket out".to_owned());
            socket.map(Outside::Socket).ok_or_else(missing).map(Some)
        }
        NetworkPlan::Full {
            slirp4netns, rules, ..
        } => {
            let namespaces = Namespaces::of(first).map_err(at("open the sandbox's namespaces"))?;
            let own = own_addresses().map_err(at("list the machine's addresses"))?;
            begin()?;
            tell(firewall(&own, &rules.denied).as_bytes())?;
            await_inside(control)?;
            let slirp = Slirp::start(slirp4netns, &namespaces)?;
            tell(&[GO])?;
            Ok(Some(Outside::Whole(slirp)))
        }
    }
}

/// Waits until the inside has done its part; returns the socket for the proxy where there is one.
fn await_inside(control: &OwnedFd) -> Result<Option<OwnedFd>, Failed> {
    let late = || Failed::told("the sandbox's network was not made in time".to_owned());
    loop {
        let mut waiting = [PollFd::new(control, PollFlags::IN)];
        match poll(&mut waiting, Some(&PATIENCE)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(at("wait for the sandbox's network")(error)),
            Ok(0) => return Err(late()),
            Ok(_) => break,
        }
    }
    let (note, socket) = take_in(control).map_err(at("hear of the sandbox's network"))?;
    match Note::decode(&note) {
        Some(Note::Network) => Ok(socket),
        Some(Note::Failed(text)) => Err(Failed::told(text)),
        _ => Err(Failed::told(
            "the sandbox ended before its network was made".to_owned(),
        )),
    }
}

fn take_in(control: &OwnedFd) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut handed = RecvAncillaryBuffer::new(&mut space);
    let mut note = vec![0; MAX_NOTE_BYTES];
    let received = recvmsg(
        control,
        &mut [IoSliceMut::new(&mut note)],
        &mut handed,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let socket = handed.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    note.truncate(received.bytes);
    Ok((note, socket))
}
