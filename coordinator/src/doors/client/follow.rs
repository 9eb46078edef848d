//! Following a job: its state whenever it changes, and its logs as they grow, until all of it was told.
//!
//! A follower that is slow waits for itself alone: it is woken by what changed and then looks at how things are
//! now, so nothing piles up for it.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    api::job::{FollowEvent, FollowJob, LogCursor, MAX_CURSORS, MAX_LOG_EVENT_BYTES},
    code::Code,
    id::{AttemptId, UserId},
    job::JobSummary,
    problem::Problem,
};
use coordinator_core::{
    Topic,
    query::follow::{Followed, FollowedAttempt, LogEnd, followed, may_follow},
};
use link::frames::FrameSender;

use crate::{
    desk::{Desk, blocking},
    topics::Awaited,
};

/// Tells everything that was asked for, then ends.
pub(super) async fn follow(
    desk: &Desk,
    user: UserId,
    request: &FollowJob,
    tx: &mut FrameSender,
) -> Result<(), Problem> {
    if request.cursors.len() > MAX_CURSORS {
        let why = format!(
            "{} cursors came, {MAX_CURSORS} are possible",
            request.cursors.len()
        );
        return Err(Problem::new(
            Code::BadRequest,
            "The job is not followed",
            why,
        ));
    }
    let look = || followed(&desk.engine.read(), desk.now(), user, request);
    let mut now = look()?;
    let job = now.job;
    let mut changes = desk.wires.topics.subscribe(Awaited::Topic(Topic::Job(job)));
    let mut growth = desk.wires.topics.subscribe(Awaited::Log(job));
    // What changed between the look and the subscriptions woke nobody.
    now = look().unwrap_or(now);
    let mut told = Told {
        summary: None,
        cursors: request
            .cursors
            .iter()
            .map(|cursor| {
                let attempt = AttemptId {
                    job,
                    task: cursor.task,
                    number: cursor.attempt,
                };
                (attempt, cursor.offset)
            })
            .collect(),
        complete: BTreeSet::new(),
    };
    loop {
        told.tell(desk, request, &now, tx).await?;
        if !request.until_end || told.is_everything(request, &now) {
            return Ok(tx.send(&FollowEvent::End).await?);
        }
        tokio::select! {
            () = changes.woken() => now = look()?,
            // Who may no longer see the job is told no more of it.
            () = growth.woken() => may_follow(&desk.engine.read(), user, request)?,
            // Whoever hangs up while nothing happens is noticed, too.
            gone = tx.delivered() => return Ok(gone?),
        }
    }
}

/// What the follower knows already.
struct Told {
    summary: Option<JobSummary>,
    cursors: BTreeMap<AttemptId, u64>,
    /// Attempts whose whole log was sent.
    complete: BTreeSet<AttemptId>,
}

impl Told {
    async fn tell(
        &mut self,
        desk: &Desk,
        request: &FollowJob,
        now: &Followed,
        tx: &mut FrameSender,
    ) -> Result<(), Problem> {
        if self.summary.as_ref() != Some(&now.summary) {
            tx.send(&FollowEvent::Status(now.summary.clone())).await?;
            self.summary = Some(now.summary.clone());
        }
        if request.logs {
            for followed in &now.attempts {
                if !self.complete.contains(&followed.attempt) {
                    self.tell_log(desk, *followed, tx).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends what there is of one log beyond the follower's cursor.
    async fn tell_log(
        &mut self,
        desk: &Desk,
        followed: FollowedAttempt,
        tx: &mut FrameSender,
    ) -> Result<(), Problem> {
        let attempt = followed.attempt;
        let offset = self.cursors.entry(attempt).or_default();
        while desk.logs.length(attempt) > *offset {
            let (logs, from) = (desk.logs.clone(), *offset);
            let read = blocking(move || logs.read(attempt, from, MAX_LOG_EVENT_BYTES)).await;
            let records = read?;
            if records.is_empty() {
                break;
            }
            let end = from + records.len() as u64;
            let cursor = LogCursor {
                task: attempt.task,
                attempt: attempt.number,
                offset: from,
            };
            tx.send(&FollowEvent::Log { cursor, records }).await?;
            *offset = end;
        }
        let complete = match followed.log {
            LogEnd::Open => false,
            LogEnd::At(end) => *offset >= end,
            LogEnd::Here => true,
        };
        if complete {
            self.complete.insert(attempt);
        }
        Ok(())
    }

    fn is_everything(&self, request: &FollowJob, now: &Followed) -> bool {
        let complete = |followed: &FollowedAttempt| self.complete.contains(&followed.attempt);
        now.ended && (!request.logs || now.attempts.iter().all(complete))
    }
}
