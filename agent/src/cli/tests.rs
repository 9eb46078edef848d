use clap::Command as ClapCommand;
use common::{
    id::JobId,
    job::{JobNumber, JobSummary, TaskCounts},
    status::{JobStatus, Priority},
    time::Timestamp,
};

use super::*;

/// A job `x` of alice's, with this number, as it is listed.
pub(super) fn job_summary(number: u64, status: JobStatus) -> JobSummary {
    JobSummary {
        id: JobId::from_bytes([1; 16]),
        number: JobNumber(number),
        name: "x".to_owned(),
        owner: "alice".parse().unwrap(),
        project: None,
        status,
        priority: Priority::Normal,
        tasks: TaskCounts::default(),
        submitted_at: Timestamp::default(),
        started_at: None,
        ended_at: None,
        machines: Vec::new(),
        exit_code: None,
        held: None,
        awaits: 0,
    }
}

fn collect(command: &ClapCommand, path: &str, found: &mut Vec<(String, ClapCommand)>) {
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        let path = format!("{path} {}", sub.get_name());
        collect(sub, &path, found);
        found.push((path, sub.clone()));
    }
}

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_says_what_it_does_and_shows_an_example() {
    let mut found = Vec::new();
    collect(&Arguments::command(), "compute-share", &mut found);
    assert!(found.len() > 35, "{}", found.len());
    for (path, command) in found {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            !about.is_empty() && !about.ends_with('.'),
            "{path}: {about:?}"
        );
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            help.starts_with("Example") && help.contains(&path),
            "{path}: {help:?}"
        );
    }
}

#[test]
fn examples_can_be_typed() {
    let mut found = Vec::new();
    collect(&Arguments::command(), "compute-share", &mut found);
    for (path, command) in found {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        for line in help
            .lines()
            .filter_map(|line| line.strip_prefix("  compute-share "))
        {
            let line = line.split(['>', '<']).next().unwrap_or(line).trim_end();
            let line = line
                .replace("FINGERPRINT", &"ab".repeat(32))
                .replace("0193…", "0193a1b2-0000-7000-8000-000000000001");
            let words = words(&line);
            let parsed =
                Arguments::try_parse_from([vec!["compute-share".to_owned()], words].concat());
            assert!(parsed.is_ok(), "{path}: {line}: {}", parsed.unwrap_err());
        }
    }
}

/// Splits a line at spaces that are not between single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is always one").push(c),
        }
    }
    words
}
