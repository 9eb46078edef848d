//! What a job moved and what it was refused, and telling the supervisor of both.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fs::File,
    io::{self, Write as _},
};

use common::units::Bytes;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::fcntl_dupfd_cloexec,
    stdio::stdout,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Most lines that a job's log gets from its proxy, and most that wait to be told.
const MAX_LINES: u32 = 200;
const MAX_WAITING: usize = 10;
/// Longest line; a name has at most 253.
const MAX_LINE_CHARS: usize = 500;

/// What the supervisor is told: one line of JSON each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// Sums since the proxy's start.
    Counted { sent: Bytes, received: Bytes },
    /// For the job's log.
    Said(String),
}

/// Which way bytes go, seen from the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Count {
    sent: Cell<u64>,
    received: Cell<u64>,
    most: Option<Bytes>,
    spent: Notify,
    told: Cell<(u64, u64)>,
    waiting: RefCell<VecDeque<String>>,
    /// Refusals that found no room to wait.
    dropped: Cell<u64>,
    lines: Cell<u32>,
    supervisor: Option<File>,
}

impl Count {
    /// Returns one that tells on standard output, whose reader never holds this process up.
    pub(super) fn new(most: Option<Bytes>) -> io::Result<Self> {
        let supervisor = fcntl_dupfd_cloexec(stdout(), 3)?;
        fcntl_setfl(&supervisor, fcntl_getfl(&supervisor)? | OFlags::NONBLOCK)?;
        Ok(Self {
            supervisor: Some(supervisor.into()),
            ..Self::silent(most)
        })
    }

    /// Returns one that nobody hears.
    pub(super) fn silent(most: Option<Bytes>) -> Self {
        Self {
            sent: Cell::new(0),
            received: Cell::new(0),
            most,
            spent: Notify::new(),
            told: Cell::new((0, 0)),
            waiting: RefCell::default(),
            dropped: Cell::new(0),
            lines: Cell::new(0),
            supervisor: None,
        }
    }

    /// Counts bytes; returns whether they may still be moved.
    pub(super) fn add(&self, way: Way, bytes: usize) -> bool {
        let sum = match way {
            Way::Out => &self.sent,
            Way::In => &self.received,
        };
        sum.set(sum.get().saturating_add(bytes as u64));
        match self.exhausted() {
            None => true,
            Some(most) => {
                // Whoever is waiting for bytes hears of it as well.
                self.spent.notify_waiters();
                if self.lines.get() < u32::MAX {
                    self.say_last(&format!(
                        "the job has moved all of the {most} that it may move over the network; its connections end"
                    ));
                }
                false
            }
        }
    }

    /// Returns the bound where it is reached.
    pub(super) fn exhausted(&self) -> Option<Bytes> {
        let moved = self.sent.get().saturating_add(self.received.get());
        self.most.filter(|most| moved > most.0)
    }

    /// Waits until the bound is reached.
    pub(super) async fn spent(&self) {
        let spent = self.spent.notified();
        if self.exhausted().is_none() {
            spent.await;
        }
    }

    #[cfg(test)]
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.sent.get(), self.received.get())
    }

    #[cfg(test)]
    pub(super) fn said(&self) -> Vec<String> {
        self.waiting.borrow().iter().cloned().collect()
    }

    /// Has a line for the job's log. Many at once are told as a few and a number.
    pub(super) fn say(&self, line: &str) {
        if self.lines.get() >= MAX_LINES {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MAX_WAITING {
            self.dropped.set(self.dropped.get() + 1);
            return;
        }
        self.lines.set(self.lines.get() + 1);
        waiting.push_back(line.chars().take(MAX_LINE_CHARS).collect());
        if self.lines.get() == MAX_LINES {
            waiting.push_back("what else this job may not reach is not told any more".to_owned());
        }
    }

    /// Has the last line of all.
    fn say_last(&self, line: &str) {
        self.lines.set(u32::MAX);
        self.waiting.borrow_mut().push_back(line.to_owned());
    }

    /// Tells what is new; returns whether anybody is there.
    pub(super) fn tell(&self) -> bool {
        let now = (self.sent.get(), self.received.get());
        if now != self.told.get() {
            let (sent, received) = (Bytes(now.0), Bytes(now.1));
            if self.write(&Word::Counted { sent, received }) {
                self.told.set(now);
            }
        }
        let mut waiting = self.waiting.borrow_mut();
        while let Some(line) = waiting.front() {
            if !self.write(&Word::Said(line.clone())) {
                break;
            }
            waiting.pop_front();
        }
        let dropped = self.dropped.replace(0);
        if dropped > 0 && !self.write(&Word::Said(format!("and {dropped} more like that"))) {
            self.dropped.set(dropped);
        }
        self.is_heard()
    }

    /// Writes one line whole or not at all: it is shorter than what a pipe takes in one piece.
    fn write(&self, word: &Word) -> bool {
        let Some(mut supervisor) = self.supervisor.as_ref() else {
            return true;
        };
        let mut line = serde_json::to_vec(word).expect("a word is plain data");
        line.push(b'\n');
        supervisor.write_all(&line).is_ok()
    }

    fn is_heard(&self) -> bool {
        let Some(supervisor) = self.supervisor.as_ref() else {
            return true;
        };
        let mut reader = [PollFd::new(supervisor, PollFlags::empty())];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut reader, Some(&at_once)).is_ok_and(|gone| gone == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_a_few_at_a_time_and_not_forever() {
        let count = Count::silent(None);
        for _ in 0..100 {
            count.say("no");
        }
        assert_eq!(count.said().len(), MAX_WAITING);
        assert_eq!(count.dropped.get(), 90);
        for _ in 0..1000 {
            count.tell();
            count.say("no");
        }
        assert_eq!(count.lines.get(), MAX_LINES);
        count.tell();
        assert!(count.said().is_empty() && count.dropped.get() == 0);
    }

    #[test]
    fn a_bound_holds_for_both_ways_together_and_is_told_once() {
        let count = Count::silent(Some(Bytes(10)));
        assert!(count.add(Way::Out, 6) && count.add(Way::In, 4));
        assert_eq!(count.exhausted(), None);
        assert!(!count.add(Way::In, 1) && !count.add(Way::Out, 1));
        assert_eq!(count.moved(), (7, 5));
        assert_eq!(count.said().len(), 1, "{:?}", count.said());
        count.say("nothing after that");
        assert_eq!(count.said().len(), 1);
    }
}
