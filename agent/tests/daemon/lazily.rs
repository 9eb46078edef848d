//! Datasets that are to be mounted lazily on a machine that cannot: they come as a whole, and the job's log says so.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use agent::daemon::{AgentConfig, run_with};
use bytes::Bytes;
use common::{
    id::ChunkId,
    problem::Problem,
    status::EndReason,
    tree::{ChunkRef, Entry, EntryKind, Tree, chunk_id},
    wire::agent::{
        AgentStream, Assigned, Assignment, AttemptReport, CoordinatorMessage, Goal, LogAck,
        LogData, LogResume, MountedTree,
    },
};
use link::{
    frames::{FrameReceiver, FrameSender, split},
    pace::Pace,
    trees::{self, Manifest, Piece, PieceSource},
};
use tokio::sync::mpsc;

use crate::{
    coordinator::{Bench, Coordinator, attempt, soon, text_of},
    spec::spec,
};

/// What the coordinator has, and how many chunks of it went out.
#[derive(Debug, Default)]
pub(crate) struct Depot {
    chunks: HashMap<ChunkId, Bytes>,
    sent: AtomicUsize,
}

impl PieceSource for Depot {
    fn pieces(&self, chunks: &[ChunkRef]) -> Result<Vec<Piece>, Problem> {
        self.sent.fetch_add(chunks.len(), Ordering::SeqCst);
        let piece = |chunk: &ChunkRef| Piece::plain(self.chunks[&chunk.id].clone());
        Ok(chunks.iter().map(piece).collect())
    }

    fn suspect(&self, chunk: &ChunkRef) {
        panic!("{} was damaged", chunk.id);
    }
}

/// A dataset of two files, of which a job reads one.
fn dataset() -> (Arc<Depot>, Manifest) {
    tree(&[("read", b"what is read\n"), ("unread", b"what is not\n")])
}

/// A tree of these files, each of one chunk.
pub(crate) fn tree(files: &[(&str, &[u8])]) -> (Arc<Depot>, Manifest) {
    let mut depot = Depot::default();
    let file = |(path, content): &(&str, &[u8])| {
        let id = chunk_id(content);
        depot.chunks.insert(id, Bytes::copy_from_slice(content));
        let bytes = u32::try_from(content.len()).unwrap();
        Entry {
            path: path.parse().unwrap(),
            kind: EntryKind::File {
                executable: false,
                chunks: vec![ChunkRef { id, bytes }],
            },
        }
    };
    let entries = files.iter().map(file).collect();
    let manifest = Manifest::new(Tree::new(entries).unwrap()).unwrap();
    (Arc::new(depot), manifest)
}

/// Answers the agent's streams; what comes of logs goes to `log`.
pub(crate) async fn serve(
    connection: quinn::Connection,
    depot: Arc<Depot>,
    manifest: Manifest,
    log: mpsc::UnboundedSender<Vec<u8>>,
) {
    while let Ok(stream) = connection.accept_bi().await {
        let (depot, manifest, log) = (Arc::clone(&depot), manifest.clone(), log.clone());
        tokio::spawn(async move {
            let (mut tx, mut rx) = split(stream);
            match rx.expect().await.unwrap() {
                AgentStream::Download { tree, .. } if tree == manifest.id() => {
                    trees::send_description(&manifest, &mut tx).await.unwrap();
                }
                AgentStream::Chunks { tree } if tree == manifest.id() => {
                    let pace = Pace::default();
                    // The agent ends it as soon as it has everything.
                    let _ = trees::serve_chunks(&manifest, &depot, &pace, &mut tx, &mut rx).await;
                }
                AgentStream::Log { .. } => take_log(&mut tx, &mut rx, &log).await,
                // It asks who else has it.
                _ => {
                    let nobody = Problem::new(common::code::Code::NotFound, "there is none", "");
                    tx.refuse(&nobody).await.unwrap();
                }
            }
            tx.finish();
            drop(tx.delivered().await);
        });
    }
}

async fn take_log(
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
    log: &mpsc::UnboundedSender<Vec<u8>>,
) {
    tx.send(&LogResume { offset: 0 }).await.unwrap();
    while let Ok(Some(data)) = rx.recv::<LogData>().await {
        let offset = data.offset + data.bytes.len() as u64;
        log.send(data.bytes).unwrap();
        if tx.send(&LogAck { offset }).await.is_err() {
            break;
        }
    }
}

/// Assigns a job that has the dataset at `/data`, lazily.
async fn assign(coordinator: &mut Coordinator, manifest: &Manifest, script: &str) {
    let mut spec = spec(script, true);
    spec.datasets = vec![MountedTree {
        name: "digits@3".to_owned(),
        tree: manifest.id(),
        path: "/data".to_owned(),
        lazy: true,
    }];
    let assigned = Assigned {
        attempt: attempt(0),
        goal: Goal::Run,
        spec,
        after: None,
    };
    let assignment = CoordinatorMessage::Assignment(Assignment {
        generation: 1,
        attempts: vec![assigned],
        trees: Vec::new(),
    });
    coordinator.tx.send(&assignment).await.unwrap();
}

/// Runs a job on a machine that has this for a FUSE device.
async fn falls_back(fuse: &Path) {
    let bench = Bench::approved();
    let config = AgentConfig {
        fuse: fuse.to_owned(),
        ..AgentConfig::new(bench.folder().path())
    };
    let program = env!("CARGO_BIN_EXE_compute-share").into();
    let running = run_with(config, program).await.unwrap();
    let mut coordinator = bench.accept().await;
    let (depot, manifest) = dataset();
    let (pieces, mut arrived) = mpsc::unbounded_channel();
    let serving = serve(
        coordinator.connection.clone(),
        Arc::clone(&depot),
        manifest.clone(),
        pieces,
    );
    tokio::spawn(serving);
    let script = "cat /data/read; (echo x > /data/read) 2>&1; grep -c ^dataset /proc/mounts";
    assign(&mut coordinator, &manifest, script).await;
    let mut started = false;
    let outcome = loop {
        match coordinator.report().await.1 {
            AttemptReport::Started { .. } => {
                assert_eq!(depot.sent.load(Ordering::SeqCst), 2, "all of it is there");
                started = true;
            }
            AttemptReport::Ended { outcome, .. } => break outcome,
            _ => {}
        }
    };
    assert!(started);
    assert_eq!(outcome.reason, EndReason::Exited);
    let mut log = Vec::new();
    while (log.len() as u64) < outcome.log_bytes {
        log.extend(soon("a piece of log", arrived.recv()).await.unwrap());
    }
    let text = text_of(&log);
    let said = "digits@3 is here as a whole, not lazily: this machine has no FUSE to mount it with";
    assert!(text.contains(said), "{text}");
    assert!(text.contains("what is read\n"), "{text}");
    assert!(text.contains("Read-only file system"), "{text}");
    assert!(text.ends_with("0\n"), "no dataset is served: {text}");
    running.stop();
    assert_eq!(running.wait().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_fuse_is_missing_a_dataset_comes_as_a_whole_and_the_log_says_so() {
    falls_back(Path::new("/nowhere/fuse")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_mounts_nothing_is_as_good_as_none() {
    falls_back(Path::new("/dev/null")).await;
}
