//! What the join door and every handshake need to know: codes, registrations, certificates.

use common::{
    api::job::Submitted,
    id::{
        CertificateSerial, CodeDigest, Fingerprint, IdempotencyKey, InvitationId, MachineId, OrgId,
        UserId,
    },
    join_link::LinkPurpose,
    name::Name,
    problem::Problem,
    status::Role,
    time::Timestamp,
};

use crate::{event::Holder, state::State};

/// A code that lets this key in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    pub org: OrgId,
    /// Who it is, where that is known: for a sign-in, or a key that asks again. A new user is minted otherwise.
    pub user: Option<UserId>,
}

/// Returns whether the code lets the key in now. The command [`crate::Body::Enrol`] checks again.
///
/// # Errors
/// Unknown, used, expired or revoked.
pub fn enrolment(
    state: &State,
    code: CodeDigest,
    purpose: LinkPurpose,
    key: Fingerprint,
    now: Timestamp,
) -> Result<Enrolment, Problem> {
    let _ = (state, code, purpose, key, now);
    Err(Problem::new(common::code::Code::CodeInvalid, "", ""))
}

/// What somebody who was let in is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    pub user: UserId,
    pub handle: Name,
    pub org: OrgId,
    pub org_name: Name,
    pub role: Role,
}

/// Returns who came in with this code and key, after the commit.
pub fn enrolled(state: &State, code: CodeDigest, key: Fingerprint) -> Option<Enrolled> {
    let _ = (state, code, key);
    None
}

/// What a machine that claims its certificate is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Not yet approved; [`crate::Topic::Machine`] wakes when that changes.
    Waiting { org_name: Name, name: Name },
    /// A certificate may be signed for it.
    Approved { org_name: Name, name: Name },
}

/// Returns how the registration of this machine stands.
///
/// # Errors
/// Unknown, another key, rejected or removed.
pub fn claim(state: &State, machine: MachineId, key: Fingerprint) -> Result<Claim, Problem> {
    let _ = (state, machine, key);
    Err(Problem::new(common::code::Code::NotRegistered, "", ""))
}

/// Returns who a certificate speaks for. Asked at every handshake and before every request.
///
/// # Errors
/// Unknown, revoked, expired, or of a machine or user that is gone.
pub fn certificate(
    state: &State,
    serial: CertificateSerial,
    now: Timestamp,
) -> Result<Holder, Problem> {
    let _ = (state, serial, now);
    Err(Problem::new(common::code::Code::NotSignedIn, "", ""))
}

/// Returns the names of a machine and its org, for the coordinator's hello.
pub fn machine_names(state: &State, machine: MachineId) -> Option<(Name, Name)> {
    let _ = (state, machine);
    None
}

/// Returns when an invitation expires.
pub fn invitation_expiry(state: &State, invitation: InvitationId) -> Option<Timestamp> {
    let _ = (state, invitation);
    None
}

/// Returns the living machine of this name, after a registration that may have been repeated.
pub fn machine_id(state: &State, org: OrgId, name: &Name) -> Option<MachineId> {
    let _ = (state, org, name);
    None
}

/// Returns the job that was submitted with this key, after the commit.
pub fn submitted(state: &State, user: UserId, key: IdempotencyKey) -> Option<Submitted> {
    let _ = (state, user, key);
    None
}

/// Returns every org with its name.
pub fn orgs(state: &State) -> Vec<(OrgId, Name)> {
    let _ = state;
    Vec::new()
}

/// Returns every approved machine: after a start, those that do not come back within a lease are lost.
pub fn approved_machines(state: &State) -> Vec<MachineId> {
    let _ = state;
    Vec::new()
}
