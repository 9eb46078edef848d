//! `org create`: one more org.

use clap::Args;
use common::{
    api::{Answer, Request, org::OrgRequest},
    name::Name,
    problem::Problem,
};

use crate::{
    cli::{Context, session::ask_client},
    client::Client,
};

/// Make an org that you own, where the coordinator lets users make orgs
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share org create club")]
pub(in crate::cli) struct Create {
    name: Name,
}

impl Create {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let client = Client::connect(&context.store()).await?;
        let request = Request::Org(OrgRequest::Create { name: self.name });
        let org = ask_client!(client, request, Answer::Org(overview) => *overview)?;
        client.close().await;
        context.output.show(
            &org,
            |org| vec![org.id.to_string()],
            |org| {
                let name = &org.name;
                format!(
                    "You own {name} now. `compute-share org use {name}` makes it the active org."
                )
            },
        )
    }
}
