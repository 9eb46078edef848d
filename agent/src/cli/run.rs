//! `run`: submits a job, shows its output as it comes, and ends with its exit code.

use std::process::ExitCode;

use clap::Args;
use common::{
    api::{
        Answer, Request,
        job::{CancelJob, ShowJob, Submitted},
    },
    job::{AttemptView, JobNumber, JobRef, JobSummary},
    problem::Problem,
    status::{ApprovalStatus, EndReason, JobStatus},
};
use std::time::Duration;
use tokio::time::timeout;

use super::{
    Context, OUR_FAILURE,
    approval::decision_text,
    follow::{LogForm, Watch, come_back},
    job_flags::JobFlags,
    output::{self, Format},
    session::Session,
    submit,
};

/// After the first Ctrl-C, how long a second one cancels the job.
const SECOND_THOUGHTS: Duration = Duration::from_secs(2);
/// What a shell calls a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
/// Attempts that are looked at to say why a job failed.
const ATTEMPTS_LOOKED_AT: u32 = 1000;
/// Most lines about them.
const MAX_LINES: usize = 5;

/// Run a job and wait for it, as if it ran here
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share run --cpu 1 --memory 1GiB --dataset digits:/data -- python3 train.py\n  compute-share run job.yaml\n\nThe first Ctrl-C leaves the job running, a second one cancels it. The exit code is the job's:\n128+N for signal N, 125 where Compute Share failed."
)]
pub(super) struct Run {
    #[command(flatten)]
    flags: JobFlags,
}

impl Run {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Problem> {
        if self.flags.dry_run {
            return submit::dry_run(context, self.flags).await;
        }
        let (session, submitted) = submit::submit(context, self.flags).await?;
        // From here on there is a job, and 125 says that we failed it.
        match attend(context, session, submitted).await {
            Ok(code) => Ok(ExitCode::from(code)),
            Err(problem) => {
                output::report(&problem, context.output.format);
                Ok(ExitCode::from(OUR_FAILURE))
            }
        }
    }
}

/// Follows the job to its end or until the person has seen enough.
async fn attend(
    context: &Context,
    mut session: Session,
    submitted: Submitted,
) -> Result<u8, Problem> {
    let number = submitted.number;
    if let Some(waits) = submit::awaits(&submitted) {
        context.output.note(&format!("job {number}: {waits}"));
    }
    let form = match context.output.format {
        Format::Human => LogForm::Plain,
        Format::Json => LogForm::Aside,
    };
    let job = JobRef { number, task: None };
    let mut watch = Watch::new(context, job, Some(form), true);
    let ended = tokio::select! {
        ended = watch.run(&mut session) => Some(ended?),
        _ = tokio::signal::ctrl_c() => None,
    };
    let said = watch.into_said();
    match ended.flatten().filter(|summary| summary.status.has_ended()) {
        Some(summary) => {
            explain_failure(context, &session, &summary, &said).await;
            session.end().await;
            if context.output.format == Format::Json {
                context
                    .output
                    .show(&summary, |_| Vec::new(), |_| String::new())?;
            }
            Ok(exit_code(&summary))
        }
        None => detach(context, session, number).await,
    }
}

/// Leaves the job running, unless the person wants it gone.
async fn detach(context: &Context, session: Session, number: JobNumber) -> Result<u8, Problem> {
    eprintln!();
    context
        .output
        .note(&format!("{} Ctrl-C again cancels it.", come_back(number)));
    if timeout(SECOND_THOUGHTS, tokio::signal::ctrl_c())
        .await
        .is_ok()
    {
        let request = Request::CancelJob(CancelJob {
            org: session.org,
            number,
            task: None,
            dependants: false,
        });
        session.client.ask(&request).await?;
        context.output.note(&format!("Job {number} is cancelled."));
    }
    session.end().await;
    Ok(INTERRUPTED)
}

/// Returns the code that stands for the whole job.
pub(super) fn exit_code(summary: &JobSummary) -> u8 {
    match (summary.status, summary.exit_code) {
        (JobStatus::Succeeded, _) => 0,
        // A job that failed is never told as one that succeeded, whatever its code says.
        (_, Some(code)) => u8::try_from(code)
            .ok()
            .filter(|&code| code != 0)
            .unwrap_or(OUR_FAILURE),
        (_, None) => OUR_FAILURE,
    }
}

