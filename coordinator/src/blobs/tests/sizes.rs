//! What a store takes on the disk.

use std::os::unix::fs::MetadataExt as _;

use super::*;

const CHUNK_BYTES: u32 = 16 << 10;
const CHUNKS: u64 = 4000;

fn noise(number: u64) -> (ChunkRef, Piece) {
    let mut bytes = vec![0; CHUNK_BYTES as usize];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    let chunk = ChunkRef {
        id: chunk_id(&bytes),
        bytes: CHUNK_BYTES,
    };
    (chunk, Piece::plain(bytes.into()))
}

fn upload(store: &Store, numbers: impl Iterator<Item = u64>) {
    let incoming = store.begin();
    let mut chunks = Vec::new();
    for number in numbers {
        let (chunk, piece) = noise(number);
        if incoming.lacks(&[chunk]).unwrap()[0] {
            incoming.put(&[(chunk, piece)]).unwrap();
        }
        chunks.push(chunk);
    }
    let kind = EntryKind::File {
        executable: false,
        chunks,
    };
    let path = "data".parse().unwrap();
    let tree = Tree::new(vec![Entry { path, kind }]).unwrap();
    incoming.seal(&Manifest::new(tree).unwrap()).unwrap();
}

fn on_disk(path: &Path) -> u64 {
    let metadata = fs::metadata(path).unwrap();
    if !metadata.is_dir() {
        return metadata.blocks() * 512;
    }
    let entries = fs::read_dir(path).unwrap();
    entries.map(|entry| on_disk(&entry.unwrap().path())).sum()
}

#[test]
fn a_second_version_that_shares_99_percent_takes_two_percent_more() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Clock::starting_at(Timestamp::from_unix_ms(BEGINNING)));
    let stores = Stores::open(folder.path(), clock, all_local()).unwrap();
    let store = stores.org(ORG).unwrap();
    upload(&store, 0..CHUNKS);
    let first = on_disk(folder.path());
    upload(&store, CHUNKS / 100..CHUNKS + CHUNKS / 100);
    let second = on_disk(folder.path());
    let data = CHUNKS * u64::from(CHUNK_BYTES);
    println!("{data} bytes take {first} on the disk, with a second version {second}");
    assert!(first < data + data / 50, "{first} for {data}");
    assert!(second - first <= data / 50, "{} for {data}", second - first);
}
