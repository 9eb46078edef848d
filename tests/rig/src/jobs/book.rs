//! The floor of keeping: what redb takes for a durable commit of one row, and to read everything again.

use std::{collections::HashMap, path::Path, time::Instant};

use anyhow::Result;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

/// Rows of a floor; the key is a job's number.
pub(super) const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
/// Bytes of a row that says little.
pub(super) const ROW_BYTES: usize = 200;
/// Bytes of a row that is a whole job.
const JOB_BYTES: usize = 300;
/// Rows of one commit while a book is filled.
const BATCH: usize = 10_000;

/// Prints how many durable commits of one row there were a second.
pub(super) fn commits(book: &Path, count: u32) -> Result<()> {
    let book = Database::create(book)?;
    let begin = Instant::now();
    for number in 0..u64::from(count) {
        put(&book, [(number, [5; ROW_BYTES])].into_iter())?;
    }
    println!("{:.1}", f64::from(count) / begin.elapsed().as_secs_f64());
    Ok(())
}

/// Writes rows in one commit that is on the disk afterwards.
pub(super) fn put<const BYTES: usize>(
    book: &Database,
    rows: impl Iterator<Item = (u64, [u8; BYTES])>,
) -> Result<()> {
    let mut write = book.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    {
        let mut table = write.open_table(ROWS)?;
        for (number, row) in rows {
            table.insert(number, &row[..])?;
        }
    }
    Ok(write.commit()?)
}

/// Makes a book of so many rows.
pub(super) fn fill(book: &Path, count: u64) -> Result<()> {
    let book = Database::create(book)?;
    for first in (0..count).step_by(BATCH) {
        let batch = first..count.min(first + BATCH as u64);
        put(&book, batch.map(|number| (number, [5; JOB_BYTES])))?;
    }
    Ok(())
}

/// Prints the seconds that opening the book and taking every row into memory took.
pub(super) fn scan(book: &Path) -> Result<()> {
    let begin = Instant::now();
    let book = Database::open(book)?;
    let rows = book.begin_read()?.open_table(ROWS)?;
    let mut all = HashMap::new();
    for row in rows.iter()? {
        let (number, row) = row?;
        all.insert(number.value(), row.value().to_vec());
    }
    std::hint::black_box(&all);
    println!("{:.4}", begin.elapsed().as_secs_f64());
    Ok(())
}
