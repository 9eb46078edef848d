//! Machines: what an agent reports of one, and what people see.

use serde::{Deserialize, Serialize};

use crate::{
    id::{MachineId, TreeId},
    job::JobNumber,
    label::{Label, MAX_LABELS, are_by_key},
    name::Name,
    resources::{Allocation, Capacity, MAX_GPUS_PER_MACHINE},
    status::{IsolationLevel, MachineStatus, Network},
    time::{Span, Timestamp},
    units::Bytes,
    wire::peer::PeerLoad,
};

/// Most cached datasets that are shown of a machine.
pub const MAX_CACHED_SHOWN: usize = 64;
/// Most trees that a machine names as cached.
pub const MAX_CACHED_TREES: usize = 4096;
/// Longest free text in a report, in bytes.
pub const MAX_REPORT_TEXT_BYTES: usize = 512;

/// Everything an agent says about its machine that the schedule depends on. Sent whole when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineReport {
    /// What exists.
    pub capacity: Capacity,
    /// What the owner lends now, running jobs included.
    pub offer: Capacity,
    /// Set while the machine takes nothing new.
    pub paused: Option<Pause>,
    /// Whom and what the owner lets in.
    #[serde(default)]
    pub admits: Admits,
    pub isolation: Isolation,
    pub system: SystemInfo,
    /// Trees in the cache, so that placement can prefer them.
    pub cached: Vec<TreeId>,
    /// How many bytes a second came lately; `None` where nothing large did.
    #[serde(default)]
    pub fetch_rate: Option<Bytes>,
    /// How much data it can keep at once; `None` where it has not said so.
    #[serde(default)]
    pub cache_limit: Option<Bytes>,
    /// What its owner says of it, as [`Label::by_key`] makes them.
    #[serde(default)]
    pub labels: Vec<Label>,
}

impl MachineReport {
    /// Returns a report of a machine that lends everything to everybody and has nothing in its cache.
    pub fn lending_all(capacity: Capacity, isolation: Isolation, system: SystemInfo) -> Self {
        Self {
            offer: capacity.clone(),
            capacity,
            paused: None,
            admits: Admits::default(),
            isolation,
            system,
            cached: Vec::new(),
            fetch_rate: None,
            cache_limit: None,
            labels: Vec::new(),
        }
    }
}

/// The machine takes nothing new for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// `None` where nobody can tell.
    pub until: Option<Timestamp>,
    /// Why, as people read it after a colon: `its owner is at the keyboard`. Empty where its owner paused it by hand.
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub by: PausedBy,
}

/// Whose doing a pause is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// The owner's command; only another ends it early.
    #[default]
    Command,
    /// A rule of the owner's file, as long as it holds.
    Rule,
    /// The agent is about to stop or to be replaced.
    Draining,
}

/// Which of an owner's lists keep a job out: each of them for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptOut {
    /// Those who may are listed, and neither its submitter nor its project is.
    pub unlisted: bool,
    /// Its submitter never may.
    pub not_member: bool,
    /// Its project never may.
    pub not_project: bool,
}

/// Whom and what a machine's owner lets in, as the owner's file says. The agent refuses what is not in here,
/// too; the coordinator only spares everybody the way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Admits {
    /// Handles; `None` is every member, unless `projects` names whose jobs may. The owner's own jobs always may.
    pub members: Option<Vec<Name>>,
    /// Handles that never may.
    pub not_members: Vec<Name>,
    pub networks: Vec<Network>,
    /// Whether jobs may bring an image.
    pub images: bool,
    /// Longest run that a job may ask for.
    pub max_runtime: Option<Span>,
    /// Projects whose jobs may, whoever submits them, besides those of `members`. A job of no project is in none.
    #[serde(default)]
    pub projects: Option<Vec<Name>>,
    /// Projects whose jobs never may.
    #[serde(default)]
    pub not_projects: Vec<Name>,
}

impl Default for Admits {
    /// Returns what a machine admits whose owner has said nothing: everybody and every image, no network.
    fn default() -> Self {
        Self {
            members: None,
            not_members: Vec::new(),
            networks: vec![Network::None],
            images: true,
            max_runtime: None,
            projects: None,
            not_projects: Vec::new(),
        }
    }
}

