//! The codec: the one place that names bincode.
//!
//! Variable-length integers, little-endian, no trailing bytes, and a limit that is checked while decoding, so
//! that a message that claims more than it carries is an error and not an allocation.

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

pub(super) fn encode<T: Serialize>(value: &T, limit: u32) -> Result<Vec<u8>, String> {
    options(limit)
        .serialize(value)
        .map_err(|error| error.to_string())
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], limit: u32) -> Result<T, String> {
    options(limit)
        .deserialize(bytes)
        .map_err(|error| error.to_string())
}

fn options(limit: u32) -> impl Options {
    bincode::options().with_limit(u64::from(limit))
}
