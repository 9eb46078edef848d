//! `check`: reads the whole book and says what is in it, without changing a row.

use std::path::Path;

use coordinator_core::{State, Table};
use redb::{ReadableDatabase, ReadableTableMetadata};

use super::{
    EVENTS, Seal, StoreError, audit, builder, load, migration, newest_event, open_table, sealed,
};

/// What a sound book holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckReport {
    pub(crate) version: u32,
    /// Rows by table, in the order of the tables.
    pub(crate) rows: Vec<(&'static str, u64)>,
    pub(crate) events: u64,
    /// Of the newest event; `None` for a book from before there were any.
    pub(crate) seal: Option<Seal>,
    pub(crate) state: State,
}

/// Checks the file's checksums, decodes every row, follows every reference and the chain of seals.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn check(path: &Path) -> Result<CheckReport, StoreError> {
    inner(path).map_err(|error| error.in_file(path))
}

fn inner(path: &Path) -> Result<CheckReport, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing);
    }
    let mut db = builder().open(path)?;
    db.check_integrity()?;
    let version = migration::version(&db)?;
    if version > migration::NEWEST {
        return Err(StoreError::Newer {
            found: version,
            newest: migration::NEWEST,
        });
    }
    if version == 0 {
        return Err(StoreError::NoVersion);
    }
    let state = load(&db)?;
    newest_event(&db)?;
    let transaction = db.begin_read()?;
    let mut rows = Vec::new();
    for table in Table::ALL {
        let table_rows = open_table(&transaction, *table)?.map(|rows| rows.len());
        rows.push((table.name(), table_rows.transpose()?.unwrap_or(0)));
    }
    let sealed = version >= migration::SEALED;
    let seal = sealed.then(|| sealed::verify(&transaction)).transpose()?;
    audit::verify(&transaction)?;
    Ok(CheckReport {
        version,
        rows,
        state,
        seal,
        events: transaction.open_table(EVENTS)?.len()?,
    })
}
