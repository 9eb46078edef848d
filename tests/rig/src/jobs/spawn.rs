//! The floor of starting: a program that does nothing, from several threads.

use std::{
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

/// The program that does nothing.
const NOTHING: &str = "/bin/true";

/// Prints how many starts a second there were.
pub(super) fn measure(count: u32, threads: u32, pipes: bool) -> Result<()> {
    ensure!(threads > 0, "no thread is no measurement");
    let each = count.div_ceil(threads);
    let begin = Instant::now();
    thread::scope(|scope| {
        let work = || (0..each).try_for_each(|_| start(pipes));
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut ended = started.into_iter().map(|thread| thread.join());
        ended.try_for_each(|done| done.unwrap_or_else(|_| bail!("a thread panicked")))
    })?;
    println!(
        "{:.1}",
        f64::from(each * threads) / begin.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Starts the program once and waits for its end; the skeleton's agent does so too.
pub(super) fn start(pipes: bool) -> Result<()> {
    let mut command = Command::new(NOTHING);
    command.stdin(Stdio::null());
    let status = if pipes {
        command.output().map(|output| output.status)
    } else {
        command.status()
    };
    let status = status.with_context(|| format!("cannot start {NOTHING}"))?;
    ensure!(status.success(), "{NOTHING} ended with {status}");
    Ok(())
}