/// Says why a job failed where its own output cannot: it never ran, or something ended it.
pub(super) async fn explain_failure(
    context: &Context,
    session: &Session,
    summary: &JobSummary,
    said: &[String],
) {
    if summary.status == JobStatus::Succeeded {
        return;
    }
    let request = Request::ShowJob(ShowJob {
        org: session.org,
        number: summary.number,
        task: None,
        attempts: ATTEMPTS_LOOKED_AT,
        live: false,
    });
    // Only a courtesy: the exit code says that it failed.
    if let Ok(Answer::Job(job)) = session.client.ask(&request).await {
        if let Some(approval) = &job.approval
            && approval.status == ApprovalStatus::Rejected
        {
            let decision = decision_text(approval);
            context
                .output
                .note(&format!("job {}: rejected {decision}", summary.number));
        }
        for line in failures(summary, &job.attempts, said) {
            context.output.note(&line);
        }
    }
}

/// Returns one line for each kind of failure that the job's own output, and what was `said` in it, do not tell.
fn failures(summary: &JobSummary, attempts: &[AttemptView], said: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for attempt in attempts {
        let Some(outcome) = &attempt.outcome else {
            continue;
        };
        let detail = outcome.detail.as_deref();
        let known = |detail: &str| said.iter().any(|text| text.contains(detail));
        if detail.map_or(outcome.reason == EndReason::Exited, known) {
            continue;
        }
        let which = match summary.tasks.total() {
            0 | 1 => format!("job {}", summary.number),
            _ => format!("task {}.{}", summary.number, attempt.task),
        };
        let mut line = format!("{which} on {}: {}", attempt.machine, outcome.reason);
        if let Some(signal) = outcome.signal {
            line += &format!(" (signal {signal})");
        }
        if let Some(detail) = detail {
            line += &format!(": {detail}");
        }
        if lines.len() < MAX_LINES && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use common::{
        job::{ArtifactsView, AttemptUsage, Outcome},
        resources::Allocation,
        status::AttemptStatus,
        time::Timestamp,
    };

    use super::*;
    use crate::cli::tests::job_summary;

    fn summary(status: JobStatus, exit_code: Option<i32>) -> JobSummary {
        JobSummary {
            exit_code,
            ..job_summary(1, status)
        }
    }

    #[test]
    fn the_exit_code_is_the_jobs() {
        let code = |status, code| exit_code(&summary(status, code));
        assert_eq!(code(JobStatus::Succeeded, Some(0)), 0);
        assert_eq!(code(JobStatus::Failed, Some(7)), 7);
        assert_eq!(code(JobStatus::Failed, Some(137)), 137);
        assert_eq!(code(JobStatus::Failed, Some(0)), 125);
        assert_eq!(code(JobStatus::Failed, Some(4096)), 125);
        assert_eq!(code(JobStatus::Cancelled, None), 125);
    }

    #[test]
    fn only_what_the_output_does_not_tell_is_explained() {
        let attempt = |reason, exit_code, detail: Option<&str>| AttemptView {
            preempted_by: None,
            task: 0,
            number: 1,
            machine: "box".parse().unwrap(),
            status: AttemptStatus::Ended,
            allocation: Allocation::default(),
            placed_at: Timestamp::default(),
            started_at: None,
            ended_at: None,
            outcome: Some(Outcome {
                reason,
                exit_code,
                signal: None,
                detail: detail.map(str::to_owned),
                usage: AttemptUsage::default(),
                log_bytes: 0,
            }),
            samples: Vec::new(),
            artifacts: ArtifactsView::None,
            artifacts_kept_until: None,
        };
        let attempts = [
            attempt(EndReason::Exited, Some(3), None),
            attempt(EndReason::PrepareFailed, Some(127), Some("nope: not found")),
            attempt(EndReason::PrepareFailed, Some(127), Some("nope: not found")),
            attempt(EndReason::TimeLimit, None, None),
        ];
        let summary = summary(JobStatus::Failed, Some(127));
        let lines = failures(&summary, &attempts, &[]);
        assert_eq!(
            lines,
            [
                "job 1 on box: prepare_failed: nope: not found",
                "job 1 on box: time_limit"
            ]
        );
        let said = ["nope: not found\n".to_owned()];
        assert_eq!(
            failures(&summary, &attempts, &said),
            ["job 1 on box: time_limit"]
        );
    }
}
