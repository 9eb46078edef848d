//! What agents and the coordinator say to each other.
//!
//! The first stream of a connection is the control stream: [`AgentHello`] and [`CoordinatorHello`], then
//! [`AgentMessage`]s up and [`CoordinatorMessage`]s down. The agent is told its whole desired set every time,
//! so a lost message costs nothing. Logs and trees have streams of their own, opened by the agent, each
//! beginning with an [`AgentStream`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Hello, data::Announced, peer::PeerDoor};
use crate::{
    id::{AttemptId, TreeId},
    image::ImageRef,
    job::{Checkpoint, JobNumber, Outcome},
    machine::{MachineLoad, MachineReport},
    name::Name,
    problem::Problem,
    resources::Allocation,
    seal::RegistryLogin,
    secret::{SecretName, SecretValue},
    status::{EndReason, Network},
    time::{Span, Timestamp},
    usage::AttemptSample,
};

/// Most attempts in a machine's desired set.
pub const MAX_ATTEMPTS_PER_MACHINE: usize = 1024;

/// Most reports of attempts, and acknowledgements of them, in one message.
pub const MAX_REPORTS: usize = 64;

/// Most trees in a machine's desired set that no attempt asks for.
pub const MAX_WANTED_TREES: usize = 16;

/// The agent's first words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentHello {
    pub hello: Hello,
    pub report: MachineReport,
    /// Generation of the desired set that the agent holds; 0 for none.
    pub generation: u64,
    /// Attempts that the agent still has anything of.
    pub attempts: Vec<AttemptId>,
}

/// The coordinator's first words. Only now has the agent joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorHello {
    pub hello: Hello,
    pub machine: Name,
    pub org: Name,
    /// Without contact for so long, the agent ends its attempts by itself.
    pub lease: Span,
    /// How often the agent should be heard.
    pub heartbeat: Span,
    pub now: Timestamp,
}

/// From the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentMessage {
    Heartbeat {
        sequence: u64,
        load: MachineLoad,
        /// Where it changed since the last.
        report: Option<Box<MachineReport>>,
    },
    /// Repeated until it is acknowledged.
    Attempt {
        attempt: AttemptId,
        report: AttemptReport,
    },
    /// Asks for a new certificate for this key (PKCS #10, DER).
    Renew { csr: Vec<u8> },
    /// What running attempts use now, each at most once. Lost ones are not sent again.
    Usage { samples: Vec<AttemptSample> },
    /// Where other machines reach this one; said again where it changes.
    Door(PeerDoor),
    /// A wanted tree is there, or why it cannot be. Said again after each connection, until it is not wanted any more.
    Fetched {
        tree: TreeId,
        problem: Option<Problem>,
    },
    /// As [`AgentMessage::Attempt`], at most [`MAX_REPORTS`], in the order in which they happened: whoever had another
    /// one's place comes after it.
    Attempts {
        reports: Vec<(AttemptId, AttemptReport)>,
    },
}

/// What happened to an attempt. Each is said until acknowledged, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptReport {
    /// The machine fetches what the sandbox needs.
    Preparing,
    /// The program runs.
    Started { at: Timestamp },
    Ended {
        at: Timestamp,
        outcome: Outcome,
        /// Whether files are on their way; if not, there are none.
        artifacts: bool,
    },
    /// The files have arrived as this tree.
    Artifacts { tree: TreeId },
    /// The files cannot be kept (the log says why).
    ArtifactsLost,
    /// It was placed behind another one, nothing of it has begun, and nothing will: another machine may have it.
    Returned,
}

/// From the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoordinatorMessage {
    Assignment(Assignment),
    HeartbeatAck {
        sequence: u64,
    },
    /// The report is committed, or refused for good because the attempt is not this machine's any more.
    /// Either way it need not be said again.
    AttemptAck {
        attempt: AttemptId,
        stage: ReportStage,
    },
    /// Leaf first, DER.
    Certificate {
        chain: Vec<Vec<u8>>,
    },
    /// The connection will be closed, and why. What asked for a certificate and failed is said here too.
    Refused(Problem),
    /// As [`CoordinatorMessage::AttemptAck`], for all of an [`AgentMessage::Attempts`].
    AttemptAcks {
        acks: Vec<(AttemptId, ReportStage)>,
    },
    /// Instead of an [`Assignment`], to who speaks [`UPDATES`]. One that names an attempt as known that the agent does
    /// not have is an error of the protocol: on the next connection all of it is said.
    Update(AssignmentUpdate),
}

/// The version of the protocol since which the coordinator says what an attempt is only once on a connection.
pub const UPDATES: u16 = 3;

/// Which report of an attempt is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReportStage {
    Preparing,
    Started,
    Ended,
    Artifacts,
    Returned,
}

impl AttemptReport {
    pub const fn stage(&self) -> ReportStage {
        match self {
            Self::Preparing => ReportStage::Preparing,
            Self::Started { .. } => ReportStage::Started,
            Self::Ended { .. } => ReportStage::Ended,
            Self::Artifacts { .. } | Self::ArtifactsLost => ReportStage::Artifacts,
            Self::Returned => ReportStage::Returned,
        }
    }
}

/// Everything that should run on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Only grows. A set with an older one is refused.
    pub generation: u64,
    /// What the agent has besides is not wanted any more: it is ended if it runs, and forgotten.
    /// An ended attempt stays in the set until its log and artifacts have arrived.
    pub attempts: Vec<Assigned>,
    /// Data that jobs may want soon, at most [`MAX_WANTED_TREES`]: fetched beside everything else, and kept like what
    /// a job has just used.
    #[serde(default)]
    pub trees: Vec<WantedTree>,
}

