//! The machine's owner first.

use std::{
    fs,
    process::{Child, Command},
};

use common::{time::Span, units::MilliCpu};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::world::{Attempt, everyone};

/// How long owner and job want the same processor.
const CONTENDED: u64 = 4;
/// Part of it that the owner keeps.
const KEPT: f64 = 0.95;

/// The owner's own work: never done.
struct Busy(Child);

impl Busy {
    fn start() -> Self {
        let mut command = Command::new("/bin/sh");
        Self(command.args(["-c", "while :; do :; done"]).spawn().unwrap())
    }

    /// Returns how much processor time it had, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        // Fields 14 and 15, counted from behind the name (proc_pid_stat(5)).
        [fields[11], fields[12]]
            .map(|field| field.parse::<u64>().unwrap())
            .iter()
            .sum()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_busy_job_leaves_the_owner_the_processor() {
    everyone(
        "politeness::a_busy_job_leaves_the_owner_the_processor",
        || {
            if !Attempt::shell("true").has_cgroup() {
                // Nor can what an ended job took be told well enough to compare.
                println!("NOT HELD: without a cgroup jobs weigh as much as the owner's work");
                return;
            }
            let before = sched_getaffinity(None).unwrap();
            let first = (0..CpuSet::MAX_CPU)
                .find(|&cpu| before.is_set(cpu))
                .unwrap();
            let mut one = CpuSet::new();
            one.set(first);
            sched_setaffinity(None, &one).unwrap();
            // Both begin on the one processor that this thread has.
            let owner = Busy::start();
            let mut attempt = Attempt::shell("while :; do :; done");
            attempt.plan.limits.cpu = MilliCpu::cpus(1);
            attempt.plan.max_runtime = Some(Span::from_secs(CONTENDED));
            attempt.plan.grace = Span::from_millis(0);
            let begin = owner.ticks();
            let usage = attempt.run().result.outcome.usage;
            let owners = (owner.ticks() - begin) as f64 / 100.0;
            sched_setaffinity(None, &before).unwrap();
            let jobs = usage.cpu.as_duration().as_secs_f64();
            let kept = owners / (owners + jobs);
            println!("the owner had {owners:.2} s, the job {jobs:.2} s: {kept:.3}");
            assert!(owners > 0.5, "{owners}");
            assert!(kept >= KEPT, "the owner kept {kept:.3}");
        },
    );
}
