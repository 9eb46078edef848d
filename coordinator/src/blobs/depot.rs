//! A home for an org's packs and descriptions away from the coordinator's disk: what is under a prefix in a bucket of
//! S3-compatible storage.
//!
//! It speaks like a disk: it blocks, for a bounded time, and fails with [`io::Error`]s. What is not there is
//! `NotFound`, what is shorter than it was is `UnexpectedEof`; anything else holds a [`DepotError`]. Every object is
//! written by one request, so that it is there as a whole or not at all. No key is in any error or log.

mod error;

use std::{
    fmt,
    future::Future,
    io,
    ops::Range,
    sync::{Arc, LazyLock, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{
    id::OrgId,
    org::storage::{DEFAULT_REGION, S3Place, StoragePlace},
    problem::Problem,
};
use futures_util::TryStreamExt as _;
use link::trees::Slots;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::{packs::PACKS, shipping::TREES, step, there};

pub(super) use self::error::{AtPlace, DepotError};

/// Requests of one caller that are under way at once.
pub(super) const AT_ONCE: usize = 4;
/// What any request may take, retries included, and how slow the line may be besides.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOWEST_BYTES_PER_SEC: u64 = 256 << 10;
const CONNECT: Duration = Duration::from_secs(5);
/// How often a request is tried again that the other side, or the line, could not serve.
const MAX_RETRIES: usize = 3;
/// Most objects that are listed at once: of packs, 16 TiB of data.
const MAX_LISTED: usize = 1 << 20;
/// After which keys are looked up anew, in case they were changed; at once where they are refused.
const KEYS_LIFE: Duration = Duration::from_secs(300);

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

/// Threads that wait for buckets, at most: those of a hundred orgs whose buckets do not answer.
const MAX_WAITING: usize = 1024;

/// Requests are served here, and who waits for them waits here: whoever needs no bucket shares no thread with them.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(MAX_WAITING)
        .thread_name("s3")
        .enable_all()
        .build()
});

fn runtime() -> io::Result<&'static Runtime> {
    RUNTIME
        .as_ref()
        .map_err(|error| io::Error::from(error.kind()))
}

/// Returns slots for what may wait for a bucket.
///
/// # Errors
/// No threads can be had.
pub(super) fn slots(count: usize) -> io::Result<Slots> {
    Ok(Slots::apart(count, runtime()?.handle().clone()))
}

#[derive(Debug)]
pub(super) struct Depot {
    org: OrgId,
    place: S3Place,
    /// Before every name.
    folder: String,
    homes: Arc<dyn Homes>,
    client: Mutex<Option<(Arc<AmazonS3>, Instant)>>,
}

/// A request that is under way.
struct Pending<T> {
    answer: mpsc::Receiver<object_store::Result<T>>,
    limit: Duration,
}

