//! The process that gives a job its network, seen from the job's supervisor: start it, hear of it, end it.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::fd::BorrowedFd,
    time::Duration,
};

use agent_core::sandbox_plan::{Identity, NetworkPlan, SandboxPlan};
use common::units::Bytes;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Pid,
};

use super::{PROXY, companion::Companion};
use crate::{
    proxy::{ProxyTask, Word},
    sandbox::{INTERFACE, Outside, Slirp, since_boot},
};

/// How long it has for its last words.
const FAREWELL: Duration = Duration::from_millis(500);
/// Most that is read of the kernel's table of interfaces: a job has two.
const MAX_COUNTERS_BYTES: u64 = 64 << 10;

/// A job's gateway, where it has one. Ends with this.
#[derive(Debug, Default)]
pub(super) struct Gateway {
    proxy: Option<Companion>,
    whole: Option<Whole>,
    most: Option<Bytes>,
    moved: Moved,
    /// Whether it was asked to end, so that its end is no news.
    ending: bool,
}

/// What went over the network since the attempt's start, seen from the job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) sent: Bytes,
    pub(super) received: Bytes,
}

/// A full network. What is counted is what the job's end of it sees.
#[derive(Debug)]
struct Whole {
    slirp: Slirp,
    /// Open, they can be read when nothing of the job is left.
    counters: File,
}

impl Gateway {
    /// Starts what the plan's network takes. `first` is the sandbox's first process.
    pub(super) fn start(
        plan: &SandboxPlan,
        first: Pid,
        network: Option<Outside>,
    ) -> io::Result<Self> {
        let (rules, socket) = match (&plan.network, network) {
            (NetworkPlan::Proxy(rules), Some(Outside::Socket(socket))) => (rules, socket),
            (NetworkPlan::Full { rules, .. }, Some(Outside::Whole(slirp))) => {
                let counters = format!("/proc/{}/net/dev", first.as_raw_nonzero());
                return Ok(Self {
                    most: rules.most_bytes,
                    whole: Some(Whole {
                        slirp,
                        counters: File::open(counters)?,
                    }),
                    ..Self::default()
                });
            }
            _ => return Ok(Self::default()),
        };
        let task = ProxyTask {
            rules: rules.clone(),
            uid: match plan.identity {
                Identity::Private { uid } => Some(uid),
                Identity::Agent => None,
            },
        };
        Ok(Self {
            proxy: Some(Companion::start(PROXY, &task, socket)?),
            ..Self::default()
        })
    }

    /// Readable when [`Self::hear`] has something.
    pub(super) fn words(&self) -> Option<BorrowedFd<'_>> {
        self.proxy.as_ref().map(Companion::words)
    }

    pub(super) const fn moved(&self) -> Moved {
        self.moved
    }

    /// Takes in what it told, and returns what of that is for the job's log.
    pub(super) fn hear(&mut self) -> Vec<String> {
        let Some(proxy) = &mut self.proxy else {
            return Vec::new();
        };
        let (words, sound) = proxy.hear();
        let mut lines = Vec::new();
        for word in words {
            match word {
                Word::Counted { sent, received } => self.moved = Moved { sent, received },
                Word::Said(line) => lines.push(line),
            }
        }
        if !sound {
            if !self.ending {
                lines.push("the job's proxy has ended; the job has no network any more".to_owned());
            }
            self.end_now();
        }
        lines
    }

    /// Reads what went over a full network, and ends it where that is more than may; returns what is for the
    /// job's log.
    pub(super) fn count(&mut self) -> Vec<String> {
        let Some(whole) = &mut self.whole else {
            return Vec::new();
        };
        if let Some(moved) = moved_over(INTERFACE, &mut whole.counters) {
            self.moved = moved;
        }
        let all = self.moved.sent.0.saturating_add(self.moved.received.0);
        let line = match self.most.filter(|most| all > most.0) {
            Some(most) => format!(
                "the job has moved all of the {most} that it may move over the network, and has none any more"
            ),
            None if whole.slirp.has_ended() && !self.ending => {
                "slirp4netns has ended; the job has no network any more".to_owned()
            }
            None => return Vec::new(),
        };
        self.whole = None;
        vec![line]
    }

    /// Ends it, and returns what else is for the log. What was moved stays known.
    pub(super) fn finish(&mut self) -> Vec<String> {
        self.ending = true;
        let mut lines = self.count();
        if let Some(proxy) = &self.proxy {
            proxy.ask_to_end();
            let until = since_boot() + FAREWELL;
            while self.has_more(until) {
                lines.extend(self.hear());
            }
        }
        self.end_now();
        lines
    }

    fn has_more(&self, until: Duration) -> bool {
        let Some(words) = self.words() else {
            return false;
        };
        let left = until.saturating_sub(since_boot());
        let left = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut waiting = [PollFd::from_borrowed_fd(words, PollFlags::IN)];
        poll(&mut waiting, Some(&left)).is_ok_and(|ready| ready > 0)
    }

    fn end_now(&mut self) {
        self.whole = None;
        self.proxy = None;
    }
}

/// Reads the line of an interface: its name, eight numbers of what came, the bytes first, and eight of what went.
fn moved_over(interface: &str, counters: &mut File) -> Option<Moved> {
    counters.seek(SeekFrom::Start(0)).ok()?;
    let mut text = String::new();
    counters
        .take(MAX_COUNTERS_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'))?;
    let number = |at| line.split_whitespace().nth(at)?.parse().ok().map(Bytes);
    Some(Moved {
        received: number(0)?,
        sent: number(8)?,
    })
}
