//! A job's specification as the trail keeps it.

use common::job::JobSpec;
use serde::{Serialize as _, Serializer};

/// Writes a specification without what opens its image's registry, sealed or not: the trail is kept for good.
pub(super) fn without<S: Serializer>(spec: &JobSpec, serializer: S) -> Result<S::Ok, S::Error> {
    if spec.registry_login.is_none() {
        return spec.serialize(serializer);
    }
    let told = JobSpec {
        registry_login: None,
        ..spec.clone()
    };
    told.serialize(serializer)
}
