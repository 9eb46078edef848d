//! The chain of events: every event's seal is made of its bytes, its number and the seal before. Who changes, removes
//! or swaps an event of a copy would have to make all seals after it anew, and the last one would be another.
//!
//! The last seal is what to write down elsewhere: together with its number it names everything that ever happened.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{EVENTS, Raw, StoreError};

/// Every event's seal by the event's number.
pub(super) const SEALS: TableDefinition<'static, Raw, Raw> = TableDefinition::new("seals-1");
/// Keeps these hashes apart from all others.
const CONTEXT: &str = "compute-share 2026-11-22 seal of an event";

/// What stands for all events up to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal([u8; 32]);

impl Seal {
    /// Before the first event.
    pub(super) const NONE: Self = Self([0; 32]);

    /// Returns the seal of an event, given its number, what is written of it and the seal before.
    pub(super) fn of(self, number: u64, event: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher
            .update(&self.0)
            .update(&number.to_be_bytes())
            .update(event);
        Self(hasher.finalize().into())
    }

    fn read(value: &[u8]) -> Result<Self, StoreError> {
        value
            .try_into()
            .map(Self)
            .map_err(|_| StoreError::RowVersion)
    }

    /// Returns it as people write it down.
    pub(crate) fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// Writes down the seal of an event that is written in the same transaction.
pub(super) fn put(
    table: &mut Table<'_, Raw, Raw>,
    number: u64,
    seal: Seal,
) -> Result<(), StoreError> {
    table.insert(number.to_be_bytes().as_slice(), seal.0.as_slice())?;
    Ok(())
}

/// Seals events that were written before there were seals.
pub(super) fn seal_all(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let events = transaction.open_table(EVENTS)?;
    let mut seals = transaction.open_table(SEALS)?;
    let mut last = Seal::NONE;
    for row in events.iter()? {
        let (key, value) = row?;
        let number = number(key.value())?;
        last = last.of(number, value.value());
        put(&mut seals, number, last)?;
    }
    Ok(())
}

/// Returns the newest seal, which is that of the event before number `next`.
///
/// # Errors
/// [`StoreError::Seal`]: it is another's.
pub(super) fn last(transaction: &ReadTransaction, next: u64) -> Result<Seal, StoreError> {
    let seals = transaction.open_table(SEALS)?;
    let (sealed, last) = match seals.last()? {
        Some((key, value)) => (number(key.value())? + 1, Seal::read(value.value())?),
        None => (0, Seal::NONE),
    };
    if sealed == next {
        Ok(last)
    } else {
        let event = sealed.min(next);
        Err(StoreError::Seal { event })
    }
}

/// Follows the whole chain; returns the newest seal.
///
/// # Errors
/// [`StoreError::Seal`] names the first event that is not what it was, is missing, or has none;
/// [`StoreError::RowVersion`] where a number or a seal has not the length of one.
pub(super) fn verify(transaction: &ReadTransaction) -> Result<Seal, StoreError> {
    let events = transaction.open_table(EVENTS)?;
    let seals = transaction.open_table(SEALS)?;
    let mut seals = seals.iter()?;
    let mut last = Seal::NONE;
    let mut next = 0;
    for row in events.iter()? {
        let (key, value) = row?;
        let broken = || StoreError::Seal { event: next };
        let sealed = seals.next().transpose()?.ok_or_else(broken)?;
        last = last.of(next, value.value());
        let theirs = (
            number(key.value())?,
            number(sealed.0.value())?,
            Seal::read(sealed.1.value())?,
        );
        if theirs != (next, next, last) {
            return Err(broken());
        }
        next += 1;
    }
    match seals.next() {
        // The seal of an event that was taken away from the end.
        Some(_) => Err(StoreError::Seal { event: next }),
        None => Ok(last),
    }
}

fn number(key: &[u8]) -> Result<u64, StoreError> {
    key.try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| StoreError::RowVersion)
}