impl Admits {
    /// Returns whether who submits is let in, as a member or by the project. What is not to come in never does;
    /// `is_named` looks a name up in a list of this.
    pub fn lets_in(
        &self,
        submitter: Option<&Name>,
        project: Option<&Name>,
        is_named: impl Fn(&[Name], &Name) -> bool,
    ) -> bool {
        self.keeps_out(submitter, project, is_named) == KeptOut::default()
    }

    /// Returns all of the lists that are in the way; what they mean is [`Self::lets_in`]'s.
    pub fn keeps_out(
        &self,
        submitter: Option<&Name>,
        project: Option<&Name>,
        is_named: impl Fn(&[Name], &Name) -> bool,
    ) -> KeptOut {
        let named =
            |names: &[Name], name: Option<&Name>| name.is_some_and(|name| is_named(names, name));
        let listed = match (&self.members, &self.projects) {
            (None, None) => true,
            (members, projects) => {
                let by = |names: &Option<Vec<Name>>, name| {
                    names.as_deref().is_some_and(|names| named(names, name))
                };
                by(members, submitter) || by(projects, project)
            }
        };
        KeptOut {
            unlisted: !listed,
            not_member: named(&self.not_members, submitter),
            not_project: named(&self.not_projects, project),
        }
    }

    /// Returns whether it matters to which project a job belongs.
    pub fn tells_projects(&self) -> bool {
        self.projects.is_some() || !self.not_projects.is_empty()
    }
}

/// Most names in each of an owner's lists.
pub const MAX_ADMITTED: usize = 1024;

/// How well the machine can hold jobs in, as the agent found out by trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    pub level: IsolationLevel,
    /// What it cannot enforce, one line each.
    pub missing: Vec<String>,
    /// The command that would lift it a level.
    pub remedy: Option<String>,
    /// Whether jobs can have a kernel of their own in user space (gVisor).
    #[serde(default)]
    pub strong: bool,
    /// What it can give a job of networks, whatever its owner allows.
    #[serde(default = "no_network")]
    pub networks: Vec<Network>,
}

impl Isolation {
    /// Returns a level with nothing to add to it: no gVisor, no network.
    pub fn of(level: IsolationLevel) -> Self {
        Self {
            level,
            missing: Vec::new(),
            remedy: None,
            strong: false,
            networks: no_network(),
        }
    }
}

fn no_network() -> Vec<Network> {
    vec![Network::None]
}

/// What runs on the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemInfo {
    pub os: String,
    pub kernel: String,
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    pub agent_version: String,
}

/// A sample of how busy the machine is, sent with heartbeats and never stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineLoad {
    pub cpu_percent: u32,
    pub memory_used: Bytes,
    /// What it gives to other machines and gets from them.
    #[serde(default)]
    pub peers: PeerLoad,
}

/// A machine as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineView {
    pub id: MachineId,
    pub name: Name,
    /// Handle of the member whose computer it is.
    pub owner: Name,
    pub status: MachineStatus,
    /// Why it is in that status, where there is more to say (the reason of a rejection, the end of a pause).
    pub status_detail: Option<String>,
    pub registered_at: Timestamp,
    pub last_heartbeat: Option<Timestamp>,
    pub running: u32,
    /// Attempts that ended on it, ever.
    pub executed: u64,
    /// Sum of the wall time of those attempts.
    pub lent: Span,
    /// What it reported last; `None` before the first contact.
    pub report: Option<MachineReport>,
    pub allocated: Allocation,
    pub load: Option<MachineLoad>,
    /// What the report was told without.
    pub unseen: UnseenProjects,
    /// Datasets of which the machine has a version that whoever asks may read, by name, at most
    /// [`MAX_CACHED_SHOWN`]. Only where one machine is shown.
    #[serde(default)]
    pub cached: Vec<CachedDataset>,
    /// Where job after job failed on it.
    #[serde(default)]
    pub set_aside: Option<SetAsideView>,
    /// What admins say of it; they win over those of its owner.
    #[serde(default)]
    pub labels: Vec<Label>,
}

