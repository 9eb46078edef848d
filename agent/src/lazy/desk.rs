//! The agent's end: listens to the servers of lazy mounts, and has brought what they lack.
//!
//! A chunk that several ask for comes once. What somebody waits for goes before what may be read soon. A server that
//! hangs up is not answered any more; one that an agent's restart cut off asks again by itself.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    future::Future,
    io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use common::{id::TreeId, problem::Problem, tree::ChunkRef};
use link::{files::create_private_dir, trees::on_disk};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
};
use tokio_util::sync::CancellationToken;

use super::{
    asking::SOCKET,
    index::Chunk,
    store::{Kept, Store},
    words::{Answer, Ask, length},
};

/// Servers at once; further ones wait, and with them their jobs.
const MAX_SERVERS: usize = 1024;
/// Chunks that one server may wait for; more is no server of ours.
const MAX_OWED: usize = 64 << 10;
/// Batches of what may be read soon that are fetched at once, for all mounts together.
const AHEAD_AT_ONCE: usize = 4;

/// Whoever can bring chunks.
pub trait Source: Clone + Send + Sync + 'static {
    /// Brings these chunks, by ordinal, to `sink`; returns once all are there. May wait for as long as it takes to
    /// reach whoever has them.
    ///
    /// # Errors
    /// They cannot be had.
    fn fetch(
        &self,
        tree: TreeId,
        chunks: Vec<(u32, ChunkRef)>,
        sink: Arc<Arriving>,
    ) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// Listens in `folder`, which is made if needed, until `stopping`. Of the agent's folder only one agent has the lock,
/// so a socket that is there is a dead agent's.
///
/// # Errors
/// The socket cannot be made.
pub fn serve(
    folder: &Path,
    store: Store,
    source: impl Source,
    stopping: CancellationToken,
) -> io::Result<()> {
    let listener = listen(folder)?;
    let desk = Desk {
        store,
        source,
        coming: Arc::default(),
        ahead: Arc::new(Semaphore::new(AHEAD_AT_ONCE)),
    };
    tokio::spawn(async move {
        let servers = Arc::new(Semaphore::new(MAX_SERVERS));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopping.cancelled() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the socket of lazy mounts failed");
                    break;
                }
            };
            let Ok(permit) = Arc::clone(&servers).acquire_owned().await else {
                break;
            };
            let (desk, stopping) = (desk.clone(), stopping.clone());
            tokio::spawn(async move {
                tokio::select! {
                    ended = desk.converse(stream) => if let Err(error) = ended {
                        tracing::debug!(%error, "a server of lazy mounts hung up");
                    },
                    () = stopping.cancelled() => {}
                }
                drop(permit);
            });
        }
    });
    Ok(())
}

/// Binds through the folder's descriptor, because a socket's path has at most 108 bytes. Servers have become their
/// job's users: they reach it through the folder, which they opened before and may look things up in; others do not
/// get there, because the folder above is the agent's alone.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    create_private_dir(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))?;
    let path = folder.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let opened = std::fs::File::open(folder)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// A server that waits for a chunk.
#[derive(Debug, Clone)]
struct Waiter {
    frames: mpsc::UnboundedSender<Vec<u8>>,
    /// Chunks that it waits for.
    owed: Arc<AtomicUsize>,
}

impl Waiter {
    fn answer(&self, answer: &Answer) {
        self.owed.fetch_sub(1, Ordering::Relaxed);
        // One that hung up does not want it any more.
        let _ = self.frames.send(answer.encode());
    }
}

/// What is on its way, and who waits for it.
#[derive(Debug, Default)]
struct Coming(Mutex<HashMap<(TreeId, u32), Vec<Waiter>>>);

