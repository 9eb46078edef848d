use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[track_caller]
fn verdict(text: &str) -> Result<IpAddr, Forbidden> {
    check(ip(text), &[], &[])
}

#[test]
fn every_special_block_is_closed_from_its_first_address_to_its_last() {
    for (text, why) in [
        ("0.0.0.0", Forbidden::Unspecified),
        ("0.255.255.255", Forbidden::Unspecified),
        ("10.0.0.0", Forbidden::Private),
        ("10.255.255.255", Forbidden::Private),
        ("100.64.0.0", Forbidden::Private),
        ("100.127.255.255", Forbidden::Private),
        ("127.0.0.1", Forbidden::Loopback),
        ("127.255.255.255", Forbidden::Loopback),
        ("169.254.169.254", Forbidden::LinkLocal),
        ("172.16.0.0", Forbidden::Private),
        ("172.31.255.255", Forbidden::Private),
        ("192.0.0.170", Forbidden::Reserved),
        ("192.0.2.1", Forbidden::Documentation),
        ("192.88.99.1", Forbidden::Tunnel),
        ("192.168.0.0", Forbidden::Private),
        ("192.168.255.255", Forbidden::Private),
        ("198.18.0.0", Forbidden::Documentation),
        ("198.19.255.255", Forbidden::Documentation),
        ("198.51.100.7", Forbidden::Documentation),
        ("203.0.113.7", Forbidden::Documentation),
        ("224.0.0.1", Forbidden::Multicast),
        ("239.255.255.255", Forbidden::Multicast),
        ("240.0.0.1", Forbidden::Reserved),
        ("255.255.255.255", Forbidden::Broadcast),
        ("::", Forbidden::Unspecified),
        ("::1", Forbidden::Loopback),
        ("::10.0.0.1", Forbidden::Tunnel),
        ("::ffff:10.0.0.1", Forbidden::Private),
        ("::ffff:127.0.0.1", Forbidden::Loopback),
        ("64:ff9b::10.0.0.1", Forbidden::Private),
        ("64:ff9b::169.254.169.254", Forbidden::LinkLocal),
        ("64:ff9b:1::8.8.8.8", Forbidden::Reserved),
        ("100::1", Forbidden::Reserved),
        ("2001::1", Forbidden::Tunnel),
        ("2001:20::1", Forbidden::Reserved),
        ("2001:db8::1", Forbidden::Documentation),
        ("2002:a00:1::1", Forbidden::Tunnel),
        ("3fff::1", Forbidden::Documentation),
        ("5f00::1", Forbidden::Reserved),
        ("fc00::1", Forbidden::Private),
        ("fdff:ffff::1", Forbidden::Private),
        ("fe80::1", Forbidden::LinkLocal),
        ("fec0::1", Forbidden::Private),
        ("ff02::1", Forbidden::Multicast),
    ] {
        assert_eq!(verdict(text), Err(why), "{text}");
    }
}

#[test]
fn what_lies_beside_a_block_is_open() {
    for text in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2003::1",
        "2606:4700:4700::1111",
        "64:ff9b::8.8.8.8",
    ] {
        assert_eq!(verdict(text), Ok(ip(text)), "{text}");
    }
    assert_eq!(verdict("::ffff:8.8.8.8"), Ok(ip("8.8.8.8")));
}

#[test]
fn the_machine_and_the_coordinator_are_closed_however_they_are_written() {
    let (own, denied) = (
        [ip("198.0.0.7")],
        [ip("::ffff:8.8.4.4"), ip("2606:4700::1")],
    );
    for (text, why) in [
        ("198.0.0.7", Forbidden::Machine),
        ("::ffff:198.0.0.7", Forbidden::Machine),
        ("64:ff9b::198.0.0.7", Forbidden::Machine),
        ("8.8.4.4", Forbidden::Denied),
        ("64:ff9b::8.8.4.4", Forbidden::Denied),
        ("2606:4700::1", Forbidden::Denied),
    ] {
        assert_eq!(check(ip(text), &own, &denied), Err(why), "{text}");
    }
    assert!(check(ip("198.0.0.8"), &own, &denied).is_ok());
}

#[test]
fn the_packet_filter_closes_the_same_blocks() {
    let text = firewall(&[ip("198.0.0.7"), ip("fe80::1")], &[ip("::ffff:8.8.4.4")]);
    for (base, bits, _) in V4 {
        assert!(text.contains(&format!("{base}/{bits}")), "{text}");
    }
    assert!(text.contains("198.0.0.7, 8.8.4.4"), "{text}");
    assert!(text.contains("policy drop") && text.contains("10.0.2.3 udp dport 53 accept"));
}

proptest! {
    /// What the standard library knows of version 4 is closed here as well.
    #[test]
    fn nothing_that_the_library_calls_special_is_open(bits in any::<u32>()) {
        let address = Ipv4Addr::from_bits(bits);
        let special = address.is_private() || address.is_loopback() || address.is_link_local()
            || address.is_broadcast() || address.is_documentation() || address.is_multicast()
            || address.is_unspecified();
        if special {
            prop_assert!(check_v4(address).is_err(), "{address}");
        }
    }

    /// No way of writing an address of version 4 as version 6 opens it.
    #[test]
    fn no_spelling_opens_what_is_closed(bits in any::<u32>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        let [high, low] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
        let plain = check(v4.into(), &[], &[]).is_ok();
        let mapped = check(v4.to_ipv6_mapped().into(), &[], &[]);
        prop_assert_eq!(mapped.is_ok(), plain);
        let translated = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
        prop_assert_eq!(check(translated.into(), &[], &[]).is_ok(), plain);
        for tunnel in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        ] {
            prop_assert!(check(tunnel.into(), &[], &[]).is_err(), "{tunnel}");
        }
    }

    /// Of version 6 only global unicast and the translator's prefix can be open.
    #[test]
    fn version_six_is_closed_unless_it_is_global(bits in any::<u128>()) {
        let address = Ipv6Addr::from_bits(bits);
        if let Ok(dialled) = check(address.into(), &[], &[]) {
            let global = bits >> 125 == 1;
            let translated = bits >> 32 == 0x64_ff9b << 64;
            prop_assert!(dialled.is_ipv4() || global || translated, "{address}");
        }
    }
}
