//! `org approvals show|set|apply|rule`: what needs an admin's approval, and what a rule approves.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use common::{
    address_range::AddressRange,
    api::{
        Answer, Request,
        approval::{ApprovalAnswer, ApprovalRequest},
    },
    approval::{ApprovalRules, MachineRule},
    id::OrgId,
    limits::written::{Count, InvalidLimit},
    problem::Problem,
    status::Role,
    time::Span,
};

use crate::cli::{
    Context,
    moments::{ago, now},
    session::ask,
    table::Table,
    yaml::{self, Fields, FileError, UNDER_ORGANIZATION},
};

/// Show or change what needs an admin's approval
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  compute-share org approvals
  compute-share org approvals set gpu_hours_over=100
  compute-share org approvals rule add --role admin --address 10.0.0.0/8 --expires 7d

A file for `apply` reads
  organization:
    approvals: {job: {gpu_hours_over: 100}}")]
pub(in crate::cli) struct Approvals {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what needs approval, and the rules
    #[command(after_help = "Example:\n  compute-share org approvals show")]
    Show,
    /// Say which jobs need approval
    #[command(after_help = "\
Examples:
  compute-share org approvals set gpu_hours_over=100
  compute-share org approvals set gpu_hours_over=none")]
    Set {
        /// GPUs x longest run time x tasks; a job with GPUs and no run-time bound is over everything
        #[arg(value_name = "gpu_hours_over=N|none", value_parser = threshold)]
        gpu_hours_over: Threshold,
    },
    /// Take which jobs need approval from a file
    #[command(after_help = "Example:\n  compute-share org approvals apply approvals.yaml")]
    Apply { file: PathBuf },
    /// Rules that approve machines at their registration
    #[command(
        subcommand,
        after_help = "Example:\n  compute-share org approvals rule add --role admin"
    )]
    Rule(Rule),
}

#[derive(Debug, Subcommand)]
enum Rule {
    /// Approve machines by who registers them, and from where
    #[command(
        after_help = "Example:\n  compute-share org approvals rule add --role admin --address 10.0.0.0/8 --expires 7d"
    )]
    Add {
        /// Of the member who registers, or a higher one
        #[arg(long, value_name = "member|admin")]
        role: Option<Role>,
        /// From where
        #[arg(long, value_name = "ADDRESS/BITS")]
        address: Option<AddressRange>,
        /// How long the rule holds (default: until it is removed)
        #[arg(long, value_name = "SPAN")]
        expires: Option<Span>,
    },
    /// List the rules
    #[command(after_help = "Example:\n  compute-share org approvals rule list")]
    List,
    /// Remove a rule; machines that it approved stay
    #[command(after_help = "Example:\n  compute-share org approvals rule remove 3")]
    Remove { number: u32 },
}

/// `None` asks for no job.
#[derive(Debug, Clone, Copy)]
struct Threshold(Option<u32>);

