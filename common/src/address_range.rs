//! Ranges of addresses, as `10.0.0.0/8`.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// All addresses that begin with the same bits. An IPv4 address written as IPv6 counts as what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    /// Its bits beyond the first `bits` are zero.
    first: IpAddr,
    bits: u8,
}

impl AddressRange {
    /// Returns whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let differ = (first.to_bits() ^ address.to_bits()).leading_zeros();
                differ >= u32::from(self.bits)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let differ = (first.to_bits() ^ address.to_bits()).leading_zeros();
                differ >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl FromStr for AddressRange {
    type Err = InvalidAddressRange;

    /// Reads `ADDRESS/BITS`, or an address alone.
    fn from_str(text: &str) -> Result<Self, InvalidAddressRange> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidAddressRange::Syntax)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => all,
            Some(bits) => bits.parse().map_err(|_| InvalidAddressRange::Syntax)?,
        };
        if bits > all {
            return Err(InvalidAddressRange::Bits { most: all });
        }
        let rest = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        if rest
            .checked_shl(u32::from(bits))
            .is_some_and(|rest| rest != 0)
        {
            return Err(InvalidAddressRange::Rest { bits });
        }
        let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        if mapped && bits >= 96 {
            let (first, bits) = (address.to_canonical(), bits - 96);
            return Ok(Self { first, bits });
        }
        Ok(Self {
            first: address,
            bits,
        })
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidAddressRange;

    fn try_from(text: String) -> Result<Self, InvalidAddressRange> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

/// Why a text is not an [`AddressRange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddressRange {
    #[error("a range of addresses looks like 10.0.0.0/8 or 2001:db8::/32")]
    Syntax,
    #[error("such an address has {most} bits")]
    Bits { most: u8 },
    #[error("the address has more than its first {bits} bits set")]
    Rest { bits: u8 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_begins_alike() {
        #[track_caller]
        fn check(range: &str, inside: &[&str], outside: &[&str]) {
            let range: AddressRange = range.parse().unwrap();
            for (addresses, expect) in [(inside, true), (outside, false)] {
                for address in addresses {
                    assert_eq!(
                        range.contains(address.parse().unwrap()),
                        expect,
                        "{range} {address}"
                    );
                }
            }
            assert_eq!(range.to_string().parse(), Ok(range));
        }
        check(
            "10.0.0.0/8",
            &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
            &["11.0.0.0", "9.255.255.255", "::10.0.0.1"],
        );
        check("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
        check("::/0", &["::1"], &["1.2.3.4", "::ffff:1.2.3.4"]);
        check("192.168.1.7", &["192.168.1.7"], &["192.168.1.6"]);
        check("2001:db8::/33", &["2001:db8:7fff::1"], &["2001:db8:8000::"]);
        check("::ffff:10.0.0.0/104", &["10.9.9.9"], &["11.0.0.0"]);
    }

    #[test]
    fn what_is_no_range_says_why() {
        use InvalidAddressRange::{Bits, Rest, Syntax};
        for (text, expect) in [
            ("", Syntax),
            ("lab.example", Syntax),
            ("10.0.0.0/x", Syntax),
            ("10.0.0.0/-1", Syntax),
            ("10.0.0.0/33", Bits { most: 32 }),
            ("::/129", Bits { most: 128 }),
            ("10.0.0.1/8", Rest { bits: 8 }),
            ("1.2.3.4/0", Rest { bits: 0 }),
        ] {
            assert_eq!(text.parse::<AddressRange>(), Err(expect), "{text}");
        }
    }
}
