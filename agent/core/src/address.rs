//! Which addresses a job with a network may not reach, as data and as one function.
//!
//! Asked by the proxy for every address that a name resolved to, and written out as rules for the packet filter of
//! a job with a full network ([`firewall`]). Nothing is resolved here, and nothing is looked up: what the machine's
//! own addresses are comes in.
//!
//! Blocks are those of the special-purpose address registries (RFC 6890 and what followed). Of version 6 only
//! global unicast (`2000::/3`) is let through at all, and NAT64's well-known prefix where what is in it may be
//! reached itself.

mod firewall;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use self::firewall::{NAMESERVER, firewall};

/// Why a job may not reach an address. Reads on after "ADDRESS is".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Forbidden {
    #[error("no address that anything could have")]
    Unspecified,
    #[error("a loopback address")]
    Loopback,
    #[error("a private address")]
    Private,
    #[error("a link-local address")]
    LinkLocal,
    #[error("a multicast address")]
    Multicast,
    #[error("a broadcast address")]
    Broadcast,
    #[error("an address for documentation or measurements")]
    Documentation,
    #[error("a reserved address")]
    Reserved,
    #[error("an address that leads through a tunnel")]
    Tunnel,
    #[error("an address of the machine that runs the job")]
    Machine,
    #[error("closed to jobs on this machine")]
    Denied,
}

/// Blocks of version 4 that are not public.
pub(crate) const V4: [(Ipv4Addr, u8, Forbidden); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Forbidden::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Forbidden::Private),
    // Between a provider and its customers.
    (Ipv4Addr::new(100, 64, 0, 0), 10, Forbidden::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Forbidden::Loopback),
    // Clouds answer questions about the machine, its keys included, at 169.254.169.254.
    (Ipv4Addr::new(169, 254, 0, 0), 16, Forbidden::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Forbidden::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Forbidden::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Forbidden::Documentation),
    // Multicast and version 6 through relays that anybody may run.
    (Ipv4Addr::new(192, 52, 193, 0), 24, Forbidden::Tunnel),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Forbidden::Tunnel),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Forbidden::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Forbidden::Documentation),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Forbidden::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Forbidden::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Forbidden::Multicast),
    // Before the block that it lies in.
    (Ipv4Addr::BROADCAST, 32, Forbidden::Broadcast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Forbidden::Reserved),
];

/// What of version 6 is public at all.
const GLOBAL: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Version 4 behind a translator.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Blocks of version 6 that are not public, inside of [`GLOBAL`] or with a name of their own outside of it.
const V6: [(Ipv6Addr, u8, Forbidden); 12] = [
    (Ipv6Addr::UNSPECIFIED, 128, Forbidden::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Forbidden::Loopback),
    // Version 4 written as version 6 before there was a mapped form.
    (Ipv6Addr::UNSPECIFIED, 96, Forbidden::Tunnel),
    // Teredo, which holds an address of version 4 in disguise.
    (block6(0x2001, 0), 32, Forbidden::Tunnel),
    (block6(0x2001, 0xdb8), 32, Forbidden::Documentation),
    // Everything else that is the protocols' own.
    (block6(0x2001, 0), 23, Forbidden::Reserved),
    // 6to4, which holds an address of version 4.
    (block6(0x2002, 0), 16, Forbidden::Tunnel),
    (block6(0x3fff, 0), 20, Forbidden::Documentation),
    (block6(0xfc00, 0), 7, Forbidden::Private),
    // Site-local: given up, and still around.
    (block6(0xfec0, 0), 10, Forbidden::Private),
    (block6(0xfe80, 0), 10, Forbidden::LinkLocal),
    (block6(0xff00, 0), 8, Forbidden::Multicast),
];

const fn block6(first: u16, second: u16) -> Ipv6Addr {
    Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0)
}

/// Returns the address to dial where a job may reach this one: the same, but version 4 where it was only written as
/// version 6. `own` are the machine's addresses, `denied` the coordinator's and others.
///
/// # Errors
/// Why it may not.
pub fn check(address: IpAddr, own: &[IpAddr], denied: &[IpAddr]) -> Result<IpAddr, Forbidden> {
    let address = address.to_canonical();
    let embedded = match address {
        IpAddr::V4(v4) => {
            check_v4(v4)?;
            None
        }
        IpAddr::V6(v6) => check_v6(v6)?.map(IpAddr::V4),
    };
    let is_one_of = |list: &[IpAddr]| {
        let listed = |wanted: IpAddr| list.iter().any(|one| one.to_canonical() == wanted);
        listed(address) || embedded.is_some_and(listed)
    };
    if is_one_of(own) {
        Err(Forbidden::Machine)
    } else if is_one_of(denied) {
        Err(Forbidden::Denied)
    } else {
        Ok(address)
    }
}

fn check_v4(address: Ipv4Addr) -> Result<(), Forbidden> {
    let inside = |base: Ipv4Addr, bits: u8| {
        let apart = address.to_bits() ^ base.to_bits();
        apart.leading_zeros() >= u32::from(bits)
    };
    let mut blocks = V4.iter();
    match blocks.find(|(base, bits, _)| inside(*base, *bits)) {
        Some((_, _, why)) => Err(*why),
        None => Ok(()),
    }
}

/// Returns the address of version 4 that is in it, where there is one.
fn check_v6(address: Ipv6Addr) -> Result<Option<Ipv4Addr>, Forbidden> {
    let inside = |base: Ipv6Addr, bits: u8| {
        let apart = address.to_bits() ^ base.to_bits();
        apart.leading_zeros() >= u32::from(bits)
    };
    if inside(NAT64.0, NAT64.1) {
        let [.., a, b, c, d] = address.octets();
        let embedded = Ipv4Addr::new(a, b, c, d);
        return check_v4(embedded).map(|()| Some(embedded));
    }
    let mut blocks = V6.iter();
    match blocks.find(|(base, bits, _)| inside(*base, *bits)) {
        Some((_, _, why)) => Err(*why),
        None if inside(GLOBAL.0, GLOBAL.1) => Ok(None),
        None => Err(Forbidden::Reserved),
    }
}

#[cfg(test)]
mod tests;
