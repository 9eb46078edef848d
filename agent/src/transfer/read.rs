//! A walked folder, read: every file once, cut into chunks that are handed over while they are in memory, and the tree
//! that they make.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::SystemTime,
};

use bytes::Bytes as Buffer;
use common::{
    code::Code,
    problem::Problem,
    tree::{ChunkRef, Entry, EntryKind, Tree, TreePath},
    units::Bytes,
    wire::data::Announced,
};
use link::trees::{CUT_BYTES, Cut, Manifest};

use super::{
    beneath::Folder,
    chunking::{ChunkError, Sizes, cut},
    collect::Skipped,
    remembered::Remembered,
    walk::{Found, Listed},
};

/// Folders with more bytes than this are read by two threads.
const READ_ALONE: Bytes = Bytes::mib(4);
const READ_THREADS: usize = 2;
/// Most chunks that are handed over at once.
const CHUNKS_AT_ONCE: usize = 4096;

/// A folder as it was when it was walked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Walked(Arc<Content>);

#[derive(Debug)]
struct Content {
    roots: Vec<Folder>,
    /// Sorted by path.
    found: Vec<(TreePath, Found)>,
    announced: Announced,
    /// When all of it had been looked at.
    looked_at: SystemTime,
    /// Where a person looks for it; `None` for what a job left, of which nobody loses all for one file.
    named: Option<PathBuf>,
}

impl Walked {
    /// A folder that travels as a whole or not at all.
    pub(super) fn new(roots: Vec<Folder>, found: Vec<(TreePath, Found)>, named: &Path) -> Self {
        Self::made(roots, found, Some(named.to_owned()))
    }

    /// Folders of which travels what can be read.
    pub(super) fn lenient(roots: Vec<Folder>, found: Vec<(TreePath, Found)>) -> Self {
        Self::made(roots, found, None)
    }

    fn made(roots: Vec<Folder>, found: Vec<(TreePath, Found)>, named: Option<PathBuf>) -> Self {
        let mut announced = Announced {
            files: 0,
            bytes: Bytes::ZERO,
            beside: None,
        };
        for (_, kind) in &found {
            if let Found::File(listed) = kind {
                announced.files += 1;
                announced.bytes.0 = announced.bytes.0.saturating_add(listed.mark.size);
            }
        }
        Self(Arc::new(Content {
            roots,
            found,
            announced,
            looked_at: SystemTime::now(),
            named,
        }))
    }

    /// Returns how many files there are and how many bytes they have, without having read them.
    pub fn announced(&self) -> Announced {
        self.0.announced
    }

    /// Returns whether nothing at all is in it.
    pub fn is_empty(&self) -> bool {
        self.0.found.is_empty()
    }

    pub(super) fn looked_at(&self) -> SystemTime {
        self.0.looked_at
    }

    #[cfg(test)]
    pub(super) fn seen_at(self, looked_at: SystemTime) -> Self {
        let content = Arc::into_inner(self.0).expect("nobody else has it");
        Self(Arc::new(Content {
            looked_at,
            ..content
        }))
    }

    /// Returns the first of its folders, and everything that was found.
    pub(super) fn found(&self) -> (&Folder, &[(TreePath, Found)]) {
        (&self.0.roots[0], &self.0.found)
    }

    /// Reads everything and returns what it would be as a tree. Blocks.
    ///
    /// # Errors
    /// `file_changed` if a file is not as it was when it was walked; `bad_folder` names what cannot be read.
    pub fn manifest(&self) -> Result<Manifest, Problem> {
        self.cut(None, &|_| true)
    }

    /// Reads everything, hands over each chunk with its bytes for as long as `hand` takes them, and returns the tree.
    /// What is as `remembered` is handed over without bytes, and not read. Blocks.
    ///
    /// # Errors
    /// As for [`Walked::manifest`].
    pub(super) fn cut(
        &self,
        remembered: Option<&Remembered>,
        hand: &(dyn Fn(Vec<Cut>) -> bool + Sync),
    ) -> Result<Manifest, Problem> {
        let content = &*self.0;
        let cutting = Cutting {
            content,
            sizes: Sizes::of_folder(content.announced.bytes),
            remembered,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            hand,
        };
        let done = if content.announced.bytes <= READ_ALONE {
            vec![cutting.work()]
        } else {
            thread::scope(|scope| {
                let others: Vec<_> = (1..READ_THREADS)
                    .map(|_| scope.spawn(|| cutting.work()))
                    .collect();
                let mut done = vec![cutting.work()];
                for other in others {
                    done.push(other.join().expect("reading files does not panic"));
                }
                done
            })
        };
        self.assemble(done)
    }

    /// Makes the tree of what was read.
    fn assemble(&self, done: Vec<Done>) -> Result<Manifest, Problem> {
        let mut skipped = Skipped::default();
        let mut read: Vec<Option<File>> = Vec::new();
        read.resize_with(self.0.found.len(), || None);
        for (index, result) in done.into_iter().flatten() {
            match result {
                Ok(file) => read[index] = Some(file),
                Err(failure) => self.judge(&self.0.found[index].0, failure, &mut skipped)?,
            }
        }
        if skipped.count > 0 {
            let named = skipped.named.join("; ");
            tracing::warn!(count = skipped.count, named, "not everything can be kept");
        }
        let mut entries = Vec::with_capacity(self.0.found.len());
        for ((path, kind), file) in self.0.found.iter().zip(read) {
            let kind = match (kind, file) {
                (Found::Directory, _) => EntryKind::Directory,
                (Found::Symlink(target), _) => EntryKind::Symlink {
                    target: target.clone(),
                },
                (Found::File(_), Some(File { executable, chunks })) => {
                    EntryKind::File { executable, chunks }
                }
                (Found::File(_), None) => continue,
            };
            let path = path.clone();
            entries.push(Entry { path, kind });
        }
        let tree = Tree::new(entries).map_err(|error| self.bad(error.to_string()))?;
        Manifest::new(tree).map_err(|error| self.bad(error.to_string()))
    }