impl Coming {
    fn all(&self) -> MutexGuard<'_, HashMap<(TreeId, u32), Vec<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that these are wanted; returns those that are here, and those that have to be brought from now on. The
    /// others are on their way: a chunk is so until it is noted as here, so that none is brought twice.
    fn want(&self, kept: &Kept, ordinals: &[u32], waiter: Option<&Waiter>) -> (Vec<u32>, Vec<u32>) {
        let mut all = self.all();
        let mut missing = kept.missing(ordinals).into_iter().peekable();
        let (mut here, mut begun) = (Vec::new(), Vec::new());
        for &ordinal in ordinals {
            let is_missing = missing.next_if_eq(&ordinal).is_some();
            match all.entry((kept.tree(), ordinal)) {
                Entry::Occupied(mut waiters) => waiters.get_mut().extend(waiter.cloned()),
                Entry::Vacant(nobody) if is_missing => {
                    nobody.insert(waiter.cloned().into_iter().collect());
                    begun.push(ordinal);
                }
                Entry::Vacant(_) => here.push(ordinal),
            }
        }
        (here, begun)
    }

    /// Returns who has waited for it so far; it is still on its way.
    fn waiters(&self, tree: TreeId, ordinal: u32) -> Vec<Waiter> {
        let mut all = self.all();
        all.get_mut(&(tree, ordinal))
            .map(std::mem::take)
            .unwrap_or_default()
    }

    fn end(&self, tree: TreeId, ordinal: u32) -> Vec<Waiter> {
        self.all().remove(&(tree, ordinal)).unwrap_or_default()
    }

    /// Returns those that are still on their way.
    fn still(&self, tree: TreeId, ordinals: &[u32]) -> Vec<u32> {
        let all = self.all();
        let still = ordinals
            .iter()
            .filter(|ordinal| all.contains_key(&(tree, **ordinal)));
        still.copied().collect()
    }
}

#[derive(Debug, Clone)]
struct Desk<S> {
    store: Store,
    source: S,
    coming: Arc<Coming>,
    ahead: Arc<Semaphore>,
}

impl<S: Source> Desk<S> {
    async fn converse(&self, stream: UnixStream) -> io::Result<()> {
        let (mut from, to) = stream.into_split();
        let (frames, waiting) = mpsc::unbounded_channel();
        let waiter = Waiter {
            frames,
            owed: Arc::default(),
        };
        let writing = tokio::spawn(write(to, waiting));
        let heard = async {
            while let Some(ask) = hear(&mut from).await? {
                let owed = waiter.owed.load(Ordering::Relaxed);
                if owed + ask.wanted.len() > MAX_OWED {
                    return Err(io::ErrorKind::QuotaExceeded.into());
                }
                self.on_ask(ask, &waiter).await;
            }
            Ok(())
        };
        let ended = heard.await;
        writing.abort();
        ended
    }

    async fn on_ask(&self, ask: Ask, waiter: &Waiter) {
        let Ask {
            tree,
            wanted,
            ahead,
            touched,
        } = ask;
        waiter.owed.fetch_add(wanted.len(), Ordering::Relaxed);
        let Some(kept) = self.store.kept(tree) else {
            for ordinal in wanted {
                let why = "this machine does not know the dataset any more".to_owned();
                waiter.answer(&Answer::Failed { tree, ordinal, why });
            }
            return;
        };
        self.store.touch(&kept, &touched);
        let mut wanted = wanted;
        while !wanted.is_empty() {
            let (here, begun) = self.coming.want(&kept, &wanted, Some(waiter));
            self.bring(&kept, begun, true);
            // What turns out to be damaged, or was given up just now.
            wanted = self.answer(&kept, here, waiter).await;
        }
        let (_, begun) = self.coming.want(&kept, &ahead, None);
        self.bring(&kept, begun, false);
    }

