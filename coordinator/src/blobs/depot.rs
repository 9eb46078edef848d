//! A home for an org's packs and descriptions away from the coordinator's disk: what is under a prefix in a bucket of
//! S3-compatible storage.
//!
//! It speaks like a disk: it blocks, for a bounded time, and fails with [`io::Error`]s. What is not there is
//! `NotFound`, what is shorter than it was is `UnexpectedEof`; anything else holds a [`DepotError`]. Every object is
//! written by one request, so that it is there as a whole or not at all. No key is in any error or log.

mod error;
mod line;
mod marker;
mod request;

use std::{
    fmt,
    future::Future,
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{
    id::OrgId,
    org::storage::{S3Place, StoragePlace},
    problem::Problem,
};
use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, aws::AmazonS3, path::Path};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{packs::PACKS, shipping::TREES, step, there};

use self::{error::Unfit, line::build, request::Pending};
pub(super) use self::{
    error::{AtPlace, DepotError},
    marker::StoreId,
    request::slots,
};

/// Requests of one caller that are under way at once.
pub(super) const AT_ONCE: usize = 4;
/// What any request may take, retries included, and how slow the line may be besides.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOWEST_BYTES_PER_SEC: u64 = 256 << 10;
/// What a list of many pages may take.
const LIST_PATIENCE: Duration = Duration::from_secs(3600);
/// Longest name of an object that may be ours, behind its folder.
const MAX_NAME_BYTES: usize = 128;
/// After which keys are looked up anew, in case they were changed; at once where they are refused.
const KEYS_LIFE: Duration = Duration::from_secs(300);

/// What a server is trusted with, smaller in tests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust {
    /// What a request may take, or a page of a list; what is long may take longer.
    pub(super) patience: Duration,
    /// Most objects that are listed at once: of packs, 16 TiB of data.
    pub(super) listed: usize,
}

const TRUST: Trust = Trust {
    patience: PATIENCE,
    listed: 1 << 20,
};

/// What opens a bucket.
pub(crate) struct Keys {
    pub(crate) id: Zeroizing<String>,
    pub(crate) secret: Zeroizing<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Who knows where orgs want their bytes.
pub(crate) trait Homes: fmt::Debug + Send + Sync {
    /// Returns where the org's bytes are to live.
    fn place(&self, org: OrgId) -> StoragePlace;

    /// Returns what opens the org's bucket, as of now.
    ///
    /// # Errors
    /// There are no keys, or they cannot be opened.
    fn keys(&self, org: OrgId) -> Result<Keys, Problem>;
}

#[derive(Debug)]
pub(super) struct Depot {
    org: OrgId,
    place: S3Place,
    /// Before every name.
    folder: String,
    homes: Arc<dyn Homes>,
    client: Mutex<Option<(Arc<AmazonS3>, Instant)>>,
    store: StoreId,
    /// The store's marker was seen there.
    ours: AtomicBool,
    trust: Trust,
}

impl Depot {
    /// Returns the place of a store: nothing is asked of it where another store's marker is, or none.
    pub(super) fn new(org: OrgId, place: &S3Place, homes: &Arc<dyn Homes>, store: StoreId) -> Self {
        let folder = match place.prefix.as_str() {
            "" => org.to_string(),
            prefix => format!("{prefix}/{org}"),
        };
        Self {
            org,
            place: place.clone(),
            folder,
            homes: Arc::clone(homes),
            client: Mutex::default(),
            store,
            ours: AtomicBool::new(false),
            trust: TRUST,
        }
    }

    #[cfg(test)]
    pub(super) fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// Finds out what opens the bucket, for requests from here on.
    pub(super) fn unlock(&self) -> io::Result<()> {
        *self.clients() = None;
        self.client().map(drop)
    }

    /// Writes objects, a few at once. Where one cannot be written, some of the others may be there. None of them is
    /// under way any more when this returns.
    pub(super) fn put(&self, objects: &[(String, Bytes)]) -> io::Result<()> {
        self.check()?;
        for few in objects.chunks(AT_ONCE) {
            let begun = few.iter().map(|(name, bytes)| self.begin_put(name, bytes));
            self.end_all(begun.collect())?;
        }
        Ok(())
    }

    fn begin_put(&self, name: &str, bytes: &Bytes) -> io::Result<Pending<()>> {
        let (path, bytes) = (self.path(name), bytes.clone());
        self.begin(bytes.len() as u64, |client| async move {
            client.put(&path, bytes.into()).await.map(drop)
        })
    }

    /// Waits until all of these have ended, those behind one that failed included.
    fn end_all(&self, begun: Vec<io::Result<Pending<()>>>) -> io::Result<()> {
        let ended: Vec<io::Result<()>> = begun
            .into_iter()
            .map(|pending| self.end(pending?))
            .collect();
        ended.into_iter().collect()
    }

