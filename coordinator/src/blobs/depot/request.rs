//! Requests, and the threads that serve them and wait for them.

use std::{
    future::Future,
    io,
    sync::{LazyLock, mpsc},
    time::Duration,
};

use link::trees::Slots;
use tokio::{runtime::Runtime, task::AbortHandle};

use super::error::Unfit;

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
pub(in super::super) fn slots(count: usize) -> io::Result<Slots> {
    Ok(Slots::apart(count, runtime()?.handle().clone()))
}

/// A request that is under way: it is given up where nobody waits for its end.
#[derive(Debug)]
pub(super) struct Pending<T> {
    answer: mpsc::Receiver<object_store::Result<T>>,
    limit: Duration,
    task: AbortHandle,
}

impl<T: Send + 'static> Pending<T> {
    pub(super) fn begin(
        limit: Duration,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<Self> {
        let (done, answer) = mpsc::sync_channel(1);
        let task = runtime()?.spawn(async move {
            if let Ok(ended) = tokio::time::timeout(limit, request).await {
                // Whoever does not wait any more has failed at another one.
                let _ = done.send(ended);
            }
        });
        let task = task.abort_handle();
        Ok(Self {
            answer,
            limit,
            task,
        })
    }
}

impl<T> Pending<T> {
    /// Waits for its end.
    pub(super) fn end(self) -> object_store::Result<T> {
        let silent = |_| Err(Unfit::Silent(self.limit).into());
        self.answer.recv().unwrap_or_else(silent)
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
