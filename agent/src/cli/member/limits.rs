//! `member limits|set-limit`: what holds one member back.

use std::{collections::BTreeSet, str::FromStr};

use clap::Args;
use common::{
    api::{
        Answer, Request,
        limits::{
            BoundSource, BoundView, LimitsAnswer, LimitsRequest, MemberLimits, SetMemberLimits,
        },
    },
    code::Code,
    limits::{
        Amount, InvalidResource, ResourceLimits, ResourceType,
        written::{self, InvalidLimit},
    },
    name::Name,
    problem::Problem,
};

use super::super::{
    Context,
    moments::local,
    session::{Session, ask},
    table::Table,
};

/// Show every limit on a member, where it comes from and what counts against it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share member limits\n  compute-share member limits bob"
)]
pub(in super::super) struct Show {
    /// Yourself, if left out
    handle: Option<Name>,
}

/// Limit what one member's tasks may hold at once, in place of the org's per_user
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compute-share member set-limit bob rtx-5090=1\n  compute-share member set-limit bob gpu=4 memory=256GiB cpu=none\n\nThe org's own limits hold as well: a member's limit never lets through what they stop."
)]
pub(in super::super) struct Set {
    handle: Name,
    /// cpu, memory (MB, or with a unit), gpu or a GPU's model; `none` for the org's per_user again
    #[arg(value_name = "RESOURCE=MOST", required = true)]
    limits: Vec<Setting>,
}

/// `rtx-5090=1`, or `rtx-5090=none`.
#[derive(Debug, Clone)]
struct Setting {
    resource: ResourceType,
    most: Option<Amount>,
}

/// Why a text sets no limit.
#[derive(Debug, thiserror::Error)]
enum InvalidSetting {
    #[error("write RESOURCE=MOST, as in gpu=2")]
    Form,
    #[error("{0}")]
    Resource(#[from] InvalidResource),
    #[error("{0}")]
    Limit(#[from] InvalidLimit),
}

impl FromStr for Setting {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let (resource, most) = text.split_once('=').ok_or(InvalidSetting::Form)?;
        let resource: ResourceType = resource.trim().parse()?;
        let most = match most.trim() {
            "none" => None,
            most => Some(written::amount(&resource, most)?),
        };
        Ok(Self { resource, most })
    }
}

impl Show {
    pub(in super::super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let limits = ask_limits(&session, self.handle).await?;
        session.end().await;
        context.output.show(&limits, |_| Vec::new(), text)
    }
}

async fn ask_limits(session: &Session, handle: Option<Name>) -> Result<MemberLimits, Problem> {
    let org = session.org;
    let request = Request::Limits(LimitsRequest::Member { org, handle });
    ask!(session, request, Answer::Limits(LimitsAnswer::Member(limits)) => limits)
}

impl Set {
    pub(in super::super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let (set, unset) = sorted(self.limits)?;
        let session = context.session().await?;
        let request = Request::Limits(LimitsRequest::SetMember(SetMemberLimits {
            org: session.org,
            handle: self.handle.clone(),
            set,
            unset,
        }));
        ask!(session, request, Answer::Done => ())?;
        let limits = ask_limits(&session, Some(self.handle)).await?;
        session.end().await;
        context.output.show(
            &limits,
            |_| Vec::new(),
            |limits| {
                let notes = notes(limits);
                let handle = &limits.handle;
                format!("The limits on {handle} are now:\n{}{notes}", text(limits))
            },
        )
    }
}

fn sorted(settings: Vec<Setting>) -> Result<(ResourceLimits, Vec<ResourceType>), Problem> {
    let refused = |why: String| Problem::new(Code::BadRequest, "cannot set these limits", why);
    let (mut set, mut unset) = (ResourceLimits::default(), Vec::new());
    let mut named = BTreeSet::new();
    for Setting { resource, most } in settings {
        if !named.insert(resource.clone()) {
            return Err(refused(format!("{resource} is named twice")));
        }
        match most {
            None => unset.push(resource),
            Some(most) => {
                set.set(resource, most)
                    .map_err(|error| refused(error.to_string()))?;
            }
        }
    }
    Ok((set, unset))
}

fn text(limits: &MemberLimits) -> String {
    let mut table = Table::new(&["LIMIT", ">VALUE", ">IN USE", "SOURCE"]);
    for bound in &limits.bounds {
        table.row([
            bound.limit.clone(),
            bound.value.to_string(),
            bound
                .in_use
                .map(|used| used.to_string())
                .unwrap_or_default(),
            source(bound),
        ]);
    }
    table.to_text("No limits.")
}

fn source(bound: &BoundView) -> String {
    match &bound.source {
        BoundSource::Org => "the whole org".to_owned(),
        BoundSource::PerUser => "every member".to_owned(),
        BoundSource::Member { by, at } => {
            let by = by.as_ref().map_or("a former member", Name::as_str);
            format!("set singly by {by}, {}", local(*at))
        }
    }
}

/// Returns what a limit does not do, where one might think so.
fn notes(limits: &MemberLimits) -> String {
    let mut notes = String::new();
    for bound in &limits.bounds {
        if !matches!(bound.source, BoundSource::Member { .. }) {
            continue;
        }
        let resource = bound.limit.trim_start_matches("per_user.");
        let whole = format!("concurrent.{resource}");
        let org = limits.bounds.iter().find(|other| other.limit == whole);
        if let Some(org) = org.filter(|org| org.value < bound.value) {
            notes += &format!(
                "\nA member's limit only tightens: {whole} of the org, {}, holds as well.",
                org.value
            );
        }
        if let Some(used) = bound.in_use.filter(|used| *used > bound.value) {
            notes += &format!(
                "\n{used} of {resource} are in use: nothing ends, and no more starts until that is within the limit."
            );
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_setting_says_what_is_wrong() {
        #[track_caller]
        fn refused(text: &str, expect: &str) {
            let error = text.parse::<Setting>().unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
        refused("gpu", "as in gpu=2");
        refused("gup=2", "is no compute resource type");
        refused("gpu=-1", "-1 is negative");
        refused("gpu=5000000000", "larger than any limit");
        refused("gpu=two", "is not a whole number");
        refused("memory=4 bananas", "is not a size");
        refused("cpu=4GiB", "is not a number of processors");
        let read = |text: &str| text.parse::<Setting>().unwrap();
        assert_eq!(read("memory=1024").most, Some(Amount(1 << 30)));
        assert_eq!(read("RTX-5090=none").most, None);
        assert!(sorted(vec![read("gpu=1"), read("gpu=none")]).is_err());
    }
}
