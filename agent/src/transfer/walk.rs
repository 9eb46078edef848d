//! A person's folder as a tree: what to take, in which pieces, and a check that it stays as it was.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use common::{
    code::Code,
    problem::Problem,
    tree::{ChunkRef, Entry, EntryKind, MAX_ENTRIES, Tree, TreePath, chunk_id},
    units::Bytes,
};
use ignore::{DirEntry, WalkBuilder, overrides::OverrideBuilder};
use link::trees::{ChunkSource, Manifest, io_problem};
use rustix::fs::{FileType, Stat};

use super::{
    beneath::{Folder, Mark},
    chunking::{ChunkError, chunks},
};

/// Folders with more bytes than this are hashed by two threads.
const HASH_ALONE: Bytes = Bytes::mib(4);
const HASH_THREADS: usize = 2;
/// Most offending paths named at once.
const MAX_NAMED: usize = 10;
/// The name of a file that lists what is not sent, beside `.gitignore`.
const IGNORE_FILE: &str = ".computeshareignore";

/// What of a folder is taken.
#[derive(Debug, Clone)]
pub struct WalkOptions {
    /// Patterns as in `.gitignore` of what is left out.
    pub exclude: Vec<String>,
    /// Whether `.gitignore` and `.computeshareignore` files are respected. `.git` is left out anyway.
    pub respect_ignore: bool,
    pub max_entries: usize,
    pub max_bytes: Bytes,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            respect_ignore: true,
            max_entries: MAX_ENTRIES,
            max_bytes: Bytes(u64::MAX),
        }
    }
}

/// A folder as it was when it was walked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Walked(Arc<Content>);

#[derive(Debug)]
struct Content {
    manifest: Manifest,
    roots: Vec<Folder>,
    /// The tree's files, in its order.
    files: Vec<Listed>,
    /// Where each chunk is read, by ordinal: a file and an offset in it.
    places: Vec<(usize, u64)>,
    /// The file that was read last.
    open: Mutex<Option<(usize, File)>>,
}

impl Walked {
    pub fn tree(&self) -> &Tree {
        self.0.manifest.tree()
    }

    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    pub(super) fn source(&self) -> Arc<impl ChunkSource> {
        Arc::clone(&self.0)
    }
}

/// A file that was found: its root and its path there.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) root: usize,
    pub(super) path: String,
    pub(super) mark: Mark,
}

/// What was found at each path of the tree to be.
#[derive(Debug)]
pub(super) enum Found {
    Directory,
    File(Listed),
    Symlink(String),
}

