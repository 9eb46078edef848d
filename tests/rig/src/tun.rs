//! A network device of another process's namespace, whose packets come to us.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd},
    thread,
};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Makes a device that carries IP packets in the namespace of process `of`.
pub(crate) fn open(of: u32, name: &str) -> Result<File> {
    let space = File::open(format!("/proc/{of}/ns/net"));
    let space = space.with_context(|| format!("no network namespace of process {of}"))?;
    let name = name.to_owned();
    // A namespace is a thread's: this one ends with it.
    let opened = thread::spawn(move || {
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
        make(&name)
    });
    match opened.join() {
        Ok(made) => made.context("cannot make a network device"),
        Err(_) => bail!("the thread that makes a network device panicked"),
    }
}

fn make(name: &str) -> io::Result<File> {
    let device = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: all-zero is a valid value of this plain struct.
    #[expect(
        unsafe_code,
        reason = "the kernel makes such a device by this call alone"
    )]
    let mut wanted: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = wanted.ifr_name.len() - 1;
    for (to, from) in wanted.ifr_name.iter_mut().zip(name.bytes().take(room)) {
        *to = from.cast_signed();
    }
    wanted.ifr_ifru.ifru_flags =
        i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI).expect("both flags are below 2^15");
    // SAFETY: the call reads and writes one `ifreq`, which outlives it.
    #[expect(
        unsafe_code,
        reason = "the kernel makes such a device by this call alone"
    )]
    let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut wanted) };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(device)
}
