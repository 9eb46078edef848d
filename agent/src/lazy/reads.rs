//! Reads of a job, answered from what is kept, or once the agent has brought what is missing.
//!
//! Every chunk that is taken from the disk is checked against its id: what the agent has given up a moment ago, what
//! a crash left half written or a disk returns wrong is simply missing. So nothing has to be agreed on with the agent,
//! and no job ever sees a wrong byte.
//!
//! A read waits no longer than its mount's patience; then it fails, and the job's log says so.

mod waiting;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use agent_core::read_ahead::{BYTES, FILES, ReadAhead};
use bytes::Bytes;
use common::{
    id::TreeId,
    tree::{MAX_CHUNK_BYTES, chunk_id},
};
use fuser::{Errno, ReplyData};

use self::waiting::{Read, Waiting};
use super::{
    asking::{Asking, Listener},
    index::{Chunk, Index, Kind, Node},
    recent::Recent,
    store::SEGMENT_BYTES,
    tell::Teller,
    words::{Answer, Ask, MAX_ORDINALS},
};

/// Most bytes of reads that wait, with the chunks that they lie in. Beyond, the kernel holds the job's reads back.
const MAX_WAITING_BYTES: u64 = 64 << 20;
/// Readers per mount whose way is known.
const MAX_WAYS: usize = 256;
/// Files up to here are fetched ahead together with their neighbours.
const SMALL_BYTES: u64 = 128 << 10;
/// How often the agent hears what was read.
const TOUCH_PERIOD: Duration = Duration::from_secs(5);

/// One mounted tree.
#[derive(Debug)]
pub(super) struct Mounted {
    /// For people.
    pub(super) name: String,
    pub(super) tree: TreeId,
    pub(super) index: Index,
    /// What is kept, with holes.
    pub(super) data: File,
    pub(super) patience: Duration,
    pub(super) ways: Mutex<Ways>,
    pub(super) touched: Mutex<BTreeSet<u32>>,
}

/// The ways of readers: of bytes by file, of files by folder.
#[derive(Debug, Default)]
pub(super) struct Ways {
    known: HashMap<u32, ReadAhead>,
    order: VecDeque<u32>,
}

impl Ways {
    fn of(&mut self, number: u32, new: ReadAhead) -> &mut ReadAhead {
        if !self.known.contains_key(&number) {
            self.order.push_back(number);
            if self.order.len() > MAX_WAYS
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        self.known.entry(number).or_insert(new)
    }
}

/// All reads of one server.
#[derive(Debug)]
pub(super) struct Reads {
    mounts: Vec<Mounted>,
    asking: Asking,
    teller: Teller,
    waiting: Mutex<Waiting>,
    /// Notified when a read was answered.
    room: Condvar,
    recent: Mutex<Recent>,
}

impl Reads {
    pub(super) fn new(mounts: Vec<Mounted>, asking: Asking, teller: Teller) -> Self {
        Self {
            mounts,
            asking,
            teller,
            waiting: Mutex::default(),
            room: Condvar::new(),
            recent: Mutex::default(),
        }
    }

    pub(super) fn mount(&self, mount: usize) -> &Mounted {
        &self.mounts[mount]
    }

    /// Listens to the agent for as long as the process lives.
    pub(super) fn listen(&self) -> ! {
        self.asking.listen(self)
    }

