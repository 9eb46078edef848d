//! Work on files, kept away from the threads that serve streams.

use std::sync::{Arc, LazyLock};

use common::{code::Code, problem::Problem};
use tokio::{runtime::Handle, sync::Semaphore, task};

/// Most pieces of file work at once in a process: more would only make a disk seek, and every one may hold a
/// thread's stack.
const MAX_DISK_JOBS: usize = 8;

static DISK: LazyLock<Slots> = LazyLock::new(|| Slots {
    free: Arc::new(Semaphore::new(MAX_DISK_JOBS)),
    threads: None,
});

/// So much work may block a thread at once; more of it waits without one. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Slots {
    free: Arc<Semaphore>,
    /// Whose threads they are; where nobody is named, the caller's runtime's.
    threads: Option<Handle>,
}

impl Slots {
    /// Returns slots for work that may wait for something else than this machine's disk: whoever waits there, on
    /// another runtime's threads, holds up nobody who does not.
    pub fn apart(count: usize, threads: Handle) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count)),
            threads: Some(threads),
        }
    }

    /// Returns the same slots, on threads of whoever uses them.
    #[must_use]
    pub fn here(&self) -> Self {
        Self {
            free: Arc::clone(&self.free),
            threads: None,
        }
    }

    /// Returns those of the disk, which all of the process share.
    pub fn of_disk() -> Self {
        DISK.clone()
    }

    /// Does `work` on a thread that may block, once a slot is free.
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        // It is never closed.
        let slot = Arc::clone(&self.free).acquire_owned().await;
        let work = move || {
            let _slot = slot;
            work()
        };
        let done = match &self.threads {
            Some(threads) => threads.spawn_blocking(work),
            None => task::spawn_blocking(work),
        };
        done.await.unwrap_or_else(|panicked| {
            let what = "work on files ended unexpectedly";
            Err(Problem::new(Code::Internal, what, panicked.to_string()))
        })
    }
}

/// Does `work`, which waits for nothing but the disk, on a thread that may block, once one of few slots is free.
///
/// # Errors
/// What `work` returns.
pub async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    DISK.run(work).await
}
