//! `org delete`: the end of an org.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        org::{OrgAnswer, OrgRequest},
    },
    org::deletion::DeletionPreview,
    problem::Problem,
};
use serde_json::json;

use crate::cli::{Context, output::Facts, session::ask};

/// Delete the org with everything in it: members, jobs and their history, machines, datasets. Cannot be undone
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share org delete --dry-run\n  compute-share --org lab org delete --confirm lab"
)]
pub(in crate::cli) struct Delete {
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
    /// The org's name, for scripts; else you are asked to type it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

impl Delete {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let Self { dry_run, confirm } = self;
        let session = context.session().await?;
        let org = session.org;
        let question = Request::Org(OrgRequest::PreviewDeletion { org });
        let preview =
            ask!(session, question, Answer::AboutOrg(OrgAnswer::Deletion(preview)) => preview)?;
        let name = session.org_name.clone();
        if dry_run {
            session.end().await;
            return context
                .output
                .show(&preview, |_| Vec::new(), |preview| facts(preview));
        }
        let consequence = format!("This goes for good:\n{}", facts(&preview));
        let typed = context
            .consent
            .typed("deleting the org", &consequence, confirm)?;
        let request = Request::Org(OrgRequest::Delete { org, typed });
        ask!(session, request, Answer::Done => ())?;
        session.end().await;
        context.output.done(
            &json!({"deleted": name, "org": org}),
            &format!("{name} is deleted."),
        )
    }
}

fn facts(preview: &DeletionPreview) -> String {
    let tasks = format!(
        "{} running, {} queued",
        preview.running_tasks, preview.queued_tasks
    );
    Facts::default()
        .with("org", &preview.name)
        .with("members", preview.members)
        .with("machines", preview.machines)
        .with("jobs", preview.jobs)
        .with("tasks", tasks)
        .with("datasets", preview.datasets)
        .with("projects", preview.projects)
        .with("secrets", preview.secrets)
        .with("files", preview.bytes)
        .to_text()
}
