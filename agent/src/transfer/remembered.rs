//! What a folder was when it was sent last, so that its files that nobody has touched since need not be read again.
//!
//! It is believed only together with its receiver, who has to say that it has that tree: see [`super::upload_again`].
//! Losing it costs time and nothing else.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use common::{
    id::{ChunkId, OrgId},
    name::Name,
    tree::{ChunkRef, EntryKind, TreePath, chunk_id},
};
use link::{
    files::{create_private_dir, write_atomic},
    trees::Manifest,
};

use rustix::fs::statfs;

use super::{
    beneath::Mark,
    chunking::Sizes,
    read::Walked,
    walk::{Found, Listed},
};

/// What such a file begins with; the last byte is the version.
const MAGIC: [u8; 8] = *b"CSHSENT\x01";
/// Folders of which something is kept.
const MAX_FOLDERS: usize = 32;
/// Longest file: of a folder with a million files.
const MAX_BYTES: u64 = 256 << 20;
const MODE: u32 = 0o600;
/// A file that was changed so shortly before the look may be changed once more without a change of its times: clocks
/// tick in steps, and what a process writes through a mapping shows when the kernel has written it back, which takes it
/// half a minute.
const TIMES_ARE_ROUGH: Duration = Duration::from_secs(60);
/// File systems (statfs(2)) whose times are this kernel's own: ext4, XFS, Btrfs, F2FS, ZFS, overlayfs, tmpfs. Elsewhere
/// somebody else may write, and be heard of later.
const LOCAL: [i64; 7] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0x794c_7630,
    0x0102_1994,
];
const MARK_BYTES: usize = 49;
const CHECKSUM_BYTES: usize = 32;

/// Where it is kept how one folder was.
#[derive(Debug, Clone)]
pub struct Memory {
    path: PathBuf,
    /// The folder's. Files of another one below it are read every time.
    device: u64,
}

/// How a folder is that is being sent.
#[derive(Debug)]
pub(super) struct Note(Vec<u8>);

/// How a folder was. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Remembered(Arc<Content>);

#[derive(Debug)]
struct Content {
    manifest: Manifest,
    sizes: Sizes,
    /// By entry of the tree; `None` for what is no file, or may have changed unseen.
    marks: Vec<Option<Mark>>,
}

impl Memory {
    /// Returns where below `cache` it is kept how `folder` was when it became a version of a dataset.
    ///
    /// # Errors
    /// The folder is not there, or is on a file system of which not all changes are seen.
    pub fn of(cache: &Path, org: OrgId, dataset: &Name, folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let system: i64 = statfs(&folder)?.f_type;
        if !LOCAL.contains(&(system & 0xffff_ffff)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut key = org.to_string().into_bytes();
        key.extend_from_slice(dataset.as_str().as_bytes());
        key.push(0);
        key.extend_from_slice(folder.as_os_str().as_encoded_bytes());
        Ok(Self {
            path: cache.join("sent").join(chunk_id(&key).to_string()),
            device: folder.metadata()?.dev(),
        })
    }

    /// Returns how the folder was; `None` where that is not known. Blocks.
    pub(super) fn recall(&self) -> Option<Remembered> {
        let length = fs::metadata(&self.path).ok()?.len();
        let bytes = (length <= MAX_BYTES).then(|| fs::read(&self.path).ok())??;
        let remembered = Remembered::decode(&bytes);
        if remembered.is_none() {
            self.forget();
        }
        remembered
    }

    /// Returns how the folder is that is sent, as [`Memory::note`] takes it. Takes a while for a large one.
    ///
    /// # Errors
    /// It is larger than what is kept.
    pub(super) fn describe(&self, walked: &Walked, manifest: &Manifest) -> io::Result<Note> {
        let chunks = manifest.tree().files().map(|(_, chunks)| chunks.len());
        let least = manifest.tree().entries().len() * MARK_BYTES
            + chunks.sum::<usize>() * size_of::<ChunkId>();
        if least as u64 > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let bytes = encode(walked, manifest, self.device)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Note(bytes))
    }

