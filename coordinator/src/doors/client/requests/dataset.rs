//! Datasets that are there: changes are answered by the dataset as it is after them, a deletion by what went.

mod verification;

use common::{
    api::{
        Answer, Request,
        data::{DataAnswer, DataRequest},
    },
    code::Code,
    id::UserId,
    problem::Problem,
};
use coordinator_core::{Body, command::dataset::DatasetCommand, query::dataset::deleted};

use super::{Member, ask};

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: DataRequest,
) -> Result<Answer, Problem> {
    let act = |command| {
        let engine = &member.desk.engine;
        engine.ask(member.actor, Body::Dataset(command))
    };
    let (org, name) = match request {
        DataRequest::Delete(request) => {
            let events = act(DatasetCommand::Delete(request)).await?;
            let gone = deleted(&events).expect("what is not refused is deleted");
            return Ok(Answer::Data(DataAnswer::Deleted(gone)));
        }
        DataRequest::Set(request) => {
            let shown = (request.org, request.name.clone());
            act(DatasetCommand::Set(request)).await?;
            shown
        }
        DataRequest::Move(request) => {
            let shown = (request.org, request.name.clone());
            act(DatasetCommand::Move(request)).await?;
            shown
        }
        DataRequest::Warm(request) => {
            act(DatasetCommand::Warm(request.clone())).await?;
            return ask(member, user, &Request::Data(DataRequest::ShowWarm(request)));
        }
        DataRequest::Restore(request) => {
            let name = request.under.as_ref().unwrap_or(&request.dataset.name);
            let shown = (request.org, name.clone());
            act(DatasetCommand::Restore(request)).await?;
            shown
        }
        DataRequest::Verify(request) => {
            let part = verification::part(&member.desk, user, request).await?;
            return Ok(Answer::Data(DataAnswer::Verified(part)));
        }
        question @ (DataRequest::PreviewDeletion(_)
        | DataRequest::ListDeleted { .. }
        | DataRequest::ShowWarm(_)) => {
            return ask(member, user, &Request::Data(question));
        }
    };
    match ask(member, user, &Request::ShowDataset { org, name }) {
        Ok(Answer::Dataset(dataset)) => Ok(Answer::Data(DataAnswer::One(Box::new(dataset)))),
        // It was moved to where whoever did it sees it no more.
        Err(problem) if problem.code == Code::NotFound => Ok(Answer::Data(DataAnswer::Gone)),
        other => other,
    }
}
