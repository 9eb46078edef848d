//! A folder beside a version: what of the version is not there as it was, and what the version does not have.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use common::{
    tree::{ChunkRef, Entry, EntryKind, Tree, TreePath, chunk_id, escaped},
    units::Bytes,
};
use link::trees::Progress;
use serde::Serialize;

/// Most paths of each kind that are named.
const MAX_NAMED: usize = 10_000;
/// Any of the bits by which a file is a program.
const EXECUTABLE: u32 = 0o111;

/// How a path of the version is in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "why")]
pub(super) enum State {
    Missing,
    /// Other bytes.
    Content,
    /// A file, a folder or a link where the version has something else.
    Kind,
    /// A program that was none, or the other way round.
    Mode,
    /// A link that leads elsewhere.
    Target,
    Unreadable(String),
}

/// A path that is not as in the version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Off {
    pub(super) path: TreePath,
    #[serde(flatten)]
    pub(super) state: State,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Compared {
    /// The first of what differs.
    pub(super) different: Vec<Off>,
    pub(super) different_count: u64,
    /// The first of what is in the folder alone, as paths of a version are shown; nothing below a folder that is listed
    /// itself.
    pub(super) extra: Vec<String>,
    pub(super) extra_count: u64,
}

/// Reads all of the folder that the version has. Blocks.
///
/// # Errors
/// The folder itself cannot be read.
pub(super) fn compare(folder: &Path, tree: &Tree, progress: &dyn Progress) -> io::Result<Compared> {
    let mut found = Compared::default();
    fs::read_dir(folder)?;
    progress.begin(tree.bytes(), tree.bytes());
    for entry in tree.entries() {
        if let Some(state) = look(folder, entry, progress) {
            found.different_count += 1;
            if found.different.len() < MAX_NAMED {
                let path = entry.path.clone();
                found.different.push(Off { path, state });
            }
        }
    }
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        // What cannot be read is said above, where the version has something in it.
        let Ok(entries) = fs::read_dir(folder.join(&inside)) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = inside.join(entry.file_name());
            match known(tree, &path) {
                Some(EntryKind::Directory) => folders.push(path),
                Some(_) => {}
                None => {
                    found.extra_count += 1;
                    if found.extra.len() < MAX_NAMED {
                        let shown = escaped(path.as_os_str().as_bytes());
                        found.extra.push(shown.into_owned());
                    }
                }
            }
        }
    }
    found.extra.sort();
    Ok(found)
}

/// Returns what the version has at a path; a folder also where it lists only what is inside.
fn known<'a>(tree: &'a Tree, path: &Path) -> Option<&'a EntryKind> {
    let path = TreePath::new(path.as_os_str().as_bytes()).ok()?;
    let entries = tree.entries();
    let at = entries.partition_point(|entry| entry.path < path);
    if let Some(entry) = entries.get(at).filter(|entry| entry.path == path) {
        return Some(&entry.kind);
    }
    let below = [path.as_bytes(), b"/"].concat();
    let at = entries.partition_point(|entry| entry.path.as_bytes() < &below[..]);
    let entry = entries.get(at)?;
    let inside = entry.path.as_bytes().starts_with(&below);
    inside.then_some(&EntryKind::Directory)
}

/// Returns how a path is other than in the version.
fn look(folder: &Path, entry: &Entry, progress: &dyn Progress) -> Option<State> {
    let path = folder.join(OsStr::from_bytes(entry.path.as_bytes()));
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(error) => {
            return Some(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => State::Missing,
                _ => State::Unreadable(error.to_string()),
            });
        }
    };
    match &entry.kind {
        EntryKind::Directory => (!found.is_dir()).then_some(State::Kind),
        EntryKind::Symlink { target } => match fs::read_link(&path) {
            Ok(is) => (is.as_os_str().as_bytes() != target.as_bytes()).then_some(State::Target),
            Err(_) => Some(State::Kind),
        },
        EntryKind::File { executable, chunks } => {
            if !found.is_file() {
                return Some(State::Kind);
            }
            let state = content(&path, &found, chunks, progress);
            let program = found.permissions().mode() & EXECUTABLE != 0;
            state.or((program != *executable).then_some(State::Mode))
        }
    }
}

