//! The process is killed before each step in turn: what was said to be stored is whole, and what goes is gone.
//!
//! The test starts itself again as the process that dies. Killed is as by `kill -9`: what was written stays.

use std::{
    collections::BTreeSet,
    env,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;

/// Tells the process that dies before which step; it is this test again.
pub(super) const KILL_AT: &str = "COMPUTE_SHARE_TEST_KILL_AT";
pub(super) const FOLDER: &str = "COMPUTE_SHARE_TEST_FOLDER";
const NAME: &str =
    "blobs::tests::killed::whatever_was_said_to_be_stored_is_whole_wherever_the_process_is_killed";

const FIRST: std::ops::Range<u32> = 0..20;
const SECOND: std::ops::Range<u32> = 10..30;
const THIRD: std::ops::Range<u32> = 25..38;

static LEFT: AtomicU32 = AtomicU32::new(u32::MAX);

/// Counts a step; before the last one the process is killed.
pub(in crate::blobs) fn step() {
    meanwhile::step();
    let left = LEFT.load(Ordering::SeqCst);
    if left == 0 {
        let itself = rustix::process::getpid();
        rustix::process::kill_process(itself, rustix::process::Signal::KILL).unwrap();
    }
    if left < u32::MAX {
        LEFT.store(left - 1, Ordering::SeqCst);
    }
}

#[test]
fn whatever_was_said_to_be_stored_is_whole_wherever_the_process_is_killed() {
    if let Ok(at) = env::var(KILL_AT) {
        let folder = env::var(FOLDER).unwrap();
        return live_and_die(Path::new(&folder), at.parse().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    save(&store_at(&begun, BEGINNING), &FIRST.collect::<Vec<_>>());
    let mut kills = 0;
    let mut seen = BTreeSet::new();
    for at in 0.. {
        let copy = folder.path().join("copy");
        copy_folder(&begun, &copy);
        let (status, said) = live_again(NAME, &copy, at, &[]);
        seen.insert(said.lines().count());
        look(&copy, &said);
        fs::remove_dir_all(&copy).unwrap();
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "at step {at}: {status}");
        kills += 1;
    }
    println!("killed before {kills} steps");
    assert!(kills > 40, "{kills}");
    assert_eq!(seen.len(), 7, "between any two of what it says: {seen:?}");
}

/// Starts a test again as the process that dies before a step; returns how it ended, and what it said in its folder
/// that it had done.
pub(super) fn live_again(
    name: &str,
    folder: &Path,
    at: u32,
    told: &[(&str, String)],
) -> (ExitStatus, String) {
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", name, "--nocapture"]);
    again.env(KILL_AT, at.to_string()).env(FOLDER, folder);
    again.envs(told.iter().map(|(name, value)| (name, value)));
    again.stdout(Stdio::null()).stderr(Stdio::null());
    let status = again.status().unwrap();
    let said = fs::read_to_string(folder.join("said")).unwrap_or_default();
    (status, said)
}

/// Has the process killed before so many more steps.
pub(super) fn kill_before(steps: u32) {
    LEFT.store(steps, Ordering::SeqCst);
}

/// Uploads, deletes, and has dead space cleared up; says what is done.
fn live_and_die(folder: &Path, at: u32) {
    let say = |what: &str| {
        use std::io::Write as _;
        let path = folder.join("said");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        writeln!(file, "{what}").unwrap();
    };
    kill_before(at);
    let store = store_at(folder, BEGINNING);
    save(&store, &SECOND.collect::<Vec<_>>());
    say("second");
    // A part of the first is counted when it goes, and nothing of the second.
    store.count_step(&mut None).unwrap();
    bring(&store.begin(), &[38, 39]).unwrap();
    say("broken off");
    store
        .doom(&[made_of(&FIRST.collect::<Vec<_>>()).id()])
        .unwrap();
    say("doomed");
    store.collect().unwrap();
    say("collected");
    save(&store, &THIRD.collect::<Vec<_>>());
    say("third");
    store.count().unwrap();
    say("counted");
    kill_before(u32::MAX);
    std::process::exit(0);
}

/// Opens the store of a process that was killed, and goes on where it was.
fn look(folder: &Path, said: &str) {
    let said: BTreeSet<&str> = said.lines().collect();
    let [first, second, third] = [FIRST, SECOND, THIRD].map(|range| range.collect::<Vec<_>>());
    let store = store_at(folder, BEGINNING);
    assert_eq!(files(folder, "temps"), [""; 0]);
    let there = |numbers: &[u32]| store.has_tree(made_of(numbers).id()).unwrap();
    if there(&first) {
        assert!(!said.contains("doomed"));
    }
    assert!(said.contains("doomed") || there(&first) || said.contains("broken off"));
    assert!(there(&second) || !said.contains("second"));
    assert!(there(&third) || !said.contains("third"));
    let check = |store: &Store| {
        for numbers in [&first, &second, &third] {
            if store.has_tree(made_of(numbers).id()).unwrap() {
                check_whole(store, numbers);
            }
        }
    };
    check(&store);
    if said.contains("broken off") {
        assert_eq!(
            bring(&store.begin(), &[38, 39]),
            Ok(0),
            "nobody brings it twice"
        );
    }
    store.doom(&[made_of(&first).id()]).unwrap();
    store.collect().unwrap();
    check(&store);
    drop(store);
    // A day later nothing is there but what trees have.
    let store = store_at(folder, BEGINNING + 2 * DAY);
    store.collect().unwrap();
    check(&store);
    let mut live: Vec<u32> = Vec::new();
    for numbers in [&second, &third] {
        if store.has_tree(made_of(numbers).id()).unwrap() {
            live.extend(numbers.iter());
        }
    }
    live.sort_unstable();
    live.dedup();
    assert_eq!(stored(&store), live);
    save(&store, &second);
    save(&store, &third);
    check(&store);
    drop(store);
    assert_eq!(super::check(folder).unwrap(), Unsound::default());
}
