//! A job's specification as the trail keeps it.

use common::job::JobSpec;
use serde::{Serialize as _, Serializer};

/// Stands for the value of a variable.
const NOT_TOLD: &str = "(not told)";

/// Writes a specification without what opens its image's registry, sealed or not, and without the values of its
/// variables, which people put secrets into: the trail is kept for good.
pub(super) fn without_secrets<S: Serializer>(
    spec: &JobSpec,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if spec.registry_login.is_none() && spec.env.is_empty() {
        return spec.serialize(serializer);
    }
    let names = spec.env.keys().cloned();
    let told = JobSpec {
        registry_login: None,
        env: names.map(|name| (name, NOT_TOLD.to_owned())).collect(),
        ..spec.clone()
    };
    told.serialize(serializer)
}
