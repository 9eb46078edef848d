//! The rig's parts that jobs are measured with: floors, members, and a machine that runs nothing.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    bench::process::{Ended, until_ready},
    person::Person,
    pool::free_address,
};

/// Tasks that the machine that runs nothing takes at a time.
const SLOTS: u32 = 256;

/// The program of that name.
#[derive(Debug, Clone)]
pub(super) struct Rig(pub(super) PathBuf);

impl Rig {
    fn command(&self, part: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.args(["jobs", part]).stdin(Stdio::null());
        command
    }

    /// Returns plain starts of a program a second, by as many threads as a job's machine has slots here.
    pub(super) fn spawn(&self, count: u32, options: &[&str]) -> Result<f64> {
        let mut spawn = self.command("spawn");
        one(spawn.arg(count.to_string()).args(options))
    }

    /// Returns durable commits of one row a second, to a book that is gone afterwards.
    pub(super) fn commits(&self, folder: &Path, count: u32) -> Result<f64> {
        let book = folder.join("commits.redb");
        let mut commits = self.command("commits");
        let rate = one(commits.arg(&book).arg(count.to_string()));
        fs::remove_file(book)?;
        rate
    }

    /// Makes a book of so many rows.
    pub(super) fn fill(&self, book: &Path, rows: u32) -> Result<()> {
        let mut fill = self.command("rows");
        figures(fill.arg(book).arg(rows.to_string())).map(drop)
    }

    /// Returns the seconds that opening and reading a book took.
    pub(super) fn scan(&self, book: &Path) -> Result<f64> {
        one(self.command("scan").arg(book))
    }

    /// Has a member do something; returns the figures of each line.
    pub(super) fn member(&self, person: &Person, does: &[&str]) -> Result<Vec<Vec<f64>>> {
        let folder = person.home().join(".local/config/compute-share");
        figures(self.command("member").arg(folder).args(does))
    }

    /// Has a machine that runs nothing be there until so many tasks have ended.
    pub(super) fn machine(&self, owner: &Person, until: u32) -> Result<Machine> {
        let mut machine = self.machine_of(owner);
        machine.args(["--until", &until.to_string()]);
        let mut child = Ended(machine.stdout(Stdio::piped()).spawn()?);
        let said = child.0.stdout.take().context("what it says")?;
        let mut said = BufReader::new(said);
        let mut first = String::new();
        said.read_line(&mut first)?;
        ensure!(first.trim() == "ready", "`{machine:?}` is not ready");
        Ok(Machine { child, said })
    }

    /// Has a machine that runs nothing be there for as long as what is returned.
    pub(super) fn machine_that_stays(&self, owner: &Person) -> Result<Ended> {
        until_ready(&mut self.machine_of(owner)).map(Ended)
    }

    fn machine_of(&self, owner: &Person) -> Command {
        let folder = owner.home().join(".local/state/compute-share/agent");
        let mut machine = self.command("machine");
        machine.arg(folder).args(["--slots", &SLOTS.to_string()]);
        machine
    }
}

/// A machine that leaves when enough has ended.
#[derive(Debug)]
pub(super) struct Machine {
    child: Ended,
    said: BufReader<ChildStdout>,
}

impl Machine {
    /// Waits for that, and returns the seconds since it came.
    pub(super) fn left(mut self) -> Result<f64> {
        let mut last = String::new();
        self.said.read_line(&mut last)?;
        let status = self.child.0.wait()?;
        ensure!(status.success(), "the machine ended with {status}");
        Ok(last.trim().parse()?)
    }
}

/// A coordinator and an agent that decide nothing.
#[derive(Debug)]
pub(super) struct Skeleton {
    rig: Rig,
    place: [String; 2],
    _processes: [Ended; 2],
}

impl Skeleton {
    /// Starts both; with `idle` the agent runs nothing.
    pub(super) fn start(rig: &Rig, folder: &Path, idle: bool) -> Result<Self> {
        let folder = folder.join(if idle { "skeleton-idle" } else { "skeleton" });
        fs::create_dir(&folder)?;
        let certificate = folder.join("certificate.der").display().to_string();
        let place = [free_address()?.to_string(), certificate];
        let mut coordinator = rig.command("skeleton-coordinator");
        coordinator.args(&place).arg(folder.join("book.redb"));
        let coordinator = ready(&mut coordinator)?;
        let mut agent = rig.command("skeleton-agent");
        agent.args(&place).args(idle.then_some("--idle"));
        let agent = ready(&mut agent)?;
        Ok(Self {
            rig: rig.clone(),
            place,
            _processes: [coordinator, agent],
        })
    }

    /// Returns the milliseconds of each of so many jobs, one after the other.
    pub(super) fn one_by_one(&self, count: u32) -> Result<Vec<f64>> {
        let mut client = self.rig.command("skeleton-client");
        let lines = figures(client.args(&self.place).arg(count.to_string()))?;
        Ok(lines.concat())
    }

    /// Returns how many jobs a second there are when they come at once.
    pub(super) fn at_once(&self, count: u32) -> Result<f64> {
        let mut client = self.rig.command("skeleton-client");
        one(client
            .args(&self.place)
            .args([&count.to_string(), "--at-once"]))
    }
}

fn ready(command: &mut Command) -> Result<Ended> {
    until_ready(command).map(Ended)
}

fn one(command: &mut Command) -> Result<f64> {
    let figures = figures(command)?.concat();
    figures
        .first()
        .copied()
        .with_context(|| format!("{command:?} printed no figure"))
}

/// Returns the figures of each line that a command printed, which has to succeed.
pub(super) fn figures(command: &mut Command) -> Result<Vec<Vec<f64>>> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    let status = output.status;
    ensure!(status.success(), "{command:?} ended with {status}");
    let said = String::from_utf8(output.stdout)?;
    let figures = |line: &str| line.split(' ').map(str::parse).collect::<Result<_, _>>();
    let read: Result<Vec<Vec<f64>>, _> = said.lines().map(figures).collect();
    read.with_context(|| format!("{command:?} printed {said:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_line_by_line() {
        let shell = |script: &str| figures(Command::new("sh").args(["-c", script]));
        let read = shell("echo 1.5 2; echo 3").unwrap();
        assert_eq!(read, [vec![1.5, 2.0], vec![3.0]]);
        assert!(shell("echo ready").is_err());
        assert!(shell("echo 1; exit 1").is_err());
        assert!(one(Command::new("sh").args(["-c", ":"])).is_err());
    }
}
