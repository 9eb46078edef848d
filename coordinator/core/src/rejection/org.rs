//! Why an org stays as it is.

use common::{code::Code, org::settings::InvalidSetting, problem::Problem};

use super::Rejection;

/// Why nothing is done to an org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrgRejection {
    Setting(InvalidSetting),
    OwnerLeaves,
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
        }
    }
}

impl From<OrgRejection> for Rejection {
    fn from(rejection: OrgRejection) -> Self {
        Self::Org(rejection)
    }
}
