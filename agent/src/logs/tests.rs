//! Against a coordinator's end in memory, which checks every offset and can be cut off anywhere.

use common::{logs::append, status::LogStream, time::Timestamp};
use tokio::sync::mpsc;

use super::*;

/// The coordinator's copy of the log, and when it breaks the stream.
struct Remote {
    log: Vec<u8>,
    /// Breaks when as many bytes are there.
    cut_at: usize,
    acks: mpsc::UnboundedSender<LogAck>,
}

impl LogSink for Remote {
    async fn send(&mut self, data: LogData) -> Result<(), Problem> {
        assert_eq!(data.offset, self.log.len() as u64, "a gap or a double");
        assert!(data.bytes.len() as u64 <= PIECE_BYTES);
        assert_eq!(whole_records(&data.bytes), Ok(data.bytes.len()));
        if self.log.len() + data.bytes.len() > self.cut_at {
            return Err(broken("cut"));
        }
        self.log.extend_from_slice(&data.bytes);
        let offset = self.log.len() as u64;
        self.acks
            .send(LogAck { offset })
            .map_err(|_| broken("nobody hears"))
    }

    fn finish(&mut self) {}
}

impl AckSource for mpsc::UnboundedReceiver<LogAck> {
    async fn next(&mut self) -> Result<Option<LogAck>, Problem> {
        Ok(self.recv().await)
    }
}

async fn one_stream(
    log: Vec<u8>,
    cut_at: usize,
    spool: &Path,
    growth: &mut watch::Receiver<Growth>,
) -> (Vec<u8>, Result<(), Problem>) {
    let (acks, mut acked) = mpsc::unbounded_channel();
    let resume = log.len() as u64;
    let mut remote = Remote { log, cut_at, acks };
    let result = ship_over(resume, spool, growth, &mut remote, &mut acked).await;
    (remote.log, result)
}

fn long_log() -> Vec<u8> {
    let mut log = Vec::new();
    for line in 0..5000_u64 {
        let text = format!(
            "line {line} {}\n",
            "x".repeat(usize::try_from(line % 700).unwrap())
        );
        append(
            &mut log,
            LogStream::Stdout,
            Timestamp::from_unix_ms(line),
            text.as_bytes(),
        );
    }
    log
}

#[tokio::test]
async fn a_log_arrives_whole_however_often_the_stream_breaks() {
    let temp = tempfile::tempdir().unwrap();
    let spool = temp.path().join("log");
    let log = long_log();
    std::fs::write(&spool, &log).unwrap();
    let bytes = log.len() as u64;
    let (_sender, mut growth) = watch::channel(Growth {
        bytes,
        total: Some(bytes),
    });
    let mut remote = Vec::new();
    for cut_at in [0, 1, 300_000, 300_000, 900_000] {
        let (got, result) = one_stream(remote, cut_at, &spool, &mut growth).await;
        assert!(result.is_err());
        remote = got;
    }
    let (remote, result) = one_stream(remote, usize::MAX, &spool, &mut growth).await;
    assert_eq!(result, Ok(()));
    assert!(remote == log, "the copy differs");
}

#[tokio::test]
async fn growth_wakes_the_shipper_and_half_a_record_waits() {
    let temp = tempfile::tempdir().unwrap();
    let spool = temp.path().join("log");
    let mut log = Vec::new();
    append(
        &mut log,
        LogStream::Stdout,
        Timestamp::from_unix_ms(1),
        b"one\n",
    );
    let first = log.len();
    append(
        &mut log,
        LogStream::Stderr,
        Timestamp::from_unix_ms(2),
        b"two\n",
    );
    std::fs::write(&spool, &log[..first + 5]).unwrap();
    let (sender, growth) = watch::channel(Growth::default());

    let (acks, mut acked) = mpsc::unbounded_channel();
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let mut remote = Forwarding { seen, acks };
    let path = spool.clone();
    let mut watched = growth;
    let shipping =
        tokio::spawn(
            async move { ship_over(0, &path, &mut watched, &mut remote, &mut acked).await },
        );
    let grow = |bytes: usize, total: Option<usize>| {
        sender.send_replace(Growth {
            bytes: bytes as u64,
            total: total.map(|total| total as u64),
        });
    };
    grow(first + 5, None);
    assert_eq!(arrived.recv().await.unwrap(), log[..first]);
    std::fs::write(&spool, &log).unwrap();
    grow(log.len(), None);
    assert_eq!(arrived.recv().await.unwrap(), log[first..]);
    grow(log.len(), Some(log.len()));
    assert_eq!(shipping.await.unwrap(), Ok(()));
}

/// Acknowledges everything and passes it on.
struct Forwarding {
    seen: mpsc::UnboundedSender<Vec<u8>>,
    acks: mpsc::UnboundedSender<LogAck>,
}

impl LogSink for Forwarding {
    async fn send(&mut self, data: LogData) -> Result<(), Problem> {
        let offset = data.offset + data.bytes.len() as u64;
        self.seen
            .send(data.bytes)
            .map_err(|_| broken("nobody looks"))?;
        self.acks
            .send(LogAck { offset })
            .map_err(|_| broken("nobody hears"))
    }

    fn finish(&mut self) {}
}

#[tokio::test]
async fn an_empty_log_or_one_that_is_there_already_is_done_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let spool = temp.path().join("log");
    let done = Growth {
        bytes: 0,
        total: Some(0),
    };
    let (_sender, mut growth) = watch::channel(done);
    assert_eq!(
        one_stream(Vec::new(), 0, &spool, &mut growth).await.1,
        Ok(())
    );
    let there = vec![0; 40];
    assert_eq!(one_stream(there, 0, &spool, &mut growth).await.1, Ok(()));
}

#[tokio::test]
async fn acknowledging_what_was_never_sent_breaks_the_stream() {
    let temp = tempfile::tempdir().unwrap();
    let (_sender, mut growth) = watch::channel(Growth::default());
    let (acks, mut acked) = mpsc::unbounded_channel();
    acks.send(LogAck { offset: 9 }).unwrap();
    let mut remote = Remote {
        log: Vec::new(),
        cut_at: 0,
        acks,
    };
    let spool = temp.path().join("log");
    let result = ship_over(0, &spool, &mut growth, &mut remote, &mut acked).await;
    assert_eq!(result.unwrap_err().code, Code::Protocol);
}

#[test]
fn the_length_of_a_torn_log_is_that_of_its_whole_records() {
    let temp = tempfile::tempdir().unwrap();
    let spool = temp.path().join("log");
    assert_eq!(whole_length(&spool), 0);
    let log = long_log();
    std::fs::write(&spool, &log).unwrap();
    assert_eq!(whole_length(&spool), log.len() as u64);
    let mut torn = log.clone();
    append(
        &mut torn,
        LogStream::System,
        Timestamp::from_unix_ms(1),
        b"cut",
    );
    torn.pop();
    std::fs::write(&spool, &torn).unwrap();
    assert_eq!(whole_length(&spool), log.len() as u64);
}
