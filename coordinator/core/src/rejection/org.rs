//! Why an org stays as it is.

use common::{
    code::Code,
    label::MAX_LABELS,
    name::Name,
    org::{MAX_ORGS_OWNED, settings::InvalidSetting},
    problem::Problem,
    status::Role,
};

use super::Rejection;

/// Why nothing is done to an org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrgRejection {
    Setting(InvalidSetting),
    OwnerLeaves,
    NotAnAdmin {
        handle: Name,
        role: Role,
    },
    /// Of the org.
    WrongTypedName {
        name: Name,
    },
    MemberAlready {
        org: Name,
    },
    RemovedByAdmin,
    /// So the coordinator's configuration says.
    OnlyOperatorCreates,
    OwnsTooMany,
    NoLogo,
    /// Of a machine, by admins.
    TooManyLabels,
}

impl OrgRejection {
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Setting(invalid) => Problem::new(
                Code::BadSetting,
                "cannot change the settings",
                invalid.to_string(),
            ),
            Self::OwnerLeaves => Problem::new(
                Code::OwnerStays,
                "you cannot leave the org",
                "you are its owner, and an org always has one",
            ),
            Self::NotAnAdmin { handle, role } => Problem::new(
                Code::NotAnAdmin,
                format!("cannot hand the org to {handle}"),
                format!("an org is handed to an admin, and {handle} is its {role}"),
            ),
            Self::WrongTypedName { name } => Problem::new(
                Code::WrongTypedName,
                "nothing was done to the org",
                format!("its name was not typed as it is, {name}"),
            ),
            Self::MemberAlready { org } => Problem::new(
                Code::WrongState,
                format!("cannot ask to come back into {org}"),
                "you are a member of it",
            )
            .help(format!("`compute-share org use {org}` makes it the active one.")),
            Self::OnlyOperatorCreates => Problem::new(
                Code::Permission,
                "cannot make an org",
                "on this coordinator only whoever runs it makes orgs",
            )
            .help(
                "Ask whoever runs the coordinator to run compute-share-coordinator add-org, or to set \
                 who_may_create_orgs = \"users\".",
            ),
            Self::NoLogo => Problem::new(Code::NotFound, "there is nothing to show", "the org has no logo")
                .help("An admin sets one with `compute-share org logo set FILE`."),
            Self::TooManyLabels => Problem::new(
                Code::Limit,
                "cannot label the machine",
                format!("admins say at most {MAX_LABELS} labels of it"),
            )
            .help("Take some back with `compute-share machine label NAME --unset KEY`."),
            Self::OwnsTooMany => Problem::new(
                Code::Limit,
                "cannot make an org",
                format!("you own {MAX_ORGS_OWNED} orgs, and users make no more than that"),
            )
            .help("Hand one to an admin of it with `compute-share org transfer HANDLE`, or delete one."),
            Self::RemovedByAdmin => Problem::new(
                Code::Permission,
                "this invitation does not let you back in",
                "an admin removed you from the org, and the invitation is not by an admin",
            )
            .help("Ask for an invitation by an admin; or, where you are signed in, `compute-share org rejoin NAME`."),
        }
    }
}

impl From<OrgRejection> for Rejection {
    fn from(rejection: OrgRejection) -> Self {
        Self::Org(rejection)
    }
}

impl From<OrgRejection> for Problem {
    fn from(rejection: OrgRejection) -> Self {
        rejection.problem()
    }
}
