//! How fast something is sent: a token bucket that several streams share, and a count of what has gone.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{bit_rate::BitRate, units::Bytes};
use tokio::time::{Instant, sleep_until};

/// So much time's worth may go at once after a pause.
const BURST: Duration = Duration::from_millis(50);

/// Shared by all who send together. Without a rate it only counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bucket: Mutex<Bucket>,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct Bucket {
    rate: Option<BitRate>,
    /// When all that was let through will have passed at this rate.
    passed_at: Option<Instant>,
}

impl Pace {
    pub fn new(rate: Option<BitRate>) -> Self {
        let pace = Self::default();
        pace.set(rate);
        pace
    }

    /// Changes the rate for all that follows.
    pub fn set(&self, rate: Option<BitRate>) {
        let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.rate = rate;
    }

    /// Waits until so much may be sent. Who comes first goes first.
    pub async fn pass(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let begin = self.reserve(bytes, Instant::now());
        if let Some(begin) = begin {
            sleep_until(begin).await;
        }
        self.0.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns how much was let through.
    pub fn sent(&self) -> Bytes {
        Bytes(self.0.sent.load(Ordering::Relaxed))
    }

    /// Returns when these bytes may begin to go; `None` is at once.
    fn reserve(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let mut bucket = self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = bucket.rate?.bytes_per_second().max(1);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let begin = bucket.passed_at.map_or(earliest, |at| at.max(earliest));
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
        let time = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        bucket.passed_at = begin.checked_add(time);
        (begin > now).then_some(begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_takes_its_time_however_many_send() {
        let pace = Pace::new(Some("8Mbit".parse().unwrap()));
        let begun = Instant::now();
        let senders = (0..4).map(|_| {
            let pace = pace.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    pace.pass(100_000).await;
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.unwrap();
        }
        // 4 MB at 1 MB/s; the last piece may go when the one before it has passed.
        let took = begun.elapsed();
        let expect = Duration::from_secs(4);
        assert!(
            took <= expect && took >= expect - Duration::from_millis(200),
            "{took:?}"
        );
        assert_eq!(pace.sent(), Bytes(4_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let pace = Pace::default();
        let begun = Instant::now();
        pace.pass(usize::MAX / 2).await;
        pace.set(Some("100kbit".parse().unwrap()));
        pace.pass(600).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        pace.pass(12_500).await;
        pace.pass(1).await;
        assert!(begun.elapsed() >= Duration::from_millis(900));
    }
}
