//! The server's end of its conversation with the agent, which may go away and come back.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::words::{Answer, length};

/// The agent's socket, in its folder.
pub(crate) const SOCKET: &str = "lazy.sock";
/// How long to leave an agent alone that is not there.
const AGAIN: Duration = Duration::from_millis(200);
/// How often whoever listens is woken, whatever happens.
const TICK: Duration = Duration::from_millis(250);
/// An agent that takes no words for so long is taken for gone.
const STUCK: Duration = Duration::from_secs(10);
/// Read in one go.
const PIECE_BYTES: usize = 256 << 10;

/// The conversation.
#[derive(Debug)]
pub(super) struct Asking {
    /// The agent's folder: its path may be too long for a socket's.
    folder: OwnedFd,
    stream: Mutex<Option<UnixStream>>,
}

/// Whoever the conversation is for.
pub(super) trait Listener {
    /// Hears that the agent is there: everything that is still wanted is to be asked for again.
    fn on_connected(&self);
    fn on_answer(&self, answer: Answer);
    /// Is called now and then.
    fn on_tick(&self);
}

impl Asking {
    pub(super) fn new(folder: OwnedFd) -> Self {
        Self {
            folder,
            stream: Mutex::new(None),
        }
    }

    /// Sends words to the agent, if it is there. If it is not, the listener hears when it is.
    pub(super) fn send(&self, frame: &[u8]) {
        let mut stream = self.stream();
        let sent = stream.as_ref().map(|mut stream| stream.write_all(frame));
        if let Some(Err(_)) = sent
            && let Some(broken) = stream.take()
        {
            // Whoever listens learns of it by this.
            let _ = broken.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Listens for as long as the process lives.
    pub(super) fn listen(&self, listener: &impl Listener) -> ! {
        loop {
            if let Ok(stream) = self.connect() {
                listener.on_connected();
                // However it ended, the agent is not there any more.
                let _ = hear(stream, listener);
                *self.stream() = None;
            }
            listener.on_tick();
            std::thread::sleep(AGAIN);
        }
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let path: PathBuf = format!("/proc/self/fd/{}/{SOCKET}", self.folder.as_raw_fd()).into();
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(STUCK))?;
        let reading = stream.try_clone()?;
        *self.stream() = Some(stream);
        Ok(reading)
    }

    fn stream(&self) -> MutexGuard<'_, Option<UnixStream>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on what the agent says until it hangs up.
fn hear(mut stream: UnixStream, listener: &impl Listener) -> io::Result<()> {
    let mut received = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut ticked = Instant::now();
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => received.extend_from_slice(&piece[..count]),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
        let mut from = 0;
        while let Some((head, rest)) = received[from..].split_first_chunk::<4>() {
            let length = length(*head)?;
            let Some(body) = rest.get(..length) else {
                break;
            };
            let answer = Answer::decode(body.to_vec()).ok_or(io::ErrorKind::InvalidData)?;
            listener.on_answer(answer);
            from += 4 + length;
        }
        received.drain(..from);
        if ticked.elapsed() >= TICK {
            listener.on_tick();
            ticked = Instant::now();
        }
    }
}
