//! `org leave`: the member's own end of a membership.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        org::{OrgAnswer, OrgRequest},
    },
    problem::Problem,
};
use serde_json::json;

use crate::cli::{Context, departure, session::ask};

/// Leave an org: your jobs end and your machines leave the pool; what you finished stays
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share org leave --dry-run\n  compute-share --org lab org leave"
)]
pub(in crate::cli) struct Leave {
    /// Only show what would go and what would stay
    #[arg(long)]
    dry_run: bool,
}

impl Leave {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let org = session.org;
        let question = Request::Org(OrgRequest::PreviewLeaving { org });
        let preview =
            ask!(session, question, Answer::AboutOrg(OrgAnswer::Departure(preview)) => preview)?;
        let name = session.org_name.clone();
        if self.dry_run {
            session.end().await;
            return context.output.show(
                &preview,
                |_| Vec::new(),
                |preview| format!("If you leave {name} now:\n{}", departure::text(preview)),
            );
        }
        let consequence = format!("You leave {name}:\n{}", departure::text(&preview));
        context.consent.obtain("leaving the org", &consequence)?;
        let request = Request::Org(OrgRequest::Leave { org });
        ask!(session, request, Answer::Done => ())?;
        session.end().await;
        context.output.done(
            &json!({"left": name, "org": org}),
            &format!(
                "You have left {name}. To come back, ask with `compute-share org rejoin {name}`."
            ),
        )
    }
}