    /// Answers what is here; returns what is not after all.
    async fn answer(&self, kept: &Arc<Kept>, here: Vec<u32>, waiter: &Waiter) -> Vec<u32> {
        if here.is_empty() {
            return here;
        }
        let (store, kept, waiter) = (self.store.clone(), Arc::clone(kept), waiter.clone());
        let looked = on_disk(move || {
            let tree = kept.tree();
            let known = here
                .iter()
                .filter(|ordinal| **ordinal < kept.index().chunks());
            let chunks = kept
                .index()
                .chunks_of(&known.copied().collect::<Vec<u32>>());
            let mut lacking = Vec::new();
            for chunk in chunks.unwrap_or_default() {
                let ordinal = chunk.ordinal;
                match store.read(&kept, &chunk) {
                    Some(bytes) => waiter.answer(&Answer::Piece {
                        tree,
                        ordinal,
                        bytes,
                    }),
                    None => lacking.push(ordinal),
                }
            }
            Ok(lacking)
        });
        // It fails only where the process ends.
        looked.await.unwrap_or_default()
    }

    /// Has chunks brought.
    fn bring(&self, kept: &Arc<Kept>, ordinals: Vec<u32>, waited_for: bool) {
        if ordinals.is_empty() {
            return;
        }
        let (desk, kept) = (self.clone(), Arc::clone(kept));
        tokio::spawn(async move {
            // Nobody closes it.
            let _turn = match waited_for {
                true => None,
                false => desk.ahead.acquire().await.ok(),
            };
            let brought = desk.fetch(&kept, &ordinals).await;
            let tree = kept.tree();
            let why = match brought {
                Ok(()) => "it did not come".to_owned(),
                Err(problem) => format!("{}: {}", problem.what, problem.why),
            };
            // Mostly nothing is left of them.
            for ordinal in desk.coming.still(tree, &ordinals) {
                for waiter in desk.coming.end(tree, ordinal) {
                    let why = why.clone();
                    waiter.answer(&Answer::Failed { tree, ordinal, why });
                }
            }
        });
    }

    async fn fetch(&self, kept: &Arc<Kept>, ordinals: &[u32]) -> Result<(), Problem> {
        let (looking, wanted) = (Arc::clone(kept), ordinals.to_vec());
        let chunks = on_disk(move || {
            let what = "the dataset's index cannot be read";
            let chunks = looking.index().chunks_of(&wanted);
            chunks.map_err(|error| link::trees::io_problem(what, &error))
        })
        .await?;
        let wanted = chunks
            .iter()
            .map(|chunk| (chunk.ordinal, chunk.chunk))
            .collect();
        let arriving = Arriving {
            store: self.store.clone(),
            kept: Arc::clone(kept),
            coming: Arc::clone(&self.coming),
            chunks: chunks
                .into_iter()
                .map(|chunk| (chunk.ordinal, chunk))
                .collect(),
        };
        self.source
            .fetch(kept.tree(), wanted, Arc::new(arriving))
            .await
    }
}

/// Where chunks go that were asked for.
#[derive(Debug)]
pub struct Arriving {
    store: Store,
    kept: Arc<Kept>,
    coming: Arc<Coming>,
    chunks: BTreeMap<u32, Chunk>,
}

impl Arriving {
    /// Takes a chunk's own bytes, which were checked, by ordinal. Blocks.
    pub fn put(&self, ordinal: u32, bytes: &Bytes) {
        let Some(chunk) = self.chunks.get(&ordinal) else {
            return;
        };
        let tree = self.kept.tree();
        let answer = |waiters: Vec<Waiter>| {
            for waiter in waiters {
                waiter.answer(&Answer::Piece {
                    tree,
                    ordinal,
                    bytes: bytes.clone(),
                });
            }
        };
        // Who waits for it does not wait for the disk. Who asks meanwhile does.
        answer(self.coming.waiters(tree, ordinal));
        self.store.write(&self.kept, chunk, bytes);
        answer(self.coming.end(tree, ordinal));
    }
}

async fn hear(from: &mut OwnedReadHalf) -> io::Result<Option<Ask>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body).await?;
    let ask = Ask::decode(&body).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some(ask))
}

async fn write(
    mut to: OwnedWriteHalf,
    mut frames: mpsc::UnboundedReceiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(frame) = frames.recv().await {
        to.write_all(&frame).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
