use common::{id::JobId, logs, status::LogStream, time::Timestamp};

use super::*;

const ATTEMPT: AttemptId = AttemptId {
    job: JobId::from_bytes([7; 16]),
    task: 0,
    number: 1,
};

fn records(lines: &[&str]) -> Vec<u8> {
    let mut log = Vec::new();
    for line in lines {
        let at = Timestamp::from_unix_ms(1);
        logs::append(&mut log, LogStream::Stdout, at, line.as_bytes());
    }
    log
}

fn opened() -> (tempfile::TempDir, Logs) {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path()).unwrap();
    (folder, logs)
}

#[test]
fn a_piece_is_taken_only_at_the_end_and_only_whole() {
    let (_folder, logs) = opened();
    let log = logs.writer(ATTEMPT).unwrap();
    let (first, second) = (records(&["one\n"]), records(&["two\n"]));
    let end = log.append(0, &first).unwrap();
    assert_eq!(end, first.len() as u64);
    assert!(matches!(
        log.append(0, &first),
        Err(LogError::Offset { expected, found: 0 }) if expected == end
    ));
    assert!(matches!(
        log.append(end + 1, &second),
        Err(LogError::Offset { .. })
    ));
    assert!(matches!(
        log.append(end, &second[..second.len() - 1]),
        Err(LogError::CutRecord)
    ));
    assert!(matches!(
        log.append(end, &[9; 20]),
        Err(LogError::NotALog(_))
    ));
    assert_eq!(log.synced(), 0);
    log.append(end, &second).unwrap();
    assert_eq!(log.sync().unwrap(), log.length());
    assert_eq!(log.synced(), log.length());
    let all = logs.read(ATTEMPT, 0, 1 << 20).unwrap();
    assert_eq!(all, records(&["one\n", "two\n"]));
}

#[test]
fn a_crash_in_the_middle_of_a_record_costs_that_record_only() {
    let whole = records(&["one\n", "two\n"]);
    let first = records(&["one\n"]).len() as u64;
    for cut in 0..whole.len() {
        let (_folder, logs) = opened();
        fs::create_dir_all(logs.job_folder(ATTEMPT.job)).unwrap();
        fs::write(logs.path(ATTEMPT), &whole[..cut]).unwrap();
        let log = logs.writer(ATTEMPT).unwrap();
        let expect = if (cut as u64) < first { 0 } else { first };
        assert_eq!(log.length(), expect, "cut at {cut}");
        assert_eq!(logs.length(ATTEMPT), expect);
        log.append(expect, &records(&["again\n"])).unwrap();
    }
}

#[test]
fn what_a_loss_of_power_leaves_is_cut_off() {
    let (_folder, logs) = opened();
    fs::create_dir_all(logs.job_folder(ATTEMPT.job)).unwrap();
    for filler in [0, 0xff] {
        let mut bytes = records(&["one\n"]);
        let whole = bytes.len() as u64;
        bytes.extend_from_slice(&[filler; 4096]);
        fs::write(logs.path(ATTEMPT), &bytes).unwrap();
        // Who follows before anybody writes is told of it neither.
        assert_eq!(logs.read(ATTEMPT, 0, 1 << 20).unwrap(), records(&["one\n"]));
        assert!(logs.read(ATTEMPT, whole, 1 << 20).unwrap().is_empty());
        assert_eq!(logs.writer(ATTEMPT).unwrap().length(), whole);
    }
}

#[test]
fn what_was_taken_is_there_when_it_is_opened_again() {
    let (_folder, logs) = opened();
    let log = logs.writer(ATTEMPT).unwrap();
    let end = log.append(0, &records(&["one\n"])).unwrap();
    // An empty record would be taken for the rest of a crash: none is taken.
    assert!(log.append(end, &[0; logs::RECORD_HEADER_BYTES]).is_err());
    let mut more = records(&["two\n"]);
    more.extend_from_slice(&[0; logs::RECORD_HEADER_BYTES]);
    more.extend_from_slice(&records(&["three\n"]));
    assert!(log.append(end, &more).is_err());
    let end = log.append(end, &records(&["two\n"])).unwrap();
    log.sync().unwrap();
    drop(log);
    assert_eq!(logs.writer(ATTEMPT).unwrap().length(), end);
}

#[test]
fn readers_get_whole_records_within_their_bound() {
    let (_folder, logs) = opened();
    let log = logs.writer(ATTEMPT).unwrap();
    let all = records(&["one\n", "two\n"]);
    let first = records(&["one\n"]);
    log.append(0, &all).unwrap();
    assert_eq!(logs.read(ATTEMPT, 0, all.len() - 1).unwrap(), first);
    let rest = logs.read(ATTEMPT, first.len() as u64, 1 << 20).unwrap();
    assert_eq!([first, rest].concat(), all);
    assert!(logs.read(ATTEMPT, all.len() as u64, 10).unwrap().is_empty());
    assert!(logs.read(ATTEMPT, 1 << 40, 10).unwrap().is_empty());
    let nobody = AttemptId {
        number: 2,
        ..ATTEMPT
    };
    assert!(logs.read(nobody, 0, 10).unwrap().is_empty());
}

#[test]
fn everybody_who_writes_shares_one_file() {
    let (_folder, logs) = opened();
    let (one, other) = (logs.writer(ATTEMPT).unwrap(), logs.writer(ATTEMPT).unwrap());
    one.append(0, &records(&["one\n"])).unwrap();
    assert_eq!(other.length(), one.length());
    drop((one, other));
    assert_eq!(logs.totals().unwrap(), (1, logs.length(ATTEMPT)));
}
