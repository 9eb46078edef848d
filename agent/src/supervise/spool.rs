//! The attempt's log on this machine: an append-only file of `common::logs` records.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use common::{logs, status::LogStream, time::Timestamp};

/// Longest log of one attempt, in bytes; what a job writes beyond is dropped, and the log says so.
pub(super) const MAX_LOG_BYTES: u64 = 1 << 30;
/// Kept free for what Compute Share has to say after the job's part is full.
const SYSTEM_BYTES: u64 = 64 << 10;

/// An attempt's log, being written.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    bytes: u64,
    most: u64,
    full: bool,
    record: Vec<u8>,
}

impl Spool {
    pub(super) fn create(path: &Path, most: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        Ok(Self {
            file: options.open(path)?,
            bytes: 0,
            most,
            full: false,
            record: Vec::new(),
        })
    }

    /// Returns the log's length in bytes; whole records all of them.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a piece of the job's output, or drops it where the log is full.
    pub(super) fn append(
        &mut self,
        stream: LogStream,
        at: Timestamp,
        bytes: &[u8],
    ) -> io::Result<()> {
        if self.full {
            return Ok(());
        }
        let length = (bytes.len() + logs::RECORD_HEADER_BYTES) as u64;
        if self.bytes + length + SYSTEM_BYTES > self.most {
            self.full = true;
            return self.say(
                at,
                "the log is full; what the job writes from here on is dropped",
            );
        }
        self.write(stream, at, bytes)
    }

    /// Appends a line of Compute Share's own.
    pub(super) fn say(&mut self, at: Timestamp, line: &str) -> io::Result<()> {
        self.write(LogStream::System, at, format!("{line}\n").as_bytes())
    }

    fn write(&mut self, stream: LogStream, at: Timestamp, bytes: &[u8]) -> io::Result<()> {
        self.record.clear();
        logs::append(&mut self.record, stream, at, bytes);
        if let Err(error) = self.file.write_all(&self.record) {
            // No half record stays behind.
            self.file.set_len(self.bytes)?;
            io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.bytes))?;
            return Err(error);
        }
        self.bytes += self.record.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_says_so_once_and_stays_within_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let most = SYSTEM_BYTES + 4096;
        let mut spool = Spool::create(&path, most).unwrap();
        let at = Timestamp::from_unix_ms(1);
        for _ in 0..100 {
            spool.append(LogStream::Stdout, at, &[b'x'; 1000]).unwrap();
        }
        let log = std::fs::read(&path).unwrap();
        assert_eq!(log.len() as u64, spool.bytes());
        assert!(spool.bytes() <= most);
        let (mut rest, mut streams) = (log.as_slice(), Vec::new());
        while let Some((record, after)) = logs::split_record(rest).unwrap() {
            streams.push(record.stream);
            rest = after;
        }
        let (out, system) = (LogStream::Stdout, LogStream::System);
        assert_eq!(streams, [out, out, out, out, system]);
    }
}
