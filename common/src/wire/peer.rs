//! How machines get a tree's chunks from one another.
//!
//! A machine that fetches a tree opens an [`super::agent::AgentStream::Swarm`] beside it and says which *blocks* (chunks
//! that follow one another in the tree's order) it lacks. From then on it says in [`SwarmNews`] what came of its orders,
//! and the coordinator answers with [`SwarmOrders`]: which block to get from whom. It hands out most blocks once, spread
//! over all who fetch, and tells the others where these are.
//!
//! Between machines a connection has an ALPN of its own, and both sides show their machine's certificate. Every stream
//! begins with a [`PeerStream`] that carries what the coordinator signed for just these two; then chunks go as in
//! [`super::data`].

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    id::{CertificateSerial, MachineId, TreeId},
    time::Timestamp,
    units::Bytes,
};

/// Most blocks of one tree.
pub const MAX_BLOCKS: u32 = 64 << 10;
/// Most addresses at which one machine is looked for.
pub const MAX_DOOR_ADDRESSES: usize = 8;
/// Most machines that one machine fetches a tree from at once.
pub const MAX_CONTACTS: usize = 12;
/// Most entries of each list of a [`SwarmNews`].
pub const MAX_NEWS: usize = 1024;
/// How long a grant is good for.
pub const GRANT_LIFE_MS: u64 = 60_000;

/// One machine may have one tree from one other, for a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub tree: TreeId,
    /// Who has the tree, or a part of it.
    pub from: MachineId,
    pub to: MachineId,
    /// With which `to` is connected to the coordinator, and has to come.
    pub certificate: CertificateSerial,
    pub expires_at: Timestamp,
}

impl Grant {
    /// Returns what is signed. It begins as nothing else does that the coordinator's key signs.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = b"compute-share grant 1\0".to_vec();
        bytes.extend_from_slice(self.tree.as_bytes());
        bytes.extend_from_slice(self.from.as_bytes());
        bytes.extend_from_slice(self.to.as_bytes());
        bytes.extend_from_slice(self.certificate.as_bytes());
        bytes.extend_from_slice(&self.expires_at.unix_ms().to_be_bytes());
        bytes
    }
}

/// A grant with the coordinator's signature (Ed25519, of its issuing certificate's key).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedGrant {
    pub grant: Grant,
    pub signature: Vec<u8>,
}

/// Where a machine can be reached by others; empty where its owner does not want that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerDoor {
    pub addresses: Vec<SocketAddr>,
}

/// What a machine has had from others and given to them since its agent started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLoad {
    /// Whether others may fetch from it.
    pub serves: bool,
    pub served: Bytes,
    pub fetched: Bytes,
}

/// From whom a block comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    Coordinator,
    Peer(MachineId),
}

/// A block is to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub block: u32,
    pub from: Source,
}

/// What came of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub block: u32,
    pub from: Source,
    pub came: bool,
}

/// From the machine that fetches. Its first says what it lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmNews {
    /// In the first one, a bit for each block, lowest first; empty later.
    pub lacks: Vec<u64>,
    pub done: Vec<Done>,
    /// Machines to which there is a connection now.
    pub reached: Vec<MachineId>,
    /// Machines that cannot be reached, are too slow, or sent what does not match.
    pub lost: Vec<Lost>,
}

/// A machine from which nothing more is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub machine: MachineId,
    pub why: LostWhy,
}

/// Why nothing more is wanted from a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LostWhy {
    Unreachable,
    Refused,
    Slow,
    /// What it sent is not what it should be.
    Lied,
}

/// From the coordinator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmOrders {
    pub orders: Vec<Order>,
    /// Those with whom to connect, and what lets one in there; a later one replaces an earlier one.
    pub contacts: Vec<Contact>,
}

/// A machine from which a tree, or blocks of it, can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub addresses: Vec<SocketAddr>,
    pub grant: SignedGrant,
}

/// The first frame of a stream between two machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerStream {
    /// Chunks of the grant's tree come.
    Chunks { grant: SignedGrant },
}
