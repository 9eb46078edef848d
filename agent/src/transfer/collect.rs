//! What a job left as a tree. Its author may be hostile: nothing it made is followed out of its folders,
//! waited for, or able to stop the rest from being kept.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
};

use common::{
    code::Code,
    problem::Problem,
    tree::{InvalidPath, TreePath},
    units::Bytes,
};
use rustix::fs::FileType;

use super::{
    beneath::Folder,
    read::Walked,
    walk::{Found, classify, shown},
};

/// Most skipped paths that are named.
const MAX_NAMED: usize = 100;

/// A folder that is collected from. Of several, the first that has a path wins.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub folder: &'a Path,
    /// Only these paths and what is below them; `None` for everything.
    pub only: Option<&'a [String]>,
}

/// What was collected.
#[derive(Debug)]
pub struct Collected {
    pub walked: Walked,
    pub skipped: Skipped,
}

/// What could not be kept, and why.
#[derive(Debug, Default)]
pub struct Skipped {
    /// The first few, a line each.
    pub named: Vec<String>,
    pub count: usize,
}

impl Skipped {
    pub(super) fn add(&mut self, why: String) {
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(why);
        }
    }
}

/// Returns whether anything stands at one of the `paths` in `folder`. What lies behind a link that the job made
/// is not looked for: the answer would tell its author what there is on this machine.
pub(crate) fn any_of(folder: &Path, paths: &[String]) -> bool {
    Folder::open(folder).is_ok_and(|folder| paths.iter().any(|path| folder.has(path)))
}

/// Collects from `sources` at most `max_entries` entries and `max_bytes` bytes. Blocks.
///
/// # Errors
/// A source cannot be opened at all. Anything below it that cannot be kept is skipped and said.
pub fn collect(
    sources: &[Source<'_>],
    max_entries: usize,
    max_bytes: Bytes,
) -> Result<Collected, Problem> {
    let what = "the artifacts cannot be collected";
    let mut roots = Vec::new();
    for source in sources {
        let opened = Folder::open(source.folder);
        let path = source.folder.display();
        roots.push(
            opened.map_err(|error| Problem::new(Code::Io, what, format!("{path}: {error}")))?,
        );
    }
    let mut listing = Listing {
        found: BTreeMap::new(),
        skipped: Skipped::default(),
        total: Bytes::ZERO,
        max_entries,
        max_bytes,
    };
    for (index, (source, root)) in sources.iter().zip(&roots).enumerate() {
        match source.only {
            None => listing.below(root, index, None),
            Some(only) => only
                .iter()
                .for_each(|path| listing.declared(root, index, path)),
        }
    }
    let Listing { found, skipped, .. } = listing;
    let walked = Walked::lenient(roots, found.into_iter().collect());
    Ok(Collected { walked, skipped })
}

/// Returns where a declared output is in the tree.
///
/// # Errors
/// It is no path in a tree.
pub(crate) fn output_path(written: &str) -> Result<TreePath, InvalidPath> {
    let text = written.trim_end_matches('/');
    text.strip_prefix("./").unwrap_or(text).parse()
}

/// What was found so far.
struct Listing {
    found: BTreeMap<TreePath, Found>,
    skipped: Skipped,
    total: Bytes,
    max_entries: usize,
    max_bytes: Bytes,
}

impl Listing {
    /// Lists one declared output of a source.
    fn declared(&mut self, root: &Folder, index: usize, written: &str) {
        let path = match output_path(written) {
            Ok(path) => path,
            Err(error) => return self.skipped.add(format!("{written:?}: {error}")),
        };
        let mut above: Vec<TreePath> = path
            .ancestors()
            .filter_map(|above| TreePath::new(above).ok())
            .collect();
        above.reverse();
        for folder in &above {
            if !self.examine(root, index, folder) {
                return;
            }
        }
        if self.examine(root, index, &path) {
            self.below(root, index, Some(path));
        }
    }

    /// Lists everything below a folder.
    fn below(&mut self, root: &Folder, index: usize, start: Option<TreePath>) {
        let mut folders = VecDeque::from([start]);
        while let Some(folder) = folders.pop_front() {
            let at = folder.as_ref().map_or(&b""[..], TreePath::as_bytes);
            let room = self.max_entries.saturating_sub(self.found.len());
            let names = match root.folder(at).and_then(|folder| folder.names(room)) {
                Ok(names) => names,
                Err(error) => {
                    self.skipped.add(format!("{}: {error}", shown(at)));
                    continue;
                }
            };
            for name in names {
                if self.found.len() >= self.max_entries {
                    let most = self.max_entries;
                    return self
                        .skipped
                        .add(format!("everything beyond {most} entries"));
                }
                let full = match at {
                    b"" => name,
                    at => [at, &name].join(&b'/'),
                };
                match TreePath::new(full.as_slice()) {
                    Ok(path) => {
                        if self.examine(root, index, &path) {
                            folders.push_back(Some(path));
                        }
                    }
                    Err(error) => self.skipped.add(format!("{}: {error}", shown(&full))),
                }
            }
        }
    }

    /// Notes what stands at `path`. Returns whether it is a folder to look into.
    fn examine(&mut self, root: &Folder, index: usize, path: &TreePath) -> bool {
        match self.classify(root, index, path) {
            Ok(is_folder) => is_folder,
            Err(why) => {
                self.skipped.add(why);
                false
            }
        }
    }

    fn classify(&mut self, root: &Folder, index: usize, path: &TreePath) -> Result<bool, String> {
        let stat = root
            .stat(path)
            .map_err(|error| format!("{path:?}: {error}"))?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        match self.found.get(path) {
            Some(Found::Directory) if is_folder => return Ok(true),
            Some(_) => return Err(format!("{path:?}: another output has this path")),
            None => {}
        }
        let kind = classify(root, index, path, &stat)?;
        if let Found::File(listed) = &kind {
            let total = self.total.0.saturating_add(listed.mark.size);
            if total > self.max_bytes.0 {
                return Err(format!("{path:?}: beyond {}", self.max_bytes));
            }
            self.total = Bytes(total);
        }
        self.found.insert(path.clone(), kind);
        Ok(is_folder)
    }
}
