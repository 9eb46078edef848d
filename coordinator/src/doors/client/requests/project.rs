//! Projects: commands, each answered by the project as it is after it.

use common::{
    api::{
        Answer, Request,
        project::{ProjectAnswer, ProjectRequest},
    },
    code::Code,
    id::{OrgId, ProjectId, UserId},
    name::Name,
    problem::Problem,
};
use coordinator_core::{Body, command::project::ProjectCommand};

use super::{Member, ask};
use crate::mint;

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: ProjectRequest,
) -> Result<Answer, Problem> {
    let (org, name, command) = match request {
        ProjectRequest::Create(request) => {
            let project = ProjectId::new(mint::uuid(member.desk.now()));
            let (org, name) = (request.org, request.name.clone());
            (org, name, ProjectCommand::Create { project, request })
        }
        ProjectRequest::Grant(request) => (
            request.org,
            request.name.clone(),
            ProjectCommand::Grant(request),
        ),
        ProjectRequest::Revoke(request) => (
            request.org,
            request.name.clone(),
            ProjectCommand::Revoke(request),
        ),
        ProjectRequest::Set(request) => (
            request.org,
            request.name.clone(),
            ProjectCommand::Set(request),
        ),
        ProjectRequest::Archive(request) => (
            request.org,
            request.name.clone(),
            ProjectCommand::Archive(request),
        ),
        question @ (ProjectRequest::List { .. } | ProjectRequest::Show { .. }) => {
            return ask(member, user, &Request::Project(question));
        }
    };
    let engine = &member.desk.engine;
    engine.ask(member.actor, Body::Project(command)).await?;
    show(member, user, org, name)
}

fn show(member: &Member, user: UserId, org: OrgId, name: Name) -> Result<Answer, Problem> {
    let shown = ask(
        member,
        user,
        &Request::Project(ProjectRequest::Show { org, name }),
    );
    match shown {
        // Whoever gave their own access back sees it no more.
        Err(problem) if problem.code == Code::NotFound => Ok(Answer::Project(ProjectAnswer::Gone)),
        shown => shown,
    }
}
