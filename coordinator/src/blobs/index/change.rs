//! Changes of the index, which become true together.

use std::{collections::BTreeMap, fmt, ops::Bound};

use common::id::{ChunkId, TreeId};
use redb::{ReadableTable, ReadableTableMetadata as _, Table, WriteTransaction};

use super::{
    AWAY, CHUNKS, COUNTED, DOOMED, IDLE, Id, LOST, NOTES, OPENINGS, PACKS, Place, Row, TREES,
    TreeRow, UNCOUNTED, row,
};
use crate::blobs::{error::BlobError, object::Object};

/// Rows that are read at once where all are changed.
const RESET_STEP: usize = 4096;

fn after_key(after: Option<&ChunkId>) -> Bound<&[u8; 32]> {
    after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_bytes()))
}

/// A commit that is being put together.
pub(in super::super) struct Change<'txn> {
    chunks: Table<'txn, Id, &'static [u8; row::ROW_BYTES]>,
    idle: Table<'txn, (u32, Id), ()>,
    lost: Table<'txn, Id, ()>,
    packs: Table<'txn, u32, (u32, u32)>,
    away: Table<'txn, u32, ()>,
    openings: Table<'txn, u32, u64>,
    trees: Table<'txn, Id, (u64, u64, u32, bool)>,
    uncounted: Table<'txn, Id, u32>,
    doomed: Table<'txn, Id, u32>,
    counted: Table<'txn, Id, u32>,
    notes: Table<'txn, &'static str, &'static [u8]>,
    /// By how much the live bytes of packs have changed.
    live: BTreeMap<u32, i64>,
}

