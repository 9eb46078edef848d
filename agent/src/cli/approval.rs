//! `approval list|show|approve|reject`: what waits for an admin, whatever it is about.

use clap::{Args, Subcommand};
use common::{
    api::{
        Answer, Request,
        approval::{ApprovalAnswer, ApprovalRequest},
    },
    approval::{ApprovalRef, ApprovalView},
    problem::Problem,
    status::Verdict,
};

use super::{
    Context, escape,
    moments::{ago, local, now},
    output::Facts,
    pages,
    session::ask,
    table::Table,
};

/// Look at what waits for an admin's approval, and decide
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  compute-share approval approve job:42")]
pub(super) enum Approval {
    List(List),
    Show(Show),
    Approve(Approve),
    Reject(Reject),
}

/// List machines, jobs and people that wait for approval
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share approval list\n  compute-share approval list --all"
)]
pub(super) struct List {
    /// Those that are decided, too
    #[arg(long)]
    all: bool,
}

/// Show a request and who decided it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share approval show machine:bob-laptop")]
pub(super) struct Show {
    /// As `approval list` shows it
    #[arg(value_name = "machine:NAME|job:NUMBER|rejoin:HANDLE|ID")]
    approval: ApprovalRef,
}

/// Let it: a machine take jobs, a job start, somebody come back
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share approval approve job:42")]
pub(super) struct Approve {
    /// As `approval list` shows it
    #[arg(value_name = "machine:NAME|job:NUMBER|rejoin:HANDLE|ID")]
    approval: ApprovalRef,
    #[command(flatten)]
    why: Why,
}

/// Refuse it; a job ends then
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  compute-share approval reject job:42 --reason 'not before Monday'"
)]
pub(super) struct Reject {
    /// As `approval list` shows it
    #[arg(value_name = "machine:NAME|job:NUMBER|rejoin:HANDLE|ID")]
    approval: ApprovalRef,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Args)]
struct Why {
    /// Kept, and shown to whoever asked
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TEXT"
    )]
    reason: String,
}

impl Approval {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        match self {
            Self::List(list) => list.run(context).await,
            Self::Show(show) => show.run(context).await,
            Self::Approve(Approve { approval, why }) => {
                decide(context, approval, Verdict::Approve, why.reason).await
            }
            Self::Reject(Reject { approval, why }) => {
                decide(context, approval, Verdict::Reject, why.reason).await
            }
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let (org, all) = (session.org, self.all);
        let list = pages::all(async |after| {
            let request = Request::Approval(ApprovalRequest::List { org, all, after });
            ask!(session, request, Answer::Approval(ApprovalAnswer::List(page)) => page)
        });
        let list = list.await?;
        session.end().await;
        context.output.show(
            &list,
            |list| list.iter().map(|one| one.id.to_string()).collect(),
            |list| approvals_table(list),
        )
    }
}

fn approvals_table(list: &[ApprovalView]) -> String {
    let mut table = Table::new(&["REQUEST", "STATUS", "BY", "ASKED", "DECIDED", "WHY"]);
    for one in list {
        let decision = one.decision.as_ref();
        let by = decision.and_then(|decision| decision.by.clone());
        let reason = decision.map(|decision| decision.reason.as_str());
        let why = reason
            .filter(|reason| !reason.is_empty())
            .unwrap_or(&one.note);
        table.row([
            one.subject.clone(),
            one.status.to_string(),
            one.asked_by.to_string(),
            ago(one.asked_at, now()),
            by.unwrap_or_default(),
            escape::line(why),
        ]);
    }
    table.to_text("Nothing waits for approval.")
}

impl Show {
    async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let request = Request::Approval(ApprovalRequest::Show {
            org: session.org,
            approval: self.approval,
        });
        let one = ask!(session, request, Answer::Approval(ApprovalAnswer::One(one)) => one)?;
        session.end().await;
        context
            .output
            .show(&*one, |one| vec![one.id.to_string()], facts)
    }
}

fn facts(one: &ApprovalView) -> String {
    Facts::default()
        .with("request", &one.subject)
        .with("id", one.id)
        .with("why", escape::line(&one.note))
        .with("asked by", &one.asked_by)
        .with("asked", local(one.asked_at))
        .with("status", one.status)
        .with("decision", decision_text(one))
        .to_text()
}

/// Returns who decided, when and why; nothing while it waits.
pub(super) fn decision_text(one: &ApprovalView) -> String {
    let Some(decision) = &one.decision else {
        return String::new();
    };
    let by = match &decision.by {
        Some(by) => format!("by {by}, "),
        None => String::new(),
    };
    let mut text = format!("{by}{}", local(decision.at));
    if !decision.reason.is_empty() {
        text += &format!(": {}", escape::line(&decision.reason));
    }
    text
}

async fn decide(
    context: &Context,
    approval: ApprovalRef,
    verdict: Verdict,
    reason: String,
) -> Result<(), Problem> {
    let session = context.session().await?;
    let request = Request::Approval(ApprovalRequest::Decide {
        org: session.org,
        approval,
        verdict,
        reason,
    });
    let one = ask!(session, request, Answer::Approval(ApprovalAnswer::One(one)) => one)?;
    session.end().await;
    let sentence = format!("{} is {}.", one.subject, one.status);
    context
        .output
        .show(&*one, |one| vec![one.id.to_string()], |_| sentence)
}
