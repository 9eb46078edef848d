use std::{fs, sync::Arc};

use bytes::Bytes as Buffer;
use common::{
    code::Code,
    id::{OrgId, TreeId},
    org::storage::StoragePlace,
    problem::Problem,
    time::Timestamp,
    tree::{ChunkRef, Entry, EntryKind, Tree, chunk_id},
    units::Bytes,
};
use link::trees::{Manifest, Piece};
use tempfile::TempDir;

use super::{incoming::Incoming, *};

mod apart;
mod basics;
#[path = "../../../tests/src/bucket.rs"]
#[allow(unreachable_pub, reason = "the harness has it as well")]
mod bucket;
mod damage;
mod disk_fails;
mod disk_full;
mod flushing;
mod hostile;
mod in_bucket;
pub(super) mod killed;
mod marks;
mod meanwhile;
mod model;
mod move_killed;
mod moves;
mod rows;
mod scrubbing;
mod serving;
mod sizes;
mod sweeping;

const ORG: OrgId = OrgId::from_bytes([1; 16]);
const BEGINNING: u64 = 1_800_000_000_000;
const DAY: u64 = 24 * 3600 * 1000;

/// Small enough that a few pieces fill a pack.
const SMALL: Limits = Limits {
    pack_bytes: 8 << 10,
    shipped_bytes: 4 << 10,
    pending_pieces: 16,
    pending_bytes: 64 << 10,
    passing_bytes: 64 << 10,
    told_pieces: 7,
};

/// Returns what chunk `number` holds: every third compresses, every fifth is tiny.
fn content(number: u32) -> Vec<u8> {
    let length = match number % 5 {
        0 => 7,
        other => 300 + 150 * other as usize,
    };
    let mut bytes: Vec<u8> = if number.is_multiple_of(3) {
        vec![0; length]
    } else {
        (0_u32..)
            .flat_map(|at| *chunk_id(&[number.to_le_bytes(), at.to_le_bytes()].concat()).as_bytes())
            .take(length)
            .collect()
    };
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn chunk(number: u32) -> ChunkRef {
    let content = content(number);
    ChunkRef {
        id: chunk_id(&content),
        bytes: u32::try_from(content.len()).unwrap(),
    }
}

fn piece(number: u32) -> (ChunkRef, Piece) {
    (chunk(number), Piece::pack(Buffer::from(content(number))))
}

/// A tree of one file with these chunks.
fn made_of(numbers: &[u32]) -> Manifest {
    let kind = EntryKind::File {
        executable: false,
        chunks: numbers.iter().copied().map(chunk).collect(),
    };
    let path = "data".parse().unwrap();
    Manifest::new(Tree::new(vec![Entry { path, kind }]).unwrap()).unwrap()
}

/// A tree of one file with chunks 0 to `count`.
fn tree(count: u32) -> Manifest {
    made_of(&(0..count).collect::<Vec<_>>())
}

/// A place for everybody's bytes, and what opens it.
#[derive(Debug)]
struct Fixed {
    place: StoragePlace,
    keys: Mutex<[String; 2]>,
}

impl Fixed {
    fn at(place: StoragePlace) -> Arc<Self> {
        let keys = [bucket::ID, bucket::SECRET].map(str::to_owned);
        Arc::new(Self {
            place,
            keys: Mutex::new(keys),
        })
    }
}

impl Homes for Fixed {
    fn place(&self, _: OrgId) -> StoragePlace {
        self.place.clone()
    }

    fn keys(&self, _: OrgId) -> Result<Keys, Problem> {
        let [id, secret] = self.keys.lock().unwrap().clone().map(Into::into);
        Ok(Keys { id, secret })
    }
}

/// Returns homes of which everybody's is the disk.
pub(crate) fn all_local() -> Arc<dyn Homes> {
    Fixed::at(StoragePlace::Local)
}

fn place_in(bucket: &bucket::Bucket, prefix: &str) -> StoragePlace {
    bucket.place(prefix).parse().unwrap()
}

fn stores_at(folder: &Path, at: u64) -> Stores {
    stores_of(folder, at, all_local())
}

fn stores_of(folder: &Path, at: u64, homes: Arc<dyn Homes>) -> Stores {
    let clock = Arc::new(Clock::starting_at(Timestamp::from_unix_ms(at)));
    Stores::open_with(folder, clock, homes, SMALL).unwrap()
}

fn store_at(folder: &Path, at: u64) -> Store {
    stores_at(folder, at).org(ORG).unwrap()
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = store_at(folder.path(), BEGINNING);
    (folder, store)
}

/// Puts what is lacking of these; returns how many that were.
fn bring(incoming: &Incoming, numbers: &[u32]) -> Result<usize, Problem> {
    let chunks: Vec<ChunkRef> = numbers.iter().copied().map(chunk).collect();
    let lacks = incoming.lacks(&chunks)?;
    let lacking = numbers.iter().zip(lacks).filter(|(_, lacks)| *lacks);
    let pieces: Vec<_> = lacking.map(|(number, _)| piece(*number)).collect();
    for pieces in pieces.chunks(3) {
        incoming.put(pieces)?;
    }
    Ok(pieces.len())
}

/// Uploads a tree of these chunks, which nobody holds then.
fn save(store: &Store, numbers: &[u32]) -> TreeId {
    let incoming = store.begin();
    bring(&incoming, numbers).unwrap();
    let tree = incoming.seal(&made_of(numbers)).unwrap();
    store.release(tree);
    // As it is for whoever comes later: the description is on the disk.
    store.0.manifests.forget(ORG, tree);
    tree
}

/// Checks that every piece of the tree can be had.
fn check_whole(store: &Store, numbers: &[u32]) {
    check_pieces(store, &store.load_tree(made_of(numbers).id()).unwrap());
}

fn check_pieces(store: &Store, manifest: &Manifest) {
    let pieces = store.pieces(manifest.id(), manifest.chunks()).unwrap();
    for (chunk, piece) in manifest.chunks().iter().zip(pieces) {
        assert_eq!(chunk_id(&piece.open(chunk).unwrap()), chunk.id);
    }
}

/// Returns which of the first chunks are stored.
fn stored(store: &Store) -> Vec<u32> {
    let view = store.0.view().unwrap();
    let here = |number: &u32| {
        let row = view.chunk(chunk(*number).id).unwrap();
        row.is_some_and(|row| row.whole(&chunk(*number)).is_some())
    };
    (0..40).filter(here).collect()
}

/// Returns the names in a part of the org's folder.
fn files(folder: &Path, part: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.join(ORG.to_string()).join(part)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Returns the file of a pack in a folder of the disk, or of a bucket.
fn pack_file(folder: &Path, pack: u32) -> PathBuf {
    let beginning = format!("{pack:08}");
    let mut entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(&beginning));
    found.unwrap().path()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
