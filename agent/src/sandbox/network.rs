//! A sandbox's network, from both sides of its making.
//!
//! Inside, the first process does what takes rights in the new network namespace, while it still has them: the
//! loopback, the socket at which the job finds its proxy, the rules of a full network. Outside, the supervisor
//! hears of that before the job begins, and gets what its helpers are started with. The words for it go over the
//! sandbox's control socket, before all others.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsFd as _, OwnedFd},
};

use agent_core::sandbox_plan::{NetworkPlan, PROXY_PORT, SandboxPlan};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, recvmsg, sendmsg, socket,
    },
};

use super::{
    init::{Failed, MAX_NOTE_BYTES, Note, at},
    system,
};

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
        NetworkPlan::Full { .. } => begin_with_loopback(plan, control),
    }
}

/// Does what is left of the inside's part where another program has made the network namespace and brought the
/// loopback up, and the process has no rights in it.
pub(super) fn begin_with_loopback(plan: &SandboxPlan, control: &OwnedFd) -> Result<(), Failed> {
    match &plan.network {
        NetworkPlan::None => Ok(()),
        NetworkPlan::Proxy(_) => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT))
                .map_err(at("listen for the job's connections"))?;
            hand_out(control, &listener.into()).map_err(at("hand the proxy's socket out"))
        }
        NetworkPlan::Full { .. } => {
            let unsupported = io::Error::from(io::ErrorKind::Unsupported);
            Err(at("give a sandbox a whole network")(unsupported))
        }
    }
}

fn hand_out(control: &OwnedFd, socket: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut handed = SendAncillaryBuffer::new(&mut space);
    let descriptors = [socket.as_fd()];
    handed.push(SendAncillaryMessage::ScmRights(&descriptors));
    let note = Note::Network.encode();
    let sent = sendmsg(
        control,
        &[IoSlice::new(&note)],
        &mut handed,
        SendFlags::NOSIGNAL,
    );
    sent.map(|_| ()).map_err(io::Error::from)
}

/// Waits, in the supervisor, until the inside has done its part; returns the socket for the proxy where there is
/// one.
pub(super) fn await_inside(control: &OwnedFd) -> Result<Option<OwnedFd>, Failed> {
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
