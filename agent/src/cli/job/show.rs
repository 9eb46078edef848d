//! `job show`: a job with its attempts and what they used.

use clap::Args;
use common::{
    api::{Answer, Request, job::ShowJob},
    image::Image,
    job::{AfterView, ArtifactsView, AttemptView, JobDetail, JobRef, JobSpec},
    label::WantedLabel,
    problem::Problem,
    resources,
    secret::SecretName,
    status::{AfterStatus, EndReason, Network, Visibility},
};

use super::{
    super::{
        Context,
        amounts::counted,
        approval::decision_text,
        moments::{day, local, now, took},
        output::Facts,
        session::ask,
        table::Table,
    },
    retries, standing, tasks, used,
};

/// Attempts that are shown.
const ATTEMPTS: u32 = 100;

/// Show a job with its attempts and what they use
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share job show 42\n  compute-share job show 42.7 -o json"
)]
pub(in super::super) struct Show {
    #[arg(value_name = "JOB[.TASK]")]
    job: JobRef,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::ShowJob(ShowJob {
            org: session.org,
            number: self.job.number,
            task: self.job.task,
            attempts: ATTEMPTS,
            live: false,
        });
        let job = ask!(session, request, Answer::Job(job) => job)?;
        session.end().await;
        context
            .output
            .show(&*job, |job| vec![job.summary.id.to_string()], text)
    }
}

fn text(job: &JobDetail) -> String {
    let (summary, spec) = (&job.summary, &job.spec);
    let datasets = spec.datasets.iter().map(|mount| {
        let lazy = if mount.lazy { ", lazily" } else { "" };
        format!("{} at {}{lazy}", mount.dataset, mount.path)
    });
    let left = spec.artifacts.iter();
    let left = left.map(|mount| format!("job:{} at {}", mount.job, mount.path));
    let datasets = datasets.chain(left);
    let env = spec
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let approval = job.approval.as_deref().map_or_else(String::new, |one| {
        format!("{} {}", one.status, decision_text(one))
    });
    let held = summary.held.as_ref();
    let held = held.map(|hold| format!("by {} since {}", hold.by, local(hold.since)));
    let after = job.after.iter().map(after);
    let reruns = job.reruns.iter().map(|number| format!("job {number}"));
    let labels = spec.labels.iter().map(WantedLabel::to_string);
    let secrets = spec.secrets.iter().map(SecretName::to_string);
    let facts = Facts::default()
        .with("job", summary.number)
        .with("id", summary.id)
        .with("name", &summary.name)
        .with("owner", &summary.owner)
        .with_some("project", summary.project.as_ref())
        .with_some(
            "visibility",
            spec.visibility.filter(|seen| *seen != Visibility::Personal),
        )
        .with("status", standing(summary))
        .with_some("held", held)
        .with_some("cancelled", job.unmet.map(|unmet| unmet.to_string()))
        .with("waits for", after.collect::<Vec<_>>().join("\n"))
        .with("approval", approval)
        .with_some("exit code", summary.exit_code)
        .with("tasks", tasks(summary))
        .with("command", command(spec))
        .with_some(
            "image",
            Some(&spec.image).filter(|image| **image != Image::Host),
        )
        .with("asks for", request(&spec.request))
        .with_some(
            "network",
            Some(spec.network).filter(|network| *network != Network::None),
        )
        .with_some("isolation", spec.isolation)
        .with_some("sandbox", spec.sandbox)
        .with("labels", labels.collect::<Vec<_>>().join(", "))
        .with("datasets", datasets.collect::<Vec<_>>().join("\n"))
        .with("outputs", spec.outputs.join("\n"))
        .with("env", env.collect::<Vec<_>>().join("\n"))
        .with("secrets", secrets.collect::<Vec<_>>().join("\n"))
        .with("priority", spec.priority)
        .with_some("at most", spec.max_runtime)
        .with_some("retries", retries::asked(&spec.retries))
        .with("tried again", retries::waiting(job, now()))
        .with_some("array", array(spec))
        .with_some("nodes", spec.gang())
        .with_some("checkpoint", spec.checkpoint)
        .with_some("runs again", job.rerun_of.map(|of| format!("job {of}")))
        .with("run again by", reruns.collect::<Vec<_>>().join(", "))
        .with("submitted", local(summary.submitted_at))
        .with_some("started", summary.started_at.map(local))
        .with_some("ended", summary.ended_at.map(local))
        .with("took", took(summary.started_at, summary.ended_at, now()));
    let mut text = facts.to_text();
    if !job.attempts.is_empty() {
        text += &format!("\n{}", attempts(job));
    }
    let used = [used::by_ended(&job.attempts), used::now(&job.attempts)];
    for table in used.into_iter().flatten() {
        text += &format!("\n{table}");
    }
    if job.attempts_left_out > 0 {
        text += &format!(
            "and {} more; `job show JOB.TASK` shows those of one task\n",
            job.attempts_left_out
        );
    }
    text
}

