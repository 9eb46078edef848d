//! The book: one redb file that holds a row for everything in the state, and the list of events.
//!
//! A row is one version byte and then JSON, since rows outlive releases. Rows are the truth; events are the
//! audit trail and are never read back into the state; each is sealed to all before it. Only the engine and `init` write here, and only whole
//! batches. Nothing else names redb.

mod audit;
mod check;
mod error;
mod migration;
mod sealed;
#[cfg(test)]
mod tests;

use std::{
    os::unix::fs::OpenOptionsExt,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use common::{id::OrgId, status::AuditKind, time::Timestamp};
use coordinator_core::{Actor, RowKey, State, Table};
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
};
use serde::Deserialize;

pub(crate) use self::{
    audit::{Filter, Trail},
    check::{CheckReport, check},
    error::{StoreError, chain},
    sealed::Seal,
};

type Raw = &'static [u8];

/// Pages that redb keeps in memory. The whole state is in memory anyhow.
const CACHE_BYTES: usize = 8 << 20;
/// What stands before every row and event: the rest is JSON.
const ROW_VERSION: u8 = 1;
/// Every event with its sequence number, in the order of the commits.
const EVENTS: TableDefinition<'static, Raw, Raw> = TableDefinition::new("events-1");

/// What one commit writes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// When it was decided. Times never go back, in a book that is opened again neither.
    pub(crate) at: Timestamp,
    /// Rows with their new JSON, or nothing for a row that is gone.
    pub(crate) rows: Vec<(RowKey, Option<Vec<u8>>)>,
    pub(crate) events: Vec<Entry>,
}

/// An event for the audit trail.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) json: Vec<u8>,
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    pub(crate) kind: AuditKind,
    /// Whose logs it goes into.
    pub(crate) orgs: Vec<OrgId>,
}

/// Where the engine makes its decisions last.
pub(crate) trait Book: Send + 'static {
    /// Makes a whole batch durable, or none of it.
    ///
    /// # Errors
    /// Nothing can be said about what the disk holds; only opening the book again tells.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;
}

/// The open book.
#[derive(Debug)]
pub(crate) struct Store {
    db: Arc<Database>,
    path: PathBuf,
    next_event: u64,
    /// Of the event before.
    last_seal: Seal,
}

/// What a book says.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) state: State,
    /// When the last batch was decided.
    pub(crate) newest_at: Timestamp,
}

impl Store {
    /// Makes a new book.
    ///
    /// # Errors
    /// There is a file already, or it cannot be made.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        // A file that is there is never taken for a new one.
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(link::files::PRIVATE_FILE_MODE)
            .open(path);
        file.map_err(|error| StoreError::at(path, error.into()))?;
        let db = builder().create(path);
        let db = db.map_err(|error| StoreError::at(path, error.into()))?;
        migration::migrate(&db, 0).map_err(|error| error.in_file(path))?;
        Ok(Self {
            db: Arc::new(db),
            path: path.to_owned(),
            next_event: 0,
            last_seal: Seal::NONE,
        })
    }

    /// Opens a book, brings it to this program's version and reads all of it.
    ///
    /// # Errors
    /// It is not there, another process has it, it is of a newer version, or it is damaged. A book that cannot
    /// be read is never replaced by an empty one.
    pub(crate) fn open(path: &Path) -> Result<Opened, StoreError> {
        open(path).map_err(|error| error.in_file(path))
    }

    /// Returns what reads the orgs' logs beside the engine.
    pub(crate) fn trail(&self) -> Trail {
        Trail::of(&self.db)
    }
}

impl Book for Store {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let written = self.write(batch);
        (self.next_event, self.last_seal) = written.map_err(|error| error.in_file(&self.path))?;
        Ok(())
    }
}