/// Data that is to be on a machine before a job wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedTree {
    pub tree: TreeId,
    /// For people: `digits@3`.
    pub name: String,
}

/// One attempt and what should become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    pub attempt: AttemptId,
    pub goal: Goal,
    pub spec: AttemptSpec,
    /// It begins when this one of the set is over, with what that held, and not before: nobody has to be asked then.
    #[serde(default)]
    pub after: Option<AttemptId>,
}

/// An [`Assignment`] to an agent that knows a part of it from the one before on the same connection: everything that
/// should run, but only what is new of what that is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentUpdate {
    /// As in an assignment.
    pub generation: u64,
    /// Attempts that the set before did not have.
    pub new: Vec<Assigned>,
    /// All others of the set.
    pub known: Vec<KnownAttempt>,
    /// As in an assignment.
    pub trees: Vec<WantedTree>,
}

/// An attempt of which it was said before what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAttempt {
    pub attempt: AttemptId,
    pub goal: Goal,
    /// As in [`Assigned`].
    pub after: Option<AttemptId>,
}

/// What should become of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    Run,
    /// SIGTERM, grace, SIGKILL; the reason is what the end is reported as.
    Stop {
        reason: EndReason,
    },
    /// It has ended and the coordinator knows; what is left of its log and artifacts is still wanted.
    Collect,
    /// Not to begin here any more, and to be reported as returned; one that has begun goes on.
    Return,
}

/// Everything a machine needs to know to run an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptSpec {
    pub org: Name,
    pub job_number: JobNumber,
    pub job_name: String,
    /// Handle of who submitted it.
    pub submitter: Name,
    /// Whether the machine belongs to who submitted it.
    pub own_machine: bool,
    pub task_count: u32,
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub image: AttemptImage,
    /// Whether the registry wants to know who asks; see [`AgentStream::RegistryLogin`].
    pub registry_login: bool,
    /// Names of what the job finds as variables; see [`AgentStream::Secrets`].
    pub secrets: Vec<SecretName>,
    /// Whether a kernel of its own in user space was asked for, by the job or the org.
    pub strong: bool,
    pub workdir: Option<TreeId>,
    pub allocation: Allocation,
    pub datasets: Vec<MountedTree>,
    pub outputs: Vec<String>,
    pub network: Network,
    pub max_runtime: Option<Span>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Span,
    /// That the job belongs to, as owners of machines name it.
    #[serde(default)]
    pub project: Option<Name>,
    /// The machines of its gang in the order of their tasks; none where it is none.
    #[serde(default)]
    pub nodes: Vec<Name>,
    /// How it is told to write down how far it is before it has to end for others' sake.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// What the task left when it was tried before: it finds that where it left it.
    #[serde(default)]
    pub restore: Option<TreeId>,
    /// Of which a line is the task's.
    #[serde(default)]
    pub params: Option<TreeId>,
    /// Whether it may begin in the sandbox that another task of its job has ended in.
    #[serde(default)]
    pub shares: bool,
}

/// What an attempt's root is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptImage {
    Host,
    /// Always with its digest.
    Registry(ImageRef),
    /// The tree is an OCI image layout.
    Imported {
        /// For people: `mine@2`.
        name: String,
        tree: TreeId,
    },
}

/// A dataset's content and where it appears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedTree {
    /// For people: `digits@3`.
    pub name: String,
    pub tree: TreeId,
    pub path: String,
    /// Whether its files are to come when they are read.
    #[serde(default)]
    pub lazy: bool,
}

/// The first frame of an agent's further streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentStream {
    /// The log of an attempt goes up: [`LogResume`] comes, then [`LogData`] goes and [`LogAck`] comes back.
    Log { attempt: AttemptId },
    /// The description of a tree of the machine's desired set comes down; see [`super::data`]. Where trees are named
    /// that are here, [`super::data::Based`] comes first.
    Download {
        tree: TreeId,
        /// At most [`super::data::MAX_BESIDE`].
        beside: Vec<TreeId>,
    },
    /// The artifacts of an attempt go up.
    Upload {
        attempt: AttemptId,
        announced: Announced,
    },
    /// Asks for what opens the registry of an attempt's image, answered by [`RegistryAnswer`]. Only while the
    /// attempt is this machine's to run.
    RegistryLogin { attempt: AttemptId },
    /// Asks for the secrets that the attempt's job uses, answered by [`SecretsAnswer`]. Only while the attempt
    /// is this machine's to run.
    Secrets { attempt: AttemptId },
    /// Chunks of a tree of the machine's desired set come down.
    Chunks { tree: TreeId },
    /// Pieces of an upload go up, which began on this connection's stream of that number.
    Pieces { upload: u64 },
    /// Asks from whom to get a tree's blocks, beside its download; see [`super::peer`].
    Swarm { tree: TreeId, blocks: u32 },
}

/// What opens a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryAnswer {
    pub login: RegistryLogin,
}

/// The secrets of a job as they are now, in the order of its specification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretsAnswer {
    pub secrets: Vec<SecretValue>,
}

/// How much of a log the coordinator has; the agent goes on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogResume {
    pub offset: u64,
}

/// A piece of log. Its offset is where the last one ended, or it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogData {
    pub offset: u64,
    /// At most 256 KiB.
    pub bytes: Vec<u8>,
}

/// How much of a log is safe on the coordinator's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAck {
    pub offset: u64,
}
