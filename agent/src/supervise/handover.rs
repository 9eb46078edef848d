//! What makes a process an attempt's supervisor: the attempt's folder and open files, in one message on its standard
//! input.
//!
//! So it can be started without a copy of the daemon's memory, which a step between fork and exec would need, and
//! before anybody knows for which attempt; nothing of it can get into another process that the daemon starts at the
//! same time.

use std::{
    ffi::OsStr,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::PathBuf,
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg,
    send, sendmsg, socketpair,
};

use super::ahead::Readiness;

/// Most files in the message.
const MOST: usize = 5;
/// Longest path of a folder, in bytes; the kernel takes no longer one.
const MAX_PATH_BYTES: usize = 4096;
/// First byte of the message: which of what may be missing is there. The rest is the folder's path.
const DISK: u8 = 1;
const NETWORK: u8 = 2;
const SECRETS: u8 = 4;

/// What an attempt was given of what may be missing.
#[derive(Debug, Default)]
pub struct Given {
    /// A disk of its own, mounted nowhere yet; the attempt's plan says so.
    pub disk: Option<OwnedFd>,
    /// A network namespace that was made ahead and that nothing is in.
    pub network: Option<OwnedFd>,
    /// The job's secrets, in a file that is in memory only.
    pub secrets: Option<OwnedFd>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Handover {
    /// The attempt's.
    pub(super) folder: PathBuf,
    /// Where the daemon's words arrive.
    pub(super) listener: OwnedFd,
    /// Held as long as anything of the attempt runs.
    pub(super) lock: OwnedFd,
    pub(super) given: Given,
}

/// Returns where the daemon sends it, and what is the supervisor's standard input.
pub(super) fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// What a supervisor says that can take over another attempt.
const FREE: u8 = b'F';

/// And what it says while the sandbox of its last attempt is still there, for another of the job.
const VACANT: u8 = b'V';

/// Says one of the two, to the daemon.
pub(super) fn be_free(channel: impl AsFd, with_sandbox: bool) -> io::Result<()> {
    let word = if with_sandbox { VACANT } else { FREE };
    send(channel, &[word], SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Returns whether the supervisor at the other end has said so since it was asked last.
pub(super) fn is_free(channel: impl AsFd) -> Readiness {
    let mut word = [0];
    match recv(channel, &mut word, RecvFlags::DONTWAIT) {
        Ok((1, _)) if word[0] == FREE => Readiness::Ready,
        Ok((1, _)) if word[0] == VACANT => Readiness::Vacant,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Readiness::Busy,
        _ => Readiness::Gone,
    }
}

impl Handover {
    /// Sends it to a supervisor. What is on its way is held as if it had arrived.
    pub(super) fn send(&self, to: impl AsFd) -> io::Result<()> {
        let Given {
            disk,
            network,
            secrets,
        } = &self.given;
        let given = [(disk, DISK), (network, NETWORK), (secrets, SECRETS)];
        let given = given
            .into_iter()
            .filter_map(|(file, what)| file.as_ref().map(|file| (file.as_fd(), what)));
        let mut all: Vec<BorrowedFd<'_>> = vec![self.listener.as_fd(), self.lock.as_fd()];
        let mut word = 0;
        for (file, what) in given {
            all.push(file);
            word |= what;
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut files = SendAncillaryBuffer::new(&mut space);
        files.push(SendAncillaryMessage::ScmRights(&all));
        let word = [word];
        let words = [&word, self.folder.as_os_str().as_bytes()].map(IoSlice::new);
        sendmsg(to, &words, &mut files, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for what somebody sends. An error is a message that nobody sent so, or none from one who has ended.
    pub(super) fn receive(from: impl AsFd) -> io::Result<Self> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut files = RecvAncillaryBuffer::new(&mut space);
        let (mut word, mut path) = ([0], [0; MAX_PATH_BYTES]);
        let mut words = [IoSliceMut::new(&mut word), IoSliceMut::new(&mut path)];
        let received = loop {
            match recvmsg(&from, &mut words, &mut files, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        let cut = ReturnFlags::CTRUNC | ReturnFlags::TRUNC;
        if received.flags.intersects(cut) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let path = received
            .bytes
            .checked_sub(1)
            .and_then(|length| path.get(..length));
        let path = path.ok_or(io::ErrorKind::UnexpectedEof)?;
        let files = files.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let mut files = files.flatten();
        let mut next = || files.next().ok_or(io::ErrorKind::InvalidData);
        let has = |what| word[0] & what != 0;
        Ok(Self {
            folder: OsStr::from_bytes(path).into(),
            listener: next()?,
            lock: next()?,
            given: Given {
                disk: has(DISK).then(&mut next).transpose()?,
                network: has(NETWORK).then(&mut next).transpose()?,
                secrets: has(SECRETS).then(&mut next).transpose()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::MetadataExt as _};

    use super::*;

    fn file() -> OwnedFd {
        tempfile::tempfile().unwrap().into()
    }

    fn number(file: &OwnedFd) -> u64 {
        File::from(file.try_clone().unwrap())
            .metadata()
            .unwrap()
            .ino()
    }

    #[test]
    fn what_was_sent_arrives() {
        for given in 0..8_u8 {
            let [disk, network, secrets] = [DISK, NETWORK, SECRETS].map(|what| given & what != 0);
            let sent = Handover {
                folder: "/attempts/one".into(),
                listener: file(),
                lock: file(),
                given: Given {
                    disk: disk.then(file),
                    network: network.then(file),
                    secrets: secrets.then(file),
                },
            };
            let numbers = |all: &Handover| {
                let given = [&all.given.disk, &all.given.network, &all.given.secrets];
                let given = given.map(|file| file.as_ref().map(number));
                let files = (number(&all.listener), number(&all.lock), given);
                (all.folder.clone(), files)
            };
            let (to, from) = channel().unwrap();
            sent.send(&to).unwrap();
            let received = Handover::receive(&from).unwrap();
            assert_eq!(numbers(&received), numbers(&sent));
        }
    }

    #[test]
    fn what_nobody_sent_so_is_refused() {
        let (to, from) = channel().unwrap();
        for bytes in [&[][..], &[DISK][..], &[0; MAX_PATH_BYTES + 2]] {
            send(&to, bytes, SendFlags::NOSIGNAL).unwrap();
            assert!(Handover::receive(&from).is_err());
        }
        // Who waits for a daemon that has ended waits no longer.
        drop(to);
        let error = Handover::receive(&from).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
