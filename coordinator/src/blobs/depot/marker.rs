//! Whose a place is: an object there names the org and its store. Where it is not, or another store's is, nothing is
//! written, nothing removed, and what is missing is not missing for good: the place is another one than it was.

use std::{io, sync::atomic::Ordering};

use bytes::Bytes;
use common::id::OrgId;
use futures_util::TryStreamExt as _;
use object_store::{ObjectStore as _, path::Path};
use serde::{Deserialize, Serialize};

use super::{AtPlace, Depot, DepotError};

const NAME: &str = "store.json";
const MAX_BYTES: u64 = 4096;
const MAX_ID_BYTES: usize = 64;

/// A store's name for itself, which no other has: neither another coordinator's nor one that an org had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct StoreId(String);

impl StoreId {
    pub(in super::super) fn new() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    org: OrgId,
    store: StoreId,
}

impl Depot {
    /// Checks once that the place is the store's.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.ours.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.holder()? {
            Some(store) if store == self.store => {
                self.ours.store(true, Ordering::Relaxed);
                Ok(())
            }
            Some(_) => Err(self.failed(DepotError::Taken)),
            None => {
                self.find_bucket()?;
                Err(self.failed(DepotError::Unmarked))
            }
        }
    }

    /// Finds out whether there is a bucket: asked for an object, not every server says so.
    fn find_bucket(&self) -> io::Result<()> {
        let path = Path::from(self.folder.as_str());
        let looked = self.begin(0, |client| async move {
            client.list(Some(&path)).try_next().await.map(drop)
        })?;
        let looked = self.end(looked);
        looked.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.failed(DepotError::NoBucket),
            _ => error,
        })
    }

    /// Says that an object is not there only where the store's marker still is: what else answers so, and a bucket that
    /// was emptied, changed or is gone, do not make what it had a thing to forget.
    pub(super) fn surely(&self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::NotFound {
            return error;
        }
        self.ours.store(false, Ordering::Relaxed);
        self.check().err().unwrap_or(error)
    }

    /// Returns the store whose the place is, if it is one's.
    ///
    /// # Errors
    /// It cannot be read, or is no store's of this org.
    pub(in super::super) fn holder(&self) -> io::Result<Option<StoreId>> {
        // Its beginning is all of it.
        let begun = self.begin_get(NAME, &(0..MAX_BYTES))?;
        let marker = match self.end(begun) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            marker => marker?,
        };
        let marker = serde_json::from_slice::<Marker>(&marker).ok();
        let ours = |marker: &Marker| marker.org == self.org && marker.store.0.len() <= MAX_ID_BYTES;
        match marker.filter(ours) {
            Some(marker) => Ok(Some(marker.store)),
            None => Err(self.failed(DepotError::Taken)),
        }
    }

    /// Makes a place that is nobody's the store's.
    ///
    /// # Errors
    /// It is another store's; it cannot be used.
    pub(in super::super) fn take(&self) -> io::Result<()> {
        match self.check() {
            Err(error) if AtPlace::is_unmarked(&error) => {}
            checked => return checked,
        }
        let marker = Marker {
            org: self.org,
            store: self.store.clone(),
        };
        let marker = Bytes::from(serde_json::to_vec(&marker)?);
        self.end(self.begin_put(NAME, &marker)?)?;
        self.check()
    }

    /// Has the place be nobody's.
    pub(super) fn leave(&self) -> io::Result<()> {
        self.ours.store(false, Ordering::Relaxed);
        self.end(self.begin_remove(NAME)?)
    }

    /// Checks that objects can be written, read and removed there, in a place that is the store's or nobody's.
    pub(in super::super) fn probe(&self) -> io::Result<()> {
        match self.check() {
            Err(error) if AtPlace::is_unmarked(&error) => {}
            checked => checked?,
        }
        let (name, bytes) = ("probe", Bytes::from_static(b"Compute Share was here"));
        self.end(self.begin_put(name, &bytes)?)?;
        let read = self.get_unchecked(name, bytes.len() as u64);
        self.end(self.begin_remove(name)?)?;
        let same = (read? == bytes).then_some(());
        same.ok_or_else(|| self.failed(DepotError::Unreliable))
    }
}
