//! What people are told about approvals.

use common::{
    approval::{MAX_MACHINE_RULES, MAX_REASON_BYTES},
    code::Code,
    problem::Problem,
};

use crate::rejection::approval::ApprovalRejection;

impl ApprovalRejection {
    pub(super) fn problem(self) -> Problem {
        let bad_rule = |why: &str| Problem::new(Code::BadRequest, "cannot add this rule", why);
        match self {
            Self::NoSuchApproval { approval } => Problem::new(
                Code::NotFound,
                format!("no request {approval}"),
                "the org has none of this name, or it is not yours to see",
            )
            .help("`compute-share approval list --all` lists those that you may see."),
            Self::Decided {
                approval,
                status,
                by,
            } => Problem::new(
                Code::WrongState,
                format!("cannot decide {approval} once more"),
                match by {
                    Some(by) => format!("it was {status} by {by}"),
                    None => format!("it is {status}"),
                },
            )
            .help(format!("`compute-share approval show {approval}` shows when and why.")),
            Self::OwnJob { role } => Problem::new(
                Code::Permission,
                "cannot decide about your own job",
                format!("your role is {role}; nobody but the owner approves what they asked for themselves"),
            )
            .help("Ask another admin."),
            Self::ReasonTooLong { bytes } => Problem::new(
                Code::BadRequest,
                "cannot keep this reason",
                format!("it has {bytes} bytes; there is room for {MAX_REASON_BYTES}"),
            ),
            Self::RuleForAll => bad_rule("it names neither a role nor addresses, so every machine would meet it")
                .help("Add --role or --address; `compute-share org set machine_approval_required=off` asks nobody at all, for good."),
            Self::RuleRole => bad_rule("an org has one owner; a rule is about admin or member")
                .help("Choose admin or member."),
            Self::RuleLife => bad_rule("it has to hold longer than no time and at most ten years")
                .help("Choose another --expires, as in 7d; or leave it out."),
            Self::TooManyRules => Problem::new(
                Code::Limit,
                "cannot add one more rule",
                format!("an org has at most {MAX_MACHINE_RULES}"),
            )
            .help("Remove one with `compute-share org approvals rule remove NUMBER`."),
            Self::NoSuchRule { number } => Problem::new(
                Code::NotFound,
                format!("no rule {number}"),
                "the org has none of this number",
            )
            .help("`compute-share org approvals rule list` lists them."),
        }
    }
}
