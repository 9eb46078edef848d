//! Where orgs want their bytes to live, and what opens their buckets: as the book says at the moment.

use std::sync::Arc;

use certs::SealingKey;
use common::{id::OrgId, org::storage::StoragePlace, problem::Problem};
use coordinator_core::query::{access::SealedSecret, storage};
use zeroize::Zeroizing;

use crate::{
    blobs::{Homes, Keys},
    engine::Engine,
};

#[derive(Debug)]
pub(crate) struct OrgHomes {
    pub(crate) engine: Engine,
    pub(crate) sealing_key: Arc<SealingKey>,
}

impl Homes for OrgHomes {
    fn place(&self, org: OrgId) -> StoragePlace {
        storage::place(&self.engine.read(), org)
    }

    fn keys(&self, org: OrgId) -> Result<Keys, Problem> {
        let state = self.engine.read();
        let [id, secret] = storage::keys(&state, org)?;
        Ok(Keys {
            id: self.open(&id)?,
            secret: self.open(&secret)?,
        })
    }
}

impl OrgHomes {
    fn open(&self, secret: &SealedSecret<'_>) -> Result<Zeroizing<String>, Problem> {
        let value = self
            .sealing_key
            .unseal(secret.context.as_bytes(), secret.sealed);
        let text = value.map_err(|error| error.to_string()).and_then(|value| {
            match std::str::from_utf8(&value) {
                Ok(text) => Ok(Zeroizing::new(text.trim().to_owned())),
                Err(_) => Err("it is no text".to_owned()),
            }
        });
        text.map_err(|why| storage::unusable(secret.name.as_str(), &why))
    }
}
