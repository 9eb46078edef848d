//! `check`: reads the whole book and says what is in it, without changing a row.

use std::path::Path;

use coordinator_core::Table;
use redb::{ReadableDatabase, ReadableTableMetadata};
use serde::Serialize;

use super::{EVENTS, StoreError, builder, definition, load, migration, newest_event};

/// What a sound book holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CheckReport {
    pub(crate) version: u32,
    /// Rows by table, in the order of the tables.
    pub(crate) rows: Vec<(&'static str, u64)>,
    pub(crate) events: u64,
}

/// Checks the file's checksums, decodes every row and follows every reference.
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
    load(&db)?;
    newest_event(&db)?;
    let transaction = db.begin_read()?;
    let mut rows = Vec::new();
    for table in Table::ALL {
        let table_rows = transaction.open_table(definition(*table))?.len()?;
        rows.push((table.name(), table_rows));
    }
    Ok(CheckReport {
        version,
        rows,
        events: transaction.open_table(EVENTS)?.len()?,
    })
}
