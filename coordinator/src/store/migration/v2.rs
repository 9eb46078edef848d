//! Version 2: events are sealed, also those from before.

use redb::WriteTransaction;

use crate::store::{StoreError, sealed};

pub(super) fn migrate(transaction: &WriteTransaction) -> Result<(), StoreError> {
    sealed::seal_all(transaction)
}
