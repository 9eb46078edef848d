//! Jobs that are submitted in other ways than by one specification.

use std::collections::BTreeSet;

use common::{
    api::{
        Answer,
        job::{JobAnswer, Rerun, RerunJob, SubmitGraph},
    },
    id::{JobId, UserId},
    job::graph::MAX_GRAPH_JOBS,
    problem::Problem,
};
use coordinator_core::{
    Body,
    command::job::JobCommand,
    query::{self, enrolment},
};

use super::{Member, all_sent};
use crate::mint;

/// Nothing is sent: the work folder is there with the job that is run again.
pub(super) async fn rerun(
    member: &Member,
    user: UserId,
    request: RerunJob,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let key = request.key;
    let job = JobId::new(mint::uuid(desk.now()));
    let body = Body::Job(JobCommand::Rerun { job, request });
    desk.engine.ask(member.actor, body).await?;
    let state = desk.engine.read();
    let submitted = enrolment::submitted(&state, user, key);
    let submitted = submitted.expect("the commit before has this key");
    let tasks = query::task_count(&state, submitted.id);
    Ok(Answer::AboutJob(JobAnswer::Rerun(Rerun {
        submitted,
        tasks,
    })))
}

/// All of the graph, or nothing: every work folder is here before anything is asked of the engine.
pub(super) async fn submit_graph(
    member: &Member,
    user: UserId,
    request: SubmitGraph,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let _named = desk.blobs.named().await;
    let (key, count) = (request.key, request.jobs.len().min(MAX_GRAPH_JOBS));
    let mut new = BTreeSet::new();
    for (place, job) in request.jobs.iter().enumerate().take(count) {
        // Sent again with the same key, the jobs that are there have their folders already.
        let there = enrolment::sent_with_at(&desk.engine.read(), user, key, place);
        new.extend(job.spec.sent().filter(|tree| !there.contains(tree)));
    }
    let held = all_sent(member, request.org, new).await?;
    let jobs = (0..count).map(|_| JobId::new(mint::uuid(desk.now())));
    let jobs = jobs.collect();
    let body = Body::Job(JobCommand::SubmitGraph { jobs, request });
    desk.engine.ask(member.actor, body).await?;
    for (store, tree) in held {
        store.release(tree);
    }
    let submitted = enrolment::submitted_graph(&desk.engine.read(), user, key, count);
    let submitted = submitted.expect("the commit before has these keys");
    Ok(Answer::AboutJob(JobAnswer::Graph(submitted)))
}
