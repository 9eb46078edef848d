//! Both sides over real connections, with chunks in memory.

mod down;
mod up;

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes as Buffer;
use certs::{Authority, client_config, server_config};
use common::{
    id::{ChunkId, OrgId, TreeId},
    time::Timestamp,
    tree::{Entry, EntryKind, Tree, chunk_id},
    wire::{
        ALPN_JOIN,
        client::{ClientStream, DownloadSource, UploadPurpose},
        data::Announced,
    },
};
use quinn::{Connection, Endpoint};
use tokio::sync::Notify;

use super::*;
use crate::{
    endpoint::{Dialer, listen},
    frames::{FrameReceiver, FrameSender, split},
    pace::Pace,
};

const ORG: OrgId = OrgId::from_bytes([1; 16]);

/// A connection to somebody who serves trees as a coordinator does.
struct Site {
    near: Connection,
    _open: (Endpoint, Dialer),
}

impl Site {
    async fn new(memory: &Arc<Memory>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let now = Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap());
        let authority = Authority::create(folder.path(), &"lab".parse().unwrap(), now).unwrap();
        let tls = server_config(&authority.server_identity(now).unwrap()).unwrap();
        let endpoint = listen((Ipv4Addr::LOCALHOST, 0).into(), tls).unwrap();
        let address = endpoint.local_addr().unwrap().to_string();
        let tls = client_config(authority.fingerprint(), None, ALPN_JOIN).unwrap();
        let dialer = Dialer::new().unwrap();
        let accept = async { endpoint.accept().await.unwrap().await.unwrap() };
        let (near, far) = tokio::join!(dialer.dial(&address, tls), accept);
        tokio::spawn(Arc::clone(memory).serve(far));
        Self {
            near: near.unwrap(),
            _open: (endpoint, dialer),
        }
    }

    async fn open(&self, first: &ClientStream) -> (FrameSender, FrameReceiver) {
        let mut stream = split(self.near.open_bi().await.unwrap());
        stream.0.send(first).await.unwrap();
        stream
    }
}

fn upload(announced: Announced) -> ClientStream {
    let purpose = UploadPurpose::Workdir { project: None };
    ClientStream::Upload {
        org: ORG,
        announced,
        purpose,
    }
}

fn chunks_of(tree: TreeId) -> ClientStream {
    ClientStream::Chunks {
        org: ORG,
        source: source(),
        tree,
    }
}

fn source() -> DownloadSource {
    DownloadSource::Dataset {
        name: "digits".parse().unwrap(),
        version: None,
    }
}

/// Pieces and trees in memory.
#[derive(Debug, Default)]
struct Memory {
    pieces: Mutex<BTreeMap<ChunkId, Piece>>,
    trees: Mutex<HashMap<TreeId, Manifest>>,
    /// Bytes that may be put.
    room: Option<u64>,
    suspects: Mutex<Vec<ChunkId>>,
    problems: Mutex<Vec<Problem>>,
    /// What is described to who asks, and beside what.
    described: Mutex<Option<(Manifest, Option<Manifest>)>>,
    /// Pieces that were put, and such that were read.
    put: AtomicUsize,
    read: AtomicUsize,
    /// A stream of chunks has ended.
    ended: Notify,
}

impl Memory {
    fn of(contents: &[Vec<u8>]) -> Arc<Self> {
        let memory = Self::default();
        for bytes in contents {
            let piece = Piece::pack(bytes.clone().into());
            memory.pieces.lock().unwrap().insert(chunk_id(bytes), piece);
        }
        Arc::new(memory)
    }

    fn count(&self) -> usize {
        self.pieces.lock().unwrap().len()
    }

    fn add_tree(&self, manifest: &Manifest) {
        let mut trees = self.trees.lock().unwrap();
        trees.insert(manifest.id(), manifest.clone());
    }

    async fn serve(self: Arc<Self>, connection: Connection) {
        let uploads = Arc::new(Mutex::new(HashMap::new()));
        while let Ok(stream) = connection.accept_bi().await {
            let (memory, uploads) = (Arc::clone(&self), Arc::clone(&uploads));
            tokio::spawn(async move {
                let (mut tx, mut rx) = split(stream);
                match memory.serve_stream(&uploads, &mut tx, &mut rx).await {
                    Ok(()) => tx.finish(),
                    Err(problem) => {
                        let _told = tx.refuse(&problem).await;
                        memory.problems.lock().unwrap().push(problem);
                    }
                }
            });
        }
    }

