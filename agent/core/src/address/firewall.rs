//! The same decision for a job with a full network, written out for the packet filter of its network namespace.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use super::V4;

/// Who answers questions for names in a full network: the user-mode network itself, which asks the machine's own
/// name servers. The only address in a private block that a job reaches, and only for names.
pub const NAMESERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);

/// Returns the rules in the language of `nft -f`. They are for a network namespace in which there is nothing yet,
/// and let out only what [`super::check`] lets out. Version 6 is not let out at all.
pub fn firewall(own: &[IpAddr], denied: &[IpAddr]) -> String {
    let mut closed: Vec<String> = V4
        .iter()
        .map(|(base, bits, _)| format!("{base}/{bits}"))
        .collect();
    for address in own.iter().chain(denied) {
        if let IpAddr::V4(address) = address.to_canonical() {
            closed.push(address.to_string());
        }
    }
    let mut text = String::from("table inet job {\n");
    let _ = writeln!(
        text,
        " set closed {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {} }} }}",
        closed.join(", ")
    );
    text += " chain out { type filter hook output priority 0; policy drop;\n";
    text += "  oifname \"lo\" accept\n";
    for protocol in ["udp", "tcp"] {
        let _ = writeln!(text, "  ip daddr {NAMESERVER} {protocol} dport 53 accept");
    }
    // A connection's own end is heard at once; the message that a packet was not let through comes while the kernel
    // is still busy with the call, and would be heard a second later.
    for (what, message) in [
        ("meta nfproto ipv6", "icmpv6"),
        ("ip daddr @closed", "icmp"),
    ] {
        let _ = writeln!(text, "  {what} meta l4proto tcp reject with tcp reset");
        let _ = writeln!(text, "  {what} reject with {message} type admin-prohibited");
    }
    text += "  meta l4proto { tcp, udp, icmp } accept\n }\n}\n";
    text
}
