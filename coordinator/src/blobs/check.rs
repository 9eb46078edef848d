//! Whether stores are sound, as far as their indexes know: for `check`, while no coordinator runs.

use std::{collections::BTreeSet, fs, io, path::Path};

use common::id::ChunkId;

use super::{
    error::BlobError,
    index::{Index, View},
    orgs_in,
    packs::path_in,
    store::read_description,
};

/// Most damaged things of a kind that are named.
const MAX_NAMED: usize = 1000;

/// What is wrong with the stores of all orgs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unsound {
    /// Trees whose descriptions say nothing any more.
    pub(crate) trees: Vec<String>,
    /// Pieces that trees have and that are missing or damaged.
    pub(crate) pieces: Vec<String>,
    /// Files that are missing or shorter than they were.
    pub(crate) packs: Vec<String>,
}

/// Looks at all stores in the folder.
///
/// # Errors
/// One cannot be read.
pub(crate) fn check(folder: &Path) -> Result<Unsound, BlobError> {
    let mut unsound = Unsound::default();
    let orgs = match orgs_in(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(unsound),
        orgs => orgs?,
    };
    for org in orgs {
        let store = folder.join(org.to_string());
        let damaged = store.join("damaged");
        if damaged.is_dir() {
            for entry in fs::read_dir(damaged)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                add(&mut unsound.trees, name);
            }
        }
        let index = store.join("index.redb");
        if !index.exists() {
            continue;
        }
        let index = Index::open(&index)?;
        let view = index.view()?;
        // What is in a bucket, only a coordinator with its keys can look at.
        let away = view.away()?;
        let here = view.packs()?.into_iter();
        for (number, pack) in here.filter(|(number, _)| !away.contains_key(number)) {
            let path = path_in(&store.join("packs"), number);
            let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            if length < u64::from(pack.bytes) {
                add(&mut unsound.packs, path.display().to_string());
            }
        }
        // Those of no tree, as far as those were counted.
        let mut rest = BTreeSet::new();
        view.each_lost(|id, row| {
            if row.references > 0 {
                add(&mut unsound.pieces, id.to_string());
            } else if rest.len() < MAX_NAMED {
                rest.insert(id);
            }
            unsound.pieces.len() < MAX_NAMED
        })?;
        if !rest.is_empty() {
            for id in uncounted(&store, &view, &rest)? {
                add(&mut unsound.pieces, id.to_string());
            }
        }
    }
    Ok(unsound)
}

/// Returns which of these chunks are of trees that are not counted.
fn uncounted(
    store: &Path,
    view: &View,
    chunks: &BTreeSet<ChunkId>,
) -> Result<BTreeSet<ChunkId>, BlobError> {
    let mut found = BTreeSet::new();
    for (tree, _) in view.uncounted()? {
        let path = store.join("trees").join(tree.to_string());
        if let Ok(manifest) = read_description(&path, tree)? {
            let ids = manifest.chunks().iter().map(|chunk| chunk.id);
            found.extend(ids.filter(|id| chunks.contains(id)));
        }
    }
    Ok(found)
}

fn add(names: &mut Vec<String>, name: String) {
    if names.len() < MAX_NAMED {
        names.push(name);
    }
}
