//! What can go wrong with the book, and what a person is told.

use std::path::{Path, PathBuf};

use common::{code::Code, id::OrgId, problem::Problem};
use coordinator_core::state::rows::RowError;

/// Why the book could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{}", path.display())]
    At {
        path: PathBuf,
        #[source]
        source: Box<Self>,
    },
    #[error("there is none")]
    Missing,
    #[error("it is closed: the coordinator stops")]
    Closed,
    #[error("another process has it open")]
    Locked,
    #[error("it has version {found}, and this program knows versions up to {newest}")]
    Newer { found: u32, newest: u32 },
    #[error("it does not say its version")]
    NoVersion,
    #[error("a table is not there")]
    NoTable,
    #[error("a row is not in a form that this program knows")]
    RowVersion,
    #[error("a row cannot be read")]
    Row(#[from] RowError),
    #[error("an event cannot be read")]
    Event(#[source] serde_json::Error),
    #[error("event {event} is not what it was when it was sealed")]
    Seal { event: u64 },
    #[error("entry {entry} of the log of org {org} is not what it was when it was sealed")]
    OrgSeal { org: OrgId, entry: u64 },
    #[error("the file is damaged")]
    Damaged(#[source] redb::Error),
    #[error("the disk is full")]
    Full(#[source] redb::Error),
    #[error("the file cannot be read or written")]
    Io(#[source] redb::Error),
}

impl StoreError {
    pub(super) fn at(path: &Path, source: Self) -> Self {
        Self::At {
            path: path.to_owned(),
            source: Box::new(source),
        }
    }

    /// Returns the error without the file that it happened in.
    pub(crate) fn innermost(&self) -> &Self {
        match self {
            Self::At { source, .. } => source.innermost(),
            other => other,
        }
    }

    pub(super) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::At { .. } => self,
            other => Self::at(path, other),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::from(redb::Error::Io(error))
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, StorageFull, UnexpectedEof};
        match &error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::Locked,
            redb::Error::Io(io) if io.kind() == StorageFull => Self::Full(error),
            redb::Error::Io(io) if ![InvalidData, UnexpectedEof].contains(&io.kind()) => {
                Self::Io(error)
            }
            redb::Error::PreviousIo => Self::Io(error),
            redb::Error::TableDoesNotExist(_) => Self::NoTable,
            _ => Self::Damaged(error),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::from(redb::Error::from(error))
            }
        }
    )*};
}

from_redb! { DatabaseError TransactionError TableError StorageError CommitError }

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (path, error) = match error {
            StoreError::At { path, source } => (path, *source),
            other => (PathBuf::new(), other),
        };
        let what = format!("The store {} cannot be used", path.display());
        let why = chain(&error);
        let damaged = || {
            Self::new(Code::StoreDamaged, what.clone(), why.clone()).help(format!(
                "Keep {} aside, put the last backup of the whole data folder in its place, and run `check` on it.",
                path.display()
            ))
        };
        match error {
            StoreError::Missing => Self::new(
                Code::NotInitialised,
                format!("There is no coordinator at {}", path.display()),
                "the file does not exist",
            ),
            StoreError::Closed => Self::new(Code::Unreachable, "The coordinator stops", why),
            StoreError::Locked => Self::new(Code::StoreLocked, what, why),
            StoreError::Newer { .. } => Self::new(Code::StoreNewer, what, why),
            StoreError::Full(_) => Self::new(Code::DiskFull, what, why),
            StoreError::Io(_) => Self::new(Code::Io, what, why),
            StoreError::At { .. }
            | StoreError::NoVersion
            | StoreError::NoTable
            | StoreError::RowVersion
            | StoreError::Row(_)
            | StoreError::Event(_)
            | StoreError::Seal { .. }
            | StoreError::OrgSeal { .. }
            | StoreError::Damaged(_) => damaged(),
        }
    }
}

/// Returns an error and everything behind it in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += ": ";
        text += &cause.to_string();
        source = cause.source();
    }
    text
}
