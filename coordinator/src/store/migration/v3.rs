//! Version 3: more tables. As in version 1, every one exists from now on.

use redb::WriteTransaction;

use crate::store::{StoreError, migration::v1};

pub(super) fn migrate(transaction: &WriteTransaction) -> Result<(), StoreError> {
    v1::migrate(transaction)
}
