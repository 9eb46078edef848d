//! What goes with a member, as people read it before they say yes: `member remove` and `org leave`.

use common::org::departure::{DeparturePreview, MAX_NAMED};

/// Most jobs and machines that a person is shown; with `-o json` there are more.
const SHOWN: usize = 12;

/// Returns the lines of a preview, each of which names something that is there.
pub(super) fn text(preview: &DeparturePreview) -> String {
    let mut lines = Vec::new();
    if preview.job_count > 0 {
        let jobs = preview.jobs.iter().map(|job| job.number.to_string());
        lines.push(format!(
            "{} end: {} running and {} queued ({})",
            counted(preview.job_count, "job"),
            counted(preview.running_tasks, "task"),
            preview.queued_tasks,
            listed(jobs, preview.job_count)
        ));
    }
    if preview.machine_count > 0 {
        let machines = preview.machines.iter().map(ToString::to_string);
        lines.push(format!(
            "{} the pool ({})",
            match preview.machine_count {
                1 => "1 machine leaves".to_owned(),
                count => format!("{count} machines leave"),
            },
            listed(machines, preview.machine_count)
        ));
    }
    if preview.interrupted_tasks > 0 {
        lines.push(format!(
            "{} of others on them end there, and go on elsewhere where they may",
            counted(preview.interrupted_tasks, "task")
        ));
    }
    if preview.invitations > 0 {
        let invitations = counted(preview.invitations, "open invitation");
        lines.push(format!("{invitations} revoked"));
    }
    if preview.grants > 0 {
        let grants = counted(preview.grants, "grant");
        lines.push(format!("{grants} of projects and secrets taken back"));
    }
    if preview.tokens > 0 {
        let tokens = counted(preview.tokens, "API token");
        lines.push(format!("{tokens} revoked"));
    }
    if preview.devices > 0 {
        let devices = counted(preview.devices, "device");
        lines.push(format!("{devices} signed out"));
    }
    let stays = &preview.stays;
    if stays.ended_jobs > 0 || stays.datasets > 0 {
        lines.push(format!(
            "{} with {} of files and {} with {} stay, and pass to the org",
            counted(stays.ended_jobs, "ended job"),
            stays.artifact_bytes,
            counted(stays.datasets, "dataset"),
            stays.dataset_bytes
        ));
    }
    if lines.is_empty() {
        return format!("{} has nothing here that would go or stay.", preview.handle);
    }
    lines.iter().map(|line| format!("- {line}\n")).collect()
}

fn counted(count: impl Into<u64>, noun: &str) -> String {
    match count.into() {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

fn listed(names: impl ExactSizeIterator<Item = String>, count: u32) -> String {
    let shown = names.len().min(SHOWN).min(MAX_NAMED);
    let names: Vec<String> = names.take(shown).collect();
    let more = usize::try_from(count).unwrap_or(usize::MAX) - shown;
    match more {
        0 => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use common::{
        job::JobNumber,
        org::departure::{EndingJob, Stays},
        status::Role,
        units::Bytes,
    };

    use super::*;

    #[test]
    fn a_preview_names_what_is_there_and_nothing_else() {
        let mut preview = DeparturePreview::of("bob".parse().unwrap(), Role::Member);
        assert_eq!(
            text(&preview),
            "bob has nothing here that would go or stay."
        );
        let job = |number| EndingJob {
            number: JobNumber(number),
            running: 1,
            queued: 2,
        };
        preview.jobs = (1..=20).map(job).collect();
        (
            preview.job_count,
            preview.running_tasks,
            preview.queued_tasks,
        ) = (20, 20, 40);
        preview.machines = vec!["box".parse().unwrap()];
        preview.machine_count = 1;
        preview.stays = Stays {
            ended_jobs: 1,
            artifact_bytes: Bytes::gib(1),
            datasets: 2,
            dataset_bytes: Bytes::gib(3),
        };
        assert_eq!(
            text(&preview),
            "- 20 jobs end: 20 tasks running and 40 queued (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more)\n\
             - 1 machine leaves the pool (box)\n\
             - 1 ended job with 1 GiB of files and 2 datasets with 3 GiB stay, and pass to the org\n"
        );
    }
}