impl<'txn> Change<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, BlobError> {
        Ok(Self {
            chunks: transaction.open_table(CHUNKS)?,
            idle: transaction.open_table(IDLE)?,
            lost: transaction.open_table(LOST)?,
            packs: transaction.open_table(PACKS)?,
            away: transaction.open_table(AWAY)?,
            openings: transaction.open_table(OPENINGS)?,
            trees: transaction.open_table(TREES)?,
            uncounted: transaction.open_table(UNCOUNTED)?,
            doomed: transaction.open_table(DOOMED)?,
            counted: transaction.open_table(COUNTED)?,
            notes: transaction.open_table(NOTES)?,
            live: BTreeMap::new(),
        })
    }

    /// Brings the packs' rows up to what was changed.
    pub(super) fn settle(&mut self) -> Result<(), BlobError> {
        for (pack, by) in std::mem::take(&mut self.live) {
            let (bytes, live) = self.pack(pack)?;
            let live = (i64::from(live) + by).clamp(0, i64::from(u32::MAX));
            let live = u32::try_from(live).unwrap_or(u32::MAX);
            self.packs.insert(pack, (bytes, live))?;
        }
        Ok(())
    }

    pub(in super::super) fn chunk(&self, id: ChunkId) -> Result<Option<Row>, BlobError> {
        let row = self.chunks.get(id.as_bytes())?;
        Ok(row.map(|row| Row::decode(row.value())))
    }

    /// Notes where a chunk is that was written, for no tree. One that is here already stays where it is: what was
    /// written is dead then.
    pub(in super::super) fn arrive(
        &mut self,
        id: ChunkId,
        place: Place,
        minute: u32,
    ) -> Result<(), BlobError> {
        let row = self.arrive_for_tree(id, place, minute)?;
        if row.references == 0 {
            self.idle.insert((row.since, id.as_bytes()), ())?;
        }
        Ok(())
    }

    /// Does as [`Change::arrive`] for a tree that is to be counted: until then nobody asks whether the chunk is idle.
    /// Returns its row.
    pub(in super::super) fn arrive_for_tree(
        &mut self,
        id: ChunkId,
        place: Place,
        minute: u32,
    ) -> Result<Row, BlobError> {
        let row = Row {
            place: Some(place),
            references: 0,
            since: minute,
        };
        // Most are new: the row is not looked for first, what it was is put back.
        let before = self.chunks.insert(id.as_bytes(), &row.encode())?;
        let before = before.map(|before| Row::decode(before.value()));
        if before.is_none_or(|before| before.place.is_none()) {
            *self.live.entry(place.pack).or_default() += i64::from(place.record_bytes());
        }
        let Some(before) = before else {
            return Ok(row);
        };
        let place = before.place.or(row.place);
        let row = Row { place, ..before };
        self.put_chunk(id, Some(before), row)?;
        Ok(row)
    }

    /// Notes that one more tree has the chunk, whether it is here or not.
    pub(in super::super) fn refer(&mut self, id: ChunkId) -> Result<(), BlobError> {
        let before = self.chunk(id)?;
        let row = before.unwrap_or(Row {
            place: None,
            references: 0,
            since: 0,
        });
        self.count(id, before, row, row.references.saturating_add(1))
    }

    /// Notes that a tree fewer has the chunk. One that none has may go at once.
    pub(in super::super) fn unrefer(&mut self, id: ChunkId) -> Result<(), BlobError> {
        if let Some(mut row) = self.chunk(id)?
            && row.references > 0
        {
            let before = row;
            row.since = 0;
            self.count(id, Some(before), row, before.references - 1)?;
        }
        Ok(())
    }

    /// Notes that a tree has gone that was not counted for the chunk: it may go at once where no other one has it.
    pub(in super::super) fn expire(&mut self, id: ChunkId) -> Result<(), BlobError> {
        if let Some(before) = self.chunk(id)?.filter(|row| row.references == 0) {
            let row = Row { since: 0, ..before };
            self.count(id, Some(before), row, 0)?;
        }
        Ok(())
    }

    /// Writes a chunk's row with this many references, and whether it is idle.
    fn count(
        &mut self,
        id: ChunkId,
        before: Option<Row>,
        mut row: Row,
        references: u32,
    ) -> Result<(), BlobError> {
        row.references = references;
        if let Some(before) = before.filter(|before| before.references == 0) {
            self.idle.remove((before.since, id.as_bytes()))?;
        }
        if references == 0 {
            self.idle.insert((row.since, id.as_bytes()), ())?;
        }
        self.put_chunk(id, before, row)
    }

    /// Writes a chunk's row, and whether it is lost.
    fn put_chunk(&mut self, id: ChunkId, before: Option<Row>, row: Row) -> Result<(), BlobError> {
        let was_lost = before.is_some_and(|before| before.place.is_none());
        match (was_lost, row.place.is_none()) {
            (false, true) => drop(self.lost.insert(id.as_bytes(), ())?),
            (true, false) => drop(self.lost.remove(id.as_bytes())?),
            _ => {}
        }
        self.chunks.insert(id.as_bytes(), &row.encode())?;
        Ok(())
    }

    /// Takes an idle chunk out; returns the bytes that are dead now.
    pub(in super::super) fn drop_idle(
        &mut self,
        since: u32,
        id: ChunkId,
    ) -> Result<u32, BlobError> {
        self.idle.remove((since, id.as_bytes()))?;
        let Some(row) = self.chunk(id)?.filter(|row| row.references == 0) else {
            return Ok(0);
        };
        self.chunks.remove(id.as_bytes())?;
        let Some(place) = row.place else {
            self.lost.remove(id.as_bytes())?;
            return Ok(0);
        };
        *self.live.entry(place.pack).or_default() -= i64::from(place.record_bytes());
        Ok(place.record_bytes())
    }

    /// Notes that a chunk that was at `from` is at `to`; nothing where it has moved or gone meanwhile.
    pub(in super::super) fn relocate(
        &mut self,
        id: ChunkId,
        from: Place,
        to: Option<Place>,
    ) -> Result<(), BlobError> {
        let Some(before) = self.chunk(id)?.filter(|row| row.place == Some(from)) else {
            return Ok(());
        };
        let row = Row {
            place: to,
            ..before
        };
        *self.live.entry(from.pack).or_default() -= i64::from(from.record_bytes());
        if let Some(to) = to {
            *self.live.entry(to.pack).or_default() += i64::from(to.record_bytes());
        }
        self.put_chunk(id, Some(before), row)
    }

    /// Lists the chunks that are lost, for the first time.
    pub(super) fn list_lost(&mut self) -> Result<(), BlobError> {
        for row in self.chunks.iter()? {
            let (id, row) = row?;
            if Row::decode(row.value()).place.is_none() {
                self.lost.insert(id.value(), ())?;
            }
        }
        Ok(())
    }

    /// Takes all chunks' references away, for a count that is taken anew: what nothing has in the end is idle since
    /// `minute`, unless it was idle before.
    pub(in super::super) fn reset_references(&mut self, minute: u32) -> Result<(), BlobError> {
        let mut after = None;
        loop {
            let mut step = Vec::with_capacity(RESET_STEP);
            for row in self
                .chunks
                .range::<&[u8; 32]>((after_key(after.as_ref()), Bound::Unbounded))?
                .take(RESET_STEP)
            {
                let (id, row) = row?;
                step.push((ChunkId::new(*id.value()), Row::decode(row.value())));
            }
            let Some((last, _)) = step.last() else {
                return Ok(());
            };
            after = Some(*last);
            for (id, before) in step {
                let since = match before.references {
                    0 => before.since,
                    _ => minute,
                };
                let row = Row { since, ..before };
                self.count(id, Some(before), row, 0)?;
            }
        }
    }

    /// Notes that so much of a pack is on the disk.
    pub(in super::super) fn grow_pack(&mut self, pack: u32, bytes: u32) -> Result<(), BlobError> {
        let (before, live) = self.pack(pack)?;
        self.packs.insert(pack, (before.max(bytes), live))?;
        Ok(())
    }

    /// Notes that a pack goes: whatever its file holds is nothing any more.
    pub(in super::super) fn doom_pack(&mut self, pack: u32) -> Result<(), BlobError> {
        self.live.remove(&pack);
        self.packs.insert(pack, (0, 0))?;
        Ok(())
    }

    /// Notes that a pack's file is gone.
    pub(in super::super) fn forget_pack(&mut self, pack: u32) -> Result<(), BlobError> {
        self.packs.remove(pack)?;
        self.bring_back(pack)
    }

    /// Notes that a pack is an object in the bucket.
    pub(in super::super) fn send_away(&mut self, object: Object) -> Result<(), BlobError> {
        self.away.insert(object.pack, ())?;
        self.openings.insert(object.pack, object.opening)?;
        Ok(())
    }

    /// Notes that a pack is a file.
    pub(in super::super) fn bring_back(&mut self, pack: u32) -> Result<(), BlobError> {
        self.away.remove(pack)?;
        self.openings.remove(pack)?;
        Ok(())
    }

    fn pack(&self, number: u32) -> Result<(u32, u32), BlobError> {
        let row = self.packs.get(number)?;
        Ok(row.map(|row| row.value()).unwrap_or_default())
    }

    pub(in super::super) fn tree(&self, id: TreeId) -> Result<Option<TreeRow>, BlobError> {
        let row = self.trees.get(id.as_bytes())?;
        Ok(row.map(|row| TreeRow::from(row.value())))
    }

    pub(in super::super) fn put_tree(&mut self, id: TreeId, row: TreeRow) -> Result<(), BlobError> {
        let value = (row.bytes.0, row.files, row.since, row.damaged);
        self.trees.insert(id.as_bytes(), value)?;
        Ok(())
    }

    /// Returns whether the tree is here with all of its chunks: as it was sealed, and nothing at all is lost.
    pub(in super::super) fn has_whole(&self, id: TreeId) -> Result<bool, BlobError> {
        let row = self.tree(id)?;
        Ok(row.is_some_and(|row| !row.damaged) && self.lost.is_empty()?)
    }

    /// Returns how many of a tree's chunks are counted, if they are not all.
    pub(in super::super) fn uncounted(&self, id: TreeId) -> Result<Option<u32>, BlobError> {
        let counted = self.uncounted.get(id.as_bytes())?;
        Ok(counted.map(|counted| counted.value()))
    }

    /// Notes how many of a tree's chunks are counted; `None` when all are.
    pub(in super::super) fn note_counted(
        &mut self,
        id: TreeId,
        counted: Option<u32>,
    ) -> Result<(), BlobError> {
        match counted {
            Some(counted) => drop(self.uncounted.insert(id.as_bytes(), counted)?),
            None => drop(self.uncounted.remove(id.as_bytes())?),
        }
        Ok(())
    }

    /// Takes the tree's name away: it is doomed, if it was there, and no more of it is counted.
    pub(in super::super) fn doom_tree(&mut self, id: TreeId) -> Result<(), BlobError> {
        if self.trees.remove(id.as_bytes())?.is_some() {
            self.doomed.insert(id.as_bytes(), 0)?;
            if let Some(counted) = self.uncounted(id)? {
                self.uncounted.remove(id.as_bytes())?;
                self.counted.insert(id.as_bytes(), counted)?;
            }
        }
        Ok(())
    }

    /// Notes that the chunks of a doomed tree that have not heard of it are all counted, or none of them.
    pub(in super::super) fn recount_doomed(
        &mut self,
        id: TreeId,
        all: bool,
    ) -> Result<(), BlobError> {
        if all {
            self.counted.remove(id.as_bytes())?;
        } else {
            self.counted.insert(id.as_bytes(), 0)?;
        }
        Ok(())
    }

    pub(in super::super) fn is_doomed(&self, id: TreeId) -> Result<bool, BlobError> {
        Ok(self.doomed.get(id.as_bytes())?.is_some())
    }

    /// Notes how many chunks of a doomed tree have heard of it; `None` when all have.
    pub(in super::super) fn advance_doomed(
        &mut self,
        id: TreeId,
        cursor: Option<u32>,
    ) -> Result<(), BlobError> {
        match cursor {
            Some(cursor) => drop(self.doomed.insert(id.as_bytes(), cursor)?),
            None => {
                self.doomed.remove(id.as_bytes())?;
                self.counted.remove(id.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Notes something; nothing any more where `value` is empty.
    pub(in super::super) fn note(
        &mut self,
        name: &'static str,
        value: &[u8],
    ) -> Result<(), BlobError> {
        if value.is_empty() {
            self.notes.remove(name)?;
        } else {
            self.notes.insert(name, value)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}
