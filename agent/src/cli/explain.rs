//! Why a job waits, in words: used by `job why`, `submit --dry-run`, and while `run` waits.

use common::{
    api::explain::{Blocker, BlockerCode, Explanation},
    preemption::MayPreempt,
    status::JobStatus,
};

use super::{
    amounts::counted,
    moments::{ago, local, now},
    output::Facts,
    table::Table,
};

/// Returns the whole explanation.
pub(crate) fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    if explanation.blockers.is_empty() {
        text += &verdict(explanation);
        text.push('\n');
    } else {
        let mut table = Table::new(&["BLOCKER", ">MACHINES", "WHY"]);
        for blocker in &explanation.blockers {
            table.row([
                blocker.code.as_str().to_owned(),
                machine_count(blocker),
                why(blocker),
            ]);
        }
        text += &format!("{}\n\n{}\n", verdict(explanation), table.to_text(""));
    }
    let expected = explanation
        .expected_start
        .map(|at| format!("{} ({})", local(at), ago(at, now())));
    let data = explanation.data.iter();
    let data: Vec<String> = data
        .map(|data| format!("{}: {}", data.machine, data.text))
        .collect();
    let kept: Vec<&str> = explanation.kept.iter().map(|name| name.as_str()).collect();
    text + &Facts::default()
        .with_some("smallest change", explanation.smallest_change.as_ref())
        .with_some(
            "before it",
            explanation
                .ahead
                .filter(|&ahead| ahead > 0)
                .map(|ahead| counted(ahead, "task")),
        )
        .with_some("may take the place of", explanation.preempts.map(preempts))
        .with_some("expected start", expected)
        .with("kept for it", kept.join(", "))
        .with("data", data.join("\n"))
        .to_text()
}

/// Returns `2 tasks, from 2026-03-01 14:10:00 (in 3m)`.
fn preempts(may: MayPreempt) -> String {
    let tasks = counted(may.tasks.into(), "task");
    match may.from > now() {
        true => format!(
            "{tasks}, from {} ({})",
            local(may.from),
            ago(may.from, now())
        ),
        false => format!("{tasks}, any moment"),
    }
}

/// Returns one line for who waits at a terminal.
pub(crate) fn short(explanation: &Explanation) -> String {
    match explanation.blockers.first() {
        None => "it should start any moment".to_owned(),
        Some(first) => {
            let more = explanation.blockers.len() - 1;
            let more = if more > 0 {
                format!(" (and {more} more)")
            } else {
                String::new()
            };
            format!("{}{more}", first.text)
        }
    }
}

fn verdict(explanation: &Explanation) -> String {
    let free = explanation.blockers.is_empty();
    let Some(number) = explanation.number else {
        let mut codes = explanation.blockers.iter().map(|blocker| blocker.code);
        let refused = codes.any(BlockerCode::refuses_submission);
        return match (explanation.never, free) {
            (false, false) if refused => "This job would be refused as things are:".to_owned(),
            (true, _) => "This job can never run as it is.".to_owned(),
            (false, true) => "This job would start at once.".to_owned(),
            (false, false) => "This job would wait for this:".to_owned(),
        };
    };
    match explanation.status {
        JobStatus::Queued if explanation.never => {
            format!("Job {number} can never run as it is.")
        }
        JobStatus::Queued if free => format!("Job {number} should start any moment."),
        JobStatus::Queued => format!("Job {number} waits for this:"),
        JobStatus::AwaitingApproval => format!("Job {number} awaits approval, and then this:"),
        JobStatus::Running if free => format!("Job {number} runs."),
        JobStatus::Running => format!("Job {number} runs; its other tasks wait for this:"),
        ended => format!("Job {number} has ended: {ended}."),
    }
}

fn machine_count(blocker: &Blocker) -> String {
    match blocker.machine_count {
        0 => String::new(),
        count => count.to_string(),
    }
}

fn why(blocker: &Blocker) -> String {
    if blocker.machines.is_empty() {
        return blocker.text.clone();
    }
    let mut names: Vec<&str> = blocker.machines.iter().map(|name| name.as_str()).collect();
    let named = u32::try_from(names.len()).unwrap_or(u32::MAX);
    if blocker.machine_count > named {
        names.push("…");
    }
    format!("{} [{}]", blocker.text, names.join(", "))
}

#[cfg(test)]
mod tests {
    use common::{
        api::explain::MachineData,
        job::JobNumber,
        time::{Span, Timestamp},
        units::Bytes,
    };

    use super::*;

    fn explanation() -> Explanation {
        Explanation {
            number: Some(JobNumber(42)),
            status: JobStatus::Queued,
            blockers: vec![
                Blocker {
                    code: BlockerCode::TooSmallMemory,
                    text: "asks for 64 GiB, the largest lends 16 GiB".to_owned(),
                    machine_count: 9,
                    machines: vec!["a".parse().unwrap(), "b".parse().unwrap()],
                },
                Blocker {
                    code: BlockerCode::Queue,
                    text: "3 tasks come first".to_owned(),
                    machine_count: 0,
                    machines: Vec::new(),
                },
            ],
            never: false,
            smallest_change: Some("ask for --memory 16GiB".to_owned()),
            ahead: Some(3),
            expected_start: None,
            kept: vec!["box".parse().unwrap()],
            preempts: Some(MayPreempt {
                tasks: 2,
                from: Timestamp::from_unix_ms(1000),
            }),
            data: vec![MachineData {
                machine: "a".parse().unwrap(),
                there: Bytes::gib(41),
                missing: Bytes::ZERO,
                fetch_time: Span::default(),
                text: "41 GiB already there".to_owned(),
            }],
        }
    }

    #[test]
    fn every_blocker_is_told_with_its_count() {
        let text = anstream::adapter::strip_str(&text(&explanation())).to_string();
        assert_eq!(
            text,
            "Job 42 waits for this:\n\n\
             BLOCKER           MACHINES  WHY\n\
             too_small_memory         9  asks for 64 GiB, the largest lends 16 GiB [a, b, …]\n\
             queue                       3 tasks come first\n\n\
             smallest change        ask for --memory 16GiB\n\
             before it              3 tasks\n\
             may take the place of  2 tasks, any moment\n\
             kept for it            box\n\
             data                   a: 41 GiB already there\n"
        );
        assert_eq!(
            short(&explanation()),
            "asks for 64 GiB, the largest lends 16 GiB (and 1 more)"
        );
    }

    #[test]
    fn a_dry_run_says_whether_it_would_start() {
        let mut free = Explanation {
            number: None,
            blockers: Vec::new(),
            ..explanation()
        };
        assert!(text(&free).starts_with("This job would start at once."));
        free.never = true;
        assert!(text(&free).starts_with("This job can never run as it is."));
        let ended = Explanation {
            status: JobStatus::Failed,
            blockers: Vec::new(),
            ..explanation()
        };
        assert!(text(&ended).starts_with("Job 42 has ended: failed."));
    }
}
