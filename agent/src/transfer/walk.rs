//! A person's folder as it stands: what is in it, and a look at all of it, once, in the order in which it travels.

use std::{io, path::Path};

use common::{
    code::Code,
    problem::Problem,
    tree::{Entry, EntryKind, LinkTarget, MAX_ENTRIES, Tree, TreePath},
    units::Bytes,
};
use ignore::{DirEntry, WalkBuilder, overrides::OverrideBuilder};
use rustix::fs::{FileType, Stat};

use super::{
    beneath::{Folder, Mark, Nearby},
    read::Walked,
};

/// Most offending paths named at once.
const MAX_NAMED: usize = 10;
/// The name of a file that lists what is not sent, beside `.gitignore`.
const IGNORE_FILE: &str = ".computeshareignore";

/// What of a folder is taken.
#[derive(Debug, Clone)]
pub struct WalkOptions {
    /// Patterns as in `.gitignore` of what is left out.
    pub exclude: Vec<String>,
    /// Whether `.gitignore` files are respected. `.computeshareignore` files are in any case, and `.git` is left out.
    pub gitignore: bool,
    pub max_entries: usize,
    pub max_bytes: Bytes,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            gitignore: true,
            max_entries: MAX_ENTRIES,
            max_bytes: Bytes(u64::MAX),
        }
    }
}

/// A file that was found: its root, in which it has the path that it has in the tree, and how it was then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) root: usize,
    pub(super) mark: Mark,
}

/// What was found at each path of the tree to be.
#[derive(Debug)]
pub(super) enum Found {
    Directory,
    File(Listed),
    Symlink(LinkTarget),
}

/// Walks the folder; reads no file. Blocks for as long as that takes.
///
/// Names are taken as they are, whatever their bytes, and two that differ in case alone are two: they arrive so on
/// Linux.
///
/// # Errors
/// `bad_folder` names what cannot be sent: what is no file, folder or link, links that lead out, paths that are too
/// long, what cannot be looked at, too much.
pub fn walk(folder: &Path, options: &WalkOptions) -> Result<Walked, Problem> {
    let what = || format!("the folder {} cannot be sent", folder.display());
    let bad = |why: String| Problem::new(Code::BadFolder, what(), why);
    let unopened = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such folder".to_owned(),
            io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
            _ => error.to_string(),
        };
        bad(why).help("Check the path, and that you may read what is there.")
    };
    let path = folder.canonicalize().map_err(unopened)?;
    let root = Folder::open(&path).map_err(unopened)?;
    let mut looker = Nearby::new(&root);
    let mut found = Vec::new();
    let mut total = Bytes::ZERO;
    let mut offences = Offences::default();
    for entry in builder(&path, options).map_err(&bad)?.build() {
        let entry = match entry {
            Ok(entry) if entry.depth() == 0 => continue,
            Ok(entry) => entry,
            Err(error) => {
                offences.add(told(&path, &error));
                continue;
            }
        };
        match examine(&mut looker, &path, &entry) {
            Ok((path, kind)) => {
                if let Found::File(listed) = &kind {
                    total = Bytes(total.0.saturating_add(listed.mark.size));
                }
                found.push((path, kind));
            }
            Err(why) => offences.add(why),
        }
        if found.len() > options.max_entries {
            return Err(bad(format!(
                "it has more than {} entries",
                options.max_entries
            )));
        }
        if total > options.max_bytes {
            return Err(bad(format!("it has more than {}", options.max_bytes)));
        }
    }
    if let Some(why) = offences.into_text() {
        return Err(bad(why));
    }
    found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Walked::new(vec![root], found, folder))
}

fn builder(path: &Path, options: &WalkOptions) -> Result<WalkBuilder, String> {
    let mut overrides = OverrideBuilder::new(path);
    for pattern in &options.exclude {
        // In this crate's overrides, `!` is what leaves out.
        overrides
            .add(&format!("!{pattern}"))
            .map_err(|error| error.to_string())?;
    }
    let mut builder = WalkBuilder::new(path);
    builder
        .standard_filters(false)
        .overrides(overrides.build().map_err(|error| error.to_string())?)
        .filter_entry(|entry| entry.file_name() != ".git");
    // Ignore files above the folder count only where git itself would read them.
    let in_repository = path.ancestors().any(|above| above.join(".git").exists());
    builder
        .git_ignore(options.gitignore)
        .require_git(false)
        .parents(in_repository)
        .add_custom_ignore_filename(IGNORE_FILE);
    Ok(builder)
}