/// Why a text says nothing about which jobs need approval.
#[derive(Debug, thiserror::Error)]
enum InvalidThreshold {
    #[error("the one setting is gpu_hours_over, as in gpu_hours_over=100")]
    Form,
    #[error("{0}")]
    Hours(#[from] InvalidLimit),
}

fn threshold(text: &str) -> Result<Threshold, InvalidThreshold> {
    let value = text.strip_prefix("gpu_hours_over=");
    match value.ok_or(InvalidThreshold::Form)? {
        "none" | "" => Ok(Threshold(None)),
        hours => hours
            .parse()
            .map(|Count(hours)| Threshold(Some(hours)))
            .map_err(InvalidThreshold::Hours),
    }
}

impl Approvals {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Problem> {
        let show = |org| ApprovalRequest::ShowRules { org };
        match self.verb.unwrap_or(Verb::Show) {
            Verb::Show => rules(context, show, text).await,
            Verb::Set { gpu_hours_over } => set(context, gpu_hours_over.0).await,
            Verb::Apply { file } => set(context, load(&file)?).await,
            Verb::Rule(Rule::List) => rules(context, show, machine_rules).await,
            Verb::Rule(Rule::Add {
                role,
                address,
                expires,
            }) => {
                let add = |org| ApprovalRequest::AddMachineRule {
                    org,
                    role,
                    addresses: address,
                    ttl: expires,
                };
                rules(context, add, machine_rules).await
            }
            Verb::Rule(Rule::Remove { number }) => {
                let remove = |org| ApprovalRequest::RemoveMachineRule { org, number };
                rules(context, remove, machine_rules).await
            }
        }
    }
}

async fn set(context: &Context, gpu_hours_over: Option<u32>) -> Result<(), Problem> {
    let set = |org| ApprovalRequest::SetJobThreshold {
        org,
        gpu_hours_over,
    };
    rules(context, set, text).await
}

/// Asks, and shows the rules as they are then.
async fn rules(
    context: &Context,
    request: impl FnOnce(OrgId) -> ApprovalRequest,
    text: fn(&ApprovalRules) -> String,
) -> Result<(), Problem> {
    let session = context.session().await?;
    let request = Request::Approval(request(session.org));
    let rules = ask!(session, request, Answer::Approval(ApprovalAnswer::Rules(rules)) => rules)?;
    session.end().await;
    let numbers = |rules: &ApprovalRules| {
        let numbers = rules.machines.iter().map(|rule| rule.number.to_string());
        numbers.collect()
    };
    context.output.show(&rules, numbers, text)
}

fn text(rules: &ApprovalRules) -> String {
    let jobs = match rules.job.gpu_hours_over {
        None => "No job needs approval.".to_owned(),
        Some(hours) => format!(
            "A job needs approval that may use more than {hours} GPU-hours, or has GPUs and no run-time bound."
        ),
    };
    format!("{jobs}\n\n{}", machine_rules(rules))
}

fn machine_rules(rules: &ApprovalRules) -> String {
    let mut table = Table::new(&[">RULE", "ROLE", "FROM", "EXPIRES", "BY", "MADE"]);
    for rule in &rules.machines {
        let MachineRule {
            number,
            role,
            addresses,
            expires_at,
            created_by,
            created_at,
        } = rule;
        table.row([
            number.to_string(),
            role.map_or_else(|| "any".to_owned(), |role| format!("{role} or higher")),
            addresses.map_or_else(|| "anywhere".to_owned(), |range| range.to_string()),
            expires_at.map_or_else(|| "never".to_owned(), |at| ago(at, now())),
            created_by.to_string(),
            ago(*created_at, now()),
        ]);
    }
    table.to_text("No rule approves machines.")
}

const LIMITS_HOME: &str = "it stands under `organization:` in a file of its own, for `compute-share org limits apply FILE`";

/// Reads the file at `path`.
fn load(path: &Path) -> Result<Option<u32>, Problem> {
    let read = yaml::read(path).and_then(|text| parse(&text));
    read.map_err(|error| {
        let code = error.code();
        error.into_problem(code, path)
    })
}

fn parse(text: &str) -> Result<Option<u32>, FileError> {
    let map = yaml::parse(text)?;
    let home = [
        ("approvals", UNDER_ORGANIZATION),
        ("limits", LIMITS_HOME),
        ("policy", LIMITS_HOME),
    ];
    yaml::keep_out("", &map, &home)?;
    let file = Fields::new("", &map, &["organization"])?;
    let Some(organization) = file.map("organization")? else {
        return Err(file.complain("organization", "it is missing"));
    };
    yaml::keep_out("organization", organization, &home[1..])?;
    let organization = Fields::new("organization", organization, &["approvals"])?;
    let Some(approvals) = organization.map("approvals")? else {
        return Err(organization.complain("approvals", "it is missing"));
    };
    let approvals = Fields::new("organization.approvals", approvals, &["job"])?;
    match approvals.map("job")? {
        None => Ok(None),
        Some(job) => {
            let job = Fields::new("organization.approvals.job", job, &["gpu_hours_over"])?;
            let hours = job.parsed("gpu_hours_over")?;
            Ok(hours.map(|Count(hours)| hours))
        }
    }
}

#[cfg(test)]
mod tests {
    use common::code::Code;

    use super::*;

    #[test]
    fn the_threshold_is_read_from_a_file_or_a_word() {
        let file = |job: &str| parse(&format!("organization: {{approvals: {{job: {job}}}}}"));
        assert_eq!(file("{gpu_hours_over: 100}"), Ok(Some(100)));
        assert_eq!(file("{}"), Ok(None));
        for (wrong, code, why) in [
            (
                "{gpu_hours_over: -1}",
                Code::NegativeNumber,
                "-1 is negative",
            ),
            (
                "{gpu_hours_over: 5000000000}",
                Code::NumberTooLarge,
                "larger than",
            ),
            (
                "{gpu_hours_over: many}",
                Code::BadUnit,
                "not a whole number",
            ),
            (
                "{gpu_hours: 1}",
                Code::UnknownKey,
                "did you mean `gpu_hours_over`?",
            ),
        ] {
            let error = file(wrong).unwrap_err();
            assert_eq!(error.code(), code, "{wrong}");
            assert!(error.to_string().contains(why), "{error}");
        }
        for (elsewhere, home) in [
            (
                "approvals: {job: {gpu_hours_over: 100}}",
                "it stands under `organization:`",
            ),
            (
                "organization: {limits: {}}",
                "`compute-share org limits apply FILE`",
            ),
        ] {
            let error = parse(elsewhere).unwrap_err();
            assert_eq!(error.code(), Code::UnknownKey);
            assert!(error.to_string().ends_with(home), "{error}");
        }
        assert!(parse("organization: {}").is_err());
        assert_eq!(threshold("gpu_hours_over=0").unwrap().0, Some(0));
        assert_eq!(threshold("gpu_hours_over=none").unwrap().0, None);
        assert!(threshold("gpu_hours=1").is_err());
        assert!(threshold("gpu_hours_over=-1").is_err());
    }
}