/// Walks the folder and reads every file in it. Blocks for as long as that takes.
///
/// # Errors
/// `bad_folder` names what cannot be sent: what is no file, folder or link, links that lead out, names that
/// are not UTF-8, what cannot be read, too much. `file_changed` if somebody writes to it.
pub fn walk(folder: &Path, options: &WalkOptions) -> Result<Walked, Problem> {
    let what = || format!("the folder {} cannot be sent", folder.display());
    let bad = |why: String| Problem::new(Code::BadFolder, what(), why);
    let path = folder
        .canonicalize()
        .map_err(|error| bad(error.to_string()))?;
    let root = Folder::open(&path).map_err(|error| bad(error.to_string()))?;
    let mut found = BTreeMap::new();
    let mut total = Bytes::ZERO;
    let mut offences = Offences::default();
    for entry in builder(&path, options).map_err(&bad)?.build() {
        let entry = match entry {
            Ok(entry) if entry.depth() == 0 => continue,
            Ok(entry) => entry,
            Err(error) => {
                offences.add(error.to_string());
                continue;
            }
        };
        match examine(&root, &path, &entry) {
            Ok((path, kind)) => {
                if let Found::File(listed) = &kind {
                    total = Bytes(total.0.saturating_add(listed.mark.size));
                }
                found.insert(path, kind);
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
    let hashed = hash(&[&root], &found, total, true);
    let mut chunked = BTreeMap::new();
    for (path, result) in hashed {
        match result {
            Ok(file) => drop(chunked.insert(path, file)),
            Err(ChunkError::Changed) => return Err(changed(path.as_str())),
            Err(ChunkError::Io(error)) => return Err(bad(format!("{path:?}: {error}"))),
        }
    }
    assemble(vec![root], found, chunked).map_err(bad)
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
    if options.respect_ignore {
        // Ignore files above the folder count only where git itself would read them.
        let in_repository = path.ancestors().any(|above| above.join(".git").exists());
        builder
            .git_ignore(true)
            .require_git(false)
            .parents(in_repository)
            .add_custom_ignore_filename(IGNORE_FILE);
    }
    Ok(builder)
}

fn examine(root: &Folder, base: &Path, entry: &DirEntry) -> Result<(TreePath, Found), String> {
    let relative = entry.path().strip_prefix(base).unwrap_or(entry.path());
    let Some(text) = relative.to_str() else {
        return Err(format!("the name of {relative:?} is not UTF-8"));
    };
    let path: TreePath = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
    let stat = root
        .stat(text)
        .map_err(|error| format!("{text:?}: {error}"))?;
    let kind = classify(root, 0, text, &path, &stat)?;
    Ok((path, kind))
}

/// Returns what stands at `path`, if it can be in a tree, at `place`.
pub(super) fn classify(
    folder: &Folder,
    root: usize,
    path: &str,
    place: &TreePath,
    stat: &Stat,
) -> Result<Found, String> {
    let special = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Ok(Found::Directory),
        FileType::RegularFile => {
            let mark = Mark::of_stat(stat);
            return Ok(Found::File(Listed {
                root,
                path: path.to_owned(),
                mark,
            }));
        }
        FileType::Symlink => {
            let target = folder
                .link(path)
                .map_err(|error| format!("{path:?}: {error}"))?;
            let target = target.ok_or_else(|| format!("the target of {path:?} is not UTF-8"))?;
            let kind = EntryKind::Symlink {
                target: target.clone(),
            };
            return match Tree::new(vec![Entry {
                path: place.clone(),
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

/// A file that was read: its mark at that time and its chunks.
pub(super) type Chunked = (Mark, Vec<ChunkRef>);

/// Reads all files, in parallel where that pays.
pub(super) fn hash(
    roots: &[&Folder],
    found: &BTreeMap<TreePath, Found>,
    total: Bytes,
    stop_at_error: bool,
) -> Vec<(TreePath, Result<Chunked, ChunkError>)> {
    let files: Vec<(&TreePath, &Listed)> = found
        .iter()
        .filter_map(|(path, kind)| match kind {
            Found::File(listed) => Some((path, listed)),
            Found::Directory | Found::Symlink(_) => None,
        })
        .collect();
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut done = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some((path, listed)) = files.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            let result = read_whole(roots[listed.root], listed);
            stop.fetch_or(stop_at_error && result.is_err(), Ordering::Relaxed);
            done.push(((*path).clone(), result));
        }
        done
    };
    if total <= HASH_ALONE {
        return work();
    }
    thread::scope(|scope| {
        let others: Vec<_> = (1..HASH_THREADS).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().expect("reading files does not panic"));
        }
        done
    })
}

fn read_whole(root: &Folder, listed: &Listed) -> Result<Chunked, ChunkError> {
    let (file, mark) = root.read(&listed.path)?;
    // The sizes were summed up and found acceptable when the files were listed.
    if mark.size != listed.mark.size {
        return Err(ChunkError::Changed);
    }
    Ok((mark, chunks(&file, &mark)?))
}

/// Makes the tree of what was found, with the files that were read; others are left out.
pub(super) fn assemble(
    roots: Vec<Folder>,
    found: BTreeMap<TreePath, Found>,
    mut chunked: BTreeMap<TreePath, Chunked>,
) -> Result<Walked, String> {
    let (mut entries, mut files) = (Vec::new(), Vec::new());
    for (path, kind) in found {
        let kind = match kind {
            Found::Directory => EntryKind::Directory,
            Found::Symlink(target) => EntryKind::Symlink { target },
            Found::File(listed) => {
                let Some((mark, chunks)) = chunked.remove(&path) else {
                    continue;
                };
                files.push(Listed { mark, ..listed });
                EntryKind::File {
                    executable: mark.executable,
                    chunks,
                }
            }
        };
        entries.push(Entry { path, kind });
    }
    let tree = Tree::new(entries).map_err(|error| error.to_string())?;
    let manifest = Manifest::new(tree).map_err(|error| error.to_string())?;
    let places = places(manifest.tree());
    let open = Mutex::new(None);
    Ok(Walked(Arc::new(Content {
        manifest,
        roots,
        files,
        places,
        open,
    })))
}

/// Returns where each chunk first stands, by ordinal.
fn places(tree: &Tree) -> Vec<(usize, u64)> {
    let mut seen = HashSet::new();
    let mut places = Vec::new();
    for (file, (_, chunks)) in tree.files().enumerate() {
        let mut offset = 0;
        for chunk in chunks {
            if seen.insert(chunk.id) {
                places.push((file, offset));
            }
            offset += u64::from(chunk.bytes);
        }
    }
    places
}

impl ChunkSource for Content {
    fn read(&self, ordinal: u32, chunk: &ChunkRef) -> Result<Vec<u8>, Problem> {
        let (index, offset) = self.places[ordinal as usize];
        let listed = &self.files[index];
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_none_or(|(last, _)| *last != index) {
            let opened = self.roots[listed.root].read(&listed.path);
            let (file, mark) = opened.map_err(|error| reading(&listed.path, &error))?;
            if mark != listed.mark {
                return Err(changed(&listed.path));
            }
            *open = Some((index, file));
        }
        let (_, file) = open.as_ref().expect("it was opened just now");
        let mut bytes = vec![0; chunk.bytes as usize];
        file.read_exact_at(&mut bytes, offset)
            .map_err(|error| reading(&listed.path, &error))?;
        if chunk_id(&bytes) != chunk.id {
            return Err(changed(&listed.path));
        }
        Ok(bytes)
    }
}

fn changed(path: &str) -> Problem {
    let why = format!("{path:?} was changed while it was being sent");
    Problem::new(Code::FileChanged, "the folder was not sent", why)
}

fn reading(path: &str, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => changed(path),
        _ => io_problem(format!("{path:?} cannot be read"), error),
    }
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