    async fn serve_stream(
        self: &Arc<Self>,
        uploads: &Mutex<HashMap<u64, Arc<Taking<Self>>>>,
        tx: &mut FrameSender,
        rx: &mut FrameReceiver,
    ) -> Result<(), Problem> {
        match rx.expect().await? {
            ClientStream::Upload { announced, .. } => {
                let beside = announced.beside;
                let beside = beside.and_then(|tree| self.trees.lock().unwrap().get(&tree).cloned());
                let taking = Taking::new(Arc::clone(self), announced, beside.as_ref());
                uploads
                    .lock()
                    .unwrap()
                    .insert(tx.number(), Arc::clone(&taking));
                taking.serve(tx, rx).await.map(drop)
            }
            ClientStream::Pieces { upload } => {
                let taking = uploads.lock().unwrap()[&upload].clone();
                taking.serve_pieces(rx).await
            }
            ClientStream::Chunks { tree, .. } => {
                let manifest = self.trees.lock().unwrap()[&tree].clone();
                let served = serve_chunks(&manifest, self, &Pace::default(), tx, rx).await;
                self.ended.notify_one();
                served.map(drop)
            }
            ClientStream::Download { .. } => {
                let described = self.described.lock().unwrap().clone();
                let (manifest, beside) = described.expect("something to describe");
                send_description_beside(&manifest, beside.as_ref(), tx).await
            }
            other => panic!("{other:?}"),
        }
    }
}

impl PieceSource for Memory {
    fn pieces(&self, chunks: &[ChunkRef]) -> Result<Vec<Piece>, Problem> {
        self.read.fetch_add(chunks.len(), Ordering::SeqCst);
        let pieces = self.pieces.lock().unwrap();
        let piece = |chunk: &ChunkRef| {
            let gone = || Problem::new(Code::NotFound, "gone", "gone");
            pieces.get(&chunk.id).cloned().ok_or_else(gone)
        };
        chunks.iter().map(piece).collect()
    }

    fn suspect(&self, chunk: &ChunkRef) {
        self.suspects.lock().unwrap().push(chunk.id);
    }
}

impl PieceKeeper for Memory {
    fn lacks(&self, chunks: &[ChunkRef]) -> Result<Vec<bool>, Problem> {
        let pieces = self.pieces.lock().unwrap();
        let lacks = |chunk: &ChunkRef| !pieces.contains_key(&chunk.id);
        Ok(chunks.iter().map(lacks).collect())
    }

    fn reserve(&self, missing: Bytes) -> Result<(), Problem> {
        match self.room {
            Some(room) if missing.0 > room => {
                Err(Problem::new(Code::DiskFull, "no room", "the disk is full"))
            }
            _ => Ok(()),
        }
    }

    fn put(&self, pieces: &[(ChunkRef, Piece)]) -> Result<(), Problem> {
        let mut kept = self.pieces.lock().unwrap();
        let full = kept.len() as u64 + pieces.len() as u64;
        if self.room.is_some_and(|room| full > room / 1000) {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(io_problem("no room", &full));
        }
        for (chunk, piece) in pieces {
            piece.open(chunk).unwrap();
            kept.insert(chunk.id, piece.clone());
        }
        self.put.fetch_add(pieces.len(), Ordering::SeqCst);
        Ok(())
    }

    fn seal(&self, manifest: &Manifest) -> Result<(), Problem> {
        let pieces = self.pieces.lock().unwrap();
        assert!(
            manifest
                .chunks()
                .iter()
                .all(|chunk| pieces.contains_key(&chunk.id))
        );
        drop(pieces);
        self.add_tree(manifest);
        Ok(())
    }
}

fn chunk(bytes: &[u8]) -> ChunkRef {
    ChunkRef {
        id: chunk_id(bytes),
        bytes: u32::try_from(bytes.len()).unwrap(),
    }
}

fn file(path: &str, contents: &[Vec<u8>]) -> Entry {
    let chunks = contents.iter().map(|bytes| chunk(bytes)).collect();
    let kind = EntryKind::File {
        executable: false,
        chunks,
    };
    Entry {
        path: path.parse().unwrap(),
        kind,
    }
}

fn manifest_of(entries: Vec<Entry>) -> Manifest {
    Manifest::new(Tree::new(entries).unwrap()).unwrap()
}

/// Returns `count` different contents of `size` bytes that do not compress.
fn contents(count: u32, size: usize) -> Vec<Vec<u8>> {
    let content = |number: u32| {
        let mut bytes = Vec::with_capacity(size + 32);
        for at in 0_u32.. {
            if bytes.len() >= size {
                break;
            }
            let block = chunk_id(&[number.to_le_bytes(), at.to_le_bytes()].concat());
            bytes.extend_from_slice(block.as_bytes());
        }
        bytes.truncate(size);
        bytes
    };
    (0..count).map(content).collect()
}

/// Counts what a transfer says.
#[derive(Debug, Default)]
struct Counted {
    missing: AtomicU64,
    moved: AtomicU64,
    skipped: AtomicU64,
    /// Closed once so much has moved.
    cut: Mutex<Option<(Connection, u64)>>,
}

impl Progress for Counted {
    fn begin(&self, _: Bytes, missing: Bytes) {
        self.missing.store(missing.0, Ordering::SeqCst);
    }
    fn advance(&self, bytes: Bytes) {
        let moved = self.moved.fetch_add(bytes.0, Ordering::SeqCst);
        if let Some((connection, most)) = &*self.cut.lock().unwrap()
            && moved > *most
        {
            connection.close(0_u32.into(), b"");
        }
    }
    fn skip(&self, bytes: Bytes) {
        self.skipped.fetch_add(bytes.0, Ordering::SeqCst);
    }
}
