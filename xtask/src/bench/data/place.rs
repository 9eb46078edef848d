//! Network namespaces of the benchmark's own: held by a process each, joined by lines that are as bad as one likes.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
};

use anyhow::{Context, Result, ensure};

use crate::bench::process::until_ready;

/// A network namespace, which is there for as long as the process that holds it.
#[derive(Debug)]
pub(crate) struct Place {
    holder: Child,
}

/// How good a line is, each way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quality {
    pub(super) mbit: f64,
    pub(super) delay_ms: f64,
    pub(super) loss_percent: f64,
}

impl Place {
    /// Makes a namespace with loopback alone.
    ///
    /// # Errors
    /// It takes root.
    pub(super) fn new() -> Result<Self> {
        let mut hold = Command::new("unshare");
        hold.args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up && echo ready && exec sleep infinity",
        ]);
        let holder = until_ready(&mut hold).context("a network namespace takes root")?;
        Ok(Self { holder })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Returns how a command is started in it.
    pub(crate) fn enter(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--net", "--target", &self.pid().to_string(), "--"])
            .arg(program);
        command
    }

    /// Runs one `ip` or `tc` command in it.
    pub(super) fn set(&self, line: &str) -> Result<()> {
        let mut words = line.split(' ');
        let output = self
            .enter(words.next().unwrap_or_default())
            .args(words)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{line}` failed: {said}");
        Ok(())
    }

    /// Returns the bytes that a device of it has sent and received so far.
    pub(super) fn traffic(&self, device: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/net/dev", self.pid()))?;
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'));
        let numbers = line
            .with_context(|| format!("no device {device}"))?
            .split_whitespace();
        let numbers: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>()?;
        // Loopback counts every packet in both directions.
        Ok(if device == "lo" {
            numbers[0]
        } else {
            numbers[0] + numbers[8]
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The kernel removes the namespace with its last process.
        let _gone_already = self.holder.kill();
        let _reaped = self.holder.wait();
    }
}

/// A line between two places; the left end is 10.77.0.1, the right one 10.77.0.2.
#[derive(Debug)]
pub(super) struct Line(Child);

pub(super) const LEFT: &str = "10.77.0.1";
pub(super) const RIGHT: &str = "10.77.0.2";
pub(super) const DEVICE: &str = "line0";

impl Line {
    pub(super) fn between(
        left: &Place,
        right: &Place,
        quality: Quality,
        rig: &Path,
    ) -> Result<Self> {
        let mut join = Command::new(rig);
        join.args(["line", "--device", DEVICE]);
        for (name, value) in [
            ("--left", f64::from(left.pid())),
            ("--right", f64::from(right.pid())),
            ("--rate", quality.mbit),
            ("--delay", quality.delay_ms),
            ("--loss", quality.loss_percent),
        ] {
            join.arg(name).arg(value.to_string());
        }
        let line = Self(until_ready(&mut join).context("a line takes root and /dev/net/tun")?);
        for (place, address) in [(left, LEFT), (right, RIGHT)] {
            place.set(&format!("ip address add {address}/24 dev {DEVICE}"))?;
            place.set(&format!("ip link set {DEVICE} up"))?;
        }
        Ok(line)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}
