//! The log of one attempt: an append-only sequence of records, the same bytes in the machine's spool, on the
//! wire and at the coordinator.
//!
//! A position in a log is a byte offset into that sequence, so that two sides agree exactly on what has
//! arrived: what is sent again starts where the other side says it ends, and no line is lost or doubled.
//!
//! Record: `u8 stream, u64 unix_ms, u32 length` (little-endian), then `length` bytes as the task wrote them.

use crate::{status::LogStream, time::Timestamp};

/// Bytes before a record's own.
pub const RECORD_HEADER_BYTES: usize = 13;
/// Most bytes of one record.
pub const MAX_RECORD_BYTES: usize = 64 << 10;

/// A piece of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub stream: LogStream,
    pub at: Timestamp,
    pub bytes: &'a [u8],
}

/// Appends `bytes` to `log` as one record, or as several where they are too many for one.
pub fn append(log: &mut Vec<u8>, stream: LogStream, at: Timestamp, bytes: &[u8]) {
    for piece in bytes.chunks(MAX_RECORD_BYTES) {
        let length = u32::try_from(piece.len()).expect("a piece is at most MAX_RECORD_BYTES");
        log.push(tag(stream));
        log.extend_from_slice(&at.unix_ms().to_le_bytes());
        log.extend_from_slice(&length.to_le_bytes());
        log.extend_from_slice(piece);
    }
}

/// Splits the first whole record off `log`.
///
/// # Errors
/// The bytes are not a log.
pub fn split_record(log: &[u8]) -> Result<Option<(Record<'_>, &[u8])>, NotALog> {
    let Some((header, rest)) = log.split_at_checked(RECORD_HEADER_BYTES) else {
        return Ok(None);
    };
    let stream = match header[0] {
        0 => LogStream::Stdout,
        1 => LogStream::Stderr,
        2 => LogStream::System,
        _ => return Err(NotALog),
    };
    let at = u64::from_le_bytes(header[1..9].try_into().map_err(|_| NotALog)?);
    let length = u32::from_le_bytes(header[9..].try_into().map_err(|_| NotALog)?) as usize;
    // No record is empty: what a loss of power leaves at the end of a file, zeros, is none.
    if length == 0 || length > MAX_RECORD_BYTES {
        return Err(NotALog);
    }
    let Some((bytes, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    Ok(Some((
        Record {
            stream,
            at: Timestamp::from_unix_ms(at),
            bytes,
        },
        rest,
    )))
}

/// Returns how many of these bytes are whole records, up to the first that is none.
///
/// # Errors
/// They do not begin like a log.
pub fn whole_records(log: &[u8]) -> Result<usize, NotALog> {
    let mut rest = log;
    loop {
        match split_record(rest) {
            Ok(Some((_, after))) => rest = after,
            Err(NotALog) if rest.len() == log.len() => return Err(NotALog),
            Ok(None) | Err(NotALog) => return Ok(log.len() - rest.len()),
        }
    }
}

/// The bytes are not a sequence of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a log")]
pub struct NotALog;

const fn tag(stream: LogStream) -> u8 {
    match stream {
        LogStream::Stdout => 0,
        LogStream::Stderr => 1,
        LogStream::System => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cut_log_ends_at_its_last_whole_record() {
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
        for cut in 0..log.len() {
            let expect = if cut < first { 0 } else { first };
            assert_eq!(whole_records(&log[..cut]), Ok(expect), "cut at {cut}");
        }
        assert_eq!(whole_records(&log), Ok(log.len()));
    }

    #[test]
    fn zeros_are_no_records() {
        let mut log = Vec::new();
        let at = Timestamp::from_unix_ms(1);
        append(&mut log, LogStream::Stdout, at, b"one\n");
        let good = log.len();
        log.resize(good + 2 * RECORD_HEADER_BYTES, 0);
        assert_eq!(split_record(&log[good..]), Err(NotALog));
        assert_eq!(whole_records(&log), Ok(good));
        assert_eq!(whole_records(&log[good..]), Err(NotALog));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error_or_a_log(bytes: Vec<u8>) {
            if let Ok(whole) = whole_records(&bytes) {
                prop_assert!(whole <= bytes.len());
            }
        }

        #[test]
        fn what_is_appended_comes_back(pieces: Vec<(bool, u32, Vec<u8>)>) {
            let mut log = Vec::new();
            for (err, ms, bytes) in &pieces {
                let stream = if *err { LogStream::Stderr } else { LogStream::Stdout };
                append(&mut log, stream, Timestamp::from_unix_ms(u64::from(*ms)), bytes);
            }
            let (mut rest, mut joined) = (log.as_slice(), Vec::new());
            while let Some((record, after)) = split_record(rest).unwrap() {
                joined.extend_from_slice(record.bytes);
                rest = after;
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(joined, pieces.into_iter().flat_map(|(_, _, bytes)| bytes).collect::<Vec<_>>());
        }
    }
}