    /// Answers a read of a file, at once or later.
    pub(super) fn read(&self, mount: usize, number: u32, part: Range<u64>, reply: ReplyData) {
        let index = &self.mounts[mount].index;
        let looked = index.node(number).and_then(|node| {
            let part = part.start.min(node.size)..part.end.min(node.size);
            Ok((node, index.places(&node, part.clone())?, part))
        });
        let (node, places, part) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                self.teller
                    .say(&format!("{}: {error}", self.mounts[mount].name));
                return reply.error(Errno::EIO);
            }
        };
        let ahead = self
            .ahead(mount, (number, &node), &part)
            .unwrap_or_default();
        let found: Vec<Option<Bytes>> = places
            .iter()
            .map(|place| self.kept(mount, &place.chunk))
            .collect();
        let read = Read {
            mount,
            part,
            places,
            found,
            since: Instant::now(),
            reply,
        };
        let wanted = if read.found.iter().all(Option::is_some) {
            read.answer();
            Vec::new()
        } else {
            self.wait(read)
        };
        if !wanted.is_empty() || !ahead.is_empty() {
            self.ask(mount, wanted, ahead);
        }
    }

    /// Returns a chunk if it is there and what it should be.
    fn kept(&self, mount: usize, chunk: &Chunk) -> Option<Bytes> {
        let recent = self.recent().get(mount, chunk.ordinal);
        if recent.is_some() {
            return recent;
        }
        let mounted = &self.mounts[mount];
        let mut bytes = vec![0; chunk.chunk.bytes.min(MAX_CHUNK_BYTES) as usize];
        mounted.data.read_exact_at(&mut bytes, chunk.at).ok()?;
        if chunk_id(&bytes) != chunk.chunk.id {
            return None;
        }
        let bytes = Bytes::from(bytes);
        self.recent().put(mount, chunk.ordinal, &bytes);
        if let Ok(segment) = u32::try_from(chunk.at / SEGMENT_BYTES) {
            locked(&mounted.touched).insert(segment);
        }
        Some(bytes)
    }

    /// Lets a read wait for what it lacks; returns what of that nobody has asked for.
    fn wait(&self, read: Read) -> Vec<u32> {
        let mut waiting = locked(&self.waiting);
        let bytes = read.bytes();
        while waiting.bytes > 0 && waiting.bytes + bytes > MAX_WAITING_BYTES {
            waiting = self
                .room
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.bytes += bytes;
        let id = waiting.next;
        waiting.next += 1;
        let mut wanted = Vec::new();
        for (place, _) in read
            .places
            .iter()
            .zip(&read.found)
            .filter(|(_, found)| found.is_none())
        {
            let ordinal = place.chunk.ordinal;
            let waits = waiting.chunks.entry((read.mount, ordinal)).or_default();
            if waits.is_empty() {
                wanted.push(ordinal);
            }
            waits.push(id);
        }
        waiting.reads.insert(id, read);
        wanted
    }

    fn ask(&self, mount: usize, wanted: Vec<u32>, ahead: Vec<u32>) {
        let mounted = &self.mounts[mount];
        let touched = std::mem::take(&mut *locked(&mounted.touched));
        let touched = touched.into_iter().take(MAX_ORDINALS).collect();
        let tree = mounted.tree;
        self.asking.send(
            &Ask {
                tree,
                wanted,
                ahead,
                touched,
            }
            .encode(),
        );
    }

    /// Returns what will be read soon, by this step of a reader.
    fn ahead(&self, mount: usize, file: (u32, &Node), part: &Range<u64>) -> io::Result<Vec<u32>> {
        let mounted = &self.mounts[mount];
        let (number, node) = file;
        let mut ordinals: Vec<u32> = if node.size > SMALL_BYTES {
            let ahead = locked(&mounted.ways)
                .of(number, ReadAhead::new(BYTES))
                .read(part.clone(), node.size);
            let places = mounted.index.places(node, ahead)?;
            places.iter().map(|place| place.chunk.ordinal).collect()
        } else {
            let folder = mounted.index.node(node.parent)?;
            let first = folder.children().start;
            let at = u64::from(number.saturating_sub(first));
            let ahead = locked(&mounted.ways)
                .of(node.parent, ReadAhead::new(FILES))
                .read(at..at + 1, folder.children().len() as u64);
            neighbours(&mounted.index, first, ahead)?
        };
        ordinals.truncate(MAX_ORDINALS);
        Ok(ordinals)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        locked(&self.recent)
    }

    /// Hands a chunk, or why there is none, to every read that waits for it.
    fn arrived(&self, mount: usize, ordinal: u32, bytes: Option<&Bytes>) {
        let mut done = Vec::new();
        {
            let mut waiting = locked(&self.waiting);
            for id in waiting.chunks.remove(&(mount, ordinal)).unwrap_or_default() {
                let Some(read) = waiting.reads.get_mut(&id) else {
                    continue;
                };
                if let Some(bytes) = bytes {
                    let places = read.places.iter().zip(&mut read.found);
                    for (_, found) in places.filter(|(place, _)| place.chunk.ordinal == ordinal) {
                        *found = Some(bytes.clone());
                    }
                    if read.found.iter().any(Option::is_none) {
                        continue;
                    }
                }
                done.extend(waiting.take(id));
            }
        }
        self.room.notify_all();
        done.into_iter().for_each(Read::answer);
    }
}

