//! The measures side by side, for a terminal of 100 columns.

use std::time::Duration;

use common::time::Span;

use crate::{measures::Measures, pool::Pool, trace::Trace};

const LABEL: usize = 39;
const COLUMN: usize = 20;
/// Longest part of a member's name that fits beside a time.
const NAME: usize = 11;

/// Returns the whole table, with the notes of the trace before it.
pub fn table(trace: &Trace, pool: &Pool, all: &[Measures]) -> String {
    let mut lines = vec![title(trace, pool)];
    lines.extend(trace.notes.iter().map(|note| format!("  {note}")));
    lines.push(String::new());
    lines.push(row("", all, |one| one.schedule.to_owned()));
    let mut add =
        |label: &str, cell: &dyn Fn(&Measures) -> String| lines.push(row(label, all, cell));
    add("utilisation until the last submission", &|one| {
        one.utilisation_until_last_submission
            .map_or("-".to_owned(), percent)
    });
    add("utilisation until the last end", &|one| {
        percent(one.utilisation)
    });
    add("makespan", &|one| time(one.makespan));
    add("wait, median", &|one| time(one.wait.median));
    add("wait, p95", &|one| time(one.wait.p95));
    add("wait, p99", &|one| time(one.wait.p99));
    add("wait, longest", &|one| time(one.wait.max));
    add("mean wait: 1 processor", &|one| {
        mean(one.wait_mean_by_size.one)
    });
    add("  up to a quarter of a machine", &|one| {
        mean(one.wait_mean_by_size.quarter)
    });
    add("  more", &|one| mean(one.wait_mean_by_size.more));
    add("  gangs, of whatever size", &|one| {
        mean(one.wait_mean_by_size.gang)
    });
    let named = all.iter().map(|one| one.wait_mean_by_member.len()).max();
    for place in 0..named.unwrap_or_default() {
        let label = if place == 0 {
            "members with the longest mean wait"
        } else {
            ""
        };
        add(label, &|one| {
            let wait = one.wait_mean_by_member.get(place);
            wait.map_or(String::new(), |wait| {
                format!("{} {}", short(&wait.member), time(wait.mean))
            })
        });
    }
    add("bounded slowdown, mean", &|one| {
        format!("{:.2}", one.slowdown.mean)
    });
    add("bounded slowdown, p95", &|one| {
        format!("{:.2}", one.slowdown.p95)
    });
    add("  mean of the members' means", &|one| {
        format!("{:.2}", one.slowdown.mean_of_members)
    });
    add("fairness of members (Jain, 1 is best)", &|one| {
        format!("{:.3}", one.fairness.jain)
    });
    add("  largest to smallest mean slowdown", &|one| {
        format!("{:.1}", one.fairness.ratio)
    });
    add("preemptions", &|one| grouped(one.preemptions));
    add("processor time lost by them", &|one| time(one.lost_work));
    let mut text: String = lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    text += "\nEvery task counts once. Slowdown: (wait + run) / run, where a run counts as 10 s at least.\n";
    text
}

/// Returns what was simulated, in a line.
fn title(trace: &Trace, pool: &Pool) -> String {
    let counted = |count: usize, noun: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{} {noun}{plural}", grouped(count))
    };
    let tasks = counted(trace.tasks(), "task");
    let jobs = counted(trace.jobs.len(), "job");
    let members = counted(trace.members.len(), "member");
    format!("{}: {tasks}, {jobs}, {members}, on {pool}", trace.title)
}

fn row(label: &str, all: &[Measures], cell: impl Fn(&Measures) -> String) -> String {
    let cells = all.iter().map(|one| format!("{:>COLUMN$}", cell(one)));
    format!("{label:<LABEL$}{}", cells.collect::<String>())
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn time(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.round()).unwrap_or(Duration::MAX);
    Span::from(whole).to_string()
}

fn mean(seconds: Option<f64>) -> String {
    seconds.map_or("-".to_owned(), time)
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    let kept: String = name.chars().take(NAME - 1).collect();
    format!("{kept}…")
}

/// Returns a number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        easy::Easy,
        measures::measure,
        run::run,
        trace::tests::{job, trace},
    };

    #[test]
    fn the_table_is_what_it_is() {
        let mut trace = trace(vec![job(0, 3, 100), job(1, 4, 50), job(2, 1, 9000)]);
        trace.members = vec!["a-member-of-long-name".to_owned()];
        trace.notes = vec!["a note".to_owned()];
        let pool = Pool::parse("1x4:32GiB").unwrap();
        let history = run(&trace, &pool, &mut Easy::new(&trace, &pool)).unwrap();
        let measures = measure("EASY", &trace, &pool, &history);
        let text = table(
            &trace,
            &pool,
            &[measures.clone(), measures.clone(), measures],
        );
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
        let line = |label: &str| {
            text.lines()
                .find(|line| line.starts_with(label))
                .unwrap_or_default()
        };
        let cells = |label: &str| {
            line(label)[LABEL..]
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            text.lines().next(),
            Some("by hand: 3 tasks, 3 jobs, 1 member, on 1x4:32GiB")
        );
        assert_eq!(text.lines().nth(1), Some("  a note"));
        assert_eq!(cells("makespan"), ["2h 32m"; 3]);
        assert_eq!(cells("wait, median"), ["1m 39s"; 3]);
        assert_eq!(cells("members with")[0], "a-member-o… 1m 22s");
        assert_eq!(cells("preemptions"), ["0"; 3]);
    }

    #[test]
    fn numbers_have_commas() {
        let check = |number| grouped(number);
        assert_eq!(
            [check(0), check(999), check(1000), check(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
