//! `org settings|set`: what the org says of itself, and its switches.

use clap::Args;
use common::{
    api::{
        Answer, Request,
        org::{OrgAnswer, OrgRequest},
    },
    code::Code,
    org::{OrgSettings, settings::SettingsChange},
    problem::Problem,
};

use crate::cli::{Context, output::Facts, session::ask};

/// Show the org's settings
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  compute-share org settings")]
pub(in crate::cli) struct Settings {}

/// Change the org's settings
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  compute-share org set display_name='The Lab' contact='ada@lab.example'
  compute-share org set members_may_invite=on default_visibility=personal
  compute-share org set artifacts_kept=30d deleted_data_kept=3d
  compute-share org set storage='s3://bucket/prefix?region=eu-central-1'
  compute-share org set usage_half_life=7d lending_credit=50%

artifacts_kept is for how long the coordinator keeps what jobs left, forever if need be; where it is
shortened, what is older goes within the hour. deleted_data_kept is for how long deleted datasets can be
brought back; 0 takes them away at once.

storage is where the bytes of datasets, work folders and artifacts live: local is the coordinator's disk,
s3://BUCKET/PREFIX a bucket of S3-compatible storage, with ?region=NAME and &endpoint=https://HOST where it is
not Amazon's. Its keys are the org's secrets S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, set with
`compute-share secret set`. What is stored moves there while everybody works on; `compute-share org storage`
shows how far it is.

Whose turn it is follows from what members hold and from what they used of each other's machines, half of
which is forgotten every usage_half_life; lending_credit takes off as much of what their own machines lent to
others. What has waited for raised_after rises by one priority, one job of a member at a time, and for one that comes first
and has waited for reserved_after a machine is kept free; forever turns either off.

What has waited for preempts_after takes the place of tasks that have run for preempted_after: with
preemption=priority of those of lower priority and, on its owner's own machine, of guests; with preemption=share
also of those whose members would still have more of the pool afterwards; with preemption=off of nobody. Who gave way
waits at its old place in the queue.")]
pub(in crate::cli) struct Set {
    /// A setting and its new value, as `org settings` shows them; empty takes a text away
    #[arg(required = true, value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl Settings {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let session = context.session().await?;
        let question = OrgRequest::ShowSettings { org: session.org };
        let settings = ask!(session, Request::Org(question), Answer::AboutOrg(OrgAnswer::Settings(settings)) => settings)?;
        session.end().await;
        context
            .output
            .show(&settings, |_| Vec::new(), |it| facts(it))
    }
}

impl Set {
    pub(super) async fn run(self, context: &Context) -> Result<(), Problem> {
        let change = change(&self.settings)?;
        let session = context.session().await?;
        let request = OrgRequest::ChangeSettings {
            org: session.org,
            change: Box::new(change),
        };
        let settings = ask!(session, Request::Org(request), Answer::AboutOrg(OrgAnswer::Settings(settings)) => settings)?;
        let org = session.org_name.clone();
        session.end().await;
        context.output.show(
            &settings,
            |_| Vec::new(),
            |settings| format!("The settings of {org} are now:\n{}", facts(settings)),
        )
    }
}

fn change(settings: &[String]) -> Result<SettingsChange, Problem> {
    let bad = |why: String| Problem::new(Code::BadSetting, "cannot change the settings", why);
    let mut change = SettingsChange::default();
    for setting in settings {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| bad(format!("{setting:?} is not KEY=VALUE")))?;
        let set = change.set(key.trim(), value.trim());
        set.map_err(|error| bad(error.to_string()))?;
    }
    Ok(change)
}

fn facts(settings: &OrgSettings) -> String {
    let switch = |on| if on { "on" } else { "off" };
    let text = |text: &str| match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    };
    Facts::default()
        .with("display_name", text(&settings.display_name))
        .with("description", text(&settings.description))
        .with("contact", text(&settings.contact))
        .with("default_visibility", settings.default_visibility)
        .with("members_may_invite", switch(settings.members_may_invite))
        .with(
            "members_may_create_clusters",
            switch(settings.members_may_create_clusters),
        )
        .with(
            "members_may_open_ports",
            switch(settings.members_may_open_ports),
        )
        .with(
            "admins_may_manage_admins",
            switch(settings.admins_may_manage_admins),
        )
        .with(
            "machine_approval_required",
            switch(settings.machine_approval_required),
        )
        .with("require_two_factor", switch(settings.require_two_factor))
        .with("artifacts_kept", settings.artifacts_kept)
        .with("deleted_data_kept", settings.deleted_data_kept)
        .with("storage", &settings.storage)
        .with("usage_half_life", settings.usage_half_life)
        .with("lending_credit", settings.lending_credit)
        .with("raised_after", settings.raised_after)
        .with("reserved_after", settings.reserved_after)
        .with("preemption", settings.preemption)
        .with("preempts_after", settings.preempts_after)
        .with("preempted_after", settings.preempted_after)
        .to_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_keys_and_values() {
        let words = [
            "display-name=The = Lab".to_owned(),
            "require_two_factor=on".to_owned(),
        ];
        let change = change(&words).unwrap();
        assert_eq!(change.display_name.as_deref(), Some("The = Lab"));
        assert_eq!(change.require_two_factor, Some(true));
        for bad in ["display_name", "=x", "color=red", "members_may_invite=2"] {
            let problem = super::change(&[bad.to_owned()]).unwrap_err();
            assert_eq!(problem.code, Code::BadSetting, "{bad}");
        }
    }
}
