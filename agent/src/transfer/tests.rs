//! Folders over real connections, against a depot in memory that plays the coordinator.

mod collecting;
mod disk_full;
mod streams;
mod walking;

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use certs::{Authority, client_config, server_config};
use common::{
    code::Code,
    id::{AttemptId, ChunkId, JobId, TreeId},
    problem::Problem,
    time::Timestamp,
    tree::{ChunkRef, Tree},
    units::Bytes,
    wire::{ALPN_JOIN, agent::AgentStream},
};
use link::{
    endpoint::{Dialer, listen},
    frames::{FrameReceiver, FrameSender, split},
    pace::Pace,
    trees::{self, Cut, Manifest, Piece, PieceKeeper, PieceSource, Progress, Taking},
};
use quinn::{Connection, Endpoint};

use super::{AttemptFiles, MachineTree, WalkOptions};

/// What a coordinator would have, in memory.
#[derive(Debug, Default)]
pub(super) struct Depot {
    chunks: Mutex<BTreeMap<ChunkId, Piece>>,
    trees: Mutex<BTreeMap<TreeId, Manifest>>,
    problems: Mutex<Vec<Problem>>,
    /// Chunks that went either way.
    pub(super) moved: AtomicUsize,
    /// How many more chunks are read before the connection is lost.
    pub(super) fails_after: AtomicU64,
}

/// A connection to a depot.
pub(super) struct Site {
    pub(super) connection: Connection,
    pub(super) depot: Arc<Depot>,
    _open: (Endpoint, Dialer),
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::with(Arc::new(Depot::unlimited())).await
    }

    pub(super) async fn with(depot: Arc<Depot>) -> Self {
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
        tokio::spawn(Arc::clone(&depot).serve(far));
        Self {
            connection: near.unwrap(),
            depot,
            _open: (endpoint, dialer),
        }
    }
}

impl Depot {
    pub(super) fn unlimited() -> Self {
        Self {
            fails_after: AtomicU64::new(u64::MAX),
            ..Self::default()
        }
    }

    pub(super) fn manifest(&self, tree: TreeId) -> Manifest {
        self.trees.lock().unwrap()[&tree].clone()
    }

    /// Loses the bytes of everything and keeps the descriptions.
    pub(super) fn lose_chunks(&self) {
        self.chunks.lock().unwrap().clear();
    }

    /// Takes what a local folder holds without any connection.
    pub(super) fn stock(&self, folder: &Path) -> Manifest {
        let walked = super::walk(folder, &everything()).unwrap();
        let take = |cuts: Vec<Cut>| {
            let packed = cuts
                .into_iter()
                .map(|(chunk, bytes)| (chunk.id, Piece::pack(bytes)));
            self.chunks.lock().unwrap().extend(packed);
            true
        };
        let manifest = walked.cut(None, &take).unwrap();
        self.trees
            .lock()
            .unwrap()
            .insert(manifest.id(), manifest.clone());
        manifest
    }

    async fn serve(self: Arc<Self>, connection: Connection) {
        let uploads = Arc::new(Mutex::new(BTreeMap::new()));
        while let Ok(stream) = connection.accept_bi().await {
            let (depot, connection) = (Arc::clone(&self), connection.clone());
            let uploads = Arc::clone(&uploads);
            tokio::spawn(async move {
                let (mut tx, mut rx) = split(stream);
                let Err(problem) = depot.serve_one(&uploads, &mut tx, &mut rx).await else {
                    return tx.finish();
                };
                if problem.code == Code::Other("cut".to_owned()) {
                    return connection.close(0_u32.into(), b"");
                }
                let _told = tx.refuse(&problem).await;
                depot.problems.lock().unwrap().push(problem);
            });
        }
    }

    async fn serve_one(
        self: &Arc<Self>,
        uploads: &Mutex<BTreeMap<u64, Arc<Taking<Self>>>>,
        tx: &mut FrameSender,
        rx: &mut FrameReceiver,
    ) -> Result<(), Problem> {
        let found = |tree| {
            let found = self.trees.lock().unwrap().get(&tree).cloned();
            found.ok_or_else(|| Problem::new(Code::NotFound, "no such tree", ""))
        };
        match rx.expect().await? {
            AgentStream::Download { tree, beside } if beside.is_empty() => {
                trees::send_description(&found(tree)?, tx).await
            }
            AgentStream::Download { tree, beside } => {
                let alike = beside.into_iter().find_map(|beside| found(beside).ok());
                trees::send_description_beside(&found(tree)?, alike.as_ref(), tx).await
            }
            AgentStream::Chunks { tree } => {
                trees::serve_chunks(&found(tree)?, self, &Pace::default(), tx, rx)
                    .await
                    .map(drop)
            }
            AgentStream::Upload { announced, .. } => {
                let beside = announced.beside.and_then(|beside| found(beside).ok());
                let taking = Taking::new(Arc::clone(self), announced, beside.as_ref());
                uploads
                    .lock()
                    .unwrap()
                    .insert(tx.number(), Arc::clone(&taking));
                taking.serve(tx, rx).await.map(drop)
            }
            AgentStream::Pieces { upload } => {
                let taking = uploads.lock().unwrap()[&upload].clone();
                taking.serve_pieces(rx).await
            }
            _ => Err(Problem::new(Code::NotFound, "this depot has none", "")),
        }
    }
}