impl Listener for Reads {
    fn on_connected(&self) {
        let wanted: Vec<(usize, u32)> = locked(&self.waiting).chunks.keys().copied().collect();
        for mount in 0..self.mounts.len() {
            let mut of_mount = wanted
                .iter()
                .filter(|(of, _)| *of == mount)
                .map(|(_, ordinal)| *ordinal);
            loop {
                let some: Vec<u32> = of_mount.by_ref().take(MAX_ORDINALS).collect();
                if some.is_empty() {
                    break;
                }
                self.ask(mount, some, Vec::new());
            }
        }
    }

    fn on_answer(&self, answer: Answer) {
        let (tree, ordinal, bytes) = match answer {
            Answer::Piece {
                tree,
                ordinal,
                bytes,
            } => (tree, ordinal, Ok(bytes)),
            Answer::Failed { tree, ordinal, why } => (tree, ordinal, Err(why)),
        };
        // The same tree may be mounted twice.
        let mounts = self.mounts.iter().enumerate();
        for (mount, mounted) in mounts.filter(|(_, mounted)| mounted.tree == tree) {
            match &bytes {
                Ok(bytes) => {
                    self.recent().put(mount, ordinal, bytes);
                    self.arrived(mount, ordinal, Some(bytes));
                }
                Err(why) => {
                    let name = &mounted.name;
                    self.teller
                        .say(&format!("a file of {name} cannot be read: {why}"));
                    self.arrived(mount, ordinal, None);
                }
            }
        }
    }

    fn on_tick(&self) {
        let (mut late, mut touch) = (Vec::new(), false);
        {
            let mut waiting = locked(&self.waiting);
            let patience = |read: &Read| self.mounts[read.mount].patience;
            let ids: Vec<u64> = waiting
                .reads
                .iter()
                .filter(|(_, read)| read.since.elapsed() >= patience(read))
                .map(|(id, _)| *id)
                .collect();
            for id in ids {
                late.extend(waiting.take(id));
            }
            let now = Instant::now();
            if waiting.touch_at.is_none_or(|at| now >= at) {
                waiting.touch_at = Some(now + TOUCH_PERIOD);
                touch = true;
            }
        }
        if !late.is_empty() {
            self.room.notify_all();
        }
        for read in late {
            let Mounted { name, patience, .. } = &self.mounts[read.mount];
            let seconds = patience.as_secs();
            self.teller.say(&format!(
                "a file of {name} cannot be read: its data did not come within {seconds} s"
            ));
            read.answer();
        }
        for mount in 0..self.mounts.len() {
            if touch && !locked(&self.mounts[mount].touched).is_empty() {
                self.ask(mount, Vec::new(), Vec::new());
            }
        }
    }
}

/// Returns the chunks of files that stand together, as far as they are small and not too much.
fn neighbours(index: &Index, first: u32, places: Range<u64>) -> io::Result<Vec<u32>> {
    let number =
        |place: u64| u32::try_from(place).map_or(u32::MAX, |place| first.saturating_add(place));
    let (mut ordinals, mut bytes) = (Vec::new(), 0);
    for node in index.nodes_at(number(places.start)..number(places.end))? {
        let file = matches!(node.kind, Kind::File { .. });
        if !file || node.size > SMALL_BYTES {
            continue;
        }
        bytes += node.size;
        if bytes > BYTES.most {
            break;
        }
        let places = index.places(&node, 0..node.size)?;
        ordinals.extend(places.iter().map(|place| place.chunk.ordinal));
    }
    Ok(ordinals)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whatever a thread that held it did, what is there is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
