//! Orgs, members and invitations as people see them.

pub mod deletion;
pub mod departure;
pub mod logo;
pub mod percent;
pub mod retention;
pub mod settings;
pub mod storage;

use serde::{Deserialize, Serialize};

pub use self::{logo::LogoView, settings::OrgSettings};

use crate::{
    id::{InvitationId, OrgId},
    invitee::Invitee,
    limits::Limits,
    name::Name,
    profile::{DisplayName, Email},
    status::{MachineStatus, Role},
    time::{Span, Timestamp},
    units::{Bytes, MilliCpu},
};

/// Most orgs that users make for themselves; whoever runs the coordinator can give one user more.
pub const MAX_ORGS_OWNED: usize = 16;
/// Most invitations made at once.
pub const MAX_INVITATIONS_AT_ONCE: u32 = 50;
/// Most uses of one invitation.
pub const MAX_INVITATION_USES: u32 = 10_000;
/// Most people who are named behind one invitation.
pub const MAX_NAMED_GUESTS: usize = 32;
/// Life of an invitation unless told otherwise.
pub const INVITATION_TTL: Span = Span::from_secs(24 * 3600);

/// One org that a user belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipView {
    pub org: OrgId,
    pub name: Name,
    pub role: Role,
}

/// A member of an org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    pub handle: Name,
    pub role: Role,
    pub joined_at: Timestamp,
    pub machines: u32,
    pub running: u32,
    pub queued: u32,
    pub display_name: Option<DisplayName>,
    /// Shown to admins and to the member.
    pub email: Option<Email>,
}

/// Whether an invitation still lets anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationStatus {
    Open,
    Used,
    Expired,
    Revoked,
    /// It waits for the one whom it is for.
    Pending,
    /// Whom it is for came in with it.
    Accepted,
    /// Whom it is for does not want it.
    Declined,
}

impl InvitationStatus {
    /// Returns the word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
        }
    }
}

/// An invitation in a list; its code was shown once and is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationView {
    pub id: InvitationId,
    pub role: Role,
    pub status: InvitationStatus,
    pub created_by: Name,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub uses_left: u32,
    /// Whom it is for; `None` is whoever has the code.
    pub invitee: Option<Invitee>,
    /// Who came in with it, first come first; at most [`MAX_NAMED_GUESTS`].
    pub guests: Vec<Name>,
}

/// An org at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgOverview {
    pub id: OrgId,
    pub name: Name,
    pub owner: Name,
    pub created_at: Timestamp,
    pub members: u32,
    /// Only states that occur.
    pub machines: Vec<MachineCount>,
    /// What is lent by machines that are here, and how much of it is free.
    pub total: Amounts,
    pub free: Amounts,
    pub gpus: Vec<GpuCount>,
    pub running_tasks: u32,
    pub queued_tasks: u32,
    /// Sum of the wall time of all ended attempts.
    pub compute_time: Span,
    pub limits: Limits,
    pub settings: OrgSettings,
    pub logo: Option<LogoView>,
}

/// How many machines are in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineCount {
    pub status: MachineStatus,
    pub count: u32,
}

/// Sums over machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    pub cpu: MilliCpu,
    pub memory: Bytes,
    pub disk: Bytes,
}

/// GPUs of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuCount {
    pub model: String,
    pub total: u32,
    pub free: u32,
}
