//! What running attempts use: the last samples of each, as their machines say them. In memory only.
//!
//! Only an attempt that has not ended has any, so there are never more than machines hold; the engine's word that
//! one has ended drops them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use common::{
    id::AttemptId,
    time::Timestamp,
    usage::{AttemptSample, MAX_SAMPLES, UsageSample},
};
use coordinator_core::query::Samples;

/// The last samples of every attempt that has any, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    rings: Mutex<HashMap<AttemptId, VecDeque<UsageSample>>>,
}

impl Usage {
    /// Keeps what a machine says of its attempts. `is_running` looks at a state that cannot change meanwhile, so
    /// that the word that an attempt has ended comes after it was kept.
    pub(crate) fn keep(
        &self,
        samples: &[AttemptSample],
        now: Timestamp,
        is_running: impl Fn(AttemptId) -> bool,
    ) {
        let mut rings = self.lock();
        for AttemptSample { attempt, sample } in samples {
            if !is_running(*attempt) {
                continue;
            }
            let ring = rings.entry(*attempt).or_default();
            if ring.len() == MAX_SAMPLES {
                ring.pop_front();
            }
            ring.push_back(UsageSample {
                // A machine's clock may be ahead.
                at: sample.at.min(now),
                ..*sample
            });
        }
    }

    /// The attempt has ended.
    pub(crate) fn forget(&self, attempt: AttemptId) {
        self.lock().remove(&attempt);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptId, VecDeque<UsageSample>>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Samples for Usage {
    fn newest(&self, attempt: AttemptId, most: usize) -> Vec<UsageSample> {
        let rings = self.lock();
        let ring = rings.get(&attempt);
        ring.map_or_else(Vec::new, |ring| {
            let skipped = ring.len().saturating_sub(most);
            ring.iter().skip(skipped).copied().collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use common::id::JobId;

    use super::*;

    fn attempt(task: u32) -> AttemptId {
        AttemptId {
            job: JobId::from_bytes([1; 16]),
            task,
            number: 1,
        }
    }

    fn sample(task: u32, cpu_percent: u32) -> AttemptSample {
        AttemptSample {
            attempt: attempt(task),
            sample: UsageSample {
                cpu_percent,
                at: Timestamp::from_unix_ms(u64::MAX >> 8),
                ..UsageSample::default()
            },
        }
    }

    #[test]
    fn the_newest_of_running_attempts_are_kept_until_they_end() {
        let (usage, now) = (Usage::default(), Timestamp::from_unix_ms(1000));
        let percent = |task, most| -> Vec<u32> {
            let newest = usage.newest(attempt(task), most);
            assert!(newest.iter().all(|sample| sample.at == now));
            newest.iter().map(|sample| sample.cpu_percent).collect()
        };
        for number in 0..100 {
            let said = [sample(0, number), sample(1, 7), sample(2, 9)];
            usage.keep(&said, now, |id| id.task != 2);
        }
        assert_eq!(percent(0, 3), [97, 98, 99]);
        assert_eq!(percent(0, usize::MAX).len(), MAX_SAMPLES);
        assert_eq!(percent(2, 3), [0; 0], "it does not run there");
        usage.forget(attempt(0));
        assert_eq!(percent(0, 3), [0; 0]);
        assert_eq!(percent(1, 1), [7]);
        // One message that says the same attempt over and over takes no more room.
        usage.keep(&[sample(1, 8); 1000], now, |_| true);
        assert_eq!(percent(1, usize::MAX), [8; MAX_SAMPLES]);
        assert_eq!(usage.lock().len(), 1);
    }
}
