//! Following a job: its log onto this terminal and its state, over as many connections as it takes.
//!
//! What was shown of each attempt's log is remembered as a byte offset, so that after a lost connection nothing
//! is missing and nothing comes twice.

mod printer;
mod status_line;

use std::{collections::BTreeMap, time::Duration};

use common::{
    api::{
        Answer, Request,
        job::{ExplainJob, FollowEvent, FollowJob, LogCursor, MAX_CURSORS},
    },
    code::Code,
    job::{JobNumber, JobRef, JobSummary},
    problem::Problem,
    status::JobStatus,
};
use link::backoff::Backoff;
use tokio::time::{Instant, sleep_until};

pub(super) use printer::{LogForm, Printer};
use status_line::StatusLine;

use super::{Context, explain, session::Session};

/// First and longest wait before the coordinator is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// Without any contact for so long, following ends. The job does not.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// When somebody who waits is told that the job waits, when for the first time why, and how often again.
const TELL_WAITING: Duration = Duration::from_secs(1);
const TELL_WHY: Duration = Duration::from_secs(2);
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// How often they are told that it is being prepared, by the seconds that takes.
const TELL_PREPARING: Duration = Duration::from_secs(1);

/// A job, or one task of it, that is being followed.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    context: &'a Context,
    job: JobRef,
    logs: bool,
    until_end: bool,
    printer: Printer,
    /// How much of each attempt's log was shown.
    shown: BTreeMap<(u32, u32), u64>,
    summary: Option<JobSummary>,
    line: StatusLine,
    began: Instant,
    /// Since when a machine prepares it.
    prepares_since: Option<Instant>,
    tell_at: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        context: &'a Context,
        job: JobRef,
        form: Option<LogForm>,
        until_end: bool,
    ) -> Self {
        let began = Instant::now();
        Self {
            context,
            job,
            logs: form.is_some(),
            until_end,
            printer: Printer::new(form.unwrap_or(LogForm::Plain)),
            shown: BTreeMap::new(),
            summary: None,
            line: StatusLine::new(context.output.draws() && until_end),
            began,
            prepares_since: None,
            tell_at: began + TELL_WAITING,
        }
    }

    /// Follows to the end, going on over a new connection whenever one is lost.
    pub(super) async fn run(
        &mut self,
        session: &mut Session,
    ) -> Result<Option<JobSummary>, Problem> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let mut lost_at: Option<Instant> = None;
        loop {
            let before = self.shown.clone();
            let problem = match self.over(session).await {
                Ok(()) => {
                    self.line.clear();
                    self.printer.finish();
                    return Ok(self.summary.take());
                }
                Err(problem) if passes(&problem) => problem,
                Err(problem) => {
                    self.line.clear();
                    self.printer.cut();
                    return Err(problem);
                }
            };
            if before != self.shown {
                lost_at = None;
                backoff.reset();
            }
            if lost_at.is_none() {
                self.line.clear();
                self.context.output.note(&format!(
                    "connection lost ({}); trying again …",
                    problem.why
                ));
            }
            let since = *lost_at.get_or_insert_with(Instant::now);
            if since.elapsed() > GIVE_UP_AFTER {
                return Err(problem.help(come_back(self.job.number)));
            }
            tokio::time::sleep(backoff.next()).await;
            match self.context.session().await {
                Ok(again) => *session = again,
                Err(problem) if passes(&problem) => {}
                Err(problem) => return Err(problem),
            }
        }
    }

    /// Returns what Compute Share itself said in the log that was shown.
    pub(super) fn into_said(self) -> Vec<String> {
        self.printer.into_said()
    }

    /// Follows over one connection.
    async fn over(&mut self, session: &Session) -> Result<(), Problem> {
        let mut follower = session.client.follow(self.request(session)).await?;
        loop {
            let tell_at = self.tell_at;
            tokio::select! {
                event = follower.next() => match event? {
                    Some(event) => self.on_event(event)?,
                    None => return Ok(()),
                },
                () = sleep_until(tell_at), if self.tells() => self.tell_waiting(session).await,
            }
            if self.printer.is_closed() {
                return Ok(());
            }
        }
    }

    fn request(&self, session: &Session) -> FollowJob {
        let cursors = self.shown.iter().take(MAX_CURSORS);
        FollowJob {
            org: session.org,
            number: self.job.number,
            task: self.job.task,
            logs: self.logs,
            until_end: self.until_end,
            cursors: cursors
                .map(|(&(task, attempt), &offset)| LogCursor {
                    task,
                    attempt,
                    offset,
                })
                .collect(),
        }
    }

    fn on_event(&mut self, event: FollowEvent) -> Result<(), Problem> {
        match event {
            FollowEvent::Status(summary) => {
                if summary.tasks.total() > 1 && self.job.task.is_none() {
                    self.printer.name_tasks();
                }
                if !waits(&summary) {
                    self.line.clear();
                }
                if !prepares(&summary) {
                    self.prepares_since = None;
                } else if self.prepares_since.is_none() {
                    let now = Instant::now();
                    self.prepares_since = Some(now);
                    self.tell_at = now + TELL_WAITING;
                }
                self.summary = Some(summary);
                Ok(())
            }
            FollowEvent::Log { cursor, records } => {
                self.line.clear();
                self.on_log(cursor, &records)
            }
            FollowEvent::End => Ok(()),
        }
    }

    fn on_log(&mut self, cursor: LogCursor, records: &[u8]) -> Result<(), Problem> {
        let shown = self.shown.entry((cursor.task, cursor.attempt)).or_default();
        let fresh = fresh(*shown, cursor.offset, records)?;
        *shown += fresh.len() as u64;
        self.printer.print(cursor.task, cursor.attempt, fresh)
    }

    /// Whether somebody watches and has nothing to look at.
    fn tells(&self) -> bool {
        let waits = |summary: &JobSummary| waits(summary) || prepares(summary);
        self.line.is_drawn() && self.summary.as_ref().is_none_or(waits)
    }

    async fn tell_waiting(&mut self, session: &Session) {
        let number = self.job.number;
        if let (Some(since), Some(summary)) = (self.prepares_since, &self.summary) {
            self.line.set(&preparing(summary, since.elapsed()));
            self.tell_at = Instant::now() + TELL_PREPARING;
            return;
        }
        if self.began.elapsed() < TELL_WHY {
            self.line.set(&format!("job {number} waits …"));
            self.tell_at = self.began + TELL_WHY;
            return;
        }
        let request = Request::ExplainJob(ExplainJob {
            org: session.org,
            number,
        });
        // Only a courtesy: without an answer the line stays as it is.
        if let Ok(Answer::Explanation(explanation)) = session.client.ask(&request).await {
            self.line.set(&format!(
                "job {number} waits: {}",
                explain::short(&explanation)
            ));
        }
        self.tell_at = Instant::now() + TELL_AGAIN;
    }
}

