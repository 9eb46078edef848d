//! Disks of attempts' own: each a file system in a file, exactly as large as the attempt asked for, so that a
//! full disk or too many files are that attempt's trouble alone.
//!
//! A disk is never mounted where others see it. The daemon holds it by a descriptor, the attempt's supervisor
//! mounts it in a mount namespace of its own; when both are gone, the kernel lets go of it, and the file is all that
//! is left. Making one takes some ten milliseconds, so a few used ones are emptied, looked at and kept ready.
//!
//! Only root can do this. Called by `attempts` and the keeper; elsewhere what an attempt takes is counted.

mod device;
mod disk;
mod shape;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use common::{id::AttemptId, units::Bytes};
use link::files::create_private_dir;

pub use self::disk::Disk;
use self::shape::{Shape, Templates};

/// The image of an attempt's disk and the folder that its supervisor mounts it on, both in the attempt's folder.
pub(crate) const IMAGE: &str = "disk.img";
pub(crate) const MOUNTED: &str = "disk";
/// Most disks that wait for their next attempt, of all sizes together.
const MAX_READY: usize = 8;
/// Of the disk that is made to see whether that works.
const TRIAL: Bytes = Bytes::mib(1);

/// Every disk of an agent.
#[derive(Debug, Clone)]
pub struct Disks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    templates: Templates,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<Disk>,
    held: BTreeMap<AttemptId, Disk>,
    /// Names of images, never used twice.
    made: u64,
}

impl Disks {
    /// Removes what an earlier daemon left in `folder`, and makes a disk to see whether that works here. Blocks.
    ///
    /// # Errors
    /// There is no such thing on this machine: no right to mount, no loop devices, no `mkfs.ext4`.
    pub fn open(folder: &Path) -> io::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        create_private_dir(folder)?;
        let disks = Self {
            inner: Arc::new(Inner {
                templates: Templates::new(folder),
                folder: folder.to_owned(),
                state: Mutex::default(),
            }),
        };
        disks.take(TRIAL)?.discard();
        Ok(disks)
    }

    /// Returns an empty disk of this size; a ready one, where there is one. Blocks.
    ///
    /// # Errors
    /// None can be made.
    pub fn take(&self, size: Bytes) -> io::Result<Disk> {
        let shape = Shape::of(size);
        let mut state = self.state();
        let ready = state.ready.iter().position(|disk| disk.shape() == shape);
        if let Some(index) = ready {
            return Ok(state.ready.swap_remove(index));
        }
        state.made += 1;
        let image = self.inner.folder.join(format!("{}.img", state.made));
        drop(state);
        self.make(shape, &image).inspect_err(|_| {
            let _ = fs::remove_file(&image);
        })
    }

    fn make(&self, shape: Shape, image: &Path) -> io::Result<Disk> {
        self.inner.templates.copy(shape, image)?;
        Disk::attach(shape, image)?.emptied()
    }

    /// Makes a disk ahead for the next attempt that asks for this size, if none is ready. Blocks.
    pub(crate) fn refill(&self, size: Bytes) {
        let shape = Shape::of(size);
        let there = |state: &State| state.ready.iter().any(|disk| disk.shape() == shape);
        if !there(&self.state())
            && let Ok(disk) = self.take(size)
        {
            self.keep(disk);
        }
    }

    /// Takes back what an attempt has used. Blocks. `disk` is kept for the next if nothing of this one is left on
    /// it, and removed otherwise.
    pub fn give_back(&self, disk: Disk) {
        let mut state = self.state();
        state.made += 1;
        let image = self.inner.folder.join(format!("{}.img", state.made));
        drop(state);
        match disk.emptied().and_then(|disk| disk.moved(&image)) {
            Ok(disk) => self.keep(disk),
            Err(error) => tracing::debug!(%error, "a disk is not used again"),
        }
    }

    fn keep(&self, disk: Disk) {
        let mut state = self.state();
        state.ready.push(disk);
        let surplus = (state.ready.len() > MAX_READY).then(|| state.ready.remove(0));
        drop(state);
        surplus.into_iter().for_each(Disk::discard);
    }

    /// Holds an attempt's disk until [`Self::release`].
    pub(crate) fn hold(&self, attempt: AttemptId, disk: Disk) {
        self.state().held.insert(attempt, disk);
    }

    /// Holds the disk of an attempt that an earlier daemon began, where it has one. Blocks.
    ///
    /// # Errors
    /// It has one that cannot be reached.
    pub(crate) fn adopt(&self, attempt: AttemptId, folder: &Path) -> io::Result<()> {
        let image = folder.join(IMAGE);
        if image.exists() && !self.state().held.contains_key(&attempt) {
            let disk = Disk::found(&image)?;
            self.hold(attempt, disk);
        }
        Ok(())
    }

    /// Returns where the files of an attempt are, as this process reaches them: a disk of its own, if it has one,
    /// and otherwise its folder.
    pub(crate) fn files_of(&self, attempt: AttemptId, folder: &Path) -> PathBuf {
        let state = self.state();
        let disk = state.held.get(&attempt);
        disk.map_or_else(|| folder.to_owned(), Disk::path)
    }

    /// Holds an attempt's disk no longer, if it has one, and returns it.
    pub(crate) fn hand_out(&self, attempt: AttemptId) -> Option<Disk> {
        self.state().held.remove(&attempt)
    }

    /// Takes back the disk of an attempt, if it has one. Blocks.
    pub(crate) fn release(&self, attempt: AttemptId) {
        let disk = self.hand_out(attempt);
        disk.into_iter().for_each(|disk| self.give_back(disk));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.inner.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        // Those in attempts' folders stay: their attempts go on.
        state.ready.drain(..).for_each(Disk::discard);
    }
}

#[cfg(test)]
mod tests;