    /// Notes how the folder is, once it was sent. Blocks.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn note(&self, Note(bytes): &Note) -> io::Result<()> {
        let Some(folder) = self.path.parent() else {
            return Ok(());
        };
        create_private_dir(folder)?;
        make_room(folder)?;
        write_atomic(&self.path, bytes, MODE)
    }

    pub(super) fn forget(&self) {
        // What cannot be removed is not believed a second time either.
        let _gone_already = fs::remove_file(&self.path);
    }
}

impl Remembered {
    pub(super) fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// Returns the chunks of a file, if it is as it was and would be cut as it was.
    pub(super) fn chunks(&self, path: &TreePath, mark: &Mark, sizes: Sizes) -> Option<&[ChunkRef]> {
        let entries = self.0.manifest.tree().entries();
        let index = entries
            .binary_search_by(|entry| entry.path.cmp(path))
            .ok()?;
        let same = self.0.sizes == sizes && self.0.marks[index].as_ref() == Some(mark);
        match &entries[index].kind {
            EntryKind::File { chunks, .. } if same => Some(chunks),
            _ => None,
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        let rest = body.strip_prefix(&MAGIC[..])?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let (marks, manifest) = rest.split_at_checked(count.checked_mul(MARK_BYTES)?)?;
        // The description has a checksum of its own.
        if chunk_id(marks) != ChunkId::new(*sum) {
            return None;
        }
        let manifest = Manifest::decode(manifest).ok()?;
        let marks: Vec<_> = marks.chunks_exact(MARK_BYTES).map(decode_mark).collect();
        let whole = marks.len() == manifest.tree().entries().len();
        let sizes = Sizes::of_folder(manifest.tree().bytes());
        whole.then(|| {
            Self(Arc::new(Content {
                manifest,
                sizes,
                marks,
            }))
        })
    }
}

fn encode(walked: &Walked, manifest: &Manifest, device: u64) -> io::Result<Vec<u8>> {
    let (_, found) = walked.found();
    let entries = manifest.tree().entries();
    let since = walked.looked_at().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let mut marks = Vec::with_capacity(entries.len() * MARK_BYTES);
    for entry in entries {
        let at = found.binary_search_by(|(path, _)| path.cmp(&entry.path));
        let listed = match at.ok().map(|at| &found[at].1) {
            Some(Found::File(Listed { mark, .. })) => Some(mark),
            _ => None,
        };
        let sure = |mark: &&Mark| mark.device == device && mark.changed + TIMES_ARE_ROUGH <= since;
        let sure = listed.filter(sure);
        encode_mark(sure, &mut marks);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&marks);
    bytes.extend_from_slice(&manifest.encode().map_err(io::Error::other)?);
    bytes.extend_from_slice(chunk_id(&marks).as_bytes());
    Ok(bytes)
}

fn encode_mark(mark: Option<&Mark>, into: &mut Vec<u8>) {
    let Some(mark) = mark else {
        into.resize(into.len() + MARK_BYTES, 0);
        return;
    };
    into.push(1 + u8::from(mark.executable));
    for number in [mark.device, mark.inode, mark.size] {
        into.extend_from_slice(&number.to_le_bytes());
    }
    for time in [mark.modified, mark.changed] {
        into.extend_from_slice(&time.as_secs().to_le_bytes());
        into.extend_from_slice(&time.subsec_nanos().to_le_bytes());
    }
}

fn decode_mark(bytes: &[u8]) -> Option<Mark> {
    let number = |at: usize| {
        let bytes: [u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let time = |at: usize| {
        let nanoseconds: [u8; 4] = bytes.get(at + 8..at + 12)?.try_into().ok()?;
        Some(Duration::new(number(at)?, u32::from_le_bytes(nanoseconds)))
    };
    let executable = match bytes.first()? {
        0 => return None,
        flag => *flag == 2,
    };
    Some(Mark {
        device: number(1)?,
        inode: number(9)?,
        size: number(17)?,
        modified: time(25)?,
        changed: time(37)?,
        executable,
    })
}

/// Forgets the folders that were sent longest ago, so that one more fits.
fn make_room(folder: &Path) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        kept.push((entry.metadata()?.modified()?, entry.path()));
    }
    kept.sort_unstable();
    let many = kept.len().saturating_sub(MAX_FOLDERS - 1);
    kept.drain(..many)
        .try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests;
