//! What `job show` says of tries: how often there are more, and which tasks wait for one.

use common::{
    job::{DEFAULT_BACKOFF, JobDetail, Retries},
    time::Timestamp,
};

use super::super::{
    amounts::counted,
    moments::{ago, local},
};

/// Returns what the job asks for, where that is not what every job gets.
pub(super) fn asked(retries: &Retries) -> Option<String> {
    if *retries == Retries::default() {
        return None;
    }
    let mut on: Vec<&str> = retries.on.iter().map(|reason| reason.as_str()).collect();
    let memory = retries
        .memory
        .map(|factor| format!("out_of_memory with {factor} the memory"));
    on.retain(|reason| memory.is_none() || *reason != "out_of_memory");
    on.extend(memory.as_deref());
    let first = retries.backoff.unwrap_or(DEFAULT_BACKOFF);
    Some(match (retries.max, on.is_empty()) {
        (0, _) | (_, true) => "none".to_owned(),
        (max, false) => format!("{max} after {}; {first} or more between", on.join(", ")),
    })
}

/// Returns the tasks that are tried again later, one a line.
pub(super) fn waiting(job: &JobDetail, now: Timestamp) -> String {
    let lines = job.delayed.iter().map(|one| {
        let (at, soon) = (local(one.until), ago(one.until, now));
        match job.spec.array {
            Some(_) => format!("task {} at {at} ({soon}), after {}", one.task, one.after),
            None => format!("at {at} ({soon}), after {}", one.after),
        }
    });
    let more = Some(job.delayed_left_out).filter(|more| *more > 0);
    let more = more.map(|more| format!("and {} more", counted(more, "task")));
    lines.chain(more).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use common::status::EndReason;

    use super::*;

    #[test]
    fn only_what_is_unusual_is_told() {
        assert_eq!(asked(&Retries::default()), None);
        let mut retries = Retries {
            max: 5,
            on: vec![EndReason::OutOfMemory, EndReason::Exited],
            memory: Some("2x".parse().unwrap()),
            ..Retries::default()
        };
        let text = "5 after exited, out_of_memory with 2x the memory; 10s or more between";
        assert_eq!(asked(&retries).as_deref(), Some(text));
        retries.max = 0;
        assert_eq!(asked(&retries).as_deref(), Some("none"));
    }
}
