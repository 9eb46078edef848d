//! Who may do what: one table of actions by role, by whose thing they are about and by the org's switches, and who may
//! see a thing. Nothing else decides it.

mod dataset;
pub mod project;
pub(crate) mod secret;

pub mod scopes;

use common::{
    id::{OrgId, UserId},
    org::{OrgSettings, settings::Switch},
    status::{Role, Visibility},
    time::Timestamp,
};

pub(crate) use self::dataset::{
    check_change, check_delete, check_move, has_passed, may_change_dataset, may_extend_dataset,
    may_read_dataset,
};
use self::project::ProjectAction;
use crate::{
    decide::account::proof::has_two_factor,
    rejection::{AccountRejection, Rejection},
    state::{State, job::Job, org::Member},
};

/// Whose thing an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The org's as a whole, or everybody's alike.
    Org,
    /// The member's own.
    Own,
    /// Another member's, where it is not shared.
    Other,
}

macro_rules! actions {
    ($($name:ident $words:literal $whose:ident $least:ident $(($widened:ident by $switch:ident))?)*) => {
        /// Something that a member may or may not do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action { $($name,)* }

        impl Action {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the words after "may not".
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }

            pub const fn whose(self) -> Whose {
                match self { $(Self::$name => Whose::$whose,)* }
            }

            /// Returns the lowest role that always may.
            pub const fn least_role(self) -> Role {
                match self { $(Self::$name => Role::$least,)* }
            }

            /// Returns the lowest role that may where the org has switched it on, and the switch.
            pub const fn switched(self) -> Option<(Role, Switch)> {
                match self {
                    $($(Self::$name => Some((Role::$widened, Switch::$switch)),)?)*
                    #[allow(unreachable_patterns, reason = "a table could have a switch in every row")]
                    _ => None,
                }
            }
        }
    };
}

// Who may: the words after "may not", whose thing it is about, the lowest role that always may, and where the org's
// settings widen that: `(ROLE by SWITCH)`.
actions! {
    SeeOrg "see the org" Org Member
    ChangeSettings "change the org's settings" Org Admin
    ChangeSafetySettings "change who manages admins or whether two-factor is required" Org Owner
    TransferOrg "hand the org over" Org Owner
    DeleteOrg "delete the org" Org Owner
    ChangeLimits "change the org's limits" Org Admin
    SeeAudit "see the audit log" Org Admin
    SeeOwnUsage "see their own usage" Own Member
    SeeAnyUsage "see the usage of others" Other Admin

    SeeMembers "see the members" Org Member
    InviteMember "invite members" Org Admin (Member by MembersMayInvite)
    InviteAdmin "invite admins" Org Owner (Admin by AdminsMayManageAdmins)
    SeeInvitations "see invitations" Other Admin
    RevokeInvitation "revoke invitations" Other Admin
    MakeLoginLink "make a sign-in link for themselves" Own Member
    ChangeRole "make or unmake admins" Org Owner (Admin by AdminsMayManageAdmins)
    SeeMemberLimits "see limits of other members" Other Admin
    ChangeMemberLimits "change limits of members" Other Admin
    ChangeAdminLimits "change limits of admins" Other Owner (Admin by AdminsMayManageAdmins)
    ChangeOwnerLimits "change the owner's limits" Own Owner
    WeighProject "say how much projects weigh" Org Owner
    RemoveMember "remove members" Org Admin
    RemoveAdmin "remove admins" Org Owner (Admin by AdminsMayManageAdmins)

    SeeAddresses "see the e-mail addresses of members" Other Admin
    RevokeDevice "see and revoke devices of others" Other Admin
    SignMemberIn "make sign-in links for others" Other Admin

    SeeMachines "see the machines" Org Member
    RegisterMachine "register machines" Own Member
    ApproveMachine "approve or reject machines" Org Admin
    RemoveOwnMachine "remove their own machines" Own Member
    RemoveAnyMachine "remove machines of others" Other Admin
    ExplainOwnMachine "see why their own machines get nothing" Own Member
    ExplainAnyMachine "see why machines of others get nothing" Other Admin
    ReadmitOwnMachine "let jobs onto their own machines again" Own Member
    ReadmitAnyMachine "let jobs onto machines of others again" Other Admin
    LabelMachine "label machines" Org Admin

    SeeApprovals "see what others ask approval for" Other Admin
    DecideApproval "approve or reject jobs and who comes back" Other Admin
    ApproveOwnJob "approve or reject their own jobs" Own Owner
    ChangeApprovals "change what needs approval" Org Admin

    AddDataset "add datasets" Own Member
    ReadSharedDataset "read and, where they say so, write shared datasets" Org Member
    ReadAnyDataset "read personal datasets of others" Other Admin
    ChangeAnyDataset "change or delete datasets of others" Other Admin
    ManageStorage "see and clear up what the org has stored" Org Admin

    SubmitJob "submit jobs" Own Member
    SeeAnyJob "see jobs of others" Other Admin
    CancelAnyJob "cancel jobs of others" Other Admin
    RerunAnyJob "run jobs of others again" Other Admin
    SeeSharedJob "see and, where they say so, cancel shared jobs" Org Member

    CreateProject "create projects" Own Member
    AdministerAnyProject "administer projects of others" Other Admin

    ManageSecrets "set the org's secrets and say who uses them" Org Admin

    // Nothing asks these before there are clusters and ports to open.
    CreateCluster "create and stop clusters" Own Admin (Member by MembersMayCreateClusters)
    OpenPort "open ports" Own Admin (Member by MembersMayOpenPorts)
}

