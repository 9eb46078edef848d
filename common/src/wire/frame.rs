//! The frame: `u32 length, u8 codec, u16 kind, u16 version` in big-endian order, then `length` bytes.
//!
//! The length is checked against the kind's own bound before anything is read, so a stranger cannot make us
//! allocate; the codec byte lets the codec change without a flag day.

use serde::{Serialize, de::DeserializeOwned};

use super::codec;

/// Bytes before a frame's own.
pub const HEADER_BYTES: usize = 9;

/// The frame's payload is bincode.
pub const CODEC_BINCODE: u8 = 1;
/// The frame's payload is bytes as they are (pieces of files).
pub const CODEC_RAW: u8 = 0;

/// What a frame carries. Numbers are never used again (42 was a chunk).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kind {
    Problem = 1,
    Hello = 2,
    AgentHello = 3,
    CoordinatorHello = 4,
    Request = 10,
    Answer = 11,
    FollowEvent = 12,
    ClientStream = 13,
    AgentMessage = 20,
    CoordinatorMessage = 21,
    AgentStream = 22,
    LogResume = 23,
    LogData = 24,
    LogAck = 25,
    RegistryAnswer = 26,
    SecretsAnswer = 27,
    JoinRequest = 30,
    JoinAnswer = 31,
    TreePart = 40,
    Wanted = 41,
    Stored = 43,
    Pieces = 44,
    ChunkAsk = 45,
    Offer = 46,
    OfferedPart = 47,
    Based = 48,
    SwarmNews = 50,
    SwarmOrders = 51,
    PeerStream = 52,
}

impl Kind {
    const ALL: [Self; 29] = [
        Self::Problem,
        Self::Hello,
        Self::AgentHello,
        Self::CoordinatorHello,
        Self::Request,
        Self::Answer,
        Self::FollowEvent,
        Self::ClientStream,
        Self::AgentMessage,
        Self::CoordinatorMessage,
        Self::AgentStream,
        Self::LogResume,
        Self::LogData,
        Self::LogAck,
        Self::RegistryAnswer,
        Self::SecretsAnswer,
        Self::JoinRequest,
        Self::JoinAnswer,
        Self::TreePart,
        Self::Wanted,
        Self::Stored,
        Self::Pieces,
        Self::ChunkAsk,
        Self::Offer,
        Self::OfferedPart,
        Self::Based,
        Self::SwarmNews,
        Self::SwarmOrders,
        Self::PeerStream,
    ];

    fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == number)
    }
}

/// A type that travels in frames of its own kind.
pub trait Message: Serialize + DeserializeOwned {
    const KIND: Kind;
    /// Newest version of the type; a change of any field is a new one.
    const VERSION: u16;
    /// Most bytes of payload.
    const MAX_BYTES: u32;
}

/// What stands before a payload, checked as far as it can be without knowing what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub length: u32,
    pub codec: u8,
    pub kind: Kind,
    pub version: u16,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`DecodeError::UnknownKind`] or [`DecodeError::UnknownCodec`].
    pub fn parse(bytes: [u8; HEADER_BYTES]) -> Result<Self, DecodeError> {
        let [l0, l1, l2, l3, codec, k0, k1, v0, v1] = bytes;
        let number = u16::from_be_bytes([k0, k1]);
        let kind = Kind::from_number(number).ok_or(DecodeError::UnknownKind(number))?;
        if ![CODEC_BINCODE, CODEC_RAW].contains(&codec) {
            return Err(DecodeError::UnknownCodec(codec));
        }
        Ok(Self {
            length: u32::from_be_bytes([l0, l1, l2, l3]),
            codec,
            kind,
            version: u16::from_be_bytes([v0, v1]),
        })
    }

    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        let [k0, k1] = (self.kind as u16).to_be_bytes();
        let [v0, v1] = self.version.to_be_bytes();
        [l0, l1, l2, l3, self.codec, k0, k1, v0, v1]
    }

    /// Returns how many bytes to read for an `M`.
    ///
    /// # Errors
    /// The frame is of another kind, version or codec, or longer than an `M` can be.
    pub fn expect<M: Message>(&self) -> Result<usize, DecodeError> {
        if self.kind != M::KIND {
            Err(DecodeError::UnexpectedKind {
                expected: M::KIND,
                found: self.kind,
            })
        } else if self.codec != CODEC_BINCODE {
            Err(DecodeError::UnknownCodec(self.codec))
        } else if self.version != M::VERSION {
            Err(DecodeError::UnknownVersion {
                kind: self.kind,
                version: self.version,
            })
        } else if self.length > M::MAX_BYTES {
            Err(DecodeError::TooLong {
                kind: self.kind,
                length: self.length,
                most: M::MAX_BYTES,
            })
        } else {
            Ok(self.length as usize)
        }
    }
}

