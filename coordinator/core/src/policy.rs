//! Who may do what: one table of actions by role, and who may see a thing. Nothing else decides it.

use common::{
    id::{OrgId, UserId},
    status::{Role, Visibility},
};

use crate::{
    rejection::Rejection,
    state::{State, dataset::Dataset, job::Job, org::Member},
};

macro_rules! actions {
    ($($name:ident $words:literal $least:ident)*) => {
        /// Something that a member may or may not do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action { $($name,)* }

        impl Action {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the words after "may not".
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }

            /// Returns the lowest role that may.
            pub const fn least_role(self) -> Role {
                match self { $(Self::$name => Role::$least,)* }
            }
        }
    };
}

actions! {
    SeeOrg "see the org" Member
    SeeMembers "see the members" Member
    ChangeLimits "change the org's limits" Admin
    InviteMember "invite members" Admin
    InviteAdmin "invite admins" Owner
    SeeInvitations "see invitations" Admin
    RevokeInvitation "revoke invitations" Admin
    MakeLoginLink "make a sign-in link for themselves" Member
    ChangeRole "make or unmake admins" Owner
    RemoveMember "remove members" Admin
    RemoveAdmin "remove admins" Owner
    SeeMachines "see the machines" Member
    RegisterMachine "register machines" Member
    ApproveMachine "approve or reject machines" Admin
    RemoveOwnMachine "remove their own machines" Member
    RemoveAnyMachine "remove machines of others" Admin
    AddDataset "add datasets" Member
    ReadSharedDataset "read shared datasets" Member
    ReadAnyDataset "read personal datasets of others" Admin
    ChangeAnyDataset "change datasets of others" Admin
    SubmitJob "submit jobs" Member
    SeeAnyJob "see jobs of others" Admin
    CancelAnyJob "cancel jobs of others" Admin
}

/// Returns whether the role is high enough.
pub fn allows(role: Role, action: Action) -> bool {
    role >= action.least_role()
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
    if allows(member.role, action) {
        Ok(member)
    } else {
        Err(Rejection::NotAllowed {
            action,
            role: member.role,
        })
    }
}

/// Returns the user's membership.
///
/// # Errors
/// The org is not found by who is no member.
pub(crate) fn member(state: &State, org: OrgId, user: UserId) -> Result<Member, Rejection> {
    state
        .members
        .get(&(org, user))
        .copied()
        .ok_or(Rejection::NoSuchOrg)
}

pub(crate) fn may_see_job(user: UserId, role: Role, job: &Job) -> bool {
    job.owner == user || allows(role, Action::SeeAnyJob)
}

pub(crate) fn may_read_dataset(user: UserId, role: Role, dataset: &Dataset) -> bool {
    let shared = dataset.visibility != Visibility::Personal;
    dataset.owner == user
        || (shared && allows(role, Action::ReadSharedDataset))
        || allows(role, Action::ReadAnyDataset)
}

pub(crate) fn may_extend_dataset(user: UserId, role: Role, dataset: &Dataset) -> bool {
    dataset.visibility == Visibility::OrgWrite || may_change_dataset(user, role, dataset)
}

pub(crate) fn may_change_dataset(user: UserId, role: Role, dataset: &Dataset) -> bool {
    dataset.owner == user || allows(role, Action::ChangeAnyDataset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one place where the whole of it can be seen; a change here is a change of the product.
    #[test]
    fn the_table_is_as_agreed() {
        let mut table = format!("{:<44}{:<8}{:<8}owner\n", "who may", "member", "admin");
        for action in Action::ALL {
            table += &format!("{:<44}", action.as_str());
            for role in Role::ALL {
                table += &format!("{:<8}", if allows(*role, *action) { "yes" } else { "-" });
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        assert_eq!(table, include_str!("policy/roles.txt"));
    }
}
