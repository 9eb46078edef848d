//! Work on files, kept away from the threads that serve streams.

use common::{code::Code, problem::Problem};
use tokio::{sync::Semaphore, task};

/// Most pieces of file work at once in a process: more would only make a disk seek, and every one may hold a
/// thread's stack.
const MAX_DISK_JOBS: usize = 8;

static SLOTS: Semaphore = Semaphore::const_new(MAX_DISK_JOBS);

/// Does `work` on a thread that may block, once one of few slots is free.
///
/// # Errors
/// What `work` returns.
pub async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let slot = SLOTS.acquire().await;
    let done = task::spawn_blocking(move || {
        let _slot = slot;
        work()
    });
    done.await.unwrap_or_else(|panicked| {
        let what = "work on files ended unexpectedly";
        Err(Problem::new(Code::Internal, what, panicked.to_string()))
    })
}
