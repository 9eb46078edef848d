//! Version 1: the first. Every table exists from now on, so that readers need not ask.

use coordinator_core::Table;
use redb::WriteTransaction;

use crate::store::{EVENTS, StoreError, definition};

pub(super) fn migrate(transaction: &WriteTransaction) -> Result<(), StoreError> {
    for table in Table::ALL {
        transaction.open_table(definition(*table))?;
    }
    transaction.open_table(EVENTS)?;
    Ok(())
}
