//! `cargo xtask vm`: what needs a machine with systemd and cgroup v2, tried in one without hardware support.
//!
//! A Debian of the stable release is made once and kept under `target/vm`; the programs and tests that were just
//! built are put into it, QEMU emulates it, and its serial line says what passed. What is tried there stands in
//! `tests/vm/guest.sh`.

mod tree;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::steps::Outcome;

/// The whole run; it takes some minutes on two processors.
const LIMIT: Duration = Duration::from_secs(25 * 60);
/// Lines from the end that are shown where the machine goes down without a word.
const LAST_LINES: usize = 60;
/// What the guest's own lines begin with.
const OURS: &str = "vm: ";
/// What lines of its tests have in them that are shown at once, long before the end tells everything.
const BAD_NEWS: [&str; 2] = [" ... FAILED", " has been running for over "];
/// What is tried; a guest that tells less has not done its work.
const TRIALS: usize = 9;

/// Runs the command.
///
/// # Errors
/// The machine cannot be made, a trial failed, or the machine went down before its last word.
pub(crate) fn run() -> Result<()> {
    match attempt()? {
        Outcome::Passed => Ok(()),
        Outcome::Skipped(reason) => bail!("{reason}"),
        Outcome::Failed(error) => Err(error),
    }
}

/// Does the same as a step of `cargo xtask test`.
pub(crate) fn attempt() -> Result<Outcome> {
    if !rustix::process::geteuid().is_root() {
        let why = "making a Debian for the virtual machine takes root";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    if std::env::consts::ARCH != "x86_64" {
        return Ok(Outcome::Skipped(
            "the virtual machine is an x86-64".to_owned(),
        ));
    }
    let parts = tree::make()?;
    let log = boot(&parts)?;
    judge(&log)
}

/// Runs the machine to its end, showing its own lines; returns all that it said.
fn boot(parts: &tree::Parts) -> Result<Vec<String>> {
    let processors = thread::available_parallelism().map_or(1, |count| count.get().min(8));
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-m", "6144"]);
    qemu.args(["-smp", &processors.to_string()]);
    qemu.args(["-nographic", "-nodefaults", "-no-reboot", "-nic", "none"]);
    qemu.args(["-serial", "stdio"]);
    let boot = "console=ttyS0 quiet panic=-1 systemd.show_status=no rdinit=/init \
                systemd.unified_cgroup_hierarchy=1 mitigations=off no5lvl";
    qemu.args(["-append", boot]);
    qemu.arg("-kernel").arg(&parts.kernel);
    qemu.arg("-initrd").arg(&parts.archive);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut machine = qemu.spawn().context("cannot start qemu-system-x86_64")?;
    let output = machine.stdout.take().context("its serial line")?;
    let (said, lines) = mpsc::channel();
    let reading = thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if said.send(line).is_err() {
                break;
            }
        }
    });
    let begun = Instant::now();
    let mut log = Vec::new();
    let ended = loop {
        let left = LIMIT.saturating_sub(begun.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                if line.starts_with(OURS) || BAD_NEWS.iter().any(|news| line.contains(news)) {
                    println!("{:>5} s  {line}", begun.elapsed().as_secs());
                }
                log.push(line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break true,
            Err(mpsc::RecvTimeoutError::Timeout) => break false,
        }
    };
    if !ended {
        machine.kill().context("cannot end the machine")?;
    }
    machine.wait().context("the machine's end")?;
    drop(lines);
    let _ended = reading.join();
    ensure!(
        ended,
        "the machine did not come to its end within {LIMIT:?}: {}",
        tail(&log)
    );
    Ok(log)
}

fn judge(log: &[String]) -> Result<Outcome> {
    let verdicts = |word: &str| {
        let begin = format!("{OURS}{word}");
        log.iter()
            .filter(move |line| line.starts_with(&begin))
            .count()
    };
    let (passed, failed) = (verdicts("PASS "), verdicts("FAIL "));
    if failed > 0 || passed != TRIALS || verdicts("DONE") != 1 {
        println!("{}", log.join("\n"));
        bail!("{passed} of {TRIALS} trials passed and {failed} failed in the virtual machine");
    }
    println!("{passed} of {TRIALS} trials passed");
    Ok(Outcome::Passed)
}

fn tail(log: &[String]) -> String {
    log[log.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// Returns an error that names the file.
fn at(path: &Path) -> String {
    format!("cannot use {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_says_too_little_has_failed() {
        let lines = |passed: usize, failed: usize, done: bool| {
            let mut log = vec!["vm: PASS one (1 s)".to_owned(); passed];
            log.extend(vec!["vm: FAIL two (1 s)".to_owned(); failed]);
            log.extend(done.then(|| "vm: DONE".to_owned()));
            log
        };
        assert!(judge(&lines(TRIALS, 0, true)).is_ok());
        assert!(judge(&lines(TRIALS - 1, 0, true)).is_err());
        assert!(judge(&lines(TRIALS - 1, 1, true)).is_err());
        assert!(judge(&lines(TRIALS, 0, false)).is_err());
    }

    #[test]
    fn every_trial_of_the_guest_is_counted() {
        let guest = include_str!("../../tests/vm/guest.sh");
        let trials = guest.lines().filter(|line| line.starts_with("trial \""));
        assert_eq!(trials.count(), TRIALS);
    }

    #[test]
    fn what_measures_is_alone_in_the_guest_as_everywhere() {
        let guest = include_str!("../../tests/vm/guest.sh");
        let mut lines = guest.lines();
        let alone = lines.find_map(|line| line.strip_prefix("alone=\"")?.strip_suffix('"'));
        let nextest = include_str!("../../.config/nextest.toml");
        let filter = nextest
            .lines()
            .find(|line| line.contains("binary(sandbox)"));
        let names = filter
            .into_iter()
            .flat_map(|line| line.split("test(/^").skip(1));
        let names = names.filter_map(|name| Some(name.split_once('/')?.0));
        assert_eq!(
            alone.map(str::to_owned),
            Some(names.collect::<Vec<_>>().join(" "))
        );
    }
}