impl Depot {
    pub(super) fn new(org: OrgId, place: &S3Place, homes: &Arc<dyn Homes>) -> Self {
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
        }
    }

    /// Finds out what opens the bucket, for requests from here on.
    pub(super) fn unlock(&self) -> io::Result<()> {
        *self.clients() = None;
        self.client().map(drop)
    }

    /// Checks that objects can be written, read and removed there.
    pub(super) fn probe(&self) -> io::Result<()> {
        let (name, bytes) = ("probe", Bytes::from_static(b"Compute Share was here"));
        self.put(&[(name.to_owned(), bytes.clone())])?;
        let read = self.get(name)?;
        self.remove(name)?;
        let same = (read == bytes).then_some(());
        same.ok_or_else(|| self.failed(DepotError::Unreliable))
    }

    /// Writes objects, a few at once. Where one cannot be written, some of the others may be there.
    pub(super) fn put(&self, objects: &[(String, Bytes)]) -> io::Result<()> {
        for few in objects.chunks(AT_ONCE) {
            let begun = few.iter().map(|(name, bytes)| {
                let (path, bytes) = (self.path(name), bytes.clone());
                self.begin(bytes.len() as u64, |client| async move {
                    client.put(&path, bytes.into()).await.map(drop)
                })
            });
            let begun: Vec<Pending<()>> = begun.collect::<io::Result<_>>()?;
            // None of them is under way any more when this returns.
            let ended: Vec<io::Result<()>> = begun.iter().map(|put| self.end(put)).collect();
            ended.into_iter().collect::<io::Result<()>>()?;
        }
        Ok(())
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
        for few in parts.chunks(AT_ONCE) {
            let begun = few.iter().map(|(name, range)| {
                let (path, range) = (self.path(name), range.clone());
                self.begin(range.end - range.start, |client| async move {
                    client.get_range(&path, range).await
                })
            });
            let begun = begun.collect::<io::Result<Vec<Pending<Bytes>>>>();
            let begun = begun.map_err(|error| (read.len(), error))?;
            for (pending, (_, range)) in begun.into_iter().zip(few) {
                let bytes = self.end(&pending).map_err(|error| self.surely(error));
                let bytes = bytes.map_err(|error| (read.len(), error))?;
                if (bytes.len() as u64) < range.end - range.start {
                    return Err((read.len(), io::ErrorKind::UnexpectedEof.into()));
                }
                read.push(bytes);
            }
        }
        Ok(read)
    }

    /// Returns a whole object.
    pub(super) fn get(&self, name: &str) -> io::Result<Bytes> {
        let length = self.length(name)?;
        let path = self.path(name);
        self.end(&self.begin(length, |client| async move {
            client.get(&path).await?.bytes().await
        })?)
    }

    pub(super) fn length(&self, name: &str) -> io::Result<u64> {
        let path = self.path(name);
        let head = self.begin(0, |client| async move { client.head(&path).await })?;
        let head = self.end(&head).map_err(|error| self.surely(error))?;
        Ok(head.size)
    }

    /// Says that an object is not there only where its bucket is: what else answers so, and a bucket that is gone, do
    /// not make what it had a thing to forget.
    fn surely(&self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::NotFound {
            return error;
        }
        let path = Path::from(self.folder.as_str());
        let looked = self.begin(0, |client| async move {
            client.list(Some(&path)).try_next().await.map(drop)
        });
        match looked.and_then(|looked| self.end(&looked)) {
            Err(wrong) if wrong.kind() == io::ErrorKind::NotFound => {
                self.failed(DepotError::NoBucket)
            }
            Err(wrong) => wrong,
            Ok(()) => error,
        }
    }

    /// Returns the names of the objects in a folder, and how long they are.
    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let path = self.path(folder);
        let listed = self.begin(MAX_LISTED as u64, |client| async move {
            let mut found = Vec::new();
            let mut all = client.list(Some(&path));
            while let Some(object) = all.try_next().await? {
                let name = object.location.filename().unwrap_or_default();
                found.push((name.to_owned(), object.size));
                if found.len() == MAX_LISTED {
                    break;
                }
            }
            Ok(found)
        })?;
        self.end(&listed)
    }

    /// Removes an object, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        let removed = self.begin(0, |client| async move { client.delete(&path).await })?;
        there(self.end(&removed))
    }

    /// Removes everything that is there of the org.
    pub(super) fn clear(&self) -> io::Result<()> {
        for folder in [PACKS, TREES] {
            for few in self.list(folder)?.chunks(AT_ONCE) {
                step();
                let begun = few.iter().map(|(name, _)| {
                    let path = self.path(&format!("{folder}/{name}"));
                    self.begin(0, |client| async move { client.delete(&path).await })
                });
                let begun: Vec<Pending<()>> = begun.collect::<io::Result<_>>()?;
                for removed in begun {
                    there(self.end(&removed))?;
                }
            }
        }
        Ok(())
    }

    fn begin<T: Send + 'static, F>(
        &self,
        bytes: u64,
        request: impl FnOnce(Arc<AmazonS3>) -> F,
    ) -> io::Result<Pending<T>>
    where
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let request = request(self.client()?);
        let limit = PATIENCE + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SEC);
        let runtime = runtime()?;
        let (done, answer) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            if let Ok(ended) = tokio::time::timeout(limit, request).await {
                // Whoever does not wait any more has failed at another one.
                let _ = done.send(ended);
            }
        });
        Ok(Pending { answer, limit })
    }

    fn end<T>(&self, pending: &Pending<T>) -> io::Result<T> {
        let Ok(ended) = pending.answer.recv() else {
            return Err(self.failed(DepotError::Silent(pending.limit)));
        };
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

fn build(place: &S3Place, keys: &Keys) -> object_store::Result<AmazonS3> {
    certs::install_crypto();
    let open = place.endpoint.as_ref();
    let open = open.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let options = ClientOptions::new()
        .with_allow_http(open)
        .with_no_system_certificates(open)
        .with_connect_timeout(CONNECT)
        // Each request has its own limit.
        .with_timeout_disabled();
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: MAX_RETRIES,
        retry_timeout: PATIENCE,
    };
    // Nothing is taken from the coordinator's own surroundings: neither variables nor the cloud it may run in.
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket)
        .with_region(place.region.as_deref().unwrap_or(DEFAULT_REGION))
        .with_access_key_id(keys.id.as_str())
        .with_secret_access_key(keys.secret.as_str())
        .with_client_options(options)
        .with_retry(retry);
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build()
}
