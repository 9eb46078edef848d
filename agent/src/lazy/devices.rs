//! Open devices on their way from one process to another: in one message, so that nothing else gets them.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use common::job::MAX_DATASETS;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// The one byte that they come with.
const WORD: u8 = b'D';
/// Longest other words in their place.
const MAX_WORDS_BYTES: usize = 4096;

/// Sends devices over a socket that keeps messages apart.
pub(crate) fn send(to: impl AsFd, devices: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DATASETS))];
    let mut handed = SendAncillaryBuffer::new(&mut space);
    if !handed.push(SendAncillaryMessage::ScmRights(devices)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        to,
        &[IoSlice::new(&[WORD])],
        &mut handed,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Returns what becomes the standard input of the process that they are for.
pub(crate) fn pack(devices: &[OwnedFd]) -> io::Result<OwnedFd> {
    let (from, to) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let devices: Vec<BorrowedFd<'_>> = devices.iter().map(AsFd::as_fd).collect();
    send(&from, &devices)?;
    Ok(to)
}

/// What came.
#[derive(Debug)]
pub(crate) enum Received {
    Devices(Vec<OwnedFd>),
    /// Other words, instead.
    Words(Vec<u8>),
}

/// Receives what was sent. Waits for it.
pub(crate) fn receive(from: impl AsFd) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DATASETS))];
    let mut handed = RecvAncillaryBuffer::new(&mut space);
    let mut words = vec![0; MAX_WORDS_BYTES];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(from, &mut [IoSliceMut::new(&mut words)], &mut handed, flags)?;
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    words.truncate(received.bytes);
    if words != [WORD] {
        return Ok(Received::Words(words));
    }
    let files = handed.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    Ok(Received::Devices(files.flatten().collect()))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::MetadataExt as _};

    use super::*;

    #[test]
    fn devices_arrive_in_their_order() {
        let files: Vec<OwnedFd> = (0..MAX_DATASETS)
            .map(|_| tempfile::tempfile().unwrap().into())
            .collect();
        let numbers = |files: Vec<OwnedFd>| -> Vec<u64> {
            files
                .into_iter()
                .map(|file| File::from(file).metadata().unwrap().ino())
                .collect()
        };
        let packed = pack(&files).unwrap();
        let Received::Devices(arrived) = receive(packed).unwrap() else {
            panic!("other words came");
        };
        assert_eq!(numbers(arrived), numbers(files));
    }
}
