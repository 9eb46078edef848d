//! What can be asked about secrets.

use common::{
    api::secret::{AllowSecret, SetSecret},
    id::{OrgId, SecretId},
    name::Name,
    secret::SecretName,
};

/// A command about secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretCommand {
    Set {
        /// For one that is not there yet.
        secret: SecretId,
        request: SetSecret,
        /// Whether the value, which the door has opened and looked at, is long enough to be looked for in logs.
        masked: bool,
    },
    Allow(AllowSecret),
    Delete {
        org: OrgId,
        project: Option<Name>,
        name: SecretName,
    },
}