    /// Returns a part of an object, as long as was asked for.
    pub(super) fn read(&self, name: &str, range: Range<u64>) -> io::Result<Bytes> {
        let read = self.read_all(&[(name.to_owned(), range)]);
        let mut read = read.map_err(|(_, error)| error)?;
        read.pop()
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Returns parts of objects, as long as was asked for; a few requests at once.
    ///
    /// # Errors
    /// One cannot be read: with its place among them.
    pub(super) fn read_all(
        &self,
        parts: &[(String, Range<u64>)],
    ) -> Result<Vec<Bytes>, (usize, io::Error)> {
        let mut read = Vec::with_capacity(parts.len());
        self.check().map_err(|error| (0, error))?;
        for few in parts.chunks(AT_ONCE) {
            let begun = few.iter().map(|(name, range)| self.begin_get(name, range));
            let begun = begun.collect::<io::Result<Vec<Pending<Bytes>>>>();
            let begun = begun.map_err(|error| (read.len(), error))?;
            for (pending, (_, range)) in begun.into_iter().zip(few) {
                let bytes = self.end_get(pending, range);
                let bytes = bytes.map_err(|error| (read.len(), self.surely(error)))?;
                read.push(bytes);
            }
        }
        Ok(read)
    }

    fn begin_get(&self, name: &str, range: &Range<u64>) -> io::Result<Pending<Bytes>> {
        let (path, range) = (self.path(name), range.clone());
        self.begin(range.end - range.start, |client| async move {
            client.get_range(&path, range).await
        })
    }

    fn end_get(&self, pending: Pending<Bytes>, range: &Range<u64>) -> io::Result<Bytes> {
        let bytes = self.end(pending)?;
        match (bytes.len() as u64).cmp(&(range.end - range.start)) {
            std::cmp::Ordering::Less => Err(io::ErrorKind::UnexpectedEof.into()),
            std::cmp::Ordering::Equal => Ok(bytes),
            std::cmp::Ordering::Greater => Err(self.failed(DepotError::TooMuch)),
        }
    }

    /// Returns a whole object that is no longer than this.
    pub(super) fn get(&self, name: &str, most: u64) -> io::Result<Bytes> {
        self.check()?;
        self.get_unchecked(name, most)
            .map_err(|error| self.surely(error))
    }

    fn get_unchecked(&self, name: &str, most: u64) -> io::Result<Bytes> {
        let length = self.length_unchecked(name)?;
        if length > most {
            return Err(self.failed(DepotError::TooMuch));
        }
        if length == 0 {
            return Ok(Bytes::new());
        }
        let range = 0..length;
        self.end_get(self.begin_get(name, &range)?, &range)
    }

    pub(super) fn length(&self, name: &str) -> io::Result<u64> {
        self.check()?;
        self.length_unchecked(name)
            .map_err(|error| self.surely(error))
    }

    fn length_unchecked(&self, name: &str) -> io::Result<u64> {
        let path = self.path(name);
        let head = self.begin(0, |client| async move { client.head(&path).await })?;
        Ok(self.end(head)?.size)
    }

    /// Returns the names of the objects in a folder, and how long they are: all that can be ours.
    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        self.check()?;
        let (path, Trust { patience, listed }) = (self.path(folder), self.trust);
        let list = self.begin_within(LIST_PATIENCE, |client| async move {
            let (mut found, mut count) = (Vec::new(), 0);
            let mut all = client.list(Some(&path));
            loop {
                // A page each time, or the next of one that is here.
                let next = timeout(patience, all.try_next()).await;
                let Some(object) = next.map_err(|_| Unfit::Silent(patience))?? else {
                    return Ok(found);
                };
                count += 1;
                if count > listed {
                    return Err(Unfit::TooMuch.into());
                }
                let name = object.location.filename().unwrap_or_default();
                if name.len() <= MAX_NAME_BYTES {
                    found.push((name.to_owned(), object.size));
                }
            }
        })?;
        self.end(list)
    }

    /// Removes an object, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.check()?;
        there(self.end(self.begin_remove(name)?))
    }

    fn begin_remove(&self, name: &str) -> io::Result<Pending<()>> {
        let path = self.path(name);
        self.begin(0, |client| async move {
            match client.delete(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                done => done,
            }
        })
    }

    /// Removes everything that is there of the org's store, its marker last.
    pub(super) fn clear(&self) -> io::Result<()> {
        match self.check() {
            // That went last.
            Err(error) if AtPlace::is_unmarked(&error) => return Ok(()),
            checked => checked?,
        }
        for folder in [PACKS, TREES] {
            for few in self.list(folder)?.chunks(AT_ONCE) {
                step();
                let begun = few
                    .iter()
                    .map(|(name, _)| self.begin_remove(&format!("{folder}/{name}")));
                self.end_all(begun.collect())?;
            }
        }
        step();
        self.leave()
    }

    fn begin<T: Send + 'static, F>(
        &self,
        bytes: u64,
        request: impl FnOnce(Arc<AmazonS3>) -> F,
    ) -> io::Result<Pending<T>>
    where
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let limit = self.trust.patience + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SEC);
        self.begin_within(limit, request)
    }

    fn begin_within<T: Send + 'static, F>(
        &self,
        limit: Duration,
        request: impl FnOnce(Arc<AmazonS3>) -> F,
    ) -> io::Result<Pending<T>>
    where
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        Pending::begin(limit, request(self.client()?))
    }

    fn end<T>(&self, pending: Pending<T>) -> io::Result<T> {
        let ended = pending.end();
        ended.map_err(|error| error::of_request(&error, |error| self.failed(error)))
    }

    fn failed(&self, error: DepotError) -> io::Error {
        if matches!(error, DepotError::Refused(_)) {
            *self.clients() = None;
        }
        io::Error::other(error.at(&self.place))
    }

    fn client(&self) -> io::Result<Arc<AmazonS3>> {
        if let Some((client, made)) = &*self.clients()
            && made.elapsed() < KEYS_LIFE
        {
            return Ok(Arc::clone(client));
        }
        let keys = self.homes.keys(self.org);
        let keys = keys.map_err(|problem| self.failed(DepotError::Keys(Box::new(problem))))?;
        let built = build(&self.place, &keys);
        let client = Arc::new(built.map_err(|_| self.failed(DepotError::Unusable))?);
        *self.clients() = Some((Arc::clone(&client), Instant::now()));
        Ok(client)
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Option<(Arc<AmazonS3>, Instant)>> {
        // Either there is one or there is none.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.folder))
    }
}