/// Why and for how long a machine gets nothing new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAsideView {
    pub since: Timestamp,
    /// From then on one job at a time tries it, until one succeeds.
    pub until: Timestamp,
    pub on_trial: bool,
    /// The jobs that failed there, those that whoever asks may see or the machine's owner asks about.
    pub after: Vec<JobNumber>,
    pub text: String,
}

/// A version of a dataset that a machine has in its cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedDataset {
    pub name: Name,
    pub version: u32,
    pub bytes: Bytes,
}

/// Whether a machine's owner names projects that whoever asks does not see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnseenProjects {
    /// Some whose jobs may come in.
    pub let_in: bool,
    /// Some whose jobs never may.
    pub kept_out: bool,
}

/// Why a report is refused at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReport {
    #[error("it names more than {MAX_GPUS_PER_MACHINE} GPUs")]
    TooManyGpus,
    #[error("it names more than {MAX_CACHED_TREES} cached trees")]
    TooManyTrees,
    #[error("a text in it is longer than {MAX_REPORT_TEXT_BYTES} bytes or not plain")]
    Text,
    #[error("its owner's lists name more than {MAX_ADMITTED} members")]
    TooManyMembers,
    #[error("its labels are more than {MAX_LABELS}, or not one of a key")]
    Labels,
    #[error("it lends more than exists")]
    OfferBeyondCapacity,
    #[error("it claims more than any machine has")]
    Absurd,
}

impl MachineReport {
    /// Returns whether the report can be believed as far as its shape goes.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn check(&self) -> Result<(), InvalidReport> {
        /// A thousand times the largest machines of today.
        const MOST_MEMORY: Bytes = Bytes(1 << 56);
        const MOST_MILLI_CPU: u32 = 1_000_000_000;
        let gpu_texts = self
            .capacity
            .gpus
            .iter()
            .chain(&self.offer.gpus)
            .flat_map(|gpu| [gpu.uuid.as_str(), gpu.model.as_str(), gpu.driver.as_str()]);
        let system = &self.system;
        let texts = [
            &system.os,
            &system.kernel,
            &system.architecture,
            &system.agent_version,
        ]
        .into_iter()
        .chain(self.paused.iter().map(|pause| &pause.reason))
        .chain(&self.isolation.missing)
        .chain(&self.isolation.remedy)
        .map(String::as_str);
        let plain =
            |text: &str| text.len() <= MAX_REPORT_TEXT_BYTES && !text.chars().any(char::is_control);
        if self.capacity.gpus.len().max(self.offer.gpus.len()) > MAX_GPUS_PER_MACHINE {
            Err(InvalidReport::TooManyGpus)
        } else if self.cached.len() > MAX_CACHED_TREES {
            Err(InvalidReport::TooManyTrees)
        } else if self.admits.members.as_ref().map_or(0, Vec::len) > MAX_ADMITTED
            || self.admits.not_members.len() > MAX_ADMITTED
            || self.admits.projects.as_ref().map_or(0, Vec::len) > MAX_ADMITTED
            || self.admits.not_projects.len() > MAX_ADMITTED
            || self
                .admits
                .networks
                .len()
                .max(self.isolation.networks.len())
                > Network::ALL.len()
        {
            Err(InvalidReport::TooManyMembers)
        } else if self.labels.len() > MAX_LABELS || !are_by_key(&self.labels) {
            Err(InvalidReport::Labels)
        } else if self.isolation.missing.len() > 32 || !gpu_texts.chain(texts).all(plain) {
            Err(InvalidReport::Text)
        } else if self.capacity.cpu.0 > MOST_MILLI_CPU
            || self.capacity.memory > MOST_MEMORY
            || self.capacity.disk > MOST_MEMORY
        {
            Err(InvalidReport::Absurd)
        } else if self.offer.cpu > self.capacity.cpu
            || self.offer.memory > self.capacity.memory
            || self.offer.disk > self.capacity.disk
        {
            Err(InvalidReport::OfferBeyondCapacity)
        } else {
            Ok(())
        }
    }
}
