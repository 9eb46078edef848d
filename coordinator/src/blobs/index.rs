//! What an org's store has and where: one redb file beside the packs.
//!
//! A commit here is what makes pieces and trees exist. The index holds nothing that packs and descriptions do not say
//! as well: it can be made anew from them (see [`super::recover`]).

mod change;
mod row;

pub(super) use self::{
    change::Change,
    row::{Doomed, Pack, Place, Row, TreeRow},
};

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use common::id::{ChunkId, TreeId};
use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition, TableHandle as _};

use super::{error::BlobError, step};

/// Memory for pages of one org's index. Org stores that nobody uses are closed, so that many orgs cost little.
const CACHE_BYTES: usize = 16 << 20;

type Id = &'static [u8; 32];

const CHUNKS: TableDefinition<'_, Id, &[u8; row::ROW_BYTES]> = TableDefinition::new("chunks-1");
/// Chunks that no tree has, by the minute since which: zero where they may go at once. One that came with a tree whose
/// chunks are not counted yet need not be among them.
const IDLE: TableDefinition<'_, (u32, Id), ()> = TableDefinition::new("idle-chunks-1");
const PACKS: TableDefinition<'_, u32, (u32, u32)> = TableDefinition::new("packs-1");
/// Chunks whose piece is damaged or missing.
const LOST: TableDefinition<'_, Id, ()> = TableDefinition::new("lost-chunks-1");
/// Packs that are objects in a bucket instead of files.
const AWAY: TableDefinition<'_, u32, ()> = TableDefinition::new("packs-away-1");
/// By which opening those have their names, see [`Object`](super::object::Object).
const OPENINGS: TableDefinition<'_, u32, u64> = TableDefinition::new("packs-away-openings-1");
const TREES: TableDefinition<'_, Id, (u64, u64, u32, bool)> = TableDefinition::new("trees-1");
/// Trees not all of whose chunks are counted, and how many are.
const UNCOUNTED: TableDefinition<'_, Id, u32> = TableDefinition::new("uncounted-trees-1");
/// Trees that have lost their names, and how many of their chunks have heard of it.
const DOOMED: TableDefinition<'_, Id, u32> = TableDefinition::new("doomed-trees-1");
/// Of those that were uncounted then: how many of their chunks were counted.
const COUNTED: TableDefinition<'_, Id, u32> = TableDefinition::new("doomed-counted-1");
/// What the store notes for itself, by name.
const NOTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("notes-1");

/// Among the notes: how looks through all that is stored stand.
pub(super) const SCRUB: &str = "scrub";
/// Among the notes: that the counts of references have to be taken anew.
pub(super) const RECOUNT: &str = "recount";
/// Among the notes: that the index is new, and does not have all that packs and descriptions say yet.
pub(super) const NEW: &str = "new";

#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    /// `None` after a write failed, until it is opened again: redb does no more after an error.
    database: RwLock<Option<Database>>,
}

impl Index {
    /// Opens the index, which is made if there is none: then it has the note [`NEW`].
    pub(super) fn open(path: &Path) -> Result<Self, BlobError> {
        Ok(Self {
            path: path.to_owned(),
            database: RwLock::new(Some(open(path)?)),
        })
    }

    /// Does `change` in one commit, which is on the disk when this returns; nothing of it where either fails.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&mut Change<'_>) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        let done = self.with(|database| {
            let transaction = database.begin_write()?;
            let done = {
                let mut tables = Change::open(&transaction)?;
                let done = change(&mut tables)?;
                tables.settle()?;
                done
            };
            step();
            transaction.commit()?;
            step();
            Ok(done)
        });
        if matches!(done, Err(BlobError::Index(_) | BlobError::Io(_))) {
            // Opened again by whoever is next.
            *self
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    /// Returns a view of the index that later changes do not touch.
    pub(super) fn view(&self) -> Result<View, BlobError> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            Ok(View {
                chunks: transaction.open_table(CHUNKS)?,
                transaction,
            })
        })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        loop {
            let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(database) = &*guard {
                return work(database);
            }
            drop(guard);
            // Nobody works while others cannot look: what they hold may be what the work waits for.
            let mut guard = self
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            if guard.is_none() {
                *guard = Some(open(&self.path)?);
            }
        }
    }
}

fn open(path: &Path) -> Result<Database, BlobError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let database = builder.create(path)?;
    let transaction = database.begin_write()?;
    let new = transaction.list_tables()?.next().is_none();
    let mut tables = transaction.list_tables()?;
    let lists_lost = tables.any(|table| table.name() == LOST.name());
    drop(tables);
    // Every table is there from the first view on.
    let mut change = Change::open(&transaction)?;
    if new {
        change.note(NEW, b"1")?;
    } else if !lists_lost {
        change.list_lost()?;
    }
    drop(change);
    transaction.commit()?;
    Ok(database)
}

/// The index as it was at one moment.
#[derive(Debug)]
pub(super) struct View {
    transaction: ReadTransaction,
    chunks: redb::ReadOnlyTable<Id, &'static [u8; row::ROW_BYTES]>,
}

impl View {
    pub(super) fn chunk(&self, id: ChunkId) -> Result<Option<Row>, BlobError> {
        let row = self.chunks.get(id.as_bytes())?;
        Ok(row.map(|row| Row::decode(row.value())))
    }

    pub(super) fn tree(&self, id: TreeId) -> Result<Option<TreeRow>, BlobError> {
        let row = self.transaction.open_table(TREES)?.get(id.as_bytes())?;
        Ok(row.map(|row| TreeRow::from(row.value())))
    }