/// Returns what of `records`, which begin at `offset` of an attempt's log, was not `shown` yet.
fn fresh(shown: u64, offset: u64, records: &[u8]) -> Result<&[u8], Problem> {
    let Some(known) = shown.checked_sub(offset) else {
        let why = format!("bytes {shown} to {offset} did not come");
        return Err(Problem::new(Code::Protocol, "the log has a gap", why));
    };
    let known = usize::try_from(known).unwrap_or(usize::MAX);
    Ok(records.get(known..).unwrap_or_default())
}

/// Whether trying again may help.
fn passes(problem: &Problem) -> bool {
    [Code::Unreachable, Code::Busy].contains(&problem.code)
}

/// Says how to come back to a job.
pub(super) fn come_back(number: JobNumber) -> String {
    format!("Job {number} goes on. Come back with `compute-share logs -f {number}`.")
}

fn waits(summary: &JobSummary) -> bool {
    matches!(
        summary.status,
        JobStatus::Queued | JobStatus::AwaitingApproval
    )
}

/// Whether machines fetch data, or make folders, and nothing of it has run yet.
fn prepares(summary: &JobSummary) -> bool {
    summary.status == JobStatus::Running && summary.started_at.is_none()
}

fn preparing(summary: &JobSummary, elapsed: Duration) -> String {
    let machines = summary.machines.iter().map(|machine| machine.as_str());
    let machines: Vec<&str> = machines.collect();
    let on = match machines.as_slice() {
        [] => String::new(),
        [one] => format!(" on {one}"),
        [one, others @ ..] => format!(" on {one} and {} more", others.len()),
    };
    let number = summary.number;
    format!("job {number} gets its data{on}: {} s …", elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use common::time::Timestamp;

    use super::*;
    use crate::cli::tests::job_summary;

    #[test]
    fn what_is_prepared_is_told_by_machine_and_seconds() {
        let mut summary = job_summary(7, JobStatus::Running);
        summary.machines.push("box".parse().unwrap());
        assert!(prepares(&summary) && !waits(&summary));
        let told = preparing(&summary, Duration::from_millis(12_900));
        assert_eq!(told, "job 7 gets its data on box: 12 s …");
        summary.machines.push("lab-1".parse().unwrap());
        let told = preparing(&summary, Duration::from_secs(1));
        assert_eq!(told, "job 7 gets its data on box and 1 more: 1 s …");
        summary.started_at = Some(Timestamp::default());
        assert!(!prepares(&summary));
    }

    #[test]
    fn what_comes_again_is_not_shown_again_and_a_gap_is_not_hidden() {
        let new = |shown, offset| fresh(shown, offset, b"abcd").map_err(|problem| problem.code);
        assert_eq!(new(10, 10), Ok(&b"abcd"[..]));
        assert_eq!(new(12, 10), Ok(&b"cd"[..]));
        assert_eq!(new(14, 10), Ok(&b""[..]));
        assert_eq!(new(99, 10), Ok(&b""[..]));
        assert_eq!(new(9, 10), Err(Code::Protocol));
    }
}
