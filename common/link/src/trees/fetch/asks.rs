//! What is asked for: in which order, by which stream, and who hears that it has come.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};

use crate::trees::MAX_STREAMS;

/// Asks that wait for a stream. How many do is for whoever asks to bound.
#[derive(Debug, Default)]
pub struct Asks {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    asks: VecDeque<Ask>,
    ended: bool,
}

/// Chunks that are asked for at once, by ordinal.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) ordinals: Vec<u32>,
    complete: oneshot::Sender<()>,
}

impl Asks {
    /// Asks for chunks, which are as many as fit into one ask; see [`super::Fetcher::cut`]. What is returned hears once
    /// the sink has them.
    pub fn push(&self, ordinals: Vec<u32>) -> oneshot::Receiver<()> {
        let (complete, hears) = oneshot::channel();
        let ask = Ask { ordinals, complete };
        self.waiting().asks.push_back(ask);
        self.more.notify_one();
        hears
    }

    /// Says that this is all.
    pub fn end(&self) {
        self.waiting().ended = true;
        self.more.notify_waiters();
    }

    /// Returns the next ask, if there is one now.
    pub(super) fn take(&self) -> Option<Ask> {
        self.waiting().asks.pop_front()
    }

    /// Returns the next ask, or `None` after the last.
    pub(super) async fn wait(&self) -> Option<Ask> {
        loop {
            let more = self.more.notified();
            let mut more = std::pin::pin!(more);
            // What comes after the look wakes this up.
            more.as_mut().enable();
            {
                let mut waiting = self.waiting();
                let ask = waiting.asks.pop_front();
                if ask.is_some() || waiting.ended {
                    return ask;
                }
            }
            more.await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Every change of it is one step.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ask {
    /// Tells whoever asked.
    pub(super) fn complete(self) {
        // Nobody need listen.
        let _heard = self.complete.send(());
    }
}

/// What was asked for on a stream and has not come.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Oldest first, and how much of that one has come.
    asks: VecDeque<Ask>,
    came: usize,
}

impl Expected {
    pub(super) fn asks(&self) -> usize {
        self.asks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    /// Adds an ask for at least one chunk.
    pub(super) fn add(&mut self, ask: Ask) {
        self.asks.push_back(ask);
    }

    /// Returns the chunk that comes next. The ask of which it is the last goes to `complete`.
    pub(super) fn next(&mut self, complete: &mut Vec<Ask>) -> Option<u32> {
        let ask = self.asks.front()?;
        let ordinal = *ask.ordinals.get(self.came)?;
        self.came += 1;
        if self.came == ask.ordinals.len() {
            complete.extend(self.asks.pop_front());
            self.came = 0;
        }
        Some(ordinal)
    }
}

/// Puts asks into an order in which those that are served at the same time lie far from each other: mostly in different
/// files, of which only one at a time can be written to.
pub(super) fn spread<T>(asks: Vec<T>) -> Vec<T> {
    let apart = asks.len().div_ceil(MAX_STREAMS).max(1);
    let mut placed: Vec<(usize, T)> = (0_usize..).zip(asks).collect();
    placed.sort_by_key(|(place, _)| place % apart);
    placed.into_iter().map(|(_, ask)| ask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_at_the_same_time_lies_far_apart() {
        assert!(spread(Vec::<usize>::new()).is_empty());
        assert_eq!(spread(vec![0, 1, 2]), [0, 1, 2]);
        let asks: Vec<usize> = (0..10 * MAX_STREAMS + 3).collect();
        let order = spread(asks.clone());
        for at_once in order.chunks(MAX_STREAMS).take(9) {
            assert!(at_once.is_sorted_by(|a, b| b - a >= 10), "{at_once:?}");
        }
        let mut all = order;
        all.sort_unstable();
        assert_eq!(all, asks);
    }

    #[tokio::test]
    async fn whoever_asks_hears_once_all_of_it_has_come() {
        let asks = Asks::default();
        let mut heard = [asks.push(vec![3, 4]), asks.push(vec![9])];
        let mut expected = Expected::default();
        expected.add(asks.take().unwrap());
        expected.add(asks.wait().await.unwrap());
        assert!(asks.take().is_none());
        let mut complete = Vec::new();
        assert_eq!(expected.next(&mut complete), Some(3));
        assert_eq!((complete.len(), expected.asks()), (0, 2));
        assert_eq!(expected.next(&mut complete), Some(4));
        complete.drain(..).for_each(Ask::complete);
        assert_eq!(heard[0].try_recv(), Ok(()));
        assert!(heard[1].try_recv().is_err());
        assert_eq!(expected.next(&mut complete), Some(9));
        assert_eq!(expected.next(&mut complete), None);
        drop((expected, complete));
        // Its stream has ended before.
        assert!((&mut heard[1]).await.is_err());
    }

    #[tokio::test]
    async fn streams_wait_for_asks_until_they_have_ended() {
        let asks = Asks::default();
        let waits = || async {
            let mut got = Vec::new();
            while let Some(ask) = asks.wait().await {
                got.extend(ask.ordinals);
            }
            got
        };
        let asking = async {
            for ordinal in 0..100 {
                let _unheard = asks.push(vec![ordinal]);
                tokio::task::yield_now().await;
            }
            asks.end();
        };
        let (one, two, ()) = tokio::join!(waits(), waits(), asking);
        let mut all = [one, two].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..100));
        assert!(asks.wait().await.is_none());
    }
}
