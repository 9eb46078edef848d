//! Chunks on the disk: written once, never changed, checked whenever they are read.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use common::{
    code::Code,
    id::{ChunkId, TreeId},
    problem::Problem,
    tree::{ChunkRef, chunk_id},
};
use link::trees::io_problem;
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};

use super::{Store, sync_folder};

/// Up to this many new chunks are synced one by one, which a small work folder's latency feels; for more, one
/// `syncfs` of the whole file system is cheaper.
const SYNC_SINGLY: usize = 4;

impl Store {
    /// Returns whether a chunk of this id and size is stored.
    pub fn has(&self, chunk: &ChunkRef) -> bool {
        fs::metadata(self.chunk_path(chunk.id))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == u64::from(chunk.bytes))
    }

    /// Stores a chunk whose bytes the caller has checked. It is durable once a tree with it is saved.
    ///
    /// # Errors
    /// `disk_full` or `io_error`.
    pub fn put(&self, chunk: &ChunkRef, bytes: &[u8]) -> Result<(), Problem> {
        if self.has(chunk) {
            return Ok(());
        }
        let failed = |error| io_problem("the data was not stored", &error);
        let temp = self.write_temp(bytes).map_err(failed)?;
        // Named and noted in one step: whoever sees the name also finds that it is not synced yet.
        let mut unsynced = self.unsynced();
        temp.publish(&self.chunk_path(chunk.id)).map_err(failed)?;
        unsynced.insert(chunk.id);
        Ok(())
    }

    /// Returns the bytes of a chunk of `tree`.
    ///
    /// # Errors
    /// `not_found` if the tree has gone. `checksum_mismatch` if they are missing or not what they were: damaged bytes
    /// are set aside, so that the next upload sends them anew, and never served.
    pub fn read(&self, tree: TreeId, chunk: &ChunkRef) -> Result<Vec<u8>, Problem> {
        let path = self.chunk_path(chunk.id);
        let what = "stored data cannot be read";
        let damaged = |why: String| {
            tracing::error!(chunk = %chunk.id, why, "a stored chunk is damaged");
            Problem::new(Code::Checksum, what, why)
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !self.has_tree(tree) {
                    let why = "it was deleted meanwhile";
                    return Err(Problem::new(Code::NotFound, what, why));
                }
                return Err(damaged(format!("piece {} is missing", chunk.id)));
            }
            Err(error) => return Err(io_problem(what, &error)),
        };
        if chunk_id(&bytes) != chunk.id {
            if let Err(error) = set_aside(&path) {
                tracing::error!(chunk = %chunk.id, %error, "a damaged chunk cannot be set aside");
            }
            return Err(damaged(format!(
                "piece {} does not match its checksum",
                chunk.id
            )));
        }
        Ok(bytes)
    }

    /// Sees to it that these chunks have reached the disk.
    pub(super) fn sync_chunks(&self, chunks: &[ChunkRef]) -> io::Result<()> {
        let all = self.unsynced().clone();
        if all.is_empty() {
            return Ok(());
        }
        let ours: Vec<_> = {
            let unsynced = self.unsynced();
            chunks
                .iter()
                .filter(|chunk| unsynced.contains(&chunk.id))
                .collect()
        };
        if ours.len() > SYNC_SINGLY {
            syncfs(&self.0.folder)?;
            let mut unsynced = self.unsynced();
            unsynced.retain(|id| !all.contains(id));
            return Ok(());
        }
        for chunk in ours {
            let path = self.chunk_path(chunk.id);
            File::open(&path)?.sync_all()?;
            for folder in path.ancestors().skip(1).take(2) {
                sync_folder(folder)?;
            }
            self.unsynced().remove(&chunk.id);
        }
        Ok(())
    }

    pub(super) fn chunk_path(&self, chunk: ChunkId) -> PathBuf {
        let hex = chunk.to_string();
        self.folder("chunks").join(&hex[..2]).join(&hex)
    }

    /// Writes `bytes` under a name that [`Store::open`] clears.
    pub(super) fn write_temp(&self, bytes: &[u8]) -> io::Result<Temp> {
        let number = self.0.next_temp.fetch_add(1, Ordering::Relaxed);
        let path = self.0.root.join("temps").join(number.to_string());
        let file = File::create_new(&path)?;
        let mut temp = Temp {
            path,
            file,
            renamed: false,
        };
        temp.file.write_all(bytes)?;
        Ok(temp)
    }
}

/// A file that vanishes unless it gets its final name.
#[derive(Debug)]
pub(super) struct Temp {
    path: PathBuf,
    pub(super) file: File,
    renamed: bool,
}

impl Temp {
    pub(super) fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.renamed = true;
        Ok(())
    }

    /// Takes the name `to` unless an equally long file has it. Never replaces a file that a saved tree may
    /// rely on: the replacement would not be on the disk yet.
    fn publish(mut self, to: &Path) -> io::Result<()> {
        for _ in 0..3 {
            match renameat_with(CWD, &self.path, CWD, to, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.renamed = true;
                    return Ok(());
                }
                Err(rustix::io::Errno::NOENT) => {
                    fs::create_dir_all(to.parent().unwrap_or(to))?;
                }
                Err(rustix::io::Errno::EXIST) => {
                    if fs::metadata(to)?.len() == self.file.metadata()?.len() {
                        return Ok(());
                    }
                    set_aside(to)?;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::Error::other(
            "the folder of pieces changes under the store",
        ))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.renamed {
            // What stays is cleared when the store is opened next.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn set_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, path.with_extension("damaged"))
}
