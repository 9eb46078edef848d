//! How a job is told to write down how far it is.

use common::job::{Checkpoint, DEFAULT_CHECKPOINT_GRACE};
use serde_json::Value;

use crate::cli::yaml::{Fields, FileError};

/// Reads `USR1`, `USR1:60s` or `{signal: USR1, grace: 60s}`.
pub(super) fn read(fields: &Fields<'_>) -> Result<Option<Checkpoint>, FileError> {
    let Some(Value::Object(map)) = fields.value("checkpoint") else {
        return fields.parsed("checkpoint");
    };
    let fields = Fields::new("checkpoint", map, &["signal", "grace"])?;
    let Some(signal) = fields.parsed("signal")? else {
        return Err(fields.complain("signal", "it is missing; USR1 is one"));
    };
    let grace = fields.parsed("grace")?.unwrap_or(DEFAULT_CHECKPOINT_GRACE);
    Ok(Some(Checkpoint { signal, grace }))
}
