//! The addresses of this machine's own interfaces, as they are now.
#![allow(unsafe_code, reason = "a list of the C library's")]

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Most addresses that are looked at; a machine with more is not one that lends itself to jobs.
const MAX_ADDRESSES: usize = 65_536;

/// Returns the addresses of all interfaces.
///
/// # Errors
/// The kernel does not tell, or there are too many.
pub(crate) fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the call puts the list's first element there.
    if unsafe { libc::getifaddrs(&raw mut first) } == -1 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let (mut next, mut seen) = (first, 0);
    while !next.is_null() && seen < MAX_ADDRESSES {
        seen += 1;
        // SAFETY: the elements live until the list is freed, below; an address is of the kind that it says.
        let entry = unsafe {
            let entry = &*next;
            (!entry.ifa_addr.is_null()).then(|| address(entry.ifa_addr))
        };
        found.extend(entry.flatten());
        // SAFETY: as above.
        next = unsafe { (*next).ifa_next };
    }
    // SAFETY: the list came from the library, and nothing of it is held.
    unsafe { libc::freeifaddrs(first) };
    if next.is_null() {
        Ok(found)
    } else {
        Err(io::Error::other("the machine has too many addresses"))
    }
}

/// # Safety
/// `address` points to a whole address of the family that it names.
unsafe fn address(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller's promise; reads do not ask for alignment.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
                Some(Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_among_them() {
        assert!(addresses().unwrap().contains(&Ipv4Addr::LOCALHOST.into()));
    }
}
