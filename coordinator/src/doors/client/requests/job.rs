//! Jobs that are submitted in other ways than by one specification.

use common::{
    api::{
        Answer,
        job::{JobAnswer, Rerun, RerunJob},
    },
    id::{JobId, UserId},
    problem::Problem,
};
use coordinator_core::{
    Body,
    command::job::JobCommand,
    query::{self, enrolment},
};

use super::Member;
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