/// Returns the whole frame of `message`.
///
/// # Errors
/// The message is larger than its kind allows.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, EncodeError> {
    let payload = codec::encode(message, M::MAX_BYTES).map_err(|reason| EncodeError {
        kind: M::KIND,
        reason,
    })?;
    let length = u32::try_from(payload.len()).map_err(|_| EncodeError {
        kind: M::KIND,
        reason: "too long".to_owned(),
    })?;
    let header = Header {
        length,
        codec: CODEC_BINCODE,
        kind: M::KIND,
        version: M::VERSION,
    };
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&header.to_bytes());
    frame.extend_from_slice(&payload);
    Ok(frame)
}

/// Reads the payload of a frame whose header said that it is an `M`.
///
/// # Errors
/// The bytes are not an `M`.
pub fn decode<M: Message>(header: &Header, payload: &[u8]) -> Result<M, DecodeError> {
    header.expect::<M>()?;
    codec::decode(payload, M::MAX_BYTES).map_err(|reason| DecodeError::Malformed {
        kind: M::KIND,
        reason,
    })
}

/// The message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {kind:?} message cannot be sent: {reason}")]
pub struct EncodeError {
    pub kind: Kind,
    pub reason: String,
}

/// The bytes that arrived are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("a frame of unknown kind {0}")]
    UnknownKind(u16),
    #[error("a frame in unknown codec {0}")]
    UnknownCodec(u8),
    #[error("a {kind:?} frame of unknown version {version}")]
    UnknownVersion { kind: Kind, version: u16 },
    #[error("a {found:?} frame where {expected:?} was expected")]
    UnexpectedKind { expected: Kind, found: Kind },
    #[error("a {kind:?} frame of {length} bytes; at most {most} are allowed")]
    TooLong { kind: Kind, length: u32, most: u32 },
    #[error("a malformed {kind:?} frame: {reason}")]
    Malformed { kind: Kind, reason: String },
}

macro_rules! messages {
    ($($type:ty => $kind:ident v $version:literal, $max:expr;)*) => {$(
        impl Message for $type {
            const KIND: Kind = Kind::$kind;
            const VERSION: u16 = $version;
            const MAX_BYTES: u32 = $max;
        }
    )*};
}

messages! {
    crate::problem::Problem => Problem v 1, 16 << 10;
    super::Hello => Hello v 1, 1 << 10;
    super::agent::AgentHello => AgentHello v 2, 1 << 20;
    super::agent::CoordinatorHello => CoordinatorHello v 1, 4 << 10;
    crate::api::Request => Request v 2, 1 << 20;
    crate::api::Answer => Answer v 2, 16 << 20;
    crate::api::job::FollowEvent => FollowEvent v 1, 1 << 20;
    super::client::ClientStream => ClientStream v 3, 4 << 10;
    super::agent::AgentMessage => AgentMessage v 2, 1 << 20;
    super::agent::CoordinatorMessage => CoordinatorMessage v 3, 16 << 20;
    super::agent::AgentStream => AgentStream v 4, 4 << 10;
    super::agent::LogResume => LogResume v 1, 64;
    super::agent::LogData => LogData v 1, 300 << 10;
    super::agent::LogAck => LogAck v 1, 64;
    super::agent::RegistryAnswer => RegistryAnswer v 1, 16 << 10;
    super::agent::SecretsAnswer => SecretsAnswer v 1, 512 << 10;
    super::join::JoinRequest => JoinRequest v 1, 32 << 10;
    super::join::JoinAnswer => JoinAnswer v 1, 64 << 10;
    super::data::TreePart => TreePart v 1, 8 << 20;
    super::data::Wanted => Wanted v 2, 1 << 20;
    super::data::ChunkAsk => ChunkAsk v 1, 1 << 20;
    super::data::Offer => Offer v 1, 1 << 20;
    super::data::OfferedPart => OfferedPart v 1, 8 << 20;
    super::data::Based => Based v 1, 64;
    super::data::Stored => Stored v 1, 1 << 10;
    super::peer::SwarmNews => SwarmNews v 1, 128 << 10;
    super::peer::SwarmOrders => SwarmOrders v 1, 16 << 10;
    super::peer::PeerStream => PeerStream v 1, 1 << 10;
}
