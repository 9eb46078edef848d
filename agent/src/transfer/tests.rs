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
    tree::ChunkRef,
    units::Bytes,
    wire::{ALPN_JOIN, agent::AgentStream},
};
use link::{
    endpoint::{Dialer, listen},
    frames::split,
    trees::{self, ChunkSink, ChunkSource, Manifest, Progress},
};
use quinn::{Connection, Endpoint};

use super::WalkOptions;

/// What a coordinator would have, in memory.
#[derive(Debug, Default)]
pub(super) struct Depot {
    chunks: Mutex<BTreeMap<ChunkId, Vec<u8>>>,
    trees: Mutex<BTreeMap<TreeId, Manifest>>,
    problems: Mutex<Vec<Problem>>,
    /// Chunks that went either way.
    pub(super) moved: AtomicUsize,
    /// Streams that are being served.
    serving: AtomicUsize,
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

    /// Takes what a local folder holds without any connection.
    pub(super) fn stock(&self, folder: &Path) -> Manifest {
        let walked = super::walk(folder, &everything()).unwrap();
        let source = walked.source();
        for (ordinal, chunk) in (0..).zip(walked.manifest().chunks()) {
            let bytes = source.read(ordinal, chunk).unwrap();
            self.chunks.lock().unwrap().insert(chunk.id, bytes);
        }
        let manifest = walked.manifest().clone();
        self.trees
            .lock()
            .unwrap()
            .insert(manifest.id(), manifest.clone());
        manifest
    }

    /// Returns how many chunks went either way, once every transfer that was heard of is counted.
    pub(super) async fn moved_until_idle(&self) -> usize {
        while self.serving.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        self.moved.load(Ordering::SeqCst)
    }

    async fn serve(self: Arc<Self>, connection: Connection) {
        while let Ok(stream) = connection.accept_bi().await {
            let (depot, connection) = (Arc::clone(&self), connection.clone());
            depot.serving.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let (mut tx, mut rx) = split(stream);
                let served = async {
                    match rx.expect().await? {
                        AgentStream::Download { tree } => {
                            let found = depot.trees.lock().unwrap().get(&tree).cloned();
                            let missing = || Problem::new(Code::NotFound, "no such tree", "");
                            let manifest = found.ok_or_else(missing)?;
                            let sent =
                                trees::send(&manifest, &depot, &mut tx, &mut rx, &()).await?;
                            depot.moved.fetch_add(sent.chunks, Ordering::SeqCst);
                        }
                        AgentStream::RegistryLogin { .. } | AgentStream::Secrets { .. } => {
                            let why = "this depot has none";
                            return Err(Problem::new(Code::NotFound, "no login", why));
                        }
                        AgentStream::Upload { .. } | AgentStream::Log { .. } => {
                            let manifest = trees::receive_description(&mut rx).await?;
                            let got =
                                trees::receive(&manifest, &depot, &mut tx, &mut rx, &()).await?;
                            depot.moved.fetch_add(got.chunks, Ordering::SeqCst);
                            depot.trees.lock().unwrap().insert(manifest.id(), manifest);
                        }
                    }
                    Ok::<(), Problem>(())
                };
                let served = served.await;
                depot.serving.fetch_sub(1, Ordering::SeqCst);
                if let Err(problem) = served {
                    if problem.code == Code::Other("cut".to_owned()) {
                        return connection.close(0_u32.into(), b"");
                    }
                    let _told = tx.refuse(&problem).await;
                    depot.problems.lock().unwrap().push(problem);
                }
            });
        }
    }
}

impl ChunkSource for Depot {
    fn read(&self, _: u32, chunk: &ChunkRef) -> Result<Vec<u8>, Problem> {
        if self.fails_after.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(Problem::new(Code::Other("cut".to_owned()), "", ""));
        }
        Ok(self.chunks.lock().unwrap()[&chunk.id].clone())
    }
}

impl ChunkSink for Depot {
    fn has(&self, _: u32, chunk: &ChunkRef) -> bool {
        self.chunks.lock().unwrap().contains_key(&chunk.id)
    }
    fn reserve(&self, _: Bytes) -> Result<(), Problem> {
        Ok(())
    }
    fn put(&self, _: u32, chunk: &ChunkRef, bytes: &[u8]) -> Result<(), Problem> {
        self.chunks.lock().unwrap().insert(chunk.id, bytes.to_vec());
        Ok(())
    }
    fn seal(&self) -> Result<(), Problem> {
        Ok(())
    }
}

/// The first frame of an upload.
pub(super) fn up() -> AgentStream {
    let attempt = AttemptId {
        job: JobId::from_bytes([1; 16]),
        task: 0,
        number: 1,
    };
    AgentStream::Upload { attempt }
}

pub(super) fn everything() -> WalkOptions {
    WalkOptions {
        respect_ignore: false,
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
