//! Who types into a terminal, as `w` knows it: the sessions in utmp, and when each terminal was last read from.
//!
//! The weakest source: it says nothing where a session has no terminal (a desktop), or where nobody is logged in
//! on one, because somebody at a desktop may not be in utmp at all.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use common::time::Timestamp;

use super::Roots;

/// One record of utmp, the same on every architecture with a C library that counts in 32 bits there.
const RECORD_BYTES: usize = 384;
/// Most records that are read.
const MAX_RECORDS: u64 = 4_096;
/// The kind of a record of somebody who is logged in.
const USER_PROCESS: i16 = 7;
const LINE: std::ops::Range<usize> = 8..40;

/// Returns how long nothing was typed on any terminal; `None` where that cannot be told.
pub(super) fn idle(roots: &Roots, now: Timestamp) -> Option<Duration> {
    let utmp = roots.path("run/utmp");
    if fs::metadata(&utmp).ok()?.len() > MAX_RECORDS * RECORD_BYTES as u64 {
        return None;
    }
    let bytes = fs::read(utmp).ok()?;
    let lines = bytes.chunks_exact(RECORD_BYTES).filter_map(line_of_user);
    let read_at: Vec<Option<Timestamp>> = lines
        .map(|line| read_at(&roots.path("dev"), &line))
        .collect();
    let last = read_at.into_iter().collect::<Option<Vec<_>>>()?;
    last.into_iter().max().map(|last| now.since(last))
}

fn line_of_user(record: &[u8]) -> Option<String> {
    let kind = i16::from_ne_bytes([record[0], record[1]]);
    let line = record[LINE].split(|byte| *byte == 0).next()?;
    (kind == USER_PROCESS).then(|| String::from_utf8_lossy(line).into_owned())
}

/// Returns when a terminal was last read from; `None` for a session that has none.
fn read_at(dev: &Path, line: &str) -> Option<Timestamp> {
    let plain = !line.is_empty() && !line.contains("..") && !line.starts_with(['/', ':']);
    let metadata = plain.then(|| fs::metadata(dev.join(line)).ok()).flatten()?;
    let seconds = u64::try_from(metadata.atime()).ok()?;
    Some(Timestamp::from_unix_ms(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: i16, line: &str) -> Vec<u8> {
        let mut record = vec![0; RECORD_BYTES];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[LINE.start..LINE.start + line.len()].copy_from_slice(line.as_bytes());
        record
    }

    #[test]
    fn the_last_terminal_that_was_typed_into_counts() {
        let temp = tempfile::tempdir().unwrap();
        let roots = Roots::standing_in(temp.path(), "");
        for folder in ["run", "dev/pts"] {
            fs::create_dir_all(temp.path().join(folder)).unwrap();
        }
        let read = |line: &str, at: u64| {
            let file = fs::File::create(temp.path().join("dev").join(line)).unwrap();
            let at = std::time::UNIX_EPOCH + Duration::from_secs(at);
            file.set_times(fs::FileTimes::new().set_accessed(at))
                .unwrap();
        };
        read("pts/0", 1_000);
        read("tty1", 1_400);
        let logged_in = |records: &[Vec<u8>]| {
            fs::write(temp.path().join("run/utmp"), records.concat()).unwrap();
            idle(&roots, Timestamp::from_unix_ms(2_000_000))
        };
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!(idle(&roots, Timestamp::from_unix_ms(0)), None);
        assert_eq!(logged_in(&[]), None);
        let (one, two) = (record(USER_PROCESS, "pts/0"), record(USER_PROCESS, "tty1"));
        assert_eq!(logged_in(std::slice::from_ref(&one)), secs(1_000));
        assert_eq!(logged_in(&[one.clone(), two]), secs(600));
        assert_eq!(logged_in(&[one.clone(), record(8, "tty1")]), secs(1_000));
        // A desktop, a terminal that is gone, a name that leads elsewhere: all cannot be told.
        for line in [":0", "pts/9", "../run/utmp"] {
            assert_eq!(
                logged_in(&[one.clone(), record(USER_PROCESS, line)]),
                None,
                "{line}"
            );
        }
        fs::write(temp.path().join("run/utmp"), [7; 100]).unwrap();
        assert_eq!(idle(&roots, Timestamp::from_unix_ms(0)), None);
    }
}
