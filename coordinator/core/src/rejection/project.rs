//! What is said no to about projects.

use common::{
    code::Code,
    name::Name,
    problem::Problem,
    project::{MAX_DESCRIPTION_BYTES, MAX_GRANTS, MAX_PROJECTS},
    status::Access,
};

use super::Rejection;
use crate::policy::project::ProjectAction;

/// Why a command about a project, or about something that belongs to one, changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectRejection {
    NoSuch {
        name: Name,
    },
    NotAllowed {
        name: Name,
        action: ProjectAction,
        access: Access,
        /// `None` where nobody may.
        least: Option<Access>,
    },
    Archived {
        name: Name,
    },
    /// Without this grant nobody of its own would administer the project.
    LastAdministrator {
        name: Name,
    },
    /// A grant that refers to whoever makes it.
    OwnGrant {
        name: Name,
    },
    /// Nobody may use its data outside it.
    CopyOut {
        /// `dataset digits`, or `what job 42 left`.
        what: String,
        project: Name,
    },
    /// The dataset is there, and belongs to somebody or something else.
    Elsewhere {
        dataset: Name,
    },
    /// What belongs to a project is seen by whom the project lets see it.
    OwnVisibility {
        name: Name,
    },
    /// What stands for no project at all.
    Reserved {
        name: Name,
    },
    Description,
    TooManyProjects,
    TooManyGrants {
        name: Name,
    },
}

impl ProjectRejection {
    pub(super) fn problem(self) -> Problem {
        match self {
        Self::NoSuch { name } => Problem::new(
            Code::NotFound,
            format!("no project {name}"),
            "the org has none of this name, or you have no access to it",
        )
        .help("`compute-share project list` lists those that you may see."),
        Self::NotAllowed {
            name,
            action,
            access,
            least,
        } => {
            let what = format!("you may not {} (project {name})", action.as_str());
            let problem = Problem::new(
                Code::Permission,
                what,
                match least {
                    Some(least) => format!("your access is {access}; it takes {least}"),
                    None => "the project is restricted so that nobody may".to_owned(),
                },
            );
            problem.help(format!(
                "Ask whoever administers the project; `compute-share project show {name}` names them."
            ))
        }
        Self::Archived { name } => Problem::new(
            Code::WrongState,
            format!("nothing new can be done in project {name}"),
            "it is archived",
        )
        .help(format!(
            "An administrator of it can run `compute-share project archive {name} --undo`."
        )),
        Self::LastAdministrator { name } => Problem::new(
            Code::WrongState,
            format!("cannot take this access to project {name} away"),
            "nobody else administers it",
        )
        .help(format!(
            "Make somebody else its administrator first: `compute-share project grant {name} administer HANDLE`."
        )),
        Self::OwnGrant { name } => Problem::new(
            Code::SelfGrant,
            format!("cannot grant access to project {name} to yourself"),
            "nobody changes their own access",
        ),
        Self::CopyOut { what, project } => Problem::new(
            Code::Permission,
            format!("cannot use {what} outside project {project}"),
            "the project is restricted: copy_out is none",
        )
        .help(format!("Run the job in it, with --project {project}.")),
        Self::Elsewhere { dataset } => Problem::new(
            Code::WrongState,
            format!("cannot put dataset {dataset} there"),
            "it is there already and stays where it belongs",
        )
        .help(format!(
            "Leave --project out to add a version to it; `compute-share dataset show {dataset}` says where it belongs."
        )),
        Self::OwnVisibility { name } => Problem::new(
            Code::BadRequest,
            "cannot give this a visibility of its own",
            format!("it belongs to project {name}, which says who sees it"),
        )
        .help("Leave the visibility out, or the project."),
        Self::Reserved { name } => Problem::new(
            Code::BadRequest,
            format!("cannot call a project {name}"),
            "the word stands for no project",
        )
        .help("Choose another name."),
        Self::Description => Problem::new(
            Code::BadRequest,
            "cannot use this description of a project",
            format!("it is longer than {MAX_DESCRIPTION_BYTES} bytes or not plain text"),
        ),
        Self::TooManyProjects => Problem::new(
            Code::Limit,
            "cannot have one more project",
            format!("an org has at most {MAX_PROJECTS}, archived ones included"),
        )
        .help("Use one that is there."),
        Self::TooManyGrants { name } => Problem::new(
            Code::Limit,
            format!("cannot grant access to project {name} to one more member"),
            format!("at most {MAX_GRANTS} have it by name"),
        )
        .help(format!(
            "Grant it to the whole org: `compute-share project grant {name} view --everyone`."
        )),
    }
    }
}

impl From<ProjectRejection> for Rejection {
    fn from(rejection: ProjectRejection) -> Self {
        Self::Project(rejection)
    }
}
