//! What users do with their own accounts.

use common::{api::account::MemberRef, id::DeviceId, name::Name};

/// A command of a user about an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCommand {
    ChangeProfile {
        display_name: Option<String>,
        email: Option<String>,
    },
    RevokeDevice {
        of: Option<MemberRef>,
        /// Its name or id; `None` is `from`.
        device: Option<Name>,
        /// The device that asks.
        from: Option<DeviceId>,
    },
}

/// The computer that somebody signs in on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Of a computer that is not known yet.
    pub fresh_device: DeviceId,
    /// What the computer is called. Where another device of the user has the name, a number is put behind it.
    pub name: Name,
}
