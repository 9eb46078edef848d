//! A secret that only the coordinator can open, on its way there and in its book.
//!
//! Sealed by the member's program for the coordinator's sealing key (HPKE, RFC 9180; the `certs` crate does
//! the cryptography). The book holds it as it came; a machine that is to use it asks for it, over its own
//! connection, when it needs it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest sealed secret, in bytes.
pub const MAX_SEALED_BYTES: usize = 16 << 10;

/// A sealed secret. Says nothing of itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The key's part that belongs to this message.
    pub encapsulated: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

impl Sealed {
    /// Returns whether it is short enough to be kept.
    pub const fn is_bounded(&self) -> bool {
        self.encapsulated.len() <= 256 && self.ciphertext.len() <= MAX_SEALED_BYTES
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").finish_non_exhaustive()
    }
}

/// What opens a registry, once unsealed. Sealed as JSON, with the registry's name as the context.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// `HOST` or `HOST:PORT` of the registry that it is for; no other is ever shown it.
    pub registry: String,
    pub user: String,
    pub password: String,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryLogin")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// Bytes that people see: digits in JSON, as they are on the wire.
pub(crate) mod hex {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            serializer.serialize_str(&digits)
        } else {
            bytes.serialize(serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        if !deserializer.is_human_readable() {
            return Vec::deserialize(deserializer);
        }
        let digits = String::deserialize(deserializer)?;
        let pairs = (0..digits.len().div_ceil(2)).map(|at| digits.get(2 * at..2 * at + 2));
        let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok());
        bytes
            .collect::<Option<_>>()
            .ok_or_else(|| D::Error::custom("not pairs of hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_digits_in_json_and_bytes_elsewhere() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Holder(#[serde(with = "hex")] Vec<u8>);

        let holder = Holder(vec![0, 9, 255]);
        let json = serde_json::to_string(&holder).unwrap();
        assert_eq!(json, "\"0009ff\"");
        assert_eq!(serde_json::from_str::<Holder>(&json).unwrap(), holder);
        for wrong in ["\"0\"", "\"zz\"", "\"0\u{e4}1\"", "[0]"] {
            assert!(serde_json::from_str::<Holder>(wrong).is_err(), "{wrong}");
        }
    }
}
