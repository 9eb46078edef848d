//! Processes that a benchmark starts and watches.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// A process that is ended with this value.
#[derive(Debug)]
pub(super) struct Ended(pub(super) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Starts a process and waits until it says that it is ready.
pub(super) fn until_ready(command: &mut Command) -> Result<Child> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut first = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut first)?;
    }
    if first.trim() != "ready" {
        child.kill()?;
        child.wait()?;
    }
    ensure!(first.trim() == "ready", "`{command:?}` is not ready");
    Ok(child)
}

/// Returns the memory that a process has now.
pub(super) fn resident_mib(pid: u64) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Returns user and system time so far: fields 14 and 15 of `/proc/PID/stat`, counted after the program's name.
pub(super) fn cpu_seconds(pid: u64) -> Result<f64> {
    /// Linux tells these times in hundredths of a second on every platform.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("a process's name ends")?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next().context("user time")?.parse()?;
    let system: f64 = fields.next().context("system time")?.parse()?;
    Ok((user + system) / TICKS_PER_SECOND)
}
