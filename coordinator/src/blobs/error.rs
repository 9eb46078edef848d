//! What can go wrong with an org's store, and what a person is told.

use std::io;

use common::{code::Code, id::ChunkId, problem::Problem};
use link::trees::io_problem;

use super::depot::AtPlace;
use crate::store::{StoreError, chain};

/// Why something could not be stored, read or taken away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the index cannot be used")]
    Index(#[source] StoreError),
    /// What is to be kept names a piece that is not here.
    #[error("its piece {0} was not sent")]
    NotSent(ChunkId),
    /// What was written before is nowhere any more.
    #[error("the coordinator's disk failed to keep what was written meanwhile")]
    Lost,
}

impl BlobError {
    /// Returns whether it failed because the org's bucket cannot be used, which may be otherwise the next time.
    pub(super) fn is_of_bucket(&self) -> bool {
        matches!(self, Self::Io(error) if AtPlace::is_in(error))
    }

    /// Returns what a person is told, who wanted `what`.
    pub(crate) fn problem(&self, what: &str) -> Problem {
        match self {
            Self::Io(error) => {
                AtPlace::problem(error, what).unwrap_or_else(|| io_problem(what, error))
            }
            Self::Index(error) => {
                let code = match error.innermost() {
                    StoreError::Full(_) => Code::DiskFull,
                    StoreError::Damaged(_) => Code::StoreDamaged,
                    _ => Code::Io,
                };
                Problem::new(code, what, chain(self))
            }
            Self::NotSent(_) => Problem::new(Code::BadRequest, what, self.to_string()),
            Self::Lost => Problem::new(Code::Io, what, self.to_string()).help(
                "Try again: what was lost is sent again, and what was stored before is there.",
            ),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for BlobError {
            fn from(error: redb::$error) -> Self {
                Self::Index(StoreError::from(error))
            }
        }
    )*};
}

from_redb! { DatabaseError TransactionError TableError StorageError CommitError }
