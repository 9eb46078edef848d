//! `member set-weight` and `project set-weight`: how much of the pool somebody should have beside others.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        shares::{SetWeight, SharesRequest, Weighed},
    },
    name::Name,
    problem::Problem,
    weight::Weight,
};

use super::{
    Context,
    org::shares::{ask_shares, text},
    session::ask,
};

/// Say how much of the pool a member should have beside others: with twice the weight, twice as much
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  compute-share member set-weight bob 2\n\n`compute-share org shares` shows what follows from it. 1 is what everybody has."
)]
pub(super) struct OfMember {
    handle: Name,
    weight: Weight,
}

/// Say how soon a project's jobs come beside others of their members: with twice the weight, as if they had used half
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  compute-share project set-weight vision 2\n\n1 is what every project has. For the owner of the org."
)]
pub(super) struct OfProject {
    name: Name,
    weight: Weight,
}

impl OfMember {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let said = format!("{} weighs {} now.", self.handle, self.weight);
        set(context, Weighed::Member(self.handle), self.weight, &said).await
    }
}

impl OfProject {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let said = format!("Project {} weighs {} now.", self.name, self.weight);
        set(context, Weighed::Project(self.name), self.weight, &said).await
    }
}

async fn set(context: &Context, of: Weighed, weight: Weight, said: &str) -> Result<(), Problem> {
    let session = context.session().await?;
    let org = session.org;
    let request = Request::Shares(SharesRequest::SetWeight(SetWeight { org, of, weight }));
    ask!(session, request, Answer::Done => ())?;
    let shares = ask_shares(&session).await?;
    session.end().await;
    context.output.show(
        &shares,
        |_| Vec::new(),
        |shares| format!("{said}\n{}", text(shares)),
    )
}
