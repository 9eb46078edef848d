//! The audit log of an org as people see it, the chain that proves it, and the copy that they take of it.
//!
//! Every entry is sealed: its seal is made of the seal before, its number and its bytes. Whoever changes, removes or
//! adds an entry would have to make every seal after it anew, and the newest would be another one.

mod copy;

use serde::{Deserialize, Serialize};

pub use self::copy::{Flaw, LogCopy, Tampered, header, line};
use crate::{
    id::{OrgId, Seal},
    status::AuditKind,
    time::Timestamp,
};

/// Keeps the seals of entries apart from all other hashes.
const ENTRY_CONTEXT: &str = "compute-share 2026-11-22 seal of an entry of an org's audit log";
/// Keeps what stands before the first entry apart from the seals of entries.
const FIRST_CONTEXT: &str = "compute-share 2026-11-22 beginning of an org's audit log";

/// Longest words about a subject or a change, in characters.
pub const MAX_WORDS: usize = 400;

/// How far an org's log goes: so many entries, the newest sealed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Also the number of the entry that comes next.
    pub entries: u64,
    pub seal: Seal,
}

impl ChainHead {
    /// Returns the beginning of an org's log, which no other org's shares.
    pub fn first(org: OrgId) -> Self {
        let seal = blake3::derive_key(FIRST_CONTEXT, org.as_bytes());
        Self {
            entries: 0,
            seal: Seal::new(seal),
        }
    }

    /// Returns how far the log goes with one more entry, given the bytes that are kept of it.
    #[must_use]
    pub fn with(self, entry: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(ENTRY_CONTEXT);
        hasher
            .update(self.seal.as_bytes())
            .update(&self.entries.to_be_bytes())
            .update(entry);
        Self {
            entries: self.entries.saturating_add(1),
            seal: Seal::new(hasher.finalize().into()),
        }
    }
}

/// One thing that happened, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// In the org's log, from 0.
    pub number: u64,
    pub at: Timestamp,
    pub actor: AuditActor,
    pub kind: AuditKind,
    /// What happened: `machine_approved`.
    pub event: String,
    /// What it happened to, by its name as it is now.
    pub subject: Option<String>,
    /// What was before and after, or why.
    pub change: Option<String>,
    /// The entry as it is kept: JSON, ids instead of names.
    pub json: String,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditActor {
    /// `user` or `machine` with its id; `system`; `stranger` for somebody who was let in by a code.
    pub id: String,
    /// A user's handle, a machine's name.
    pub name: Option<String>,
    /// The user's token that it was done with, where a program did it: its name, or its id once it is forgotten.
    pub token: Option<String>,
}

impl AuditActor {
    /// Returns the name, or what stands for one, and by which token.
    pub fn shown(&self) -> String {
        match (&self.name, &self.token) {
            (Some(name), Some(token)) => format!("{name} (token {token})"),
            (Some(name), None) => name.clone(),
            // No handle and no machine's name has brackets.
            (None, _) => format!("({})", self.id),
        }
    }
}

/// An entry as it is kept, with its seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedEntry {
    pub seal: Seal,
    pub json: String,
}