impl Store {
    /// Returns the number of the event after the last one written, and the seal of that one.
    fn write(&self, batch: &Batch) -> Result<(u64, Seal), StoreError> {
        let (mut next, mut seal) = (self.next_event, self.last_seal);
        // Durability is immediate unless told otherwise.
        let transaction = self.db.begin_write()?;
        let mut rows: Vec<&(RowKey, Option<Vec<u8>>)> = batch.rows.iter().collect();
        rows.sort_by_key(|(key, _)| key.table.name());
        for group in rows.chunk_by(|(a, _), (b, _)| a.table == b.table) {
            let mut table = transaction.open_table(definition(group[0].0.table))?;
            for (row, json) in group {
                match json {
                    Some(json) => table.insert(row.key.as_slice(), versioned(json).as_slice())?,
                    None => table.remove(row.key.as_slice())?,
                };
            }
        }
        if !batch.events.is_empty() {
            let mut table = transaction.open_table(EVENTS)?;
            let mut seals = transaction.open_table(sealed::SEALS)?;
            let mut logs = audit::Logs::open(&transaction)?;
            for entry in &batch.events {
                let (key, value) = (next.to_be_bytes(), versioned(&entry.json));
                table.insert(key.as_slice(), value.as_slice())?;
                seal = seal.of(next, &value);
                sealed::put(&mut seals, next, seal)?;
                logs.append(next, entry)?;
                next += 1;
            }
        }
        migration::write_newest(&transaction, batch.at)?;
        transaction.commit()?;
        Ok((next, seal))
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn definition(table: Table) -> TableDefinition<'static, Raw, Raw> {
    TableDefinition::new(table.name())
}

fn open(path: &Path) -> Result<Opened, StoreError> {
    let db = match builder().open(path) {
        Err(redb::DatabaseError::Storage(redb::StorageError::Io(error)))
            if error.kind() == std::io::ErrorKind::NotFound =>
        {
            return Err(StoreError::Missing);
        }
        opened => opened?,
    };
    read(db, path)
}

/// Brings an open book to this program's version and reads all of it.
fn read(db: Database, path: &Path) -> Result<Opened, StoreError> {
    let version = migration::version(&db)?;
    if version == 0 {
        return Err(StoreError::NoVersion);
    }
    migration::migrate(&db, version)?;
    let state = load(&db)?;
    let (next_event, newest_event_at) = newest_event(&db)?;
    // Books of before know of events only.
    let newest_at = migration::newest(&db)?.unwrap_or_default();
    let last_seal = sealed::last(&db.begin_read()?, next_event)?;
    Ok(Opened {
        store: Store {
            db: Arc::new(db),
            path: path.to_owned(),
            next_event,
            last_seal,
        },
        state,
        newest_at: newest_at.max(newest_event_at),
    })
}

/// Reads every row; jobs beside the others, since they are half of a large book.
fn load(db: &impl ReadableDatabase) -> Result<State, StoreError> {
    let transaction = db.begin_read()?;
    let (jobs, others): (Vec<Table>, _) =
        Table::ALL.iter().partition(|&&table| table == Table::Jobs);
    let (jobs, others) = thread::scope(|scope| {
        let jobs = scope.spawn(|| rows_of(&transaction, &jobs));
        let others = rows_of(&transaction, &others);
        (jobs.join(), others)
    });
    let mut state = others?;
    state.take_in_jobs(jobs.unwrap_or_else(|panic| resume_unwind(panic))?);
    state.finish_load()?;
    Ok(state)
}

fn rows_of(transaction: &ReadTransaction, tables: &[Table]) -> Result<State, StoreError> {
    let mut state = State::new();
    for table in tables {
        let Some(rows) = open_table(transaction, *table)? else {
            continue;
        };
        for row in rows.iter()? {
            let (key, value) = row?;
            let json = unversioned(value.value()).ok_or(StoreError::RowVersion)?;
            state.decode_row(*table, key.value(), json)?;
        }
    }
    Ok(state)
}

/// Opens a table; `None` where the book is from before there was such a table.
fn open_table(
    transaction: &ReadTransaction,
    table: Table,
) -> Result<Option<ReadOnlyTable<Raw, Raw>>, StoreError> {
    match transaction.open_table(definition(table)) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// Returns the number after the newest event's, and when that was.
fn newest_event(db: &impl ReadableDatabase) -> Result<(u64, Timestamp), StoreError> {
    /// All that is ever read of an event.
    #[derive(Deserialize)]
    struct At {
        at: Timestamp,
    }
    let transaction = db.begin_read()?;
    let events = transaction.open_table(EVENTS)?;
    let Some((key, value)) = events.last()? else {
        return Ok((0, Timestamp::default()));
    };
    let number = key.value().try_into().map(u64::from_be_bytes);
    let json = unversioned(value.value()).ok_or(StoreError::RowVersion)?;
    let at: At = serde_json::from_slice(json).map_err(StoreError::Event)?;
    Ok((number.map_err(|_| StoreError::RowVersion)? + 1, at.at))
}

fn versioned(json: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + json.len());
    value.push(ROW_VERSION);
    value.extend_from_slice(json);
    value
}

fn unversioned(value: &[u8]) -> Option<&[u8]> {
    value
        .split_first()
        .filter(|(version, _)| **version == ROW_VERSION)
        .map(|(_, json)| json)
}
