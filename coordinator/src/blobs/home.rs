//! Where an org's store keeps its packs, noted beside them: the note outlives an index that is lost, and says of a move
//! that has not ended where the rest is.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use common::org::storage::{S3Place, StoragePlace};
use serde::{Deserialize, Serialize};

use super::{step, sync_folder};

const NAME: &str = "home.json";

/// Where packs are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Home {
    /// Where new ones go.
    pub(super) storage: StoragePlace,
    /// The bucket that some may be in.
    pub(super) bucket: Option<StoragePlace>,
}

impl Home {
    /// Returns a home of which nothing was noted.
    pub(super) fn new(storage: StoragePlace) -> Self {
        let bucket = (!storage.is_local()).then(|| storage.clone());
        Self { storage, bucket }
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
