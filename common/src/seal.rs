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
