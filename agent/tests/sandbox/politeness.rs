//! The machine's owner first.

use std::{
    fs,
    process::{Child, Command},
};

use common::units::MilliCpu;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::{
    lifecycle::heard,
    world::{Attempt, block_on, everyone, row},
};

/// Part of a processor that the owner keeps where a job wants it, too.
const KEPT: f64 = 0.95;
/// Numbers of `ioprio_set`, `ioprio_get`, `sched_setscheduler`, `sched_getscheduler`, in this order.
#[cfg(target_arch = "x86_64")]
const CALLS: [u32; 4] = [251, 252, 144, 145];
#[cfg(target_arch = "aarch64")]
const CALLS: [u32; 4] = [30, 31, 119, 120];

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

/// What a job does that wants a processor for itself, in one process and in sessions of its own: it waits at a gate, and
/// tells the processor time that it had from then on.
const JOBS: [&str; 2] = [
    "mkfifo gate1; echo there >&2
     perl -e '<>; $had = (times)[0] + (times)[1]; $end = time + 3; 1 while time < $end;
         print +(times)[0] + (times)[1] - $had, \"\\n\"' gate1",
    "mkfifo gate1 gate2; echo there >&2; for i in 1 2; do
         setsid -w perl -e '<>; $had = (times)[0] + (times)[1]; $end = time + 3; 1 while time < $end;
             print +(times)[0] + (times)[1] - $had, \"\\n\"' gate$i &
     done; wait",
];

#[test]
fn a_busy_job_leaves_the_owner_the_processor() {
    everyone(
        "politeness::a_busy_job_leaves_the_owner_the_processor",
        || {
            for (number, job) in JOBS.into_iter().enumerate() {
                let before = sched_getaffinity(None).unwrap();
                let first = (0..CpuSet::MAX_CPU)
                    .find(|&cpu| before.is_set(cpu))
                    .unwrap();
                let mut one = CpuSet::new();
                one.set(first);
                sched_setaffinity(None, &one).unwrap();
                // Both begin on the one processor that this thread has.
                let mut attempt = Attempt::shell(job);
                attempt.plan.limits.cpu = MilliCpu::cpus(1);
                let (finished, owners) = block_on(async {
                    let mut supervisor = attempt.launch();
                    heard(&mut supervisor).await;
                    // Each opens once somebody waits behind it.
                    let gates = 1..=number + 1;
                    let gates = gates.map(|gate| attempt.path(&format!("work/gate{gate}")));
                    let open = |gate| fs::File::options().write(true).open(gate).unwrap();
                    let gates: Vec<fs::File> = gates.map(open).collect();
                    let owner = Busy::start();
                    let begin = owner.ticks();
                    drop(gates);
                    let finished = attempt.finish(&mut supervisor).await;
                    (finished, (owner.ticks() - begin) as f64 / 100.0)
                });
                sched_setaffinity(None, &before).unwrap();
                let out = finished.stdout();
                assert!(!out.is_empty(), "{finished:?}");
                let jobs: f64 = out.lines().map(|line| line.parse::<f64>().unwrap()).sum();
                let kept = owners / (owners + jobs);
                println!("the owner had {owners:.2} s, the job {jobs:.2} s: {kept:.3}");
                assert!(owners > 0.5, "{owners}");
                assert!(kept >= KEPT, "the owner kept {kept:.3}");
            }
        },
    );
}

#[test]
fn r11_a_job_cannot_put_itself_before_its_owners_work() {
    row(
        &["R11"],
        "politeness::r11_a_job_cannot_put_itself_before_its_owners_work",
        || {
            let by_thread = !Attempt::shell("true").has_cgroup();
            let [priority, what_priority, schedule, what_schedule] = CALLS;
            // Back to the ordinary policy and class, and what they are after it was tried.
            let script = format!(
                r#"perl -e 'my $p = pack("i", 0);
                print syscall({schedule}, 0, 0, $p), " ", syscall({what_schedule}, 0), " ";
                print syscall({priority}, 1, 0, 2 << 13), " ", syscall({what_priority}, 1, 0) >> 13, "\n"'"#
            );
            let finished = Attempt::shell(&script).run();
            let expect = if by_thread {
                "-1 5 -1 3\n"
            } else {
                "0 0 -1 3\n"
            };
            assert_eq!(finished.stdout(), expect, "{finished:?}");
            if by_thread && fs::exists("/proc/self/autogroup").unwrap() {
                // Sessions have weights: all have the least of them, a moment after they begin.
                let weighed = "until grep -q 'nice 19$' /proc/self/autogroup; do :; done;
                    (exec 3> /proc/self/autogroup) 2>/dev/null || echo refused;
                    cut -d' ' -f2,3 /proc/self/autogroup";
                let script = format!("{weighed}; setsid -w sh -c \"{weighed}\"");
                let finished = Attempt::shell(&script).run();
                let expect = "refused\nnice 19\n".repeat(2);
                assert_eq!(finished.stdout(), expect, "{finished:?}");
            }
        },
    );
}
