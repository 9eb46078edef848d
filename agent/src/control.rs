//! The owner's way to a running agent: a socket in its folder that only its user (or root) may use.
//!
//! One JSON line asks, one answers. Nothing here goes over the network, so everything works offline.

mod cache;
mod client;
mod server;

use std::net::SocketAddr;

use common::{
    bit_rate::BitRate,
    job::JobNumber,
    machine::{Isolation, Pause},
    name::Name,
    problem::Problem,
    resources::Capacity,
    time::{Span, Timestamp},
    units::{Bytes, MilliCpu},
    usage::UsageSample,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::server::{Asked, serve};
pub use self::{
    cache::{CacheAnswer, CacheContent, CacheEntry, CacheKind, CacheRequest, Evicted, MAX_SHOWN},
    client::ask,
};

/// Longest line in either direction; a status of many attempts stays far below.
const MAX_LINE_BYTES: u64 = 4 << 20;
const SOCKET: &str = "control.sock";

/// What an owner can ask of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlRequest {
    Status,
    /// What images lie in this machine's cache.
    Images,
    /// Lends nothing new; what runs goes on. Without a span until [`ControlRequest::Resume`].
    Pause {
        span: Option<Span>,
        /// Only these GPUs, by index or identifier; empty is the whole machine.
        #[serde(default)]
        gpus: Vec<String>,
    },
    /// Ends every pause.
    Resume,
    Stop {
        how: StopHow,
    },
    /// What lies in the cache, or what is to go from it.
    Cache(CacheRequest),
}

/// What becomes of the jobs when the agent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopHow {
    /// They go on under their supervisors, and the next agent (of this version or another) takes them over.
    Leave,
    /// Nothing new is taken; the agent ends when the last has ended by itself.
    Drain,
    /// They are asked to end, get their grace, and are tried again elsewhere.
    Now,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlAnswer {
    Status(Box<AgentStatus>),
    /// The new state of the pause: `None` is that the machine lends again.
    Paused(Option<Pause>),
    /// The GPUs that are kept back, after a pause of some.
    GpusPaused(Vec<GpuPause>),
    /// The agent ends now, or once they have ended where it is drained; so many jobs are left.
    Stopping {
        jobs_left: u32,
    },
    /// The one that was used last comes first.
    Images(Vec<CachedImage>),
    Cache(CacheAnswer),
    Refused(Problem),
}

/// An image in this machine's cache, as `compute-share image list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedImage {
    /// As the first job called it that brought it here; empty where that was not written down.
    pub reference: String,
    /// Of a registry's image; the tree of an imported one.
    pub digest: String,
    /// Unpacked.
    pub size: Bytes,
    pub last_used_at: Timestamp,
    /// Jobs that run here in it now.
    pub running: u32,
}

/// Everything that `compute-share status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    pub machine: Name,
    pub org: Name,
    /// `HOST:PORT`.
    pub coordinator: String,
    pub connection: ConnectionState,
    pub started_at: Timestamp,
    pub isolation: Isolation,
    pub capacity: Capacity,
    pub offer: Capacity,
    pub pause: Option<Pause>,
    /// Whether it lends and what running jobs do, in words: `lends nothing new: its owner is at the keyboard
    /// (since 14:02); its jobs are frozen`.
    #[serde(default)]
    pub standing: String,
    /// What it gives to other machines of the org and gets from them.
    #[serde(default)]
    pub peers: PeerStatus,
    /// GPUs that are kept back, by command or by rule.
    #[serde(default)]
    pub gpu_pauses: Vec<GpuPause>,
    /// What is known of the machine's surroundings, a line each, with where it is known from.
    #[serde(default)]
    pub circumstances: Vec<String>,
    pub running: Vec<RunningAttempt>,
    /// What is wrong with the owner's file, where it was changed to something that cannot be used.
    pub owner_rules_problem: Option<Problem>,
    pub agent_version: String,
    pub process_id: u32,
}

/// Whether other machines fetch data from this one, and what went either way since the agent started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Where they reach it; nowhere where the owner does not want that.
    pub addresses: Vec<SocketAddr>,
    /// The owner's bound for all together.
    pub rate: Option<BitRate>,
    pub served: Bytes,
    pub fetched: Bytes,
}

/// A GPU that is not lent for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuPause {
    /// The driver's identifier.
    pub gpu: String,
    #[serde(flatten)]
    pub pause: Pause,
}

/// How the agent stands with its coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ConnectionState {
    /// It tries; `problem` says what stood in the way last.
    Connecting {
        since: Timestamp,
        problem: Option<Problem>,
    },
    WaitingForApproval {
        since: Timestamp,
    },
    Connected {
        since: Timestamp,
    },
    /// It will not try again.
    Ended {
        problem: Problem,
    },
}

impl ConnectionState {
    /// Returns the state in words.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting { problem: None, .. } => "connecting",
            Self::Connecting {
                problem: Some(_), ..
            } => "disconnected, trying again",
            Self::WaitingForApproval { .. } => "waiting for approval",
            Self::Connected { .. } => "connected",
            Self::Ended { .. } => "ended",
        }
    }
}

/// An attempt that is made ready, runs or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningAttempt {
    pub job: JobNumber,
    pub task: u32,
    pub attempt: u32,
    pub job_name: String,
    pub submitter: Name,
    pub command: Vec<String>,
    pub cpu: MilliCpu,
    pub memory: Bytes,
    pub gpus: Vec<String>,
    /// `None` while it is made ready.
    pub started_at: Option<Timestamp>,
    pub stopping: bool,
    /// What it uses now; `None` before the first look.
    #[serde(default)]
    pub sample: Option<UsageSample>,
    /// Since when a rule of the owner holds it still.
    #[serde(default)]
    pub frozen_since: Option<Timestamp>,
}
