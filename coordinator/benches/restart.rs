//! What jobs that wait take of memory, and how long a coordinator reads them after a restart: 200,000 single jobs of 100
//! members, on a book on this machine's disk. `cargo xtask bench restart` calls it.
//!
//! Each part is a process of its own, so that memory is that part's. Beside the reading stands the floor: the same rows,
//! taken from the book into a map by redb alone.

mod people;

use std::{
    collections::HashMap,
    env, fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use common::{
    api::job::SubmitJob,
    id::{IdempotencyKey, JobId},
};
use coordinator::measure::Measured;
use coordinator_core::{Actor, Body};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use self::people::{ALICE, ORG, enrol, invitation, member, name, register, spec};

/// `RESTART_BENCH_JOBS=1000000` is another number of jobs.
const JOBS: u64 = 200_000;
const MEMBERS: u64 = 100;
/// How often the book is read, and by redb alone.
const ROUNDS: usize = 5;
/// Commands of one batch.
const BATCH: u64 = 1024;
/// The rows of jobs.
const TABLES: [&str; 2] = ["jobs-1", "job-progress-1"];
/// Bytes of memory that a job may take. It is what the performance goals ask for.
const MOST_BYTES: f64 = 800.0;

fn main() {
    let jobs = env::var("RESTART_BENCH_JOBS").map_or(JOBS, |jobs| jobs.parse().expect("a number"));
    let mut arguments = env::args().skip(1).skip_while(|word| word == "--bench");
    if let (Some(part), Some(book)) = (arguments.next(), arguments.next()) {
        let (seconds, bytes) = match part.as_str() {
            "fill" => fill(book.as_ref(), jobs),
            "read" => timed(|| Measured::open(book.as_ref()).expect("the book is good")),
            _ => timed(|| scan(book.as_ref())),
        };
        println!("{seconds} {bytes}");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let book = folder.path().join("store.redb");
    let each = |bytes: f64| bytes / to_f64(jobs);
    let (seconds, bytes) = part("fill", &book);
    println!(
        "{jobs} single jobs: {:.1} us and {:.0} bytes of memory each, submitted",
        seconds * 1e6 / to_f64(jobs),
        each(bytes)
    );
    let mut over = each(bytes) > MOST_BYTES;
    let (mut reads, mut scans, mut held) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        scans.push(part("scan", &book).0);
        let (seconds, bytes) = part("read", &book);
        reads.push(seconds);
        held = each(bytes);
    }
    over |= held > MOST_BYTES;
    let (read, floor) = (median(&mut reads), median(&mut scans));
    println!(
        "read again: {:.2} us and {held:.0} bytes each; floor {:.2} us, x {:.2}",
        read * 1e6 / to_f64(jobs),
        floor * 1e6 / to_f64(jobs),
        read / floor
    );
    assert!(!over, "a job takes more than {MOST_BYTES} bytes");
}

/// Runs one part in a process of its own; returns its seconds, and bytes of memory that it took.
fn part(part: &str, book: &Path) -> (f64, f64) {
    let mut command = Command::new(env::current_exe().expect("this program"));
    let output = command
        .arg(part)
        .arg(book)
        .stderr(Stdio::inherit())
        .output();
    let output = output.expect("this program can be started").stdout;
    let text = String::from_utf8(output).expect("text");
    let mut numbers = text
        .split_whitespace()
        .map(|word| word.parse().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    (next(), next())
}

fn timed<T>(what: impl FnOnce() -> T) -> (f64, f64) {
    let (before, begin) = (resident(), Instant::now());
    let made = what();
    let seconds = begin.elapsed().as_secs_f64();
    let bytes = resident() - before;
    drop(made);
    (seconds, bytes)
}

fn fill(book: &Path, jobs: u64) -> (f64, f64) {
    let mut measured = Measured::on(book).expect("a book can be made");
    let create = Body::CreateOrg {
        org: ORG,
        name: name("lab"),
        owner: ALICE,
        handle: name("alice"),
    };
    let invitation = invitation(1, u32::try_from(MEMBERS).expect("a small number"));
    let mut batch = vec![(Actor::System, create), (Actor::User(ALICE), invitation)];
    batch.extend((0..MEMBERS).map(|number| (Actor::Stranger, enrol(1, number))));
    // It never comes: all jobs wait.
    batch.push((Actor::User(ALICE), register(0)));
    measured.batch(batch).expect("the commands are good");
    let (before, begin) = (resident(), Instant::now());
    for batch in 0..jobs.div_ceil(BATCH) {
        let first = batch * BATCH;
        let batch = (first..jobs.min(first + BATCH)).map(submit).collect();
        measured.batch(batch).expect("the jobs are good");
    }
    (begin.elapsed().as_secs_f64(), resident() - before)
}

/// Ids come in their order, as those of the programs do.
fn submit(number: u64) -> (Actor, Body) {
    let mut spec = spec();
    spec.command.push(format!("--seed={number}"));
    let key = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let body = Body::SubmitJob {
        job: JobId::from_bytes((u128::from(number) + 1).to_be_bytes()),
        request: SubmitJob {
            org: ORG,
            spec,
            key: IdempotencyKey::from_bytes(key.to_be_bytes()),
            dry_run: false,
        },
    };
    (Actor::User(member(number % MEMBERS)), body)
}

fn scan(book: &Path) -> Vec<HashMap<Vec<u8>, Vec<u8>>> {
    let book = Database::open(book).expect("the book is good");
    let read = book.begin_read().expect("the book is good");
    let tables = TABLES.map(|table| {
        let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
        let rows = read.open_table(table).expect("the table is there");
        let rows = rows.iter().expect("the table is good");
        let rows = rows.map(|row| {
            let (key, value) = row.expect("the row is good");
            (key.value().to_vec(), value.value().to_vec())
        });
        rows.collect()
    });
    tables.into()
}

/// Bytes of this process that are in memory.
fn resident() -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.expect("every process has some")
        .parse::<f64>()
        .expect("a number")
        * 1024.0
}

fn to_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).expect("a million or so"))
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
