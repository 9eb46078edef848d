//! Who may do what in a project: one table of actions by access. An admin of the org administers all of them.

use common::{
    id::{OrgId, ProjectId, UserId},
    name::Name,
    project::Restrictions,
    status::{Access, CopyOut, DeleteBy, DownloadBy},
};

use super::{Action, always, member};
use crate::{
    rejection::{Rejection, project::ProjectRejection},
    state::{State, project::Project},
};

macro_rules! project_actions {
    ($($name:ident $words:literal $least:ident)*) => {
        /// Something that whoever has access to a project may or may not do in it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProjectAction { $($name,)* }

        impl ProjectAction {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the words after "may not".
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }

            /// Returns the lowest access that may where nothing is restricted.
            const fn least_unrestricted(self) -> Access {
                match self { $(Self::$name => Access::$least,)* }
            }
        }
    };
}

project_actions! {
    See "see the project" View
    SeeJobs "see its jobs and their logs" View
    SeeData "see its datasets" View
    Download "download its data and files" View
    CopyOut "use its data outside it" View
    AddData "add datasets and versions" Upload
    Submit "run jobs in it" Contribute
    DeleteData "delete its datasets" Contribute
    MoveOut "move their own datasets elsewhere" Contribute
    CancelJobs "cancel jobs of others" Administer
    ChangeData "change datasets of others" Administer
    MoveOutOthers "move datasets of others elsewhere" Administer
    Grant "say who may do what" Administer
    Change "change or archive it" Administer
    ManageSecrets "set its secrets" Administer
}

impl ProjectAction {
    /// Returns the lowest access that may; `None` where nobody may.
    pub const fn least_access(self, restrictions: &Restrictions) -> Option<Access> {
        match (self, restrictions) {
            (
                Self::CopyOut,
                Restrictions {
                    copy_out: CopyOut::None,
                    ..
                },
            ) => None,
            (
                Self::Download,
                Restrictions {
                    download: DownloadBy::None,
                    ..
                },
            )
            | (
                Self::DeleteData | Self::MoveOut,
                Restrictions {
                    delete: DeleteBy::Admins,
                    ..
                },
            )
            | (
                Self::MoveOut,
                Restrictions {
                    copy_out: CopyOut::None,
                    ..
                },
            ) => Some(Access::Administer),
            _ => Some(self.least_unrestricted()),
        }
    }

    /// Returns whether it makes something new, which an archived project does not take.
    const fn makes_new(self) -> bool {
        matches!(self, Self::AddData | Self::Submit)
    }
}

/// Returns whether this much access is enough.
fn suffices(access: Access, action: ProjectAction, restrictions: &Restrictions) -> bool {
    action
        .least_access(restrictions)
        .is_some_and(|least| access >= least)
}

/// Returns what the user may in the project: by name, as one of everyone, or as an admin of the org.
pub(crate) fn access(state: &State, id: ProjectId, user: UserId) -> Option<Access> {
    let project = state.projects.get(&id)?;
    let member = state.members.get(&(project.org, user))?;
    if always(member.role, Action::AdministerAnyProject) {
        return Some(Access::Administer);
    }
    let own = state.grants.get(&(id, user)).map(|grant| grant.access);
    own.max(project.everyone)
}

/// Returns whether the user may do this in the project as it is.
pub(crate) fn may(state: &State, id: ProjectId, user: UserId, action: ProjectAction) -> bool {
    let project = state.projects.get(&id);
    project.is_some_and(|project| {
        access(state, id, user)
            .is_some_and(|access| suffices(access, action, &project.restrictions))
    })
}

/// A project that somebody may see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) id: ProjectId,
    pub(crate) project: &'a Project,
    /// Of whoever asks.
    pub(crate) access: Access,
}

impl Seen<'_> {
    /// Checks that something new may happen in the project.
    ///
    /// # Errors
    /// It is archived.
    pub(crate) fn must_be_open(&self) -> Result<(), Rejection> {
        match self.project.archived_at {
            None => Ok(()),
            Some(_) => {
                let name = self.project.name.clone();
                Err(ProjectRejection::Archived { name }.into())
            }
        }
    }
}

/// Returns the project of this name.
///
/// # Errors
/// It is not found by who has no access to it.
pub(crate) fn find<'a>(
    state: &'a State,
    user: UserId,
    org: OrgId,
    name: &Name,
) -> Result<Seen<'a>, Rejection> {
    member(state, org, user)?;
    let names = state.index.project_names.get(&org);
    let found = names.and_then(|names| {
        let id = *names.get(name)?;
        let project = state.projects.get(&id)?;
        let access = access(state, id, user)?;
        Some(Seen {
            id,
            project,
            access,
        })
    });
    found.ok_or_else(|| ProjectRejection::NoSuch { name: name.clone() }.into())
}

/// Returns the project of this name, in which the user may do this.
///
/// # Errors
/// It is not found, the access is too low, or it is archived and this would be new.
pub(crate) fn permit<'a>(
    state: &'a State,
    user: UserId,
    org: OrgId,
    name: &Name,
    action: ProjectAction,
) -> Result<Seen<'a>, Rejection> {
    let seen = find(state, user, org, name)?;
    if action.makes_new() {
        seen.must_be_open()?;
    }
    judge(&seen, action)?;
    Ok(seen)
}

/// Checks that the user may do this to something of the project.
///
/// # Errors
/// The project is not found by who has no access to it, or the access is too low.
pub(crate) fn check(
    state: &State,
    id: ProjectId,
    user: UserId,
    action: ProjectAction,
) -> Result<(), Rejection> {
    // What belongs to a project is never without it.
    let Some(project) = state.projects.get(&id) else {
        return Err(Rejection::NoSuchOrg);
    };
    let Some(access) = access(state, id, user) else {
        let name = project.name.clone();
        return Err(ProjectRejection::NoSuch { name }.into());
    };
    let seen = Seen {
        id,
        project,
        access,
    };
    judge(&seen, action)
}

fn judge(seen: &Seen<'_>, action: ProjectAction) -> Result<(), Rejection> {
    let restrictions = &seen.project.restrictions;
    if suffices(seen.access, action, restrictions) {
        return Ok(());
    }
    Err(ProjectRejection::NotAllowed {
        name: seen.project.name.clone(),
        action,
        access: seen.access,
        least: action.least_access(restrictions),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole ladder, open and as restricted as can be; a change here is a change of the product.
    #[test]
    fn the_ladder_is_as_agreed() {
        let open = Restrictions::default();
        let closed = Restrictions {
            copy_out: CopyOut::None,
            delete: DeleteBy::Admins,
            download: DownloadBy::None,
        };
        let mut table = format!("{:<36}", "who may in a project");
        for access in Access::ALL {
            table += &format!("{access:<12}");
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
        for action in ProjectAction::ALL {
            table += &format!("{:<36}", action.as_str());
            for access in Access::ALL {
                let word = match (
                    suffices(*access, *action, &open),
                    suffices(*access, *action, &closed),
                ) {
                    (true, true) => "yes",
                    (true, false) => "open",
                    (false, _) => "-",
                };
                table += &format!("{word:<12}");
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        table += "\nopen: unless the project is restricted (copy_out: none, delete: admins, download: none)\n";
        assert_eq!(table, include_str!("project.txt"));
    }
}
