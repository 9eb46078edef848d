//! `org rejoin`: a wish to come back.

use clap::Args;
use common::{
    api::{Answer, Request, org::OrgRequest},
    name::Name,
    problem::Problem,
};
use serde_json::json;

use crate::{
    cli::{Context, session::ask_client},
    client::Client,
};

/// Ask to come back into an org that you were in; an admin decides
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share org rejoin lab")]
pub(in crate::cli) struct Rejoin {
    name: Name,
}

impl Rejoin {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let name = self.name;
        let client = Client::connect(&context.store()).await?;
        let request = OrgRequest::RequestRejoin { name: name.clone() };
        ask_client!(client, Request::Org(request), Answer::Done => ())?;
        client.close().await;
        context.output.done(
            &json!({"asked": name}),
            &format!("An admin of {name} can let you in now; `compute-share whoami` shows when that is so."),
        )
    }
}
