//! SOCKS version 5 (RFC 1928): no authentication, connections only, names and addresses.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{
    dial::NotDialled,
    target::{Host, Target},
};

/// What the first byte of such a conversation is.
pub(super) const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NOTHING_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;
const V4: u8 = 1;
const NAME: u8 = 3;
const V6: u8 = 4;

/// What a connection came to, in the protocol's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reply {
    Connected = 0,
    Failed = 1,
    NotAllowed = 2,
    Unreachable = 4,
    Refused = 5,
    UnknownCommand = 7,
    UnknownAddress = 8,
}

impl Reply {
    /// Returns what tells why there is no connection.
    pub(super) fn to(error: &NotDialled) -> Self {
        match error {
            NotDialled::Forbidden { .. } | NotDialled::Spent { .. } => Self::NotAllowed,
            NotDialled::Unresolved { .. } | NotDialled::TooSlow => Self::Unreachable,
            NotDialled::Unconnected(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => Self::Refused,
                _ => Self::Unreachable,
            },
            NotDialled::Interfaces(_) => Self::Failed,
        }
    }

    pub(super) async fn send(self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        // The address that it was made from is nobody's business.
        stream
            .write_all(&[VERSION, self as u8, 0, V4, 0, 0, 0, 0, 0, 0])
            .await
    }
}

/// Hears what is wanted, up to where it is to be connected. What is not understood is answered here.
pub(super) async fn hear(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<Option<Target>> {
    let [version, methods] = exactly(stream).await?;
    let mut offered = vec![0; usize::from(methods)];
    stream.read_exact(&mut offered).await?;
    if version != VERSION || !offered.contains(&NO_AUTHENTICATION) {
        stream.write_all(&[VERSION, NOTHING_ACCEPTABLE]).await?;
        return Ok(None);
    }
    stream.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let [version, command, _, kind] = exactly(stream).await?;
    let host = match kind {
        V4 => {
            let octets: [u8; 4] = exactly(stream).await?;
            Some(Host::Address(IpAddr::V4(Ipv4Addr::from(octets))))
        }
        V6 => {
            let octets: [u8; 16] = exactly(stream).await?;
            Some(Host::Address(IpAddr::V6(Ipv6Addr::from(octets))))
        }
        NAME => {
            let [length] = exactly(stream).await?;
            let mut name = vec![0; usize::from(length)];
            stream.read_exact(&mut name).await?;
            let name = std::str::from_utf8(&name).ok();
            name.and_then(|name| Host::name(name).ok())
        }
        _ => None,
    };
    let refusal = match host {
        None => Reply::UnknownAddress,
        Some(host) => {
            let port = u16::from_be_bytes(exactly(stream).await?);
            if version == VERSION && command == CONNECT && port != 0 {
                return Ok(Some(Target { host, port }));
            }
            Reply::UnknownCommand
        }
    };
    refusal.send(stream).await?;
    Ok(None)
}

async fn exactly<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says `said` and nothing more; returns what is understood and what is answered.
    fn talk(said: &[u8]) -> (io::Result<Option<Target>>, Vec<u8>) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.build().unwrap().block_on(async {
            let (mut near, mut far) = tokio::io::duplex(1024);
            near.write_all(said).await.unwrap();
            near.shutdown().await.unwrap();
            let heard = hear(&mut far).await;
            drop(far);
            let mut answered = Vec::new();
            near.read_to_end(&mut answered).await.unwrap();
            (heard, answered)
        })
    }

    #[test]
    fn names_and_addresses_of_both_kinds_are_understood() {
        let name = [
            &[5, 1, 0, 5, 1, 0, 3, 11],
            b"example.org".as_slice(),
            &[1, 187],
        ]
        .concat();
        let v4 = [5, 2, 2, 0, 5, 1, 0, 1, 1, 2, 3, 4, 0, 80];
        let v6 = [
            &[5, 1, 0, 5, 1, 0, 4, 0x26, 6],
            [0; 13].as_slice(),
            &[1, 0, 80],
        ]
        .concat();
        for (said, expect) in [
            (name.as_slice(), "example.org:443"),
            (&v4, "1.2.3.4:80"),
            (&v6, "[2606::1]:80"),
        ] {
            let (heard, answered) = talk(said);
            assert_eq!(heard.unwrap().unwrap().to_string(), expect);
            assert_eq!(answered, [5, 0]);
            for cut in 0..said.len() {
                assert!(talk(&said[..cut]).0.is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn what_is_not_offered_is_refused_by_its_number() {
        let refused = |number: u8| vec![5, 0, 5, number, 0, 1, 0, 0, 0, 0, 0, 0];
        for (said, expect) in [
            (vec![5, 1, 2], vec![5, 0xff]),
            (vec![5, 0], vec![5, 0xff]),
            (vec![5, 1, 0, 5, 2, 0, 1, 1, 2, 3, 4, 0, 80], refused(7)),
            (vec![5, 1, 0, 5, 3, 0, 1, 1, 2, 3, 4, 0, 80], refused(7)),
            (vec![5, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 0, 0], refused(7)),
            (vec![5, 1, 0, 5, 1, 0, 9], refused(8)),
            (
                vec![5, 1, 0, 5, 1, 0, 3, 3, b'a', b' ', b'b', 0, 80],
                refused(8),
            ),
            (vec![5, 1, 0, 5, 1, 0, 3, 0, 0, 80], refused(8)),
        ] {
            let (heard, answered) = talk(&said);
            assert_eq!(heard.unwrap(), None);
            assert_eq!(answered, expect, "{said:?}");
        }
    }
}