    pub(super) fn trees(&self) -> Result<Vec<(TreeId, TreeRow)>, BlobError> {
        let table = self.transaction.open_table(TREES)?;
        let rows = table.range::<Id>(..)?.map(|row| {
            let (id, row) = row?;
            Ok((TreeId::new(*id.value()), TreeRow::from(row.value())))
        });
        rows.collect()
    }

    pub(super) fn doomed(&self) -> Result<Vec<Doomed>, BlobError> {
        let table = self.transaction.open_table(DOOMED)?;
        let counted = self.transaction.open_table(COUNTED)?;
        let rows = table.range::<Id>(..)?.map(|row| {
            let (id, heard) = row?;
            let counted = counted.get(id.value())?.map(|counted| counted.value());
            Ok(Doomed {
                tree: TreeId::new(*id.value()),
                heard: heard.value(),
                counted: counted.unwrap_or(u32::MAX),
            })
        });
        rows.collect()
    }

    /// Returns the trees not all of whose chunks are counted, and how many are; not those that are
    /// [uncountable](View::uncountable).
    pub(super) fn uncounted(&self) -> Result<Vec<(TreeId, u32)>, BlobError> {
        let mut uncounted = self.to_count()?;
        uncounted.retain(|(.., damaged)| !damaged);
        let uncounted = uncounted.into_iter();
        Ok(uncounted
            .map(|(tree, counted, _)| (tree, counted))
            .collect())
    }

    /// Returns the trees that nobody can count, as their descriptions are damaged.
    pub(super) fn uncountable(&self) -> Result<Vec<TreeId>, BlobError> {
        let uncounted = self.to_count()?.into_iter();
        let damaged = uncounted.filter(|(.., damaged)| *damaged);
        Ok(damaged.map(|(tree, ..)| tree).collect())
    }

    fn to_count(&self) -> Result<Vec<(TreeId, u32, bool)>, BlobError> {
        let table = self.transaction.open_table(UNCOUNTED)?;
        let trees = self.transaction.open_table(TREES)?;
        let rows = table.range::<Id>(..)?.map(|row| {
            let (id, counted) = row?;
            let tree = trees.get(id.value())?;
            let damaged = tree.is_some_and(|tree| TreeRow::from(tree.value()).damaged);
            Ok((TreeId::new(*id.value()), counted.value(), damaged))
        });
        rows.collect()
    }

    /// Hands every chunk whose piece is damaged or missing to `each`, until that says that it has enough.
    pub(super) fn each_lost(
        &self,
        mut each: impl FnMut(ChunkId, Row) -> bool,
    ) -> Result<(), BlobError> {
        for row in self.transaction.open_table(LOST)?.range::<Id>(..)? {
            let id = ChunkId::new(*row?.0.value());
            if let Some(row) = self.chunk(id)?
                && !each(id, row)
            {
                break;
            }
        }
        Ok(())
    }

    /// Returns a pack's row; empty where there is none.
    pub(super) fn pack(&self, number: u32) -> Result<Pack, BlobError> {
        let row = self.transaction.open_table(PACKS)?.get(number)?;
        Ok(Pack::from(row.map(|row| row.value()).unwrap_or_default()))
    }

    pub(super) fn packs(&self) -> Result<Vec<(u32, Pack)>, BlobError> {
        let table = self.transaction.open_table(PACKS)?;
        let rows = table.range::<u32>(..)?.map(|row| {
            let (number, pack) = row?;
            Ok((number.value(), Pack::from(pack.value())))
        });
        rows.collect()
    }

    /// Returns the packs that are in a bucket, and the openings by which they have their names.
    pub(super) fn away(&self) -> Result<BTreeMap<u32, u64>, BlobError> {
        let table = self.transaction.open_table(AWAY)?;
        let openings = self.transaction.open_table(OPENINGS)?;
        let rows = table.range::<u32>(..)?.map(|row| {
            let pack = row?.0.value();
            let opening = openings.get(pack)?;
            Ok((
                pack,
                opening.map(|opening| opening.value()).unwrap_or_default(),
            ))
        });
        rows.collect()
    }

    /// Returns chunks that no tree has had since this minute or longer, after `after` in the order of the index.
    pub(super) fn idle(
        &self,
        until: u32,
        after: Option<(u32, ChunkId)>,
        most: usize,
    ) -> Result<Vec<(u32, ChunkId)>, BlobError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let table = self.transaction.open_table(IDLE)?;
        let from = match &after {
            Some((since, id)) => Excluded((*since, id.as_bytes())),
            None => Unbounded,
        };
        let last = [u8::MAX; 32];
        let rows = table.range((from, Included((until, &last))))?;
        let rows = rows.take(most).map(|row| {
            let (key, ()) = row.map(|(key, value)| (key, value.value()))?;
            let (since, id) = key.value();
            Ok((since, ChunkId::new(*id)))
        });
        rows.collect()
    }

    /// Hands every chunk to `each`, until that says that it has enough.
    pub(super) fn each_chunk(
        &self,
        mut each: impl FnMut(ChunkId, Row) -> bool,
    ) -> Result<(), BlobError> {
        for row in self.chunks.range::<Id>(..)? {
            let (id, row) = row?;
            if !each(ChunkId::new(*id.value()), Row::decode(row.value())) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn note(&self, name: &str) -> Result<Option<Vec<u8>>, BlobError> {
        let row = self.transaction.open_table(NOTES)?.get(name)?;
        Ok(row.map(|row| row.value().to_vec()))
    }
}
