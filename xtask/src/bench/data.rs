//! `cargo xtask bench data`: how long data takes to be where it is needed, beside bare QUIC, `cp` and rsync's daemon,
//! in one run and taking turns. Judge the ratios; absolute times are this machine's.
//!
//! Everything runs in network namespaces of its own, so that the bytes on the wire are those of the benchmark, and so
//! that a line can be as bad as those at home. Takes root and rsync.

mod crowd;
mod far;
mod large;
mod near;
mod others;
mod peers;
mod place;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

pub(crate) use self::place::Place;
use crate::{
    person::Person,
    pool::Pool,
    stage::Stage,
    workspace::{Profile, build_programs, cargo, is_there, run as run_in_root, target},
};

/// The whole measurement, on a machine under load.
const LIMIT: Duration = Duration::from_secs(3600);

/// More than what any of it takes at once.
const WARM_MIB: &str = "3072";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// A gibibyte in large files, over loopback.
    Big,
    /// The same in small files.
    Small,
    /// The same kinds of data over 100 Mbit/s with 40 ms and 1 % loss.
    Far,
    /// One dataset to eight machines behind a coordinator with 100 Mbit/s.
    Crowd,
    /// Ten gigabytes, and a million files: memory and time.
    Large,
}

/// What a measurement needs besides the programs of Compute Share.
#[derive(Debug)]
struct Tools {
    programs: PathBuf,
    rig: PathBuf,
}

/// Which files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Big,
    Small,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Big => "big",
            Self::Small => "small",
        }
    }
}

/// Runs one part, or all of them.
///
/// # Errors
/// The build fails, or something does not end as it should.
pub(crate) fn run(part: Option<Part>) -> Result<()> {
    ensure!(
        is_there("rsync", &["--version"]),
        "rsync is missing: apt-get install rsync"
    );
    let programs = build_programs(Profile::Release)?;
    run_in_root(&mut cargo(&[
        "build",
        "--locked",
        "--release",
        "-p",
        "compute-share-rig",
    ]))?;
    let tools = Tools {
        programs,
        rig: target()?.join("release/compute-share-rig"),
    };
    let is = |wanted: Part| part.is_none_or(|part| part == wanted);
    if is(Part::Big) {
        near::measure(&tools, Kind::Big)?;
    }
    if is(Part::Small) {
        near::measure(&tools, Kind::Small)?;
    }
    if is(Part::Far) {
        far::measure(&tools)?;
    }
    if is(Part::Crowd) {
        crowd::measure(&tools)?;
    }
    if is(Part::Large) {
        large::measure(&tools)?;
    }
    Ok(())
}

fn stage() -> Result<Stage> {
    Stage::open("compute-share-bench-", LIMIT)
}

impl Tools {
    fn fill(&self, folder: &Path, kind: &str, mib: u64) -> Result<()> {
        let mut fill = Command::new(&self.rig);
        fill.arg("fill")
            .arg(folder)
            .args([kind, "--mib", &mib.to_string()]);
        seconds(&mut fill).map(drop)
    }

    /// Has the memory ready that what is measured next takes, and the disk idle, whoever's turn it is: what others wrote
    /// and did not wait for goes to the disk before.
    fn warm(&self) -> Result<()> {
        seconds(&mut Command::new("sync"))?;
        let mut warm = Command::new(&self.rig);
        seconds(warm.args(["warm", "--mib", WARM_MIB])).map(drop)
    }

    fn change(&self, folder: &Path, kind: Kind) -> Result<()> {
        let mut change = Command::new(&self.rig);
        seconds(change.arg("change").arg(folder).arg(kind.name())).map(drop)
    }
}

/// The rules of a machine's owner, in their home.
const RULES: &str = ".local/state/compute-share/agent/owner.yaml";

/// Lends a machine with room for everything: by default half of a free disk is lent, and a quarter of that is the cache's,
/// which then makes room while something is measured.
fn lend_all_room(pool: &Pool, person: &Person, machine: &str) -> Result<()> {
    let rules = person.home().join(RULES);
    fs::create_dir_all(rules.parent().context("a folder")?)?;
    let all = "resources: {disk_limit: 1TiB}\ndata: {cache_limit: 20GiB}\n";
    fs::write(rules, all)?;
    pool.lend(person, machine)
}

/// Returns how long a command took that has to succeed.
fn seconds(command: &mut Command) -> Result<f64> {
    command.stdin(Stdio::null());
    let begin = Instant::now();
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let took = begin.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {said}",
        output.status
    );
    Ok(took)
}
