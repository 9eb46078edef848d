//! A gigabyte of each kind over loopback, cold, again, and changed by one hundredth.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Kind, Place, Tools, lend_all_room,
    others::Others,
    peers::{BareQuic, Rsync, copy},
    seconds, stage,
    table::{Bound, Table, verdict},
};
use crate::{
    bench::load,
    person::{Person, Voice},
    pool::Pool,
};

/// Of each kind of data.
pub(super) const MIB: u64 = 1024;
const ROUNDS: usize = 5;
/// How often a job is run with data that is there.
const AGAIN: usize = 10;
/// People's files are mostly older than what an upload trusts to be as it was.
const OLD_ENOUGH: Duration = Duration::from_secs(61);
/// The floors, with eight streams.
const BEFORE_UPLOAD: &str = "bare QUIC before the upload";
const BEFORE_JOB: &str = "bare QUIC before the job";
const KEPT: &str = "bare QUIC, written and synced";
/// How often everything is read.
const READS: usize = 5;
const IP: &str = "127.0.0.1";
const ADDRESS: &str = "127.0.0.1:7000";
const LOOPBACK: &str = "lo";
const MACHINE: &str = "box";

/// Bare QUIC whose bytes nobody keeps, and that whose bytes are safe at the end.
#[derive(Debug)]
struct Floors {
    dropping: BareQuic,
    keeping: BareQuic,
}

pub(super) fn measure(tools: &Tools, kind: Kind) -> Result<()> {
    let name = kind.name();
    println!("near: loopback, {MIB} MiB of {name} files, {ROUNDS} rounds");
    let place = Place::new()?;
    let stage = stage()?;
    let folder = stage.path().to_owned();
    let network = Some(place.pid());
    let pool = Pool::open_at(stage, &tools.programs, Voice::Silent, ADDRESS, network)?;
    let bob = pool.member_in("bob", network)?;
    lend_all_room(&pool, &bob, MACHINE)?;
    let dropping = BareQuic::dropping(tools, &place, IP, &folder)?;
    let keeping = BareQuic::keeping(tools, &place, IP, &folder)?;
    let floors = Floors { dropping, keeping };
    let others = Others::serve(&place, IP, &folder)?;
    let mut table = Table::default();
    others.measure(tools, &place, kind, &folder, &mut table)?;
    for round in 1..=ROUNDS {
        let folder = folder.join(round.to_string());
        one_round(tools, &place, &pool, &floors, kind, &folder, &mut table)?;
        println!("{name} files, round {round} of {ROUNDS}; load {}", load());
    }
    report(kind, &table);
    table.judge(&others.bounds(kind));
    Ok(())
}

/// What was measured is emptied at once and removed when all rounds are over: an ext4 without a journal gives a new file no
/// inode that was freed in the last minutes, and looks at each of those, so that whoever comes after twenty thousand files
/// were removed pays for it.
fn one_round(
    tools: &Tools,
    place: &Place,
    pool: &Pool,
    floors: &Floors,
    kind: Kind,
    folder: &Path,
    table: &mut Table,
) -> Result<()> {
    let alice = &pool.alice;
    let (outbox, inbox, copies) = (
        folder.join("outbox"),
        folder.join("inbox"),
        folder.join("copies"),
    );
    for path in [&outbox, &inbox, &copies] {
        fs::create_dir_all(path)?;
    }
    let source = outbox.join("data");
    tools.fill(&source, kind.name(), MIB)?;
    let filled = Instant::now();
    let rsync = Rsync::serve(place, IP, folder, &outbox, &inbox)?;

    tools.warm()?;
    table.time("cp -r", || copy(&source, &copies.join("cp")))?;
    empty(&copies.join("cp"))?;
    tools.warm()?;
    table.time("rsync daemon up", || rsync.up(place, &source))?;
    empty(&inbox)?;
    thread::sleep(OLD_ENOUGH.saturating_sub(filled.elapsed()));
    let name = format!("{}-data", kind.name());
    let path = source.display().to_string();
    let upload = [
        "compute-share",
        "dataset",
        "upload",
        &path,
        "--name",
        &name,
        "-q",
    ];
    // Beside each other in time too: a virtual machine has better and worse minutes.
    tools.warm()?;
    table.time(KEPT, || floors.keeping.put(place, MIB))?;
    tools.warm()?;
    table.time(BEFORE_UPLOAD, || floors.dropping.put(place, MIB))?;
    tools.warm()?;
    table.measure("dataset upload", (place, LOOPBACK), || time(alice, &upload))?;

    tools.warm()?;
    table.time("rsync daemon down", || rsync.down(place, "data", &copies))?;
    let to_machine = with_data(&name);
    let plain = without_data();
    tools.warm()?;
    table.time(BEFORE_JOB, || floors.dropping.put(place, MIB))?;
    tools.warm()?;
    table.measure("job, data cold", (place, LOOPBACK), || {
        time(alice, &strs(&to_machine))
    })?;
    let got = folder.join("got").display().to_string();
    let download = [
        "compute-share",
        "dataset",
        "download",
        &name,
        "--to",
        &got,
        "-q",
    ];
    tools.warm()?;
    table.measure("dataset download", (place, LOOPBACK), || {
        time(alice, &download)
    })?;
    empty(Path::new(&got))?;

    for _ in 0..AGAIN {
        table.time("rsync daemon, nothing changed", || {
            rsync.down(place, "data", &copies)
        })?;
        table.time("job without data", || time(alice, &strs(&plain)))?;
        table.measure("job, data there", (place, LOOPBACK), || {
            time(alice, &strs(&to_machine))
        })?;
    }
    for _ in 0..READS {
        table.time("reading, plain files", || {
            read(&mut reading(&copies.join("data"), kind))
        })?;
        table.time("reading, in a job", || {
            read(&mut alice.command(&strs(&reading_job(&name, kind))))
        })?;
    }
    table.measure("dataset upload, nothing changed", (place, LOOPBACK), || {
        time(alice, &upload)
    })?;

    tools.change(&source, kind)?;
    tools.warm()?;
    table.measure("rsync daemon down, 1 % changed", (place, LOOPBACK), || {
        rsync.down(place, "data", &copies)
    })?;
    tools.warm()?;
    table.measure("dataset upload, 1 % changed", (place, LOOPBACK), || {
        time(alice, &upload)
    })?;
    tools.warm()?;
    table.measure("job, 1 % changed", (place, LOOPBACK), || {
        time(alice, &strs(&to_machine))
    })?;

    alice.does(&["compute-share", "dataset", "delete", &name, "--yes"])?;
    empty(&source)?;
    empty(&copies)?;
    Ok(())
}

