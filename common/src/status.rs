//! The closed vocabularies of what people see: states of jobs, tasks, attempts and machines, end reasons.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::problem::shown;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the word that people and JSON see.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text { $($word => Ok(Self::$variant),)* _ => Err(UnknownWord { word: text.to_owned(), known: &[$($word,)*] }) }
            }
        }
    )*};
}

/// The text is not one of the words of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not one of {}", shown(word), known.join(", "))]
pub struct UnknownWord {
    word: String,
    known: &'static [&'static str],
}

impl UnknownWord {
    /// Returns whether a role was asked for.
    pub(crate) fn is_role(&self) -> bool {
        let roles = Role::ALL.iter().map(|role| role.as_str());
        self.known.iter().copied().eq(roles)
    }
}

words! {
    /// State of a job.
    JobStatus {
        Queued => "queued",
        Running => "running",
        Succeeded => "succeeded",
        Failed => "failed",
        Cancelled => "cancelled",
        /// It asks for so much that an admin has to let it into the queue.
        AwaitingApproval => "awaiting_approval",
    }

    /// What has to become of a job that another one waits for.
    Condition {
        Succeeded => "succeeded",
        /// Ended with a task that failed; a job that was cancelled has not.
        Failed => "failed",
        /// In whatever way.
        Ended => "ended",
        /// One of its tasks has begun to run.
        Started => "started",
    }

    /// How it stands with a condition of a job that waits for another.
    AfterStatus {
        /// It can still come to be.
        Waits => "waits",
        Met => "met",
        Never => "never",
    }

    /// State of one attempt, as the coordinator knows it.
    AttemptStatus {
        /// Given to a machine that has not yet said that it runs.
        Placed => "placed",
        /// The machine fetches what the sandbox needs.
        Preparing => "preparing",
        Running => "running",
        /// Told to end; grace is running.
        Stopping => "stopping",
        Ended => "ended",
    }

    /// Why an attempt ended.
    EndReason {
        /// The program ended by itself, with an exit code.
        Exited => "exited",
        /// A signal ended the program.
        Signalled => "signalled",
        OutOfMemory => "out_of_memory",
        TimeLimit => "time_limit",
        DiskLimit => "disk_limit",
        Cancelled => "cancelled",
        Preempted => "preempted",
        /// No contact for a lease's length.
        MachineLost => "machine_lost",
        /// The machine's owner wanted it back.
        MachineOwner => "machine_owner",
        /// Image, dataset, work folder or sandbox could not be made ready.
        PrepareFailed => "prepare_failed",
        /// The machine will not or cannot run it.
        RefusedByMachine => "refused_by_machine",
        CoordinatorError => "coordinator_error",
        /// Another task of its gang ended without success, and they end together.
        PeerEnded => "peer_ended",
    }

    /// State of a machine.
    MachineStatus {
        Pending => "pending",
        Available => "available",
        /// At least one job runs on it.
        Busy => "busy",
        /// Its owner does not lend it now.
        Paused => "paused",
        Offline => "offline",
        Rejected => "rejected",
        Removed => "removed",
        /// Job after job failed there: it gets nothing new for a while.
        SetAside => "set_aside",
    }

    /// Which of a task's output streams a piece of log came from.
    LogStream {
        Stdout => "stdout",
        Stderr => "stderr",
        /// What Compute Share itself has to say about the attempt.
        System => "system",
    }

    /// How soon a job should start compared with others.
    Priority {
        Low => "low",
        Normal => "normal",
        High => "high",
    }

    /// Whose tasks may have to give way to a job that waits, besides guests on the machine of its owner.
    Preemption {
        /// Nobody's, guests' neither.
        Off => "off",
        /// Those of lower priority.
        Priority => "priority",
        /// And those of members who have more of the pool.
        Share => "share",
    }

    /// By what a job came before another, whose place it took.
    Precedence {
        /// Its priority is higher.
        Priority => "priority",
        /// Its member has less of the pool.
        Share => "share",
        /// The machine is its member's own.
        OwnMachine => "own_machine",
    }

    /// What a job may reach over the network.
    Network {
        None => "none",
        /// Public addresses only, by HTTP and SOCKS through the machine's proxy.
        Internet => "internet",
        /// Public addresses only, by whatever protocol.
        Full => "full",
    }

    /// A member's standing in an org.
    Role {
        Member => "member",
        Admin => "admin",
        Owner => "owner",
    }

    /// Who besides its owner may see or use a resource.
    Visibility {
        Personal => "personal",
        OrgRead => "org_read",
        OrgWrite => "org_write",
    }

    /// What somebody may do in a project; each step includes those before it.
    Access {
        /// See its jobs and data.
        View => "view",
        /// Add data.
        Upload => "upload",
        /// Run jobs in it.
        Contribute => "contribute",
        /// Say who may do what.
        Administer => "administer",
    }

    /// Whether a project's data may be used outside it.
    CopyOut {
        All => "all",
        /// By nobody, whatever their access.
        None => "none",
    }

    /// Who may delete datasets of a project.
    DeleteBy {
        Contributors => "contributors",
        Admins => "admins",
    }

    /// Who may take a project's data and files to a computer of their own.
    DownloadBy {
        All => "all",
        /// Nobody but its administrators.
        None => "none",
    }

    /// How well a machine can hold a job in, best first.
    IsolationLevel {
        /// Root agent: own uid for every job, all limits.
        A => "a",
        /// Ordinary user with delegated cgroups: all limits but disk.
        B => "b",
        /// Ordinary user without cgroups: namespaces and filters, no exact memory or processor limit.
        C => "c",
        /// No user namespaces: runs nothing of other members.
        D => "d",
    }

    /// What an admin is asked for.
    ApprovalKind {
        /// A computer wants to take jobs.
        Machine => "machine",
        /// Somebody who left wants to come back.
        Rejoin => "rejoin",
        /// A job asks for more than the org lets anybody start.
        Job => "job",
    }

    /// How a request for approval stands.
    ApprovalStatus {
        Waiting => "waiting",
        Approved => "approved",
        Rejected => "rejected",
        /// What was asked for is gone.
        Withdrawn => "withdrawn",
    }

    /// What an admin answers.
    Verdict {
        Approve => "approve",
        Reject => "reject",
    }

    /// The least isolation that an org or a job asks for, weakest first. `c` is also what nobody has to ask for.
    MinIsolation {
        C => "c",
        B => "b",
        A => "a",
        /// A kernel of the job's own in user space (gVisor), whatever the level.
        Strong => "strong",
    }

    /// Whether tasks of a job that follow one another on a machine have a sandbox together.
    SandboxScope {
        /// They do, where nothing that is a task's own needs another.
        Job => "job",
        /// Each has one of its own.
        Task => "task",
    }

    /// What sums of usage are told apart by.
    UsageBy {
        Member => "member",
        Machine => "machine",
        Project => "project",
        Gpu => "gpu",
    }

    /// How far an API token reaches; each includes the one before.
    TokenScope {
        /// Look and download.
        Read => "read",
        /// Submit and cancel jobs, and add data, too.
        Submit => "submit",
        /// Whatever the user's role allows in the org, but nothing about the account.
        Admin => "admin",
    }

    /// What an entry of the audit log is about. Stores hold the place in this list: it only grows at its end.
    AuditKind {
        Org => "org",
        Limit => "limit",
        Member => "member",
        Invitation => "invitation",
        /// Sign-ins and the certificates of people's computers.
        Device => "device",
        Token => "token",
        Machine => "machine",
        Approval => "approval",
        Dataset => "dataset",
        Project => "project",
        Secret => "secret",
        /// What was submitted and cancelled, and how it ended.
        Job => "job",
        /// How each try on a machine ended, and what was forgotten of its files.
        Attempt => "attempt",
        /// Machines that come, go and report, and certificates that renew themselves.
        Connection => "connection",
    }
}

