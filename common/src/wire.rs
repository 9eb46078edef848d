//! How messages travel: a hand-specified frame around a codec that nothing else names.
//!
//! A connection's ALPN says who speaks on it and in which major version. Every stream is a sequence of
//! frames. A shipped message is frozen: a change is a new kind or a higher version, enums are append-only,
//! and the coordinator speaks version N and N-1.
//!
//! Banned in wire types, because the codec cannot take them from strangers or carry them: recursion,
//! `Vec<()>`, `usize`, hash maps, and serde's `flatten`, `untagged`, `skip_serializing_if`.

pub mod agent;
pub mod client;
mod codec;
pub mod data;
pub mod frame;
pub mod join;
pub mod peer;

pub use frame::{DecodeError, EncodeError, Header, Kind, Message, decode, encode};

use serde::{Deserialize, Serialize};

/// Agents: a machine's certificate is needed.
pub const ALPN_AGENT: &[u8] = b"compute-share-agent/1";
/// Command lines: a member's certificate is needed.
pub const ALPN_CLIENT: &[u8] = b"compute-share-client/1";
/// Whoever wants in: no certificate is needed, nothing but enrolment is possible.
pub const ALPN_JOIN: &[u8] = b"compute-share-join/1";

/// Machines among one another: each shows its machine's certificate.
pub const ALPN_PEER: &[u8] = b"compute-share-peer/1";

/// Protocol versions within an ALPN's major version that a program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    pub min: u16,
    pub max: u16,
}

/// What this build speaks.
pub const PROTOCOL: VersionRange = VersionRange { min: 2, max: 3 };

impl VersionRange {
    /// Returns the highest version that both speak.
    pub fn common(self, other: Self) -> Option<u16> {
        let (min, max) = (self.min.max(other.min), self.max.min(other.max));
        (min <= max).then_some(max)
    }
}

/// The first words of both sides on a connection's first stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// For people: `0.1.0`.
    pub build: String,
    pub protocol: VersionRange,
}

impl Hello {
    /// Returns what this build says.
    pub fn ours() -> Self {
        Self {
            build: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
        }
    }
}

/// Codes with which a connection is closed.
pub mod close {
    /// Everything was said.
    pub const DONE: u32 = 0;
    /// A frame, message or order of messages that the protocol does not have.
    pub const PROTOCOL: u32 = 1;
    /// The certificate is not, or no longer, good for this.
    pub const UNAUTHORISED: u32 = 2;
    /// The coordinator stops; come back.
    pub const SHUTDOWN: u32 = 3;
    /// The same machine has connected again.
    pub const SUPERSEDED: u32 = 4;
    /// The peer opened or sent more than it may.
    pub const TOO_MUCH: u32 = 5;
}

#[cfg(test)]
mod tests;
