//! Version 3: more tables. As in version 1, every one exists from now on. The orgs' logs begin with the next event:
//! those from before do not say whose they are, and stay in the list of all events.

use redb::WriteTransaction;

use crate::store::{StoreError, audit, migration::v1};

pub(super) fn migrate(transaction: &WriteTransaction) -> Result<(), StoreError> {
    v1::migrate(transaction)?;
    audit::Logs::open(transaction)?;
    Ok(())
}
