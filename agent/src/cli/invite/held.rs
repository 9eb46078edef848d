//! Invitations in somebody's hand, as a link or a code: `invite show`, `invite decline`. `join` takes one.

use clap::Args;
use common::{
    api::invitation::ShownInvitation, id::Fingerprint, join_link::JoinLink, org::InvitationStatus,
    problem::Problem,
};
use serde_json::json;

use super::super::{
    Context,
    moments::{ago, now},
    output::Facts,
    sign_in::invitation_link,
};
use crate::client::enrol::{decline_invitation, show_invitation};

/// See what an invitation lets into, without taking it
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  compute-share invite show 'compute-share://lab.example:7443/join/…'"
)]
pub(in crate::cli) struct Show {
    /// The invitation: a link in single quotes, or a code
    #[arg(value_name = "LINK|CODE")]
    invitation: String,
    #[command(flatten)]
    place: Place,
}

/// Where a code is of.
#[derive(Debug, Args)]
pub(in crate::cli) struct Place {
    /// Where the coordinator is; a link says it itself
    #[arg(long, value_name = "HOST:PORT", requires = "ca")]
    coordinator: Option<String>,
    /// Fingerprint of the coordinator's root certificate; a link says it itself
    #[arg(long, value_name = "FINGERPRINT", requires = "coordinator")]
    ca: Option<Fingerprint>,
}

impl Place {
    /// Whether what is written here can only be a link or a code, and no org's name.
    pub(super) fn tells(&self, written: &str) -> bool {
        self.coordinator.is_some() || is_link(written)
    }

    fn link(self, context: &Context, written: &str) -> Result<JoinLink, Problem> {
        let known = context.store().find()?;
        let told = self.coordinator.zip(self.ca);
        invitation_link(written, told, known.as_ref())
    }
}

pub(super) fn is_link(written: &str) -> bool {
    written.contains("://")
}

/// Returns whether this is a code as they are printed: `XXXX-XXXX-XXXX`.
pub(super) fn is_code(written: &str) -> bool {
    let groups: Vec<&str> = written.split('-').collect();
    let group = |group: &&str| group.len() == 4 && group.bytes().all(|b| b.is_ascii_alphanumeric());
    groups.len() == 3 && groups.iter().all(group)
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let link = self.place.link(context, &self.invitation)?;
        let shown = show_invitation(&link).await?;
        context.output.show(
            &shown,
            |shown| vec![shown.id.to_string()],
            |shown| {
                let facts = Facts::default()
                    .with("org", &shown.org_name)
                    .with("role", shown.role)
                    .with("by", &shown.created_by)
                    .with("expires", ago(shown.expires_at, now()));
                format!("{}\n{}", facts.to_text().trim_end(), what_next(shown))
            },
        )
    }
}

fn what_next(shown: &ShownInvitation) -> &'static str {
    match shown.status {
        InvitationStatus::Pending => {
            "`compute-share join` takes it; `compute-share invite decline` turns it down."
        }
        _ => "`compute-share join` takes it.",
    }
}

/// Turns the invitation down, as whoever reads the mail of the address that it is for.
pub(super) async fn decline(context: &Context, written: &str, place: Place) -> Result<(), Problem> {
    let link = place.link(context, written)?;
    let shown = show_invitation(&link).await?;
    // Any other is not theirs to decline, as the coordinator tells them.
    if shown.status == InvitationStatus::Pending {
        let consequence = format!(
            "The invitation to {} by {} is gone then.",
            shown.org_name, shown.created_by
        );
        context
            .consent
            .obtain("declining an invitation", &consequence)?;
    }
    let org_name = decline_invitation(&link).await?;
    context.output.done(
        &json!({"declined": shown.id, "org_name": org_name}),
        &format!("Declined. Nobody joins {org_name} with it."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_from_the_name_of_an_org() {
        #[track_caller]
        fn check(written: &str, expect: bool) {
            assert_eq!(is_code(written), expect, "{written:?}");
        }
        check("ABCD-EFGH-JKLM", true);
        check("abcd-efgh-jklm", true);
        check("shop", false);
        check("my-big-shop", false);
        check("ABCD-EFGH-JKL*", false);
        check("ABCD-EFGH-JKLM-NPQR", false);
        check("0193f7a2-6f3c-7a10-9f5e-000000000001", false);
    }
}
