//! Where orgs want their bytes to live, and the secrets that open their buckets, for the shell that moves them.

use common::{
    code::Code,
    id::{OrgId, UserId},
    org::storage::StoragePlace,
    problem::Problem,
    secret::{SecretKind, SecretName},
};

use super::access::{SealedSecret, sealed};
use crate::{
    policy::{self, Action},
    state::State,
};

/// The org's secrets that open its bucket, by name.
pub const KEYS: [&str; 2] = ["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"];

/// Returns where an org's bytes are to live.
pub fn place(state: &State, org: OrgId) -> StoragePlace {
    let row = state.orgs.get(&org);
    row.map_or(StoragePlace::Local, |row| row.settings.storage.clone())
}

/// Returns the orgs there are, and where their bytes are to live.
pub fn places(state: &State) -> impl Iterator<Item = (OrgId, &StoragePlace)> {
    state
        .orgs
        .iter()
        .map(|(org, row)| (*org, &row.settings.storage))
}

/// Returns whether a member may say where the org's bytes live: asked before a place is tried.
///
/// # Errors
/// No member of the org, or not its owner.
pub fn may_place(state: &State, user: UserId, org: OrgId) -> Result<(), Problem> {
    policy::permit(state, org, user, Action::ChangeSettings)?;
    policy::permit(state, org, user, Action::ChangeSafetySettings)?;
    Ok(())
}

/// Returns what opens the org's bucket, as it was sealed, in the order of [`KEYS`].
///
/// # Errors
/// A secret is missing, or is none of the org's variables.
pub fn keys(state: &State, org: OrgId) -> Result<[SealedSecret<'_>; 2], Problem> {
    let [id, secret] = KEYS.map(|name| key(state, org, name));
    Ok([id?, secret?])
}

fn key<'a>(state: &'a State, org: OrgId, name: &str) -> Result<SealedSecret<'a>, Problem> {
    let parsed: Option<SecretName> = name.parse().ok();
    let found = parsed.and_then(|name| state.secret(org, None, &name));
    let found = found.filter(|(_, secret)| secret.kind == SecretKind::Variable);
    let (_, secret) = found.ok_or_else(|| unusable(name, "the org has no secret of this name"))?;
    Ok(sealed(state, secret))
}

/// Says that a secret does not open the org's bucket.
pub fn unusable(name: &str, why: &str) -> Problem {
    let what = "The org's bucket cannot be opened";
    Problem::new(Code::StorageRefused, what, format!("secret {name}: {why}"))
        .help(format!("Set it with `compute-share secret set {name}`."))
}
