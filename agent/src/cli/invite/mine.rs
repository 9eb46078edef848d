//! Invitations that wait for the member themselves: `invite list --mine`, `invite accept`, `invite decline`.

use common::{
    api::{
        Answer, Request,
        invitation::{InvitationAnswer, InvitationRequest, PendingInvitation},
    },
    code::Code,
    problem::Problem,
};
use serde_json::json;

use super::super::{
    Context,
    moments::{ago, now},
    pages,
    session::ask_client,
    sign_in,
    table::Table,
};
use super::held::{is_code, is_link};
use crate::client::{Client, unexpected};

pub(super) async fn list(context: &Context) -> Result<(), Problem> {
    let client = Client::connect(&context.store()).await?;
    let mine = pending(&client).await?;
    client.close().await;
    context.output.show(
        &mine,
        |mine| mine.iter().map(|one| one.id.to_string()).collect(),
        |mine| {
            let mut table = Table::new(&["ORG", "ROLE", "BY", "EXPIRES", "ID"]);
            for one in mine {
                table.row([
                    one.org_name.to_string(),
                    one.role.to_string(),
                    one.created_by.to_string(),
                    ago(one.expires_at, now()),
                    one.id.to_string(),
                ]);
            }
            table.to_text("No invitation waits for you. `compute-share invite show LINK` shows one that came by mail.")
        },
    )
}

pub(super) async fn accept(context: &Context, which: &str) -> Result<(), Problem> {
    if is_link(which) || is_code(which) {
        let why = "one that is a link or a code is taken by joining with it";
        let problem = Problem::new(Code::BadRequest, "cannot accept this invitation", why);
        return Err(problem.help("Run `compute-share join` with it."));
    }
    let client = Client::connect(&context.store()).await?;
    let invitation = find(&client, which).await?.id;
    let request = InvitationRequest::Accept { invitation };
    sign_in::enter(context, client, request).await
}

pub(super) async fn decline(context: &Context, which: &str) -> Result<(), Problem> {
    let client = Client::connect(&context.store()).await?;
    let one = find(&client, which).await?;
    let consequence = format!("The invitation to {} is gone then.", one.org_name);
    context
        .consent
        .obtain("declining an invitation", &consequence)?;
    let invitation = one.id;
    let request = Request::Invitation(InvitationRequest::Decline { invitation });
    match client.ask(&request).await? {
        Answer::Done => {}
        other => return Err(unexpected(&other)),
    }
    client.close().await;
    context.output.done(
        &json!({"declined": invitation, "org_name": one.org_name}),
        &format!("Declined. You do not join {}.", one.org_name),
    )
}

async fn pending(client: &Client) -> Result<Vec<PendingInvitation>, Problem> {
    let mine = pages::all(async |after| {
        let request = Request::Invitation(InvitationRequest::Mine { after });
        ask_client!(client, request, Answer::Invitation(InvitationAnswer::Mine(page)) => page)
    });
    mine.await
}

/// Returns the newest invitation to the org of this name, or that of this id.
async fn find(client: &Client, which: &str) -> Result<PendingInvitation, Problem> {
    let mut mine = pending(client).await?.into_iter();
    let id = which.parse().ok();
    let found = mine.find(|one| Some(one.id) == id || one.org_name.as_str() == which);
    found.ok_or_else(|| {
        let what = format!("no invitation {which:?}");
        Problem::new(
            Code::NotFound,
            what,
            "none to this org or of this id waits for you",
        )
        .help("`compute-share invite list --mine` lists those that do.")
    })
}