fn examine(
    looker: &mut Nearby<'_>,
    base: &Path,
    entry: &DirEntry,
) -> Result<(TreePath, Found), String> {
    let relative = entry.path().strip_prefix(base).unwrap_or(entry.path());
    let bytes = relative.as_os_str().as_encoded_bytes();
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", shown(bytes));
    let path = TreePath::new(bytes).map_err(|error| named(&error))?;
    let stat = looker.stat(bytes).map_err(|error| named(&error))?;
    let kind = classify(looker.root(), 0, &path, &stat)?;
    Ok((path, kind))
}

/// Returns why something was not found, for people. A path in it is as bytes are shown, and said once.
fn told(base: &Path, error: &ignore::Error) -> String {
    match error {
        ignore::Error::WithPath { path, err } => {
            let relative = path.strip_prefix(base).unwrap_or(path);
            let bytes = relative.as_os_str().as_encoded_bytes();
            format!("{}: {}", shown(bytes), told(base, err))
        }
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            told(base, err)
        }
        // Its own words would say the path once more, as it is.
        ignore::Error::Io(error) => error.kind().to_string(),
        other => common::tree::escaped(other.to_string().as_bytes()).into_owned(),
    }
}

/// Returns a name for people, in quotes, cut where it is very long.
pub(super) fn shown(path: &[u8]) -> String {
    const MOST: usize = 200;
    let more = if path.len() > MOST { "…" } else { "" };
    let start = common::tree::escaped(&path[..path.len().min(MOST)]);
    format!("\"{start}{more}\"")
}

/// Returns what stands at `path`, if it can be in a tree.
pub(super) fn classify(
    folder: &Folder,
    root: usize,
    path: &TreePath,
    stat: &Stat,
) -> Result<Found, String> {
    let special = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Ok(Found::Directory),
        FileType::RegularFile => {
            let mark = Mark::of_stat(stat);
            return Ok(Found::File(Listed { root, mark }));
        }
        FileType::Symlink => {
            let failed = |error: io::Error| format!("{path:?}: {error}");
            let target = folder.link(path).map_err(failed)?;
            let kind = EntryKind::Symlink {
                target: target.clone(),
            };
            return match Tree::new(vec![Entry {
                path: path.clone(),
                kind,
            }]) {
                Ok(_) => Ok(Found::Symlink(target)),
                Err(_) => Err(format!(
                    "the symbolic link {path:?} leads out of the folder, to {target:?}"
                )),
            };
        }
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    };
    Err(format!(
        "{path:?} is {special}; only files, folders and links can be sent"
    ))
}

/// Reasons against a folder, the first few in words.
#[derive(Debug, Default)]
struct Offences {
    named: Vec<String>,
    more: usize,
}

impl Offences {
    fn add(&mut self, why: String) {
        if self.named.len() < MAX_NAMED {
            self.named.push(why);
        } else {
            self.more += 1;
        }
    }

    fn into_text(mut self) -> Option<String> {
        if self.more > 0 {
            self.named.push(format!("and {} more", self.more));
        }
        (!self.named.is_empty()).then(|| self.named.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_named_as_no_terminal_obeys_it() {
        let denied = io::Error::new(io::ErrorKind::PermissionDenied, "/base/\x1b[31m: no");
        let error = ignore::Error::WithPath {
            path: "/base/\x1b[31m\n".into(),
            err: Box::new(ignore::Error::WithDepth {
                depth: 1,
                err: Box::new(denied.into()),
            }),
        };
        let said = told(Path::new("/base"), &error);
        assert_eq!(said, "\"\\x1b[31m\\x0a\": permission denied");
    }
}