fn content(
    path: &Path,
    found: &Metadata,
    chunks: &[ChunkRef],
    progress: &dyn Progress,
) -> Option<State> {
    let size: u64 = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
    if found.len() != size {
        return Some(State::Content);
    }
    let read = || -> io::Result<bool> {
        let mut file = File::open(path)?;
        for chunk in chunks {
            let mut bytes = vec![0; chunk.bytes as usize];
            file.read_exact(&mut bytes)?;
            if chunk_id(&bytes) != chunk.id {
                return Ok(false);
            }
            progress.advance(Bytes(u64::from(chunk.bytes)));
        }
        Ok(true)
    };
    match read() {
        Ok(true) => None,
        Ok(false) => Some(State::Content),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(State::Content),
        Err(error) => Some(State::Unreadable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn file(path: &str, content: &str, executable: bool) -> Entry {
        let chunk = ChunkRef {
            id: chunk_id(content.as_bytes()),
            bytes: u32::try_from(content.len()).unwrap(),
        };
        Entry {
            path: path.parse().unwrap(),
            kind: EntryKind::File {
                executable,
                chunks: vec![chunk],
            },
        }
    }

    fn other(path: &str, kind: EntryKind) -> Entry {
        let path = path.parse().unwrap();
        Entry { path, kind }
    }

    #[test]
    fn every_way_to_differ_is_named_and_what_is_there_besides() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        let link = |target: &str| EntryKind::Symlink {
            target: target.into(),
        };
        let tree = Tree::new(vec![
            file("a/same", "same", false),
            file("a/longer", "12", false),
            file("content", "before", false),
            other("empty", EntryKind::Directory),
            file("gone", "gone", false),
            file("kind", "file", false),
            other("link", link("a/same")),
            other("lost", link("a/same")),
            file("run", "run", true),
        ])
        .unwrap();
        fs::create_dir_all(folder.join("a")).unwrap();
        fs::create_dir_all(folder.join("kind/inside")).unwrap();
        fs::create_dir_all(folder.join("more/deep")).unwrap();
        for (path, content) in [
            ("a/same", "same"),
            ("a/longer", "123"),
            ("a/new", "new"),
            ("content", "beFore"),
            ("empty", "a file"),
            ("run", "run"),
        ] {
            fs::write(folder.join(path), content).unwrap();
        }
        symlink("a/same", folder.join("link")).unwrap();
        symlink("a/longer", folder.join("lost")).unwrap();
        let found = compare(folder, &tree, &()).unwrap();
        let different: Vec<(String, State)> = found
            .different
            .iter()
            .map(|off| (off.path.to_string(), off.state.clone()))
            .collect();
        let expect = [
            ("a/longer", State::Content),
            ("content", State::Content),
            ("empty", State::Kind),
            ("gone", State::Missing),
            ("kind", State::Kind),
            ("lost", State::Target),
            ("run", State::Mode),
        ];
        assert_eq!(
            different,
            expect.map(|(path, state)| (path.to_owned(), state))
        );
        assert_eq!(found.different_count, 7);
        assert_eq!(found.extra, ["a/new", "more"]);
        assert!(compare(&folder.join("nowhere"), &tree, &()).is_err());
        let nothing = compare(folder, &Tree::default(), &()).unwrap();
        assert_eq!((nothing.different_count, nothing.extra_count), (0, 8));
    }

    #[test]
    fn names_that_are_not_text_can_be_said() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        for name in [&b"b\xffd"[..], b"new\nline", b"\x1b[31mred"] {
            fs::write(folder.join(OsStr::from_bytes(name)), "").unwrap();
        }
        let found = compare(folder, &Tree::default(), &()).unwrap();
        let shown = ["\\x1b[31mred", "b\\xffd", "new\\x0aline"];
        assert_eq!(found.extra, shown);
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["extra"], serde_json::json!(shown));
    }
}
