//! What a sandbox's processes use, read from `/proc`, where there is no cgroup that counts.
//!
//! Processes come and go while this looks, so the sums are near the truth and not more.

use std::{fs, time::Duration};

use common::units::Bytes;
use rustix::process::Pid;

use super::{
    cgroup::Used,
    system::{page_bytes, ticks_per_second},
};

/// Most processes that are looked at.
const MAX_PROCESSES: usize = 8192;

/// Returns what the first process of a sandbox and everything below it use. Whoever lost its parent is below
/// the first process, so nobody is left out.
pub(super) fn used(first: Pid) -> Used {
    let mut waiting = vec![first.as_raw_nonzero().get().cast_unsigned()];
    let (mut ticks, mut pages, mut seen) = (0, 0, 0_u32);
    while let Some(pid) = waiting.pop() {
        if let Some(one) = fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .as_deref()
            .and_then(Stat::parse)
        {
            ticks += one.ticks;
            pages += one.pages;
            seen += 1;
        }
        // Children belong to the thread that made them.
        for thread in fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let room =
                MAX_PROCESSES.saturating_sub(waiting.len() + usize::try_from(seen).unwrap_or(0));
            let children = text
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok());
            waiting.extend(children.take(room));
        }
    }
    Used {
        cpu: Duration::from_millis(ticks.saturating_mul(1000) / ticks_per_second()),
        memory: Some(Bytes(pages.saturating_mul(page_bytes()))),
        processes: Some(seen.saturating_sub(1)),
    }
}

/// The part of `/proc/PID/stat` that matters here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// Of itself and of those of its children that have ended.
    ticks: u64,
    pages: u64,
}

impl Stat {
    /// The fields are counted from behind the name, which may hold anything: 14 to 17 are times, 24 is pages in
    /// memory (proc_pid_stat(5)).
    fn parse(text: &str) -> Option<Self> {
        let after = text.rsplit_once(") ")?.1;
        let fields: Vec<&str> = after.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            ticks: field(14)? + field(15)? + field(16)? + field(17)?,
            pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pass_for_numbers() {
        let text = "7 (a) 9 (b) S 1 7 7 0 -1 4194560 9 9 9 9 10 20 3 4 20 0 1 0 123 4096 55 18446744073709551615 1";
        let expect = Stat {
            ticks: 37,
            pages: 55,
        };
        assert_eq!(Stat::parse(text), Some(expect));
        assert_eq!(Stat::parse("7 (a"), None);
    }

    #[test]
    fn this_very_process_uses_something() {
        let used = used(rustix::process::getpid());
        assert!(used.memory.unwrap() > Bytes(100_000), "{used:?}");
    }
}
