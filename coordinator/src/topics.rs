//! Who waits for what: wakes those who follow a job, a machine or an org. What changed is not told; whoever is
//! woken looks at the state again, so that a missed or doubled wake costs nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use common::id::JobId;
use coordinator_core::Topic;
use tokio::sync::watch;

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Awaited {
    /// What an event was about.
    Topic(Topic),
    /// The log of one of the job's attempts grew.
    Log(JobId),
}

/// The list of those who wait. As long as there are subscribers, and no longer, a topic is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topics {
    waiting: Arc<Mutex<HashMap<Awaited, watch::Sender<()>>>>,
}

impl Topics {
    /// Waits for it from now on: a wake between this and [`Subscription::woken`] is not lost.
    pub(crate) fn subscribe(&self, awaited: Awaited) -> Subscription {
        let mut waiting = self.lock();
        let sender = waiting
            .entry(awaited)
            .or_insert_with(|| watch::Sender::new(()));
        Subscription {
            receiver: sender.subscribe(),
            awaited,
            topics: self.clone(),
        }
    }

    /// Never waits.
    pub(crate) fn wake(&self, awaited: Awaited) {
        if let Some(sender) = self.lock().get(&awaited) {
            sender.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Awaited, watch::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits.
#[derive(Debug)]
pub(crate) struct Subscription {
    receiver: watch::Receiver<()>,
    awaited: Awaited,
    topics: Topics,
}

impl Subscription {
    /// Returns once it was woken since the last time, or since the subscription.
    pub(crate) async fn woken(&mut self) {
        // The sender stays in the list as long as this subscription lives.
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut waiting = self.topics.lock();
        let last = waiting
            .get(&self.awaited)
            .is_some_and(|sender| sender.receiver_count() <= 1);
        if last {
            waiting.remove(&self.awaited);
        }
    }
}

#[cfg(test)]
mod tests {
    use common::id::OrgId;

    use super::*;

    #[tokio::test]
    async fn a_wake_before_the_wait_is_not_lost_and_the_list_empties() {
        let topics = Topics::default();
        let topic = Awaited::Topic(Topic::Org(OrgId::from_bytes([1; 16])));
        let mut first = topics.subscribe(topic);
        let second = topics.subscribe(topic);
        topics.wake(topic);
        first.woken().await;
        drop(first);
        assert_eq!(topics.lock().len(), 1);
        drop(second);
        assert!(topics.lock().is_empty());
        topics.wake(topic);
    }
}
