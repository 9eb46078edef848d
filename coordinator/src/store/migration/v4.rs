//! Version 4: rows of jobs leave out what was not said, which earlier programs cannot read. Those from before stay as
//! they are.

use redb::WriteTransaction;

use crate::store::StoreError;

#[expect(clippy::unnecessary_wraps, reason = "every step can fail")]
pub(super) fn migrate(_: &WriteTransaction) -> Result<(), StoreError> {
    Ok(())
}
