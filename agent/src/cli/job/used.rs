//! What attempts used, and what they use now, as tables under `job show`.

use common::{job::AttemptView, units::Bytes, usage::UsageSample};

use super::super::{amounts::counted, table::Table};

/// Returns what every ended attempt used; `None` where none has ended.
pub(super) fn by_ended(attempts: &[AttemptView]) -> Option<String> {
    let mut table = Table::new(&[
        ">TASK",
        ">TRY",
        ">CPU TIME",
        ">PEAK MEMORY",
        ">PEAK DISK",
        ">SENT",
        ">RECEIVED",
        ">PEAK GPU MEMORY",
        ">FROZEN",
    ]);
    let mut any = false;
    for attempt in attempts {
        let Some(outcome) = &attempt.outcome else {
            continue;
        };
        let used = &outcome.usage;
        any = true;
        table.row([
            attempt.task.to_string(),
            attempt.number.to_string(),
            used.cpu.to_string(),
            maybe(used.peak_memory),
            maybe(used.peak_disk),
            moved(used.sent),
            moved(used.received),
            maybe(used.peak_gpu_memory),
            Some(used.frozen)
                .filter(|frozen| !frozen.as_duration().is_zero())
                .map(|frozen| frozen.to_string())
                .unwrap_or_default(),
        ]);
    }
    any.then(|| format!("used\n{}", table.without_empty_columns().to_text("")))
}

/// Returns the newest sample of every attempt that has one; `None` where none has.
pub(super) fn now(attempts: &[AttemptView]) -> Option<String> {
    let mut table = Table::new(&[
        ">TASK",
        ">TRY",
        ">CPU",
        ">MEMORY",
        ">DISK",
        ">PROCESSES",
        ">SENT",
        ">RECEIVED",
        ">GPU",
        ">GPU MEMORY",
        "STATE",
    ]);
    let mut any = false;
    for attempt in attempts {
        let Some(sample) = attempt.samples.last() else {
            continue;
        };
        any = true;
        table.row([
            attempt.task.to_string(),
            attempt.number.to_string(),
            percent(sample.cpu_percent),
            memory(sample, attempt.allocation.memory),
            sample.disk.to_string(),
            sample
                .processes
                .map(|count| count.to_string())
                .unwrap_or_default(),
            moved(sample.sent),
            moved(sample.received),
            sample.gpu_percent.map(percent).unwrap_or_default(),
            maybe(sample.gpu_memory),
            if sample.frozen {
                FROZEN.to_owned()
            } else {
                String::new()
            },
        ]);
    }
    any.then(|| format!("uses now\n{}", table.without_empty_columns().to_text("")))
}

/// What is said of an attempt whose machine's owner needs the machine.
pub(super) const FROZEN: &str = "frozen by the machine's owner";

pub(super) fn percent(percent: u32) -> String {
    format!("{percent} %")
}

/// Returns `1 GiB of 4 GiB`, or a dash where the machine cannot tell.
pub(super) fn memory(sample: &UsageSample, held: Bytes) -> String {
    match sample.memory {
        Some(used) => format!("{used} of {held}"),
        None => "-".to_owned(),
    }
}

fn maybe(bytes: Option<Bytes>) -> String {
    bytes.map(|bytes| bytes.to_string()).unwrap_or_default()
}

/// What went over the network; most jobs have none.
fn moved(bytes: Bytes) -> String {
    maybe(Some(bytes).filter(|bytes| *bytes != Bytes::ZERO))
}

/// Returns `2 attempts, 1 of them frozen`.
pub(super) fn attempts_text(attempts: &[AttemptView]) -> String {
    let is_frozen = |attempt: &&AttemptView| attempt.samples.last().is_some_and(|last| last.frozen);
    let text = counted(attempts.len() as u64, "attempt");
    match attempts.iter().filter(is_frozen).count() {
        0 => text,
        frozen => format!("{text}, {frozen} of them frozen"),
    }
}

#[cfg(test)]
mod tests {
    use common::{
        job::{ArtifactsView, AttemptUsage, Outcome},
        resources::Allocation,
        status::{AttemptStatus, EndReason},
        time::{Span, Timestamp},
    };

    use super::*;

    fn attempt(number: u32) -> AttemptView {
        AttemptView {
            preempted_by: None,
            task: 0,
            number,
            machine: "box".parse().unwrap(),
            status: AttemptStatus::Running,
            allocation: Allocation {
                memory: Bytes::gib(4),
                ..Allocation::default()
            },
            placed_at: Timestamp::default(),
            started_at: None,
            ended_at: None,
            outcome: None,
            artifacts: ArtifactsView::NotYet,
            artifacts_kept_until: None,
            samples: Vec::new(),
        }
    }

    fn plain(text: Option<String>) -> String {
        anstream::adapter::strip_str(&text.unwrap()).to_string()
    }

    #[test]
    fn what_was_used_is_told_and_what_was_not_is_left_out() {
        let mut ended = attempt(1);
        ended.outcome = Some(Outcome {
            reason: EndReason::MachineOwner,
            exit_code: None,
            signal: Some(15),
            detail: None,
            usage: AttemptUsage {
                cpu: Span::from_secs(90),
                peak_memory: Some(Bytes::gib(1)),
                frozen: Span::from_secs(600),
                sent: Bytes::mib(3),
                ..AttemptUsage::default()
            },
            log_bytes: 0,
        });
        assert_eq!(
            plain(by_ended(&[ended, attempt(2)])),
            "used\nTASK  TRY  CPU TIME  PEAK MEMORY   SENT  FROZEN\n   0    1    1m 30s        1 GiB  3 MiB     10m\n"
        );
        assert_eq!(by_ended(&[attempt(1)]), None);
    }

    #[test]
    fn what_runs_is_told_by_its_newest_sample() {
        let mut running = attempt(1);
        let sample = |cpu_percent, frozen| UsageSample {
            cpu_percent,
            memory: Some(Bytes::gib(1)),
            disk: Bytes::mib(5),
            processes: Some(7),
            frozen,
            ..UsageSample::default()
        };
        running.samples = vec![sample(1, false), sample(250, true)];
        assert_eq!(
            plain(now(&[running.clone()])),
            "uses now\nTASK  TRY    CPU          MEMORY   DISK  PROCESSES  STATE\n   0    1  250 %  1 GiB of 4 GiB  5 MiB          7  \
             frozen by the machine's owner\n"
        );
        assert_eq!(now(&[attempt(1)]), None);
        let all = [running, attempt(2)];
        assert_eq!(attempts_text(&all), "2 attempts, 1 of them frozen");
        assert_eq!(attempts_text(&all[1..]), "1 attempt");
    }
}
