//! Machines that serve and fetch on loopback, against a coordinator that orders what the test wants.

mod fetching;
mod granting;

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use agent_core::owner::{OwnerRules, PeerRules};
use bytes::Bytes as Buffer;
use certs::{
    Authority, CertificateRequest, Identity, MACHINE_LIFE, PrivateKey, Subject, peer_server_config,
};
use common::{
    id::{ChunkId, MachineId, TreeId},
    problem::Problem,
    time::Timestamp,
    tree::{ChunkRef, Entry, EntryKind, Tree, chunk_id},
    units::Bytes,
    wire::peer::{Contact, Grant, PeerStream},
};
use link::{
    endpoint::peer,
    frames::split,
    pace::Pace,
    trees::{ChunkSink, Manifest, Piece, PieceSource, serve_chunks},
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Door, Peers};
use crate::{
    probe::Ruled,
    transfer::{Cache, Stock},
};

const CHUNK_BYTES: usize = 64 << 10;
const CHUNKS: usize = 128;
const NEAR: MachineId = MachineId::from_bytes([1; 16]);
const FAR: MachineId = MachineId::from_bytes([2; 16]);

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_unix_ms(u64::try_from(since.unwrap().as_millis()).unwrap())
}

fn local() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A coordinator's authority.
struct Org {
    _dir: TempDir,
    authority: Authority,
}

impl Org {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), &"lab".parse().unwrap(), now()).unwrap();
        Self {
            _dir: dir,
            authority,
        }
    }

    fn identity(&self, subject: Subject) -> Identity {
        let key = PrivateKey::generate().unwrap();
        let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
        let issued = self.authority.issue(&request, subject, now(), MACHINE_LIFE);
        Identity::new(issued.unwrap().chain, &key).unwrap()
    }

    fn grant(&self, tree: TreeId, from: MachineId, to: &Agent) -> Grant {
        Grant {
            tree,
            from,
            to: to.machine,
            certificate: to.identity.peer().serial,
            expires_at: now().saturating_add(Duration::from_secs(60)),
        }
    }

    fn contact(&self, addresses: Vec<SocketAddr>, grant: Grant) -> Contact {
        let grant = self.authority.sign_grant(grant).unwrap();
        Contact { addresses, grant }
    }
}

/// What of an agent has to do with others.
struct Agent {
    machine: MachineId,
    identity: Identity,
    peers: Peers,
    rules: watch::Sender<Ruled>,
    _folder: TempDir,
    stop: CancellationToken,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn ruled(peers: PeerRules) -> Ruled {
    let rules = OwnerRules {
        peers,
        ..OwnerRules::default()
    };
    Ruled {
        rules: Arc::new(rules),
        problem: None,
    }
}

fn open_rules() -> PeerRules {
    PeerRules {
        address: Some(local()),
        ..PeerRules::default()
    }
}

impl Agent {
    /// Starts one and waits until its door is open.
    async fn start(org: &Org, machine: MachineId, rules: PeerRules) -> Self {
        let identity = org.identity(Subject::Machine(machine));
        Self::with(identity, machine, rules).await
    }

    async fn with(identity: Identity, machine: MachineId, rules: PeerRules) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache"), Bytes::gib(1)).unwrap();
        let peers = Peers::new(machine);
        peers.identify(&identity);
        let (rules, watched) = watch::channel(ruled(rules));
        let stop = CancellationToken::new();
        let door = Door {
            peers: peers.clone(),
            cache,
            rules: watched,
            stopping: stop.clone(),
        };
        tokio::spawn(door.keep());
        let agent = Self {
            machine,
            identity,
            peers,
            rules,
            _folder: folder,
            stop,
        };
        agent.addresses(true).await;
        agent
    }

    /// Waits until the door is open, or shut, and returns where it is.
    async fn addresses(&self, open: bool) -> Vec<SocketAddr> {
        let mut door = self.peers.door();
        let as_wanted = door.wait_for(|door| door.addresses.is_empty() != open);
        as_wanted.await.unwrap().addresses.clone()
    }

    /// Has this tree for others until the stock is dropped.
    fn offer(&self, data: &Data) -> Arc<Stock> {
        let here = vec![true; CHUNKS];
        let stock = Stock::filling(&data.manifest, data.folder.path(), here).unwrap();
        let stock = Arc::new(stock);
        self.peers.offer(&stock);
        stock
    }
}

