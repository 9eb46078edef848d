//! What users are refused about their accounts and devices.

use common::{
    code::Code, name::Name, problem::Problem, profile::InvalidProfile, status::TokenScope,
    time::Timestamp,
};

use super::Rejection;

/// Why an account stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountRejection {
    Profile(InvalidProfile),
    /// It would read as a part of the system.
    ReservedHandle {
        handle: Name,
    },
    NoSuchDevice {
        name: Option<Name>,
    },
    /// An admin may not touch the devices of who belongs to other orgs, too.
    DevicesElsewhere {
        handle: Name,
    },
    /// Whoever takes protection from their own account has to show that it is them.
    OwnReset,
    /// Signed in by somebody else's link, it speaks for the user in that one's org alone.
    BoundDevice,
    TooManyDevices {
        most: usize,
    },
    /// A password or a code has to show that it is the user.
    ProofNeeded,
    /// The password was changed since it was looked at, or there is none.
    WrongPassword,
    /// A code of two-factor is needed, and nothing else will do.
    TwoFactorNeeded,
    WrongCode,
    CodeReused,
    MustWait {
        until: Timestamp,
    },
    TwoFactorOn,
    TwoFactorOff,
    /// Another secret was begun since, or none.
    NotBegun,
    RecoveryCodes,
    /// The org refuses members without it.
    TwoFactorRequired {
        org: Name,
    },
    /// Whoever requires it of others has it.
    TwoFactorFirst,
    NoSuchToken {
        name: Name,
    },
    TokenUnknown,
    TokenExpired {
        at: Timestamp,
    },
    TokenRevoked,
    TokenLife,
    TooManyTokens {
        most: usize,
    },
    TokenScope {
        has: TokenScope,
        /// `None`: no token may.
        needs: Option<TokenScope>,
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
            Self::ReservedHandle { handle } => Problem::new(
                Code::ReservedName,
                format!("nobody can be called {handle}"),
                "the word stands for a part of the system, a role, or everybody",
            )
            .help("Choose another handle, with --handle or --owner."),
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
                format!("you may not touch how {handle} signs in"),
                "they belong to more orgs than yours",
            )
            .help("Remove them from the org (`compute-share member remove`), or ask whoever runs the coordinator."),
            Self::OwnReset => Problem::new(
                Code::ProofNeeded,
                "cannot take the protection from your own account so",
                "it takes the present password or a code of two-factor",
            )
            .help("Use `compute-share account`, or ask another admin."),
            Self::BoundDevice => Problem::new(
                Code::Permission,
                "this computer cannot do that for you",
                "it was signed in by a link that an admin made, and stands for you in that org alone",
            )
            .help("Do it on a computer of before, or ask whoever runs the coordinator for a link: `compute-share-coordinator login-link --user HANDLE`."),
            Self::TooManyDevices { most } => Problem::new(
                Code::Limit,
                "cannot sign in on one more computer",
                format!("{most} are signed in already"),
            )
            .help("Revoke one that is not used: `compute-share device list`, `compute-share device revoke`."),
            Self::ProofNeeded
            | Self::WrongPassword
            | Self::TwoFactorNeeded
            | Self::WrongCode
            | Self::CodeReused
            | Self::MustWait { .. }
            | Self::TwoFactorOn
            | Self::TwoFactorOff
            | Self::NotBegun
            | Self::RecoveryCodes
            | Self::TwoFactorRequired { .. }
            | Self::TwoFactorFirst => self.about_proof(),
            other => other.about_token(),
        }
    }

    fn about_proof(self) -> Problem {
        match self {
            Self::ProofNeeded => Problem::new(
                Code::ProofNeeded,
                "cannot change what protects your account",
                "it takes the present password or a code of two-factor",
            ),
            Self::WrongPassword => Problem::new(
                Code::WrongPassword,
                "the password is not right",
                "it is not the one that is set now",
            ),
            Self::TwoFactorNeeded => Problem::new(
                Code::TwoFactorNeeded,
                "a code is needed",
                "your account is protected by two-factor",
            ),
            Self::WrongCode => Problem::new(
                Code::TwoFactorWrong,
                "the code is not right",
                "it is neither the code of now nor a recovery code that was not used",
            ),
            Self::CodeReused => Problem::new(
                Code::TwoFactorWrong,
                "the code is not good any more",
                "it, or a newer one, was used before",
            ),
            Self::MustWait { until } => Problem::new(
                Code::TooManyTries,
                "the password or code was not looked at",
                format!(
                    "too many were wrong; the next may come at {}",
                    until.to_second()
                ),
            )
            .help("Wait, then try again with the right one."),
            Self::TwoFactorOn => Problem::new(
                Code::WrongState,
                "cannot set two-factor up",
                "it is on already",
            )
            .help("Turn it off first with `compute-share account two-factor off`."),
            Self::TwoFactorOff => {
                Problem::new(Code::WrongState, "cannot do that", "two-factor is not on")
                    .help("Run `compute-share account two-factor setup`.")
            }
            Self::NotBegun => Problem::new(
                Code::WrongState,
                "cannot turn two-factor on",
                "it was not begun, or begun anew since",
            )
            .help("Run `compute-share account two-factor setup`."),
            Self::RecoveryCodes => Problem::new(
                Code::BadRequest,
                "cannot turn two-factor on",
                "its recovery codes cannot be used",
            ),
            Self::TwoFactorRequired { org } => Problem::new(
                Code::TwoFactorRequired,
                format!("you may do nothing in {org} yet"),
                "the org requires two-factor, and your account has none",
            ),
            Self::TwoFactorFirst => Problem::new(
                Code::TwoFactorRequired,
                "cannot require two-factor of others",
                "your own account has none, so that you would lock yourself out",
            ),
            other => other.about_token(),
        }
    }

    fn about_token(self) -> Problem {
        let cannot_use = "cannot use this token";
        let cannot_make = "cannot make this token";
        match self {
            Self::NoSuchToken { name } => Problem::new(
                Code::NotFound,
                format!("no token {name}"),
                "you have none with this name or id in the org",
            )
            .help("`compute-share token list` lists them."),
            Self::TokenUnknown => Problem::new(
                Code::TokenInvalid,
                cannot_use,
                "the coordinator knows no such token",
            ),
            Self::TokenExpired { at } => Problem::new(
                Code::TokenExpired,
                cannot_use,
                format!("it expired at {}", at.to_second()),
            ),
            Self::TokenRevoked => {
                Problem::new(Code::TokenRevoked, cannot_use, "it was revoked")
            }
            Self::TokenLife => Problem::new(
                Code::BadRequest,
                cannot_make,
                "it has to live longer than nothing and at most a year",
            )
            .help("Choose another --ttl, as in 30d."),
            Self::TooManyTokens { most } => Problem::new(
                Code::Limit,
                cannot_make,
                format!("you have {most} good ones in the org already"),
            )
            .help("Revoke one that is not used: `compute-share token list`."),
            Self::TokenScope {
                has,
                needs: Some(needs),
            } => Problem::new(
                Code::TokenScope,
                "the token may not do that",
                format!("its scope is {has}; it takes {needs}"),
            )
            .help(format!(
                "Make a token with `compute-share token create --scope {needs}`, or sign in as yourself."
            )),
            Self::TokenScope { has, needs: None } => Problem::new(
                Code::TokenScope,
                "the token may not do that",
                format!("its scope is {has}; no token may change what protects an account"),
            )
            .help("Sign in as yourself."),
            other => Problem::new(Code::Internal, "cannot do that", format!("{other:?}")),
        }
    }
}

impl From<AccountRejection> for Rejection {
    fn from(rejection: AccountRejection) -> Self {
        Self::Account(rejection)
    }
}
