//! What the daemons cost while nothing happens: resident memory and processor time.

use std::{thread, time::Duration};

use anyhow::{Context, Result};

use super::process::{cpu_seconds, resident_mib};
use crate::{person::Person, pool::Pool};

/// How long they are watched: several heartbeats.
const WATCHED: Duration = Duration::from_secs(30);
/// Bounds of issue and README: resident memory, and the part of one processor.
const COORDINATOR_MIB: f64 = 40.0;
const AGENT_MIB: f64 = 20.0;
const CPU_PERCENT: f64 = 0.5;

/// Prints both daemons' cost beside what it must not reach.
///
/// # Errors
/// A daemon is not there, or the kernel does not tell.
pub(super) fn measure(pool: &Pool, lender: &Person) -> Result<()> {
    let status = lender.asks(&["compute-share", "status"])?;
    let agent = status["process_id"]
        .as_u64()
        .context("the agent's status names its process")?;
    let daemons = [
        (
            "coordinator",
            u64::from(pool.coordinator.id()),
            COORDINATOR_MIB,
        ),
        ("agent", agent, AGENT_MIB),
    ];
    let mut before = Vec::new();
    for (_, pid, _) in daemons {
        before.push(cpu_seconds(pid)?);
    }
    thread::sleep(WATCHED);
    println!(
        "idle for {} s       memory    at most        cpu   at most",
        WATCHED.as_secs()
    );
    for ((name, pid, most), before) in daemons.into_iter().zip(before) {
        let percent = (cpu_seconds(pid)? - before) / WATCHED.as_secs_f64() * 100.0;
        let memory = resident_mib(pid)?;
        let holds = if memory < most && percent < CPU_PERCENT {
            "holds"
        } else {
            "DOES NOT HOLD"
        };
        println!(
            "{name:<16} {memory:>6.1} MiB {most:>6.0} MiB {percent:>8.2} % {CPU_PERCENT:>7} %   {holds}"
        );
    }
    Ok(())
}
