//! A dataset of the test's own, whoever has it, and a job that mounts it.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use agent::lazy::{Arriving, PinnedLazy, Room, Source, Store, listen};
use agent_core::sandbox_plan::{Content, Lazy, Mount};
use bytes::Bytes;
use common::{
    id::{ChunkId, TreeId},
    problem::Problem,
    time::Span,
    tree::{ChunkRef, Entry, EntryKind, LinkTarget, Tree, TreePath, chunk_id},
    units,
};
use link::trees::Manifest;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::world::{Attempt, Finished, block_on, everyone};

pub(crate) const CHUNK: usize = 16 << 10;
pub(crate) const KERNELS: &str = "/dev/fuse";

/// A device that the user of the test may open: on machines that keep theirs to root, one of the test's own, which
/// is there for as long as this is.
pub(crate) struct Device {
    path: PathBuf,
    own: bool,
}

impl Device {
    /// `None` on a machine without, which is said.
    pub(crate) fn of(test: &str) -> Option<Self> {
        let kernels = Path::new(KERNELS);
        if !kernels.exists() {
            eprintln!("SKIPPED {test}: this machine has no {KERNELS}");
            return None;
        }
        let mode = fs::metadata(kernels).unwrap().permissions().mode();
        if mode & 0o006 == 0o006 {
            return Some(Self {
                path: kernels.to_owned(),
                own: false,
            });
        }
        let path = PathBuf::from(format!("/tmp/compute-share-{}", test.replace("::", "-")));
        let own = rustix::process::geteuid().is_root();
        if own {
            let _ = fs::remove_file(&path);
            let node = makedev(10, 229);
            mknodat(CWD, &path, FileType::CharacterDevice, Mode::RUSR, node).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        let Ok(found) = fs::metadata(&path) else {
            eprintln!("SKIPPED {test}: {KERNELS} is root's alone on this machine");
            return None;
        };
        assert!(found.file_type().is_char_device());
        Some(Self { path, own })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Does a test in every way in which there is a device.
pub(crate) fn with_device(test: &str, body: impl Fn(&Path)) {
    if let Some(device) = Device::of(test) {
        everyone(test, || body(&device.path));
    }
}

/// What a dataset is made of, and what was asked of whoever has it.
#[derive(Clone, Default)]
pub(crate) struct Depot(Arc<Shelf>);

#[derive(Default)]
pub(crate) struct Shelf {
    chunks: HashMap<ChunkId, Bytes>,
    asked: Mutex<Vec<Vec<u32>>>,
    /// Closed, nothing is ever answered.
    gate: Option<Semaphore>,
}

impl Source for Depot {
    async fn fetch(
        &self,
        _: TreeId,
        chunks: Vec<(u32, ChunkRef)>,
        sink: Arc<Arriving>,
    ) -> Result<(), Problem> {
        let ordinals = chunks.iter().map(|(ordinal, _)| *ordinal).collect();
        self.0.asked.lock().unwrap().push(ordinals);
        if let Some(gate) = &self.0.gate {
            let _open = gate.acquire().await.unwrap();
        }
        let shelf = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            for (ordinal, chunk) in chunks {
                sink.put(ordinal, &shelf.chunks[&chunk.id]);
            }
        })
        .await
        .unwrap();
        Ok(())
    }
}

pub(crate) struct Limit(u64);

impl Room for Limit {
    fn lend(&self, _: units::Bytes) -> units::Bytes {
        units::Bytes(self.0)
    }
}

/// A dataset about to be mounted.
pub(crate) struct Dataset {
    pub(crate) depot: Depot,
    pub(crate) manifest: Manifest,
    /// What the files hold.
    pub(crate) large: Vec<u8>,
}

pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[5]
    };
    (0..bytes).map(|_| next()).collect()
}

impl Dataset {
    pub(crate) fn new(large_bytes: usize, gate: Option<Semaphore>) -> Self {
        let large = noise(large_bytes, 7);
        let mut chunks = HashMap::new();
        let mut file = |path: &[u8], bytes: &[u8], executable| {
            let mut cut = Vec::new();
            for piece in bytes.chunks(CHUNK) {
                let id = chunk_id(piece);
                chunks.insert(id, Bytes::copy_from_slice(piece));
                let bytes = u32::try_from(piece.len()).unwrap();
                cut.push(ChunkRef { id, bytes });
            }
            let chunks = cut;
            let kind = EntryKind::File { executable, chunks };
            let path = TreePath::new(path).unwrap();
            Entry { path, kind }
        };
        let mut entries = vec![
            file(b"large", &large, false),
            file(b"a/run", b"#!/bin/sh\necho ran\n", true),
            file(b"a/empty", b"", false),
            file(b"odd-\xff", b"odd\n", false),
        ];
        for number in 0..40 {
            let path = format!("small/{number:02}");
            let text = format!("this is number {number}\n");
            entries.push(file(path.as_bytes(), text.as_bytes(), false));
        }
        let link = |path: &[u8], target: &[u8]| Entry {
            path: TreePath::new(path).unwrap(),
            kind: EntryKind::Symlink {
                target: LinkTarget::new(target),
            },
        };
        entries.push(link(b"a/link", b"../small/07"));
        entries.push(Entry {
            path: TreePath::new(*b"nothing").unwrap(),
            kind: EntryKind::Directory,
        });
        let manifest = Manifest::new(Tree::new(entries).unwrap()).unwrap();
        let shelf = Shelf {
            chunks,
            asked: Mutex::default(),
            gate,
        };
        Self {
            depot: Depot(Arc::new(shelf)),
            manifest,
            large,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Vec<u32>> {
        self.depot.0.asked.lock().unwrap().clone()
    }
}

/// A job with a dataset at `/data`.
pub(crate) struct Mounted {
    pub(crate) attempt: Attempt,
    pub(crate) store: Store,
    pub(crate) pinned: PinnedLazy,
}

impl Mounted {
    pub(crate) fn new(
        dataset: &Dataset,
        device: &Path,
        limit: u64,
        patience: Span,
        script: &str,
    ) -> Self {
        let mut attempt = Attempt::shell(script);
        // As an agent's: nobody else comes further than the door.
        let modes = [("", 0o700), ("door", 0o711)];
        for (name, mode) in modes {
            let path = attempt.path(name);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let store = Store::open(&attempt.path("lazy"), Limit(limit)).unwrap();
        let pinned = store.describe(&dataset.manifest).unwrap();
        attempt.plan.mounts.push(Mount {
            target: "/data".to_owned(),
            content: Content::Lazy(Lazy {
                name: "digits@3".to_owned(),
                tree: dataset.manifest.id(),
                device: device.to_owned(),
                store: pinned.folder().to_owned(),
                agent: attempt.path("door"),
                patience,
            }),
        });
        Self {
            attempt,
            store,
            pinned,
        }
    }

    /// Runs it with an agent that brings what is in the depot.
    pub(crate) fn run(&self, depot: &Depot) -> Finished {
        block_on(async {
            let stopping = CancellationToken::new();
            let _end = stopping.clone().drop_guard();
            listen(
                &self.attempt.path("door"),
                self.store.clone(),
                depot.clone(),
                stopping,
            )
            .unwrap();
            let mut supervisor = self.attempt.launch();
            self.attempt.finish(&mut supervisor).await
        })
    }
}

pub(crate) const LONG: Span = Span::from_secs(60);
pub(crate) const PLENTY: u64 = 1 << 30;

pub(crate) fn sha(bytes: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    String::from_utf8(out)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned()
}
