//! `org transfer`: another owner.

use clap::Args;
use common::{
    api::{Answer, Request, org::OrgRequest},
    name::Name,
    problem::Problem,
};
use serde_json::json;

use crate::cli::{Context, session::ask};

/// Hand the org to one of its admins; you become an admin
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share org transfer carol\n  compute-share org transfer carol --confirm lab"
)]
pub(in crate::cli) struct Transfer {
    /// The admin who becomes the owner
    handle: Name,
    /// The org's name, for scripts; else you are asked to type it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

impl Transfer {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { handle, confirm } = self;
        let session = context.session().await?;
        let name = session.org_name.clone();
        let consequence = format!("{handle} becomes the owner of {name}, and you an admin.");
        let typed = context
            .consent
            .typed("handing the org over", &consequence, confirm)?;
        let request = OrgRequest::Transfer {
            org: session.org,
            to: handle.clone(),
            typed,
        };
        ask!(session, Request::Org(request), Answer::Done => ())?;
        session.end().await;
        context.output.done(
            &json!({"org_name": name, "owner": handle}),
            &format!("{handle} owns {name} now; you are an admin."),
        )
    }
}