/// Returns whether somebody of this role may, in an org with these settings.
pub fn allows(role: Role, action: Action, settings: &OrgSettings) -> bool {
    let switched = |(widened, switch): (Role, Switch)| role >= widened && switch.is_on(settings);
    role >= action.least_role() || action.switched().is_some_and(switched)
}

/// Returns the membership that lets the user do this.
///
/// # Errors
/// The org is not found by who is no member; the role is too low.
pub(crate) fn permit(
    state: &State,
    org: OrgId,
    user: UserId,
    action: Action,
) -> Result<Member, Rejection> {
    let member = member(state, org, user)?;
    let settings = &state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?.settings;
    if allows(member.role, action, settings) {
        Ok(member)
    } else {
        Err(Rejection::NotAllowed {
            action,
            role: member.role,
        })
    }
}

/// Returns the user's membership, if they may act in the org at all.
///
/// # Errors
/// The org is not found by who is no member; it requires two-factor, and the user has none.
pub(crate) fn member(state: &State, org: OrgId, user: UserId) -> Result<Member, Rejection> {
    let member = membership(state, org, user)?;
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    if row.settings.require_two_factor && !has_two_factor(state, user) {
        let org = row.name.clone();
        return Err(AccountRejection::TwoFactorRequired { org }.into());
    }
    Ok(member)
}

/// Returns the user's membership, for what it takes nothing more for: to leave, and to be told of it.
///
/// # Errors
/// The org is not found by who is no member.
pub(crate) fn membership(state: &State, org: OrgId, user: UserId) -> Result<Member, Rejection> {
    state
        .members
        .get(&(org, user))
        .copied()
        .ok_or(Rejection::NoSuchOrg)
}

/// Returns whether the role alone is enough, whatever is switched on.
pub(crate) fn always(role: Role, action: Action) -> bool {
    role >= action.least_role()
}

/// Returns whether a thing that `owner` made at that moment is still theirs. What somebody made before they left
/// passed to the org, also where they have come back.
fn owns(state: &State, user: UserId, org: OrgId, owner: UserId, made_at: Timestamp) -> bool {
    let since = || {
        state
            .members
            .get(&(org, user))
            .map(|member| member.joined_at)
    };
    owner == user && since().is_some_and(|since| made_at >= since)
}

fn owns_job(state: &State, user: UserId, job: &Job) -> bool {
    owns(state, user, job.org, job.owner, job.submitted_at)
}

/// Returns whether the user may see the job and its log. Whoever submitted it always may, others of its project
/// or, where it belongs to none, those to whom it is shared.
pub(crate) fn may_see_job(state: &State, user: UserId, role: Role, job: &Job) -> bool {
    if owns_job(state, user, job) || always(role, Action::SeeAnyJob) {
        return true;
    }
    match job.project {
        Some(project) => project::may(state, project, user, ProjectAction::SeeJobs),
        None => job.visibility() != Visibility::Personal && always(role, Action::SeeSharedJob),
    }
}

pub(crate) fn may_cancel_job(state: &State, user: UserId, role: Role, job: &Job) -> bool {
    if owns_job(state, user, job) || always(role, Action::CancelAnyJob) {
        return true;
    }
    match job.project {
        Some(project) => project::may(state, project, user, ProjectAction::CancelJobs),
        None => job.visibility() == Visibility::OrgWrite && always(role, Action::SeeSharedJob),
    }
}

/// Checks that the user may run the job again: with it goes its work folder, which those to whom it is shared only see
/// at work.
pub(crate) fn check_rerun(
    state: &State,
    user: UserId,
    role: Role,
    job: &Job,
) -> Result<(), Rejection> {
    let action = Action::RerunAnyJob;
    if owns_job(state, user, job) || always(role, action) {
        Ok(())
    } else {
        Err(Rejection::NotAllowed { action, role })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one place where the whole of it can be seen; a change here is a change of the product.
    #[test]
    fn the_table_is_as_agreed() {
        let mut table = format!(
            "{:<62}{:<8}{:<8}{:<8}owner\n",
            "who may", "whose", "member", "admin"
        );
        let off = OrgSettings::default();
        for action in Action::ALL {
            let whose = match action.whose() {
                Whose::Org => "org",
                Whose::Own => "own",
                Whose::Other => "others'",
            };
            table += &format!("{:<62}{whose:<8}", action.as_str());
            for role in Role::ALL {
                let word = match action.switched() {
                    _ if allows(*role, *action, &off) => "yes",
                    Some((widened, _)) if *role >= widened => "switch",
                    _ => "-",
                };
                table += &format!("{word:<8}");
            }
            if let Some((_, switch)) = action.switched() {
                table += &format!("  by {switch}");
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        let agreed = include_str!("policy/roles.txt");
        assert!(table == agreed, "roles.txt should read:\n{table}");
    }
}
