//! What the server of an attempt's lazy mounts and the agent say to each other over the agent's socket.
//!
//! Frames: the length of what follows, four bytes, little-endian; a byte that says what it is; the rest. Both ends are
//! this program, perhaps in two builds: what an end does not understand makes it hang up, and the other one begin
//! anew.

use std::io;

use bytes::Bytes;
use common::{id::TreeId, tree::MAX_CHUNK_BYTES};

/// Most ordinals of one kind in an ask.
pub(crate) const MAX_ORDINALS: usize = 4096;
/// Longest frame: a piece with its head.
const MAX_FRAME_BYTES: usize = MAX_CHUNK_BYTES as usize + 64;
/// Longest reason.
const MAX_WHY_BYTES: usize = 512;

const ASK: u8 = 1;
const PIECE: u8 = 2;
const FAILED: u8 = 3;

/// From the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) tree: TreeId,
    /// Somebody waits for these: they come back as pieces.
    pub(crate) wanted: Vec<u32>,
    /// Somebody will read these, it seems: they are to be there.
    pub(crate) ahead: Vec<u32>,
    /// These parts of what is kept were read lately; see [`super::store`].
    pub(crate) touched: Vec<u32>,
}

/// From the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Piece {
        tree: TreeId,
        ordinal: u32,
        bytes: Bytes,
    },
    /// It cannot be had, for this reason.
    Failed {
        tree: TreeId,
        ordinal: u32,
        why: String,
    },
}

impl Ask {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = vec![ASK];
        body.extend_from_slice(self.tree.as_bytes());
        for list in [&self.wanted, &self.ahead, &self.touched] {
            let list = &list[..list.len().min(MAX_ORDINALS)];
            body.extend(u32::try_from(list.len()).unwrap_or(0).to_le_bytes());
            body.extend(list.iter().flat_map(|number| number.to_le_bytes()));
        }
        framed(body)
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = Rest(body.strip_prefix(&[ASK])?);
        let ask = Self {
            tree: rest.tree()?,
            wanted: rest.list()?,
            ahead: rest.list()?,
            touched: rest.list()?,
        };
        rest.0.is_empty().then_some(ask)
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, tree, ordinal, rest) = match self {
            Self::Piece {
                tree,
                ordinal,
                bytes,
            } => (PIECE, tree, ordinal, bytes.as_ref()),
            Self::Failed { tree, ordinal, why } => {
                let why = &why.as_bytes()[..why.len().min(MAX_WHY_BYTES)];
                (FAILED, tree, ordinal, why)
            }
        };
        let mut body = Vec::with_capacity(41 + rest.len());
        body.push(kind);
        body.extend_from_slice(tree.as_bytes());
        body.extend(ordinal.to_le_bytes());
        body.extend_from_slice(rest);
        framed(body)
    }

    pub(crate) fn decode(body: Vec<u8>) -> Option<Self> {
        let mut rest = Rest(body.get(1..)?);
        let (tree, ordinal) = (rest.tree()?, rest.number()?);
        let head = body.len() - rest.0.len();
        let bytes = Bytes::from(body);
        let rest = bytes.slice(head..);
        match bytes[0] {
            PIECE => Some(Self::Piece {
                tree,
                ordinal,
                bytes: rest,
            }),
            FAILED => Some(Self::Failed {
                tree,
                ordinal,
                why: String::from_utf8_lossy(&rest).into_owned(),
            }),
            _ => None,
        }
    }
}

/// Returns how long the frame is that begins with this.
pub(crate) fn length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head) as usize;
    if (1..=MAX_FRAME_BYTES).contains(&length) {
        return Ok(length);
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn framed(body: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend(body);
    frame
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn tree(&mut self) -> Option<TreeId> {
        let (tree, rest) = self.0.split_first_chunk::<32>()?;
        self.0 = rest;
        Some(TreeId::new(*tree))
    }

    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn list(&mut self) -> Option<Vec<u32>> {
        let count = self.number()? as usize;
        if count > MAX_ORDINALS || self.0.len() / 4 < count {
            return None;
        }
        (0..count).map(|_| self.number()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn tree() -> TreeId {
        TreeId::new([7; 32])
    }

    fn body(frame: &[u8]) -> Vec<u8> {
        let (head, body) = frame.split_first_chunk().unwrap();
        assert_eq!(length(*head).unwrap(), body.len());
        body.to_vec()
    }

    #[test]
    fn words_come_back() {
        let ask = Ask {
            tree: tree(),
            wanted: vec![1, u32::MAX],
            ahead: vec![],
            touched: vec![5],
        };
        assert_eq!(Ask::decode(&body(&ask.encode())), Some(ask));
        for answer in [
            Answer::Piece {
                tree: tree(),
                ordinal: 3,
                bytes: Bytes::from_static(b"bytes"),
            },
            Answer::Failed {
                tree: tree(),
                ordinal: 3,
                why: "no".to_owned(),
            },
        ] {
            assert_eq!(Answer::decode(body(&answer.encode())), Some(answer));
        }
    }

    #[test]
    fn a_frame_beyond_all_bounds_is_refused_before_it_is_read() {
        assert!(length(u32::MAX.to_le_bytes()).is_err());
        assert!(length([0; 4]).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_meet_nothing(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(ask) = Ask::decode(&body) {
                prop_assert_eq!(&ask.encode()[4..], &body[..]);
            }
            if let Some(answer) = Answer::decode(body.clone()) && let Answer::Piece { .. } = answer {
                prop_assert_eq!(&answer.encode()[4..], &body[..]);
            }
        }
    }
}
