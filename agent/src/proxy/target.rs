//! Where a job wants to go: a name or an address, and a port.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Longest name that the domain name system has.
const MAX_NAME_BYTES: usize = 253;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// What is before the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// Nothing but letters, digits, dots, hyphens and underscores; may still be a number that the resolver reads
    /// as an address, which is why only what it returns is judged.
    Name(String),
    Address(IpAddr),
}

/// It is not a name and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is not HOST:PORT")]
pub(super) struct NotATarget;

impl Target {
    /// Reads `HOST:PORT`, `1.2.3.4:PORT` or `[ADDRESS]:PORT`; without a port, `port` is meant, if any.
    pub(super) fn parse(text: &str, port: Option<u16>) -> Result<Self, NotATarget> {
        let (host, given) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']').ok_or(NotATarget)?;
                let address: Ipv6Addr = address.parse().map_err(|_| NotATarget)?;
                (
                    Host::Address(address.into()),
                    after
                        .strip_prefix(':')
                        .or_else(|| (!after.is_empty()).then_some("")),
                )
            }
            None => {
                let (host, port) = match text.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                (Host::name(host)?, port)
            }
        };
        let port = match given {
            Some(digits) => number(digits),
            None => port,
        };
        Ok(Self {
            host,
            port: port.filter(|&port| port != 0).ok_or(NotATarget)?,
        })
    }
}

impl Host {
    /// Reads what is no address of version 6.
    pub(super) fn name(text: &str) -> Result<Self, NotATarget> {
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(plain) {
            return Err(NotATarget);
        }
        Ok(Self::Name(text.to_owned()))
    }
}

/// Reads a port as people write one: no sign, no space.
fn number(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        for (text, expect) in [
            ("example.org:443", "example.org:443"),
            ("1.2.3.4:80", "1.2.3.4:80"),
            ("[2606:4700::1]:443", "[2606:4700::1]:443"),
            ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1"),
            ("2130706433:22", "2130706433:22"),
            ("example.org", "example.org:80"),
            ("[::1]", "[::1]:80"),
        ] {
            let target = Target::parse(text, Some(80)).unwrap();
            assert_eq!(target.to_string(), expect);
        }
        let host = Target::parse("1.2.3.4:80", None).unwrap().host;
        assert_eq!(host, Host::Address(Ipv4Addr::new(1, 2, 3, 4).into()));
    }

    #[test]
    fn what_is_neither_is_refused() {
        let long = format!("{}:1", "a".repeat(MAX_NAME_BYTES + 1));
        for text in [
            "",
            ":",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            "a:80:80",
            "a b:80",
            "user@a:80",
            "::1:80",
            "[::1",
            "[::1]80",
            "[fe80::1%eth0]:80",
            "[1.2.3.4]:80",
            "a/b:80",
            "a\r\nx:80",
            "caf\u{e9}:80",
            &long,
        ] {
            assert_eq!(Target::parse(text, None), Err(NotATarget), "{text:?}");
        }
        assert_eq!(Target::parse("example.org", None), Err(NotATarget));
    }
}
