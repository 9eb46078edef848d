//! How large a disk's image has to be for what was asked for, and empty file systems to copy.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use common::units::Bytes;
use rustix::fs::SeekFrom;

/// Where distributions have it; not every `PATH` has these folders.
const MKFS: [&str; 3] = [
    "/usr/sbin/mkfs.ext4",
    "/sbin/mkfs.ext4",
    "/usr/bin/mkfs.ext4",
];
/// A file or folder is allowed for so many bytes of disk.
const BYTES_PER_FILE: u64 = 8 << 10;
const MIN_FILES: u64 = 1 << 12;
const MAX_FILES: u64 = 2_000_000;
const INODE_BYTES: u64 = 256;
const BLOCK_BYTES: u64 = 4 << 10;
/// What the file system itself takes: a part of everything, what it holds back for late writes (a fiftieth, and
/// at most so much), and a little more.
const PART: u64 = 512;
const HELD_BACK_PART: u64 = 49;
const MAX_HELD_BACK: u64 = 16 << 20;
const FIXED: u64 = 256 << 10;
/// Most empty file systems that are kept to copy.
const MAX_TEMPLATES: usize = 8;

/// What makes one disk as good as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// What can be written to it.
    pub(super) size: Bytes,
}

impl Shape {
    pub(super) const fn of(size: Bytes) -> Self {
        Self { size }
    }

    pub(super) fn files(self) -> u64 {
        (self.size.0 / BYTES_PER_FILE).clamp(MIN_FILES, MAX_FILES)
    }

    pub(super) fn image_bytes(self) -> u64 {
        let (size, tables) = (self.size.0, self.files() * INODE_BYTES);
        let held_back = ((size + tables) / HELD_BACK_PART).min(MAX_HELD_BACK);
        let all = [size, tables, held_back, size / PART, FIXED];
        let sum = all.into_iter().fold(0_u64, u64::saturating_add);
        sum.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES)
    }
}

/// Empty file systems, one for each size that was asked for lately.
#[derive(Debug)]
pub(super) struct Templates {
    folder: PathBuf,
    /// Oldest first.
    made: Mutex<Vec<Shape>>,
}

impl Templates {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            made: Mutex::default(),
        }
    }

    /// Writes an empty file system of this shape to `image`, which is made.
    pub(super) fn copy(&self, shape: Shape, image: &Path) -> io::Result<()> {
        let template = self.path(shape);
        // One at a time: the second that asks for a new size waits for the first.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.contains(&shape) {
            make(shape, &template)?;
            made.push(shape);
            if made.len() > MAX_TEMPLATES {
                fs::remove_file(self.path(made.remove(0)))?;
            }
        }
        let from = File::open(template)?;
        drop(made);
        copy_what_is_there(&from, &new_file(image, shape)?)
    }

    fn path(&self, shape: Shape) -> PathBuf {
        self.folder.join(format!("empty-{}", shape.size.0))
    }
}

fn new_file(path: &Path, shape: Shape) -> io::Result<File> {
    let mut options = File::options();
    options.create_new(true).write(true).mode(0o600);
    let file = options.open(path)?;
    file.set_len(shape.image_bytes())?;
    Ok(file)
}

/// Makes a file system without a journal, which nobody needs who starts from an empty disk, and without the copies of
/// its own plan. It is sparse: its tables are not written before they are used.
fn make(shape: Shape, path: &Path) -> io::Result<()> {
    let program = MKFS.iter().find(|path| Path::new(path).exists());
    let program = program.ok_or_else(|| io::Error::other("there is no mkfs.ext4"))?;
    let _ = fs::remove_file(path);
    new_file(path, shape)?;
    let output = Command::new(program)
        .args(["-q", "-F", "-m", "0", "-b"])
        .arg(BLOCK_BYTES.to_string())
        .arg("-I")
        .arg(INODE_BYTES.to_string())
        .arg("-N")
        .arg(shape.files().to_string())
        .args(["-O", "^has_journal,^resize_inode,sparse_super2"])
        .args(["-E", "lazy_itable_init=1,nodiscard,num_backup_sb=0"])
        .arg(path)
        .env_clear()
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(io::Error::other(format!("mkfs.ext4: {text}")))
    }
}

fn copy_what_is_there(from: &File, to: &File) -> io::Result<()> {
    let mut block = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or(4096)];
    let mut at = 0;
    loop {
        at = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(data) => data / BLOCK_BYTES * BLOCK_BYTES,
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(at))?;
        while at < end {
            from.read_exact_at(&mut block, at)?;
            if block.iter().any(|&byte| byte != 0) {
                to.write_all_at(&block, at)?;
            }
            at += BLOCK_BYTES;
        }
    }
}
