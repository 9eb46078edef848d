//! Where other machines reach this one.

use std::net::{IpAddr, SocketAddr};

use common::wire::peer::MAX_DOOR_ADDRESSES;

/// Returns where others may look for this machine, which listens on this port. The coordinator passes on those in
/// private networks, and the one from which this machine came to it.
pub(super) fn reachable(interfaces: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let mut good: Vec<IpAddr> = interfaces.into_iter().filter(may_be_named).collect();
    // Most networks have it, and a home's IPv6 addresses come and go.
    good.sort_by_key(IpAddr::is_ipv6);
    good.dedup();
    let at = |ip| SocketAddr::new(ip, port);
    good.into_iter().map(at).take(MAX_DOOR_ADDRESSES).collect()
}

fn may_be_named(ip: &IpAddr) -> bool {
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        // Of no use without the number of the interface, which differs from machine to machine.
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_itself_is_not_a_place_for_others() {
        let given = [
            "::1",
            "fd00::1",
            "fe80::1",
            "127.0.0.1",
            "10.0.0.7",
            "169.254.1.1",
        ];
        let given = given.map(|ip| ip.parse().unwrap()).to_vec();
        let expect = ["10.0.0.7:9", "[fd00::1]:9"].map(|at| at.parse().unwrap());
        assert_eq!(reachable(given, 9), expect);
    }
}
