//! The store's versions: each step brings the version before it up to its own, in the same transaction that
//! writes the new version. A new store goes through all of them.

mod v1;
mod v2;
mod v3;
mod v4;

use common::time::Timestamp;
use redb::{ReadableDatabase, TableDefinition, WriteTransaction};

use super::{Raw, StoreError};

const META: TableDefinition<'static, Raw, Raw> = TableDefinition::new("meta-1");
const VERSION_KEY: &[u8] = b"storage-version";
const NEWEST_KEY: &[u8] = b"newest-at";

/// What turns a store of the version before into one of the step's own.
type Step = fn(&WriteTransaction) -> Result<(), StoreError>;

/// The version that this program reads and writes.
pub(super) const NEWEST: u32 = 4;

/// The first version with seals.
pub(super) const SEALED: u32 = 2;

/// The step at index `n` makes version `n + 1`. Steps that were released never change.
const STEPS: [Step; NEWEST as usize] = [v1::migrate, v2::migrate, v3::migrate, v4::migrate];

/// Returns the version of the store, 0 for one that was never set up.
pub(super) fn version(db: &impl ReadableDatabase) -> Result<u32, StoreError> {
    let transaction = db.begin_read()?;
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let Some(value) = table.get(VERSION_KEY)? else {
        return Ok(0);
    };
    let bytes = value.value().try_into();
    Ok(u32::from_be_bytes(
        bytes.map_err(|_| StoreError::NoVersion)?,
    ))
}

/// Returns when the last batch was decided; `None` in a store of before that was written down.
pub(super) fn newest(db: &impl ReadableDatabase) -> Result<Option<Timestamp>, StoreError> {
    let table = db.begin_read()?.open_table(META)?;
    let Some(value) = table.get(NEWEST_KEY)? else {
        return Ok(None);
    };
    let bytes = value.value().try_into();
    let ms = u64::from_be_bytes(bytes.map_err(|_| StoreError::RowVersion)?);
    Ok(Some(Timestamp::from_unix_ms(ms)))
}

pub(super) fn write_newest(
    transaction: &WriteTransaction,
    at: Timestamp,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(META)?;
    table.insert(NEWEST_KEY, at.unix_ms().to_be_bytes().as_slice())?;
    Ok(())
}

/// Brings the store to [`NEWEST`].
pub(super) fn migrate(db: &redb::Database, from: u32) -> Result<(), StoreError> {
    if from > NEWEST {
        return Err(StoreError::Newer {
            found: from,
            newest: NEWEST,
        });
    }
    for (step, version) in STEPS.iter().zip(1..).skip(from as usize) {
        let transaction = db.begin_write()?;
        step(&transaction)?;
        write_version(&transaction, version)?;
        transaction.commit()?;
        tracing::info!(version, "the store was brought to a new version");
    }
    Ok(())
}

fn write_version(transaction: &WriteTransaction, version: u32) -> Result<(), StoreError> {
    let mut table = transaction.open_table(META)?;
    table.insert(VERSION_KEY, version.to_be_bytes().as_slice())?;
    Ok(())
}

#[cfg(test)]
pub(super) fn pretend_version(db: &redb::Database, version: u32) {
    let transaction = db.begin_write().unwrap();
    write_version(&transaction, version).unwrap();
    transaction.commit().unwrap();
}
