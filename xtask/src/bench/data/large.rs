//! What moving much costs in memory, and how long a million files take.

use std::fs;

use anyhow::{Context, Result};

use super::{Place, Tools, lend_all_room, near::time, stage, table::verdict};
use crate::{person::Voice, pool::Pool};

const ADDRESS: &str = "127.0.0.1:7000";
const TEN_GIB: u64 = 10 << 10;
const MOST_MIB: f64 = 200.0;
const THOUSANDS: u64 = 1000;
const MOST_MANIFEST_MIB: f64 = 1024.0;
const MOST_SECONDS: f64 = 30.0;

pub(super) fn measure(tools: &Tools) -> Result<()> {
    println!("\nlarge: ten gibibytes, then a million empty files");
    for (kind, amount, most) in [
        ("big", TEN_GIB, MOST_MIB),
        ("empty", THOUSANDS, MOST_MANIFEST_MIB),
    ] {
        // The end of a stage ends everything that was started here.
        let place = Place::new()?;
        let stage = stage()?;
        let source = stage.path().join("source");
        tools.fill(&source, kind, amount)?;
        let network = Some(place.pid());
        let pool = Pool::open_at(stage, &tools.programs, Voice::Silent, ADDRESS, network)?;
        let bob = pool.member_in("bob", network)?;
        lend_all_room(&pool, &bob, "box")?;
        let path = source.display().to_string();
        let up = time(
            &pool.alice,
            &[
                "compute-share",
                "dataset",
                "upload",
                &path,
                "--name",
                "much",
                "-q",
            ],
        )?;
        let job = [
            "compute-share",
            "run",
            "--no-workdir",
            "--dataset",
            "much:/data",
            "--",
            "true",
        ];
        let down = time(&pool.alice, &job)?;
        println!("{kind}: upload {up:.1} s, job with it {down:.1} s");
        let agent = bob.asks(&["compute-share", "status"])?["process_id"].as_u64();
        let agent = agent.context("the agent's status names its process")?;
        for (name, pid) in [
            ("coordinator", u64::from(pool.coordinator.id())),
            ("agent", agent),
        ] {
            verdict(
                &format!("{kind}: memory of the {name}, MiB"),
                peak_mib(pid)?,
                most,
            );
        }
        if kind == "empty" {
            verdict("a million files up, seconds", up, MOST_SECONDS);
            verdict("a million files to a machine, seconds", down, MOST_SECONDS);
        }
    }
    Ok(())
}

/// Returns the most memory that a process has had so far.
fn peak_mib(pid: u64) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