/// A tree of one file.
struct Data {
    folder: TempDir,
    manifest: Manifest,
    chunks: BTreeMap<ChunkId, Buffer>,
}

impl Data {
    fn new(seed: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut bytes, mut refs, mut chunks) = (Vec::new(), Vec::new(), BTreeMap::new());
        for number in 0..CHUNKS {
            let mut chunk = vec![seed; CHUNK_BYTES];
            chunk[..8].copy_from_slice(&number.to_be_bytes());
            let id = chunk_id(&chunk);
            let length = u32::try_from(CHUNK_BYTES).unwrap();
            refs.push(ChunkRef { id, bytes: length });
            bytes.extend_from_slice(&chunk);
            chunks.insert(id, chunk.into());
        }
        fs::write(folder.path().join("data"), bytes).unwrap();
        let kind = EntryKind::File {
            executable: false,
            chunks: refs,
        };
        let path = "data".parse().unwrap();
        let tree = Tree::new(vec![Entry { path, kind }]).unwrap();
        Self {
            folder,
            manifest: Manifest::new(tree).unwrap(),
            chunks,
        }
    }

    fn id(&self) -> TreeId {
        self.manifest.id()
    }

    /// Returns whoever has it in memory; a liar's bytes are others.
    fn source(&self, lies: bool) -> Arc<Source> {
        let chunks = self.chunks.clone();
        Arc::new(Source { chunks, lies })
    }
}

struct Source {
    chunks: BTreeMap<ChunkId, Buffer>,
    lies: bool,
}

impl PieceSource for Source {
    fn pieces(&self, chunks: &[ChunkRef]) -> Result<Vec<Piece>, Problem> {
        let piece = |chunk: &ChunkRef| match self.lies {
            true => Piece::plain(vec![0; chunk.bytes as usize].into()),
            false => Piece::plain(self.chunks[&chunk.id].clone()),
        };
        Ok(chunks.iter().map(piece).collect())
    }

    fn suspect(&self, _: &ChunkRef) {}
}

/// Whoever fetches, in memory.
#[derive(Default)]
struct Sink {
    came: Mutex<BTreeMap<u32, Buffer>>,
    sealed: Mutex<bool>,
}

impl Sink {
    fn count(&self) -> usize {
        self.came.lock().unwrap().len()
    }
}

impl ChunkSink for Sink {
    fn has(&self, ordinal: u32, _: &ChunkRef) -> bool {
        self.came.lock().unwrap().contains_key(&ordinal)
    }

    fn reserve(&self, _: Bytes) -> Result<(), Problem> {
        Ok(())
    }

    fn put(&self, chunks: &[(u32, Buffer)]) -> Result<(), Problem> {
        assert!(!*self.sealed.lock().unwrap());
        self.came.lock().unwrap().extend(chunks.iter().cloned());
        Ok(())
    }

    fn seal(&self) -> Result<(), Problem> {
        *self.sealed.lock().unwrap() = true;
        Ok(())
    }
}

/// A machine of the org that does not do as others.
enum Bad {
    Lies(Arc<Source>, Manifest),
    Silent,
}

/// Starts one; it serves until the endpoint is dropped.
fn bad(org: &Org, machine: MachineId, bad: Bad) -> quinn::Endpoint {
    let identity = org.identity(Subject::Machine(machine));
    let tls = peer_server_config(&identity).unwrap();
    let endpoint = peer::listen(local(), tls).unwrap();
    let (accepting, bad) = (endpoint.clone(), Arc::new(bad));
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            let Ok(connection) = incoming.await else {
                continue;
            };
            let bad = Arc::clone(&bad);
            tokio::spawn(async move {
                let mut kept = Vec::new();
                while let Ok(stream) = connection.accept_bi().await {
                    let (mut tx, mut rx) = split(stream);
                    match &*bad {
                        Bad::Silent => kept.push((tx, rx)),
                        Bad::Lies(source, manifest) => {
                            let (source, manifest) = (Arc::clone(source), manifest.clone());
                            tokio::spawn(async move {
                                let _grant = rx.expect::<PeerStream>().await;
                                let pace = Pace::default();
                                serve_chunks(&manifest, &source, &pace, &mut tx, &mut rx).await
                            });
                        }
                    }
                }
            });
        }
    });
    endpoint
}