impl EndReason {
    /// Returns whether a job that says nothing about retries is tried again after this.
    pub const fn retried_by_default(self) -> bool {
        matches!(
            self,
            Self::Preempted | Self::MachineLost | Self::MachineOwner
        )
    }

    /// Returns whether the next try waits a while: the next machine may end it the same way. What a machine or its owner
    /// did says nothing of the next one.
    pub const fn delays_retry(self) -> bool {
        !self.retried_by_default()
    }

    /// Returns whether the time counts as the submitter's use. What the job itself did is billed; what was
    /// done to it is not.
    pub const fn billed(self) -> bool {
        matches!(
            self,
            Self::Exited
                | Self::Signalled
                | Self::OutOfMemory
                | Self::TimeLimit
                | Self::DiskLimit
                | Self::Cancelled
                | Self::PeerEnded
        )
    }
}

impl AuditKind {
    /// Returns whether it is shown unless asked otherwise: what people decided, and not what the pool does all day.
    pub const fn is_shown(self) -> bool {
        !matches!(self, Self::Job | Self::Attempt | Self::Connection)
    }
}

impl MinIsolation {
    /// Returns whether a machine with this level, and with or without a strong backend, is enough.
    pub const fn is_met_by(self, level: IsolationLevel, strong: bool) -> bool {
        match self {
            Self::Strong => strong && !matches!(level, IsolationLevel::D),
            Self::A => matches!(level, IsolationLevel::A),
            Self::B => matches!(level, IsolationLevel::A | IsolationLevel::B),
            Self::C => !matches!(level, IsolationLevel::D),
        }
    }
}

impl JobStatus {
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Returns what became of a job in this state, as read after its number.
    pub const fn past(self) -> &'static str {
        match self {
            Self::Queued | Self::AwaitingApproval => "has not begun",
            Self::Running => "runs now",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "was cancelled",
        }
    }
}

#[cfg(test)]
mod tests;
