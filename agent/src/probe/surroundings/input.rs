//! Keyboards and mice themselves, where this user may read them. Only that something happened is looked at,
//! never what: the codes of keys are dropped as they are read.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::fs::OFlags;
use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver, sync::Notify, task::JoinHandle};

use super::Roots;
use crate::clock;

/// Most devices that are read.
const MAX_DEVICES: usize = 64;
/// Bytes of one event: a moment of two words, a kind, a code, a value.
const EVENT_BYTES: usize = size_of::<libc::input_event>();
const KIND: usize = size_of::<libc::timeval>();
/// Keys and buttons; movements of a mouse. Other kinds come from lids, sensors and sockets as well.
const BY_HAND: [u16; 2] = [1, 2];
/// Events that are read in one go.
const EVENTS: usize = 64;

/// The devices that are read.
#[derive(Debug)]
pub(super) struct Input {
    folder: PathBuf,
    readers: BTreeMap<PathBuf, JoinHandle<()>>,
    opened_at: Duration,
    touched: Arc<Touched>,
}

/// When something was last touched; told to whoever waits.
#[derive(Debug)]
struct Touched {
    last: Mutex<Duration>,
    news: Arc<Notify>,
}

impl Drop for Input {
    fn drop(&mut self) {
        for reader in self.readers.values() {
            reader.abort();
        }
    }
}

impl Input {
    /// Prepares to read, from now on.
    pub(super) fn new(roots: &Roots, news: Arc<Notify>) -> Self {
        let opened_at = clock::since_boot();
        Self {
            folder: roots.path("dev/input"),
            readers: BTreeMap::new(),
            opened_at,
            touched: Arc::new(Touched {
                last: Mutex::new(opened_at),
                news,
            }),
        }
    }

    /// Returns since when anything can be said at all.
    pub(super) const fn opened_at(&self) -> Duration {
        self.opened_at
    }

    /// Opens what has been plugged in since, and forgets what is gone.
    pub(super) fn refresh(&mut self) {
        self.readers.retain(|_, reader| !reader.is_finished());
        for entry in std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let is_event = entry.file_name().to_string_lossy().starts_with("event");
            if !is_event || self.readers.contains_key(&path) || self.readers.len() == MAX_DEVICES {
                continue;
            }
            // Most users may not: that is the answer, not a failure.
            if let Ok(device) = open(&path) {
                let touched = Arc::clone(&self.touched);
                let reader = tokio::spawn(async move { follow(device, &touched).await });
                self.readers.insert(path, reader);
            }
        }
    }

    /// Returns since when nothing was touched; `None` where no device can be read.
    pub(super) fn untouched_since(&self) -> Option<Duration> {
        let readable = self.readers.values().any(|reader| !reader.is_finished());
        readable.then(|| {
            *self
                .touched
                .last
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        })
    }
}

/// The runtime waits for a device as it does for a pipe.
fn open(path: &Path) -> io::Result<Receiver> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut options = File::options();
    let file = options.read(true).custom_flags(nonblocking).open(path)?;
    Receiver::from_file_unchecked(file)
}

/// Reads until the device is gone.
async fn follow(mut device: Receiver, touched: &Touched) {
    let mut events = [0; EVENTS * EVENT_BYTES];
    while let Ok(bytes @ 1..) = device.read(&mut events).await {
        if events[..bytes].chunks_exact(EVENT_BYTES).any(by_hand) {
            let mut last = touched.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = clock::since_boot();
            touched.news.notify_one();
        }
        events.fill(0);
    }
}

fn by_hand(event: &[u8]) -> bool {
    let kind = u16::from_ne_bytes([event[KIND], event[KIND + 1]]);
    BY_HAND.contains(&kind)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn event(kind: u16) -> Vec<u8> {
        let mut event = vec![0; EVENT_BYTES];
        event[KIND..KIND + 2].copy_from_slice(&kind.to_ne_bytes());
        event
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_touched_key_is_news_at_once_and_a_sensor_is_none() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("dev/input");
        std::fs::create_dir_all(&folder).unwrap();
        let news = Arc::new(Notify::new());
        let roots = Roots::standing_in(temp.path(), "");
        let mut input = Input::new(&roots, Arc::clone(&news));
        input.refresh();
        assert_eq!(input.untouched_since(), None);

        // A pipe with a name behaves as a device does as far as reading goes.
        let path = folder.join("event3");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut keyboard = File::options().read(true).write(true).open(&path).unwrap();
        input.refresh();
        let before = input.untouched_since().unwrap();
        // A movement of a lid first: had it counted, it would be the news that is waited for.
        keyboard.write_all(&[event(5), event(0)].concat()).unwrap();
        keyboard.write_all(&event(1)).unwrap();
        tokio::time::timeout(Duration::from_secs(30), news.notified())
            .await
            .unwrap();
        assert!(input.untouched_since().unwrap() > before);
    }

    #[test]
    fn only_hands_count() {
        assert!(by_hand(&event(1)) && by_hand(&event(2)));
        assert!(!by_hand(&event(0)) && !by_hand(&event(3)) && !by_hand(&event(5)));
    }
}
