//! What users do with their own accounts.

use common::{
    api::{Answer, Request, account::AccountRequest},
    id::UserId,
    problem::Problem,
};
use coordinator_core::{Actor, Body, command::AccountCommand, query::enrolment};

use super::super::Member;

pub(super) async fn answer(
    member: &Member,
    user: UserId,
    request: AccountRequest,
) -> Result<Answer, Problem> {
    let desk = &*member.desk;
    let command = match request {
        AccountRequest::ChangeProfile {
            display_name,
            email,
        } => AccountCommand::ChangeProfile {
            display_name,
            email,
        },
        AccountRequest::RevokeDevice { of, device } => AccountCommand::RevokeDevice {
            of,
            device,
            from: enrolment::device(&desk.engine.read(), member.session.serial()),
        },
        question @ (AccountRequest::Show | AccountRequest::ListDevices { .. }) => {
            return super::ask(member, user, &Request::Account(question));
        }
    };
    let body = Body::Account(command);
    desk.engine.ask(Actor::User(user), body).await?;
    Ok(Answer::Done)
}