/// Returns `job 41 to succeed: it runs now`.
fn after(one: &AfterView) -> String {
    let wanted = format!("job {} to {}", one.job, one.condition.verb());
    match (one.status, one.job_status) {
        (AfterStatus::Waits, None) => wanted,
        (AfterStatus::Waits, Some(status)) => format!("{wanted}: it {}", status.past()),
        (AfterStatus::Met, _) => format!("{wanted}: so it is"),
        (AfterStatus::Never, None) => format!("{wanted}: that can never be"),
        (AfterStatus::Never, Some(status)) => {
            format!("{wanted}: that can never be, it {}", status.past())
        }
    }
}

fn attempts(job: &JobDetail) -> String {
    let mut table = Table::new(&[
        ">TASK",
        ">TRY",
        "MACHINE",
        ">MEMORY",
        "STATUS",
        "ENDED BY",
        ">CODE",
        "TIME",
        "ARTIFACTS",
        "DETAIL",
    ]);
    // All have as much, unless some were given more than the job asks for.
    let asked = job.spec.request.memory;
    let grown = job.attempts.iter().any(|one| one.allocation.memory > asked);
    for attempt in &job.attempts {
        let outcome = attempt.outcome.as_ref();
        let memory = Some(attempt.allocation.memory).filter(|_| grown);
        table.row([
            attempt.task.to_string(),
            attempt.number.to_string(),
            attempt.machine.to_string(),
            memory.map(|given| given.to_string()).unwrap_or_default(),
            attempt.status.to_string(),
            outcome
                .map(|outcome| outcome.reason.to_string())
                .unwrap_or_default(),
            outcome
                .map(|outcome| outcome.exit_code().to_string())
                .unwrap_or_default(),
            took(attempt.started_at, attempt.ended_at, now()),
            artifacts(attempt),
            detail(attempt),
        ]);
    }
    table.without_empty_columns().to_text("")
}

/// Returns what there is to say of its end, and what took its place.
fn detail(attempt: &AttemptView) -> String {
    let outcome = attempt.outcome.as_ref();
    let gave_way = outcome.is_none_or(|outcome| outcome.reason == EndReason::Preempted);
    let by = attempt.preempted_by.filter(|_| gave_way);
    let by = by.map(|by| match outcome {
        Some(_) => format!("gave way to {by}"),
        None => format!("gives way to {by}"),
    });
    let said = outcome.and_then(|outcome| outcome.detail.clone());
    by.into_iter().chain(said).collect::<Vec<_>>().join("; ")
}

fn artifacts(attempt: &AttemptView) -> String {
    match &attempt.artifacts {
        ArtifactsView::NotYet | ArtifactsView::None => String::new(),
        ArtifactsView::Pending => "on their way".to_owned(),
        ArtifactsView::Stored { bytes, files, .. } => {
            let until = attempt.artifacts_kept_until;
            let until = until.map_or_else(String::new, |until| format!(", until {}", day(until)));
            format!("{}, {bytes}{until}", counted(*files, "file"))
        }
        ArtifactsView::Lost => "lost".to_owned(),
        ArtifactsView::Forgotten { at, .. } => format!("kept until {}", day(*at)),
    }
}

/// Returns the tasks of an array, and whether each has parameters.
fn array(spec: &JobSpec) -> Option<String> {
    let array = spec.array.as_ref()?;
    let each = if spec.params.is_some() {
        ", a line of parameters each"
    } else {
        ""
    };
    Some(format!("{array}{each}"))
}

/// Returns the command as a shell would need it.
fn command(spec: &JobSpec) -> String {
    let plain = |word: &&String| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c))
    };
    let words = spec
        .command
        .iter()
        .map(|word| match Some(word).filter(plain) {
            Some(word) => word.clone(),
            None => format!("'{}'", word.replace('\'', r"'\''")),
        });
    words.collect::<Vec<_>>().join(" ")
}

fn request(request: &resources::Request) -> String {
    let mut text = format!(
        "{} cpu, {} memory, {} disk",
        request.cpu, request.memory, request.disk
    );
    if request.exclusive {
        text += ", a machine to itself";
    }
    if let Some(gpu) = &request.gpu {
        text += &format!(
            ", {}x {}",
            gpu.count,
            gpu.model.as_deref().unwrap_or("any gpu")
        );
        match gpu.memory_words() {
            Some(memory) if gpu.share => text += &format!(" shared, {memory} of it"),
            Some(memory) => text += &format!(" with {memory}"),
            None => {}
        }
    }
    text
}
