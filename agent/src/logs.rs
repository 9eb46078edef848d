//! Sends an attempt's log to the coordinator while it is written.
//!
//! The spool is a file of [`common::logs`] records; a position is an offset into it. The coordinator says how
//! much it has, everything after that goes up, and what it acknowledges is on its disk. After any break the
//! same begins again, so nothing is lost and nothing is doubled. Woken by the supervisor's word that the log
//! has grown; never looks by itself.

use std::{fs::File, future::Future, io, os::unix::fs::FileExt as _, path::Path, time::Duration};

use common::{
    code::Code,
    id::AttemptId,
    logs::whole_records,
    problem::Problem,
    wire::agent::{AgentStream, LogAck, LogData, LogResume},
};
use link::{
    backoff::Backoff,
    frames::{FrameReceiver, FrameSender, split},
};
use tokio::sync::watch;

use crate::uplink::{Live, Uplink};

/// Most bytes of one message; the protocol allows no more.
const PIECE_BYTES: u64 = 256 << 10;
/// Most bytes that are on their way without being acknowledged.
const WINDOW_BYTES: u64 = 1 << 20;
/// Waits before a stream is tried again on a connection that lives.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const MOST_WAIT: Duration = Duration::from_secs(30);

/// How long a log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) bytes: u64,
    /// Known once the attempt has ended.
    pub(crate) total: Option<u64>,
}

/// Sends the log until all of it is safe at the coordinator, over as many connections as that takes.
pub(crate) async fn ship(
    attempt: AttemptId,
    spool: &Path,
    mut growth: watch::Receiver<Growth>,
    mut uplink: Uplink,
) {
    let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
    let mut broken = None;
    loop {
        let live = uplink.live(broken).await;
        let Err(problem) = ship_once(attempt, spool, &mut growth, &live).await else {
            return;
        };
        if unwanted(&problem) {
            tracing::info!(%attempt, %problem, "the coordinator does not want this log");
            return;
        }
        tracing::debug!(%attempt, %problem, "a log has to be sent on");
        if live.connection.close_reason().is_some() {
            broken = Some(live.serial);
        } else {
            tokio::time::sleep(backoff.next()).await;
        }
    }
}

/// Returns whether asking again would change nothing.
pub(crate) const fn unwanted(problem: &Problem) -> bool {
    matches!(
        problem.code,
        Code::NotFound | Code::Permission | Code::WrongState
    )
}

async fn ship_once(
    attempt: AttemptId,
    spool: &Path,
    growth: &mut watch::Receiver<Growth>,
    live: &Live,
) -> Result<(), Problem> {
    let opened = live.connection.open_bi().await;
    let (mut tx, mut rx) = split(opened.map_err(|error| link::close_problem(&error))?);
    tx.send(&AgentStream::Log { attempt }).await?;
    let LogResume { offset } = rx.expect().await?;
    ship_over(offset, spool, growth, &mut tx, &mut rx).await
}

/// Where pieces of log go.
pub(crate) trait LogSink: Send {
    fn send(&mut self, data: LogData) -> impl Future<Output = Result<(), Problem>> + Send;
    /// Everything was sent.
    fn finish(&mut self);
}

/// Where acknowledgements come from. Waiting for one may be given up and begun again.
pub(crate) trait AckSource: Send {
    fn next(&mut self) -> impl Future<Output = Result<Option<LogAck>, Problem>> + Send;
}

impl LogSink for FrameSender {
    async fn send(&mut self, data: LogData) -> Result<(), Problem> {
        Ok(Self::send(self, &data).await?)
    }

    fn finish(&mut self) {
        Self::finish(self);
    }
}

impl AckSource for FrameReceiver {
    async fn next(&mut self) -> Result<Option<LogAck>, Problem> {
        Ok(self.recv().await?)
    }
}

/// Sends everything from `resume` on over one stream, until the whole log is acknowledged.
async fn ship_over(
    resume: u64,
    spool: &Path,
    growth: &mut watch::Receiver<Growth>,
    sink: &mut impl LogSink,
    acks: &mut impl AckSource,
) -> Result<(), Problem> {
    let (mut sent, mut acknowledged) = (resume, resume);
    let mut spool = Spool::new(spool);
    let mut finished = false;
    loop {
        let Growth { bytes, total } = *growth.borrow_and_update();
        let end = total.unwrap_or(bytes);
        while sent < end && sent - acknowledged < WINDOW_BYTES {
            let piece = spool.read(sent, end)?;
            if piece.is_empty() {
                break;
            }
            let data = LogData {
                offset: sent,
                bytes: piece,
            };
            sent += data.bytes.len() as u64;
            sink.send(data).await?;
        }
        if let Some(total) = total {
            if sent >= total && !finished {
                sink.finish();
                finished = true;
            }
            if acknowledged >= total {
                return Ok(());
            }
        }
        tokio::select! {
            ack = acks.next() => match ack? {
                Some(ack) if ack.offset <= sent => acknowledged = acknowledged.max(ack.offset),
                Some(_) => return Err(broken("it acknowledges more than was sent")),
                None => return Err(broken("it stopped listening to a log")),
            },
            changed = growth.changed(), if total.is_none() => {
                changed.map_err(|_| broken("the attempt is forgotten"))?;
            }
        }
    }
}

fn broken(why: &str) -> Problem {
    Problem::new(Code::Protocol, "a log could not be sent", why)
}

/// Reads whole records of a spool.
struct Spool<'a> {
    path: &'a Path,
    file: Option<File>,
}

impl<'a> Spool<'a> {
    const fn new(path: &'a Path) -> Self {
        Self { path, file: None }
    }

    /// Returns whole records from `from` on, none of them ending after `end`. What is short of a whole record
    /// is the tail of a log whose supervisor was killed, and belongs to nobody.
    fn read(&mut self, from: u64, end: u64) -> Result<Vec<u8>, Problem> {
        let what = "a log could not be read";
        let failed = |error: io::Error| Problem::new(Code::Io, what, error.to_string());
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(self.path).map_err(failed)?),
        };
        let length = usize::try_from(end.saturating_sub(from).min(PIECE_BYTES)).unwrap_or(0);
        let mut piece = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut piece[filled..], from + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        piece.truncate(filled);
        let whole = whole_records(&piece)
            .map_err(|error| Problem::new(Code::Checksum, what, error.to_string()))?;
        piece.truncate(whole);
        Ok(piece)
    }
}

/// Returns how many bytes of the spool at `path` are whole records; 0 where there is none.
pub(crate) fn whole_length(path: &Path) -> u64 {
    let mut spool = Spool::new(path);
    let mut length = 0;
    loop {
        match spool.read(length, u64::MAX) {
            Ok(piece) if !piece.is_empty() => length += piece.len() as u64,
            _ => return length,
        }
    }
}

#[cfg(test)]
mod tests;
