//! `check`: whether a data folder is sound, without changing it.

use std::path::Path;

use common::{code::Code, problem::Problem};
use serde::Serialize;

use crate::{
    blobs, folder,
    logs::Logs,
    setup::{check_key_is_not_missed, check_secrets, open_authority, open_sealing_key},
    store::{self, CheckReport, Seal},
};

/// What a sound data folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Version of the store's layout.
    pub version: u32,
    pub tables: Vec<TableRows>,
    pub events: u64,
    /// Stands for all events up to the newest: hexadecimal.
    pub seal: Option<String>,
    pub logs: u64,
    pub log_bytes: u64,
    /// Stored trees that cannot be read any more; at most a thousand are named.
    pub damaged_trees: Vec<String>,
    /// Pieces of trees that are missing or damaged; at most a thousand are named.
    pub damaged_pieces: Vec<String>,
    /// Files of stored pieces that are missing or shorter than they were.
    pub damaged_packs: Vec<String>,
}

/// How many rows a table has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRows {
    pub table: String,
    pub rows: u64,
}

/// Reads all of it: the keys belong together, every row decodes, every reference leads somewhere.
///
/// # Errors
/// The first thing that is wrong; another process that uses the folder.
pub fn check(data: &Path) -> Result<Checked, Problem> {
    let CheckReport {
        version,
        rows,
        events,
        seal,
        state,
    } = store::check(&folder::store(data))?;
    open_authority(data)?;
    // A folder from before there were any gets its own when it is next used.
    if folder::sealing_key(data).exists() {
        check_secrets(&state, &open_sealing_key(data)?)?;
    } else {
        check_key_is_not_missed(data, &state)?;
    }
    let path = folder::logs(data);
    let (logs, log_bytes) = if path.is_dir() {
        Logs::open(&path)
            .and_then(|logs| logs.totals())
            .map_err(|error| {
                let what = format!("{} cannot be read", path.display());
                Problem::new(Code::Io, what, error.to_string())
            })?
    } else {
        (0, 0)
    };
    let path = folder::blobs(data);
    let blobs::Unsound {
        trees,
        pieces,
        packs,
    } = blobs::check(&path)
        .map_err(|error| error.problem(&format!("{} cannot be read", path.display())))?;
    let tables = rows.into_iter().map(|(table, rows)| TableRows {
        table: table.to_owned(),
        rows,
    });
    Ok(Checked {
        version,
        tables: tables.collect(),
        events,
        seal: seal.map(Seal::to_hex),
        logs,
        log_bytes,
        damaged_trees: trees,
        damaged_pieces: pieces,
        damaged_packs: packs,
    })
}
