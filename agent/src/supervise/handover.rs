//! What a supervisor is given at its start besides words: open files, in one message on its standard input.
//!
//! So it can be started without a copy of the daemon's memory, which a step between fork and exec would need, and
//! nothing of it can get into another process that the daemon starts at the same time.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// Most files in the message.
const MOST: usize = 5;
/// Words of the message: which of what may be missing is there.
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
    /// Where the daemon's words arrive.
    pub(super) listener: OwnedFd,
    /// Held as long as anything of the attempt runs.
    pub(super) lock: OwnedFd,
    pub(super) given: Given,
}

impl Handover {
    /// Packs it up; returns what becomes the standard input.
    pub(super) fn pack(self) -> io::Result<OwnedFd> {
        let (from, to) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
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
        sendmsg(
            &from,
            &[IoSlice::new(&[word])],
            &mut files,
            SendFlags::NOSIGNAL,
        )?;
        Ok(to)
    }

    /// Unpacks what somebody packed. An error is a message that nobody packed.
    pub(super) fn unpack(from: impl AsFd) -> io::Result<Self> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut files = RecvAncillaryBuffer::new(&mut space);
        let mut word = [0];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(from, &mut [IoSliceMut::new(&mut word)], &mut files, flags)?;
        let files = files.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let mut files = files.flatten();
        let mut next = || files.next().ok_or(io::ErrorKind::InvalidData);
        if received.bytes != 1 || received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let has = |what| word[0] & what != 0;
        Ok(Self {
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
    use std::{fs::File, io::Write as _, os::unix::fs::MetadataExt as _};

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
    fn what_was_packed_is_unpacked() {
        for given in 0..8_u8 {
            let [disk, network, secrets] = [DISK, NETWORK, SECRETS].map(|what| given & what != 0);
            let packed = Handover {
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
                (number(&all.listener), number(&all.lock), given)
            };
            let expect = numbers(&packed);
            let unpacked = Handover::unpack(packed.pack().unwrap()).unwrap();
            assert_eq!(numbers(&unpacked), expect);
        }
    }

    #[test]
    fn what_nobody_packed_is_refused() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Handover::unpack(&theirs).is_err());
        (&ours).write_all(&[3]).unwrap();
        assert!(Handover::unpack(&theirs).is_err());
    }
}
