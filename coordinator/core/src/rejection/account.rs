//! What users are refused about their accounts and devices.

use common::{code::Code, name::Name, problem::Problem, profile::InvalidProfile};

use super::Rejection;

/// Why an account stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountRejection {
    Profile(InvalidProfile),
    NoSuchDevice {
        name: Option<Name>,
    },
    /// An admin may not touch the devices of who belongs to other orgs, too.
    DevicesElsewhere {
        handle: Name,
    },
    TooManyDevices {
        most: usize,
    },
}

impl AccountRejection {
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Profile(invalid) => Problem::new(
                Code::BadProfile,
                "cannot change your account to that",
                invalid.to_string(),
            ),
            Self::NoSuchDevice { name: Some(name) } => Problem::new(
                Code::NotFound,
                format!("no device {name}"),
                "no computer with this name or id is signed in",
            )
            .help("`compute-share device list` lists them."),
            Self::NoSuchDevice { name: None } => Problem::new(
                Code::NotFound,
                "this computer is no device",
                "it signed in before devices were kept, or it acts by itself",
            )
            .help("Sign in again with `compute-share login LINK`."),
            Self::DevicesElsewhere { handle } => Problem::new(
                Code::Permission,
                format!("you may not see or revoke the devices of {handle}"),
                "they belong to more orgs than yours",
            )
            .help("Remove them from the org instead: `compute-share member remove`."),
            Self::TooManyDevices { most } => Problem::new(
                Code::Limit,
                "cannot sign in on one more computer",
                format!("{most} are signed in already"),
            )
            .help("Revoke one that is not used: `compute-share device list`, `compute-share device revoke`."),
        }
    }
}

impl From<AccountRejection> for Rejection {
    fn from(rejection: AccountRejection) -> Self {
        Self::Account(rejection)
    }
}