/// Takes everything out of a folder's files, and leaves the files.
pub(super) fn empty(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            empty(&entry.path())?;
        } else {
            File::create(entry.path())?;
        }
    }
    Ok(())
}

fn with_data(name: &str) -> Vec<String> {
    let mount = format!("{name}:/data");
    let words = [
        "compute-share",
        "run",
        "--no-workdir",
        "--dataset",
        &mount,
        "--",
        "true",
    ];
    words.map(str::to_owned).to_vec()
}

/// What reads everything and prints how many seconds that took, in one or several lines: large files with dd, which
/// says it itself, small ones in a walk.
fn reader(folder: &str, kind: Kind) -> String {
    match kind {
        Kind::Big => format!(
            "find {folder} -type f -exec dd if={{}} of=/dev/null bs=1M \\; 2>&1 | sed -n 's/.*copied, \\([^ ]*\\) s.*/\\1/p'"
        ),
        Kind::Small => format!(
            "b=$(date +%s%N); find {folder} -type f -exec cat {{}} + > /dev/null; echo $(( $(date +%s%N) - b ))e-9"
        ),
    }
}

fn reading(folder: &Path, kind: Kind) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &reader(&folder.display().to_string(), kind)]);
    shell
}

fn reading_job(name: &str, kind: Kind) -> Vec<String> {
    let mut words = with_data(name);
    words.pop();
    words.extend(["sh", "-c", &reader("/data", kind)].map(str::to_owned));
    words
}

/// Returns how long a command says that reading took.
fn read(command: &mut Command) -> Result<f64> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?} failed: {output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    let seconds = said.lines().map(|line| line.trim().parse::<f64>());
    let seconds: Vec<f64> = seconds.collect::<Result<_, _>>().context("the seconds")?;
    ensure!(!seconds.is_empty(), "{command:?} read nothing");
    Ok(seconds.iter().sum())
}

fn without_data() -> Vec<String> {
    ["compute-share", "run", "--no-workdir", "--", "true"]
        .map(str::to_owned)
        .to_vec()
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

pub(super) fn time(person: &Person, words: &[&str]) -> Result<f64> {
    seconds(&mut person.command(words))
}

fn report(kind: Kind, table: &Table) {
    let mb = (MIB << 20) as f64 / 1e6;
    table.print(&format!("{} files, {mb:.0} MB", kind.name()), mb);
    let cold = |ours, theirs, most, what| Bound {
        what,
        ours,
        theirs,
        most,
    };
    match kind {
        Kind::Big => table.judge(&[
            cold(
                "job, data cold",
                BEFORE_JOB,
                1.0 / 0.85,
                "cold beside bare QUIC",
            ),
            cold(
                "dataset upload",
                BEFORE_UPLOAD,
                1.0 / 0.85,
                "upload beside bare QUIC",
            ),
            cold(
                "dataset upload",
                KEPT,
                1.0 / 0.85,
                "upload, which is safe at its end, beside bare QUIC that is too",
            ),
            cold(
                "job, data cold",
                "rsync daemon down",
                1.0,
                "stretch: cold beside rsync's plaintext",
            ),
            cold(
                "job, 1 % changed",
                "rsync daemon down, 1 % changed",
                0.6,
                "1 % changed beside rsync",
            ),
        ]),
        Kind::Small => table.judge(&[
            cold(
                "job, data cold",
                "rsync daemon down",
                1.0,
                "cold beside rsync",
            ),
            cold(
                "dataset upload",
                "rsync daemon up",
                1.0,
                "upload beside rsync",
            ),
            cold(
                "job, data cold",
                "cp -r",
                1.0 / 0.8,
                "stretch: cold beside cp -r",
            ),
            cold(
                "job, 1 % changed",
                "rsync daemon down, 1 % changed",
                1.0,
                "1 % changed beside rsync",
            ),
        ]),
    }
    verdict(
        "throughput of plain files beside that of a mounted dataset",
        table.median("reading, in a job") / table.median("reading, plain files"),
        1.0 / 0.95,
    );
    let mount = table.median("job, data there") - table.median("job without data");
    println!("  mount of data that is there: {:.2} ms", mount * 1e3);
    verdict(
        "mount beside rsync's look",
        mount / table.median("rsync daemon, nothing changed"),
        0.05,
    );
    let changed = mb * 1e6 / 100.0;
    for name in ["dataset upload, 1 % changed", "job, 1 % changed"] {
        verdict(
            &format!("bytes of {name}, beside those that changed"),
            table.wire(name) / changed,
            1.5,
        );
    }
}