    /// Leaves a file out, or everything.
    fn judge(
        &self,
        path: &TreePath,
        failure: Failure,
        skipped: &mut Skipped,
    ) -> Result<(), Problem> {
        match failure {
            Failure::Stopped => Err(self.bad("nobody takes it any more".to_owned())),
            Failure::File(error) if self.0.named.is_none() => {
                skipped.add(format!("{path:?}: {error}"));
                Ok(())
            }
            Failure::File(ChunkError::Changed) => {
                let why = format!("{path:?} was changed while it was being sent");
                Err(Problem::new(
                    Code::FileChanged,
                    "the folder was not sent",
                    why,
                ))
            }
            Failure::File(ChunkError::Io(error)) => Err(self.bad(format!("{path:?}: {error}"))),
        }
    }

    fn bad(&self, why: String) -> Problem {
        let what = match &self.0.named {
            Some(folder) => format!("the folder {} cannot be sent", folder.display()),
            None => "the artifacts cannot be collected".to_owned(),
        };
        Problem::new(Code::BadFolder, what, why)
    }
}

/// What one thread has read, by the place in the list.
type Done = Vec<(usize, Result<File, Failure>)>;

#[derive(Debug)]
struct File {
    executable: bool,
    chunks: Vec<ChunkRef>,
}

/// Why a file was not read.
#[derive(Debug)]
enum Failure {
    File(ChunkError),
    /// Nobody takes chunks any more.
    Stopped,
}

impl From<ChunkError> for Failure {
    fn from(error: ChunkError) -> Self {
        Self::File(error)
    }
}

/// The files of a folder while threads read them.
struct Cutting<'a> {
    content: &'a Content,
    sizes: Sizes,
    remembered: Option<&'a Remembered>,
    next: AtomicUsize,
    stop: AtomicBool,
    hand: &'a (dyn Fn(Vec<Cut>) -> bool + Sync),
}

impl Cutting<'_> {
    /// Reads files, each the next that nobody reads, until none is left.
    fn work(&self) -> Done {
        let mut done = Vec::new();
        let mut batch = Batch::default();
        while !self.stop.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((path, kind)) = self.content.found.get(index) else {
                break;
            };
            let Found::File(listed) = kind else { continue };
            let result = self.read(path, listed, &mut batch);
            let ends = match &result {
                Ok(_) => false,
                Err(Failure::Stopped) => true,
                Err(Failure::File(_)) => self.content.named.is_some(),
            };
            self.stop.fetch_or(ends, Ordering::Relaxed);
            done.push((index, result));
        }
        // If nobody takes it, the transfer has ended with a reason of its own.
        if !batch.cuts.is_empty() {
            let _taken = (self.hand)(batch.cuts);
        }
        done
    }

    fn read(&self, path: &TreePath, listed: &Listed, batch: &mut Batch) -> Result<File, Failure> {
        if let Some(known) = self.remembered
            && let Some(chunks) = known.chunks(path, &listed.mark, self.sizes)
        {
            for chunk in chunks {
                batch.push((*chunk, Buffer::new()), self.hand)?;
            }
            return Ok(File {
                executable: listed.mark.executable,
                chunks: chunks.to_vec(),
            });
        }
        let (file, mark) =
            self.content.roots[listed.root]
                .read(path)
                .map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => ChunkError::Changed,
                    _ => ChunkError::Io(error),
                })?;
        // What a job left may still be touched, but not grow: its size was found acceptable.
        let same = match self.content.named {
            Some(_) => mark == listed.mark,
            None => mark.size == listed.mark.size,
        };
        if !same {
            return Err(ChunkError::Changed.into());
        }
        let mut chunks = Vec::new();
        cut(&file, &mark, self.sizes, |chunk, bytes| {
            chunks.push(chunk);
            batch.push((chunk, bytes), self.hand)
        })?;
        Ok(File {
            executable: mark.executable,
            chunks,
        })
    }
}

/// Chunks that are handed over together.
#[derive(Debug, Default)]
struct Batch {
    cuts: Vec<Cut>,
    bytes: usize,
}

impl Batch {
    fn push(
        &mut self,
        (chunk, bytes): (ChunkRef, Buffer),
        hand: &(dyn Fn(Vec<Cut>) -> bool + Sync),
    ) -> Result<(), Failure> {
        self.bytes += bytes.len();
        self.cuts.push((chunk, bytes));
        if self.bytes < CUT_BYTES && self.cuts.len() < CHUNKS_AT_ONCE {
            return Ok(());
        }
        self.bytes = 0;
        match hand(std::mem::take(&mut self.cuts)) {
            true => Ok(()),
            false => Err(Failure::Stopped),
        }
    }
}
