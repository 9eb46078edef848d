//! Where an org's store keeps its packs, noted beside them: the note outlives an index that is lost, and says of a move
//! that has not ended where the rest is.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use common::{
    id::OrgId,
    org::storage::{S3Place, StoragePlace},
};
use serde::{Deserialize, Serialize};

use super::{
    depot::{Depot, Homes, StoreId},
    step, sync_folder,
};

const NAME: &str = "home.json";

/// Where packs are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Home {
    /// Where new ones go.
    pub(super) storage: StoragePlace,
    /// The bucket that some may be in: the store's mark is there.
    pub(super) bucket: Option<StoragePlace>,
    /// As what the store marks a bucket, once it has.
    #[serde(default)]
    pub(super) store: Option<StoreId>,
}

impl Home {
    /// Returns a home of which nothing was noted.
    pub(super) fn new(storage: StoragePlace) -> Self {
        let bucket = (!storage.is_local()).then(|| storage.clone());
        Self {
            storage,
            bucket,
            store: None,
        }
    }

    /// Returns the bucket that some packs may be in, with what the store is called there.
    pub(super) fn depot(&self, org: OrgId, homes: &Arc<dyn Homes>) -> Option<Depot> {
        let store = self.store.clone().unwrap_or_else(StoreId::new);
        let place = self.bucket()?;
        Some(Depot::new(org, place, homes, store))
    }

    /// Returns the bucket, of which nothing is asked yet. A store that has no name for itself, as it is new or has lost
    /// its disk, goes on as the one whose the bucket is, or makes it its own.
    pub(super) fn enter(
        &mut self,
        org: OrgId,
        homes: &Arc<dyn Homes>,
    ) -> io::Result<Option<Depot>> {
        let Some(depot) = self.depot(org, homes) else {
            return Ok(None);
        };
        if self.store.is_some() {
            return Ok(Some(depot));
        }
        self.store = depot.holder()?;
        if self.store.is_none() {
            self.store = Some(StoreId::new());
            if let Some(depot) = self.depot(org, homes) {
                step();
                depot.take()?;
            }
        }
        Ok(self.depot(org, homes))
    }

    pub(super) fn bucket(&self) -> Option<&S3Place> {
        match &self.bucket {
            Some(StoragePlace::S3(place)) => Some(place),
            _ => None,
        }
    }

    /// Reads the note in a store's folder, if there is one that can be read.
    pub(super) fn read(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(folder.join(NAME)) {
            Ok(note) => Ok(serde_json::from_slice(&note)
                .inspect_err(|error| {
                    tracing::error!(folder = %folder.display(), %error, "the note of where packs are is damaged");
                })
                .ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes it for whoever opens the store next.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let temp = folder.join("temps").join(NAME);
        let mut file = File::create(&temp)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        step();
        fs::rename(&temp, folder.join(NAME))?;
        sync_folder(folder)
    }
}