impl PieceSource for Depot {
    fn pieces(&self, chunks: &[ChunkRef]) -> Result<Vec<Piece>, Problem> {
        let read = |chunk: &ChunkRef| {
            if self.fails_after.fetch_sub(1, Ordering::SeqCst) == 0 {
                return Err(Problem::new(Code::Other("cut".to_owned()), "", ""));
            }
            Ok(self.chunks.lock().unwrap()[&chunk.id].clone())
        };
        self.moved.fetch_add(chunks.len(), Ordering::SeqCst);
        chunks.iter().map(read).collect()
    }

    fn suspect(&self, chunk: &ChunkRef) {
        panic!("{} was damaged", chunk.id);
    }
}

impl PieceKeeper for Depot {
    fn lacks(&self, chunks: &[ChunkRef]) -> Result<Vec<bool>, Problem> {
        let has = self.chunks.lock().unwrap();
        let lacks = |chunk: &ChunkRef| !has.contains_key(&chunk.id);
        Ok(chunks.iter().map(lacks).collect())
    }
    fn reserve(&self, _: Bytes) -> Result<(), Problem> {
        Ok(())
    }
    fn put(&self, pieces: &[(ChunkRef, Piece)]) -> Result<(), Problem> {
        self.moved.fetch_add(pieces.len(), Ordering::SeqCst);
        let pieces = pieces
            .iter()
            .map(|(chunk, piece)| (chunk.id, piece.clone()));
        self.chunks.lock().unwrap().extend(pieces);
        Ok(())
    }
    fn seal(&self, manifest: &Manifest) -> Result<(), Problem> {
        if self.lacks(manifest.chunks())?.contains(&true) {
            return Err(Problem::new(Code::BadRequest, "a chunk is missing", ""));
        }
        let mut trees = self.trees.lock().unwrap();
        trees.insert(manifest.id(), manifest.clone());
        Ok(())
    }
}

/// Returns what is in a folder.
pub(super) fn tree_of(folder: &Path) -> Tree {
    let walked = super::walk(folder, &everything()).unwrap();
    walked.manifest().unwrap().tree().clone()
}

/// Loses the connection once a megabyte has come.
pub(super) struct Cutting(Connection, AtomicU64);

impl Cutting {
    pub(super) fn new(site: &Site) -> Self {
        Self(site.connection.clone(), AtomicU64::new(0))
    }
}

impl Progress for Cutting {
    fn begin(&self, _: Bytes, _: Bytes) {}
    fn advance(&self, bytes: Bytes) {
        if self.1.fetch_add(bytes.0, Ordering::SeqCst) > 1_000_000 {
            self.0.close(0_u32.into(), b"");
        }
    }
    fn skip(&self, _: Bytes) {}
}

/// Where uploads go.
pub(super) fn up() -> AttemptFiles {
    let attempt = AttemptId {
        job: JobId::from_bytes([1; 16]),
        task: 0,
        number: 1,
    };
    AttemptFiles(attempt)
}

pub(super) fn everything() -> WalkOptions {
    WalkOptions {
        gitignore: false,
        ..WalkOptions::default()
    }
}

/// Bytes without a pattern that chunking could use, other ones for each seed.
pub(super) fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

/// Writes a folder with one of everything that can travel.
pub(super) fn sample(folder: &Path) {
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("empty file", b"");
    write("data/large.bin", &noise(1, 3 << 20));
    write("data/the same.bin", &noise(1, 3 << 20));
    write("data/näme", b"small");
    write(".hidden/x", b"small");
    write("run.sh", b"#!/bin/sh\necho hi\n");
    fs::set_permissions(folder.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(folder.join("an/empty/folder")).unwrap();
    symlink("../run.sh", folder.join("data/link")).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
}
