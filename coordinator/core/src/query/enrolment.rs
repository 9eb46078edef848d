//! What the join door and every handshake need to know: codes, registrations, certificates.

use common::{
    api::{
        invitation::{Joined, ShownInvitation},
        job::Submitted,
    },
    id::{
        CertificateSerial, CodeDigest, DeviceId, Fingerprint, IdempotencyKey, InvitationId,
        MachineId, OrgId, TreeId, UserId,
    },
    job::After,
    join_link::LinkPurpose,
    name::Name,
    problem::Problem,
    status::Role,
    time::Timestamp,
};

use crate::{
    command::Actor,
    decide::{
        enrolment::{admit, check, claimed, find_code},
        graph::key_at,
        invitation::{open, still_may},
        token,
    },
    event::Holder,
    policy::{
        self,
        scopes::{self, Ask},
    },
    rejection::Rejection,
    state::{State, account::Token},
};

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
    let admission = admit(state, code, purpose, key, now)?;
    Ok(Enrolment {
        org: admission.org,
        user: admission.user,
    })
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
    let invitation = *state.index.codes.get(&code)?;
    let user = state.invitation_uses.get(&(invitation, key))?.user;
    let org = state.invitations.get(&invitation)?.org;
    Some(Enrolled {
        user,
        handle: state.users.get(&user)?.handle.clone(),
        org,
        org_name: state.orgs.get(&org)?.name.clone(),
        role: state.members.get(&(org, user))?.role,
    })
}

/// Returns the org that a user came into by a code, after the commit.
pub fn joined(state: &State, invitation: InvitationId, user: UserId) -> Option<Joined> {
    let org = state.invitations.get(&invitation)?.org;
    Some(Joined {
        org,
        org_name: state.orgs.get(&org)?.name.clone(),
        role: state.members.get(&(org, user))?.role,
    })
}

/// Returns the invitation that a code is of, for somebody with an account. Whether it lets in whoever asks is the
/// command's to say.
///
/// # Errors
/// Unknown, or expired.
pub fn takeable(state: &State, code: CodeDigest, now: Timestamp) -> Result<InvitationId, Problem> {
    let (id, row) = find_code(state, code, LinkPurpose::Join)?;
    if now >= row.expires_at && row.revoked_at.is_none() {
        return Err(Rejection::CodeExpired { at: row.expires_at }.into());
    }
    Ok(id)
}

/// Returns what an invitation lets into, for whoever has its code.
///
/// # Errors
/// Unknown, used, declined, expired or revoked.
pub fn shown(state: &State, code: CodeDigest, now: Timestamp) -> Result<ShownInvitation, Problem> {
    let (id, row) = find_code(state, code, LinkPurpose::Join)?;
    open(row, now)?;
    still_may(state, row)?;
    Ok(ShownInvitation {
        id,
        org_name: super::org_name(state, row.org)?,
        role: row.role,
        status: row.status(now),
        created_by: super::handle(state, row.created_by)?,
        expires_at: row.expires_at,
    })
}

/// Returns the name of the org that an invitation is of.
pub fn inviting_org(state: &State, invitation: InvitationId) -> Result<Name, Problem> {
    let row = state.invitations.get(&invitation);
    let row = row.ok_or(Rejection::CodeInvalid)?;
    Ok(super::org_name(state, row.org)?)
}

/// Returns the key of a certificate.
pub fn certificate_key(state: &State, serial: CertificateSerial) -> Option<Fingerprint> {
    state.certificates.get(&serial).map(|row| row.key)
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
    let row = claimed(state, machine, key)?;
    let (org_name, name) = (super::org_name(state, row.org)?, row.name.clone());
    Ok(if row.state.is_approved() {
        Claim::Approved { org_name, name }
    } else {
        Claim::Waiting { org_name, name }
    })
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
    let holder = check(state, serial, now)?.holder;
    let known = match holder {
        Holder::User(user) => state.users.contains_key(&user),
        Holder::Machine(machine) => {
            let row = state.machines.get(&machine);
            row.is_some_and(|row| row.state.is_approved())
        }
    };
    if known {
        Ok(holder)
    } else {
        Err(Rejection::CertificateRevoked.into())
    }
}

/// Returns the device that a certificate was issued to.
pub fn device(state: &State, serial: CertificateSerial) -> Option<DeviceId> {
    state.certificates.get(&serial)?.device
}

/// Returns the token that a certificate was issued for.
pub(crate) fn token(state: &State, serial: CertificateSerial) -> Option<&Token> {
    let device = state.devices.get(&device(state, serial)?)?;
    state.tokens.get(&device.token?)
}

/// Returns who asks, if the certificate is good, a user's, and reaches as far as this. Asked before every request.
///
/// # Errors
/// As for [`certificate`]; a machine's; the token that it was issued for is no longer good, its scope too narrow or
/// its org another.
pub fn authorise(
    state: &State,
    serial: CertificateSerial,
    now: Timestamp,
    ask: Ask<'_>,
) -> Result<UserId, Problem> {
    let Holder::User(user) = certificate(state, serial, now)? else {
        return Err(Rejection::WrongCaller.into());
    };
    if let Some(token) = token(state, serial) {
        token::check_row(token, now).map_err(Rejection::from)?;
        scopes::check(token, ask)?;
    }
    let device = device(state, serial).and_then(|id| state.devices.get(&id));
    if let Some(bound) = device.and_then(|device| device.bound) {
        scopes::check_bound(bound, ask)?;
    }
    Ok(user)
}

/// What has to be known of a token before a certificate is signed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub user: UserId,
    pub handle: Name,
    pub org: OrgId,
    pub org_name: Name,
    pub role: Role,
    pub expires_at: Timestamp,
}

/// Returns whom a token speaks for. The command [`crate::Body::ExchangeToken`] checks again.
///
/// # Errors
/// Unknown, revoked or expired; the user is no member of its org, or lacks what that requires.
pub fn exchange(state: &State, digest: CodeDigest, now: Timestamp) -> Result<Exchange, Problem> {
    let (_, row) = token::good(state, now, digest).map_err(Rejection::from)?;
    let member = policy::member(state, row.org, row.user)?;
    Ok(Exchange {
        user: row.user,
        handle: super::handle(state, row.user)?,
        org: row.org,
        org_name: super::org_name(state, row.org)?,
        role: member.role,
        expires_at: row.expires_at,
    })
}

/// Returns when the token ends that a certificate was issued for, if it was for one.
pub fn token_expiry(state: &State, serial: CertificateSerial) -> Option<Timestamp> {
    token(state, serial).map(|row| row.expires_at)
}

/// Returns who speaks by a user's certificate: the user, or a program with a token of theirs.
pub fn speaker(state: &State, serial: CertificateSerial, user: UserId) -> Actor {
    let device = device(state, serial).and_then(|id| state.devices.get(&id));
    match device.and_then(|device| device.token) {
        Some(token) => Actor::Program { user, token },
        None => Actor::User(user),
    }
}

/// Returns the names of a machine and its org, for the coordinator's hello.
pub fn machine_names(state: &State, machine: MachineId) -> Option<(Name, Name)> {
    let row = state.machines.get(&machine)?;
    Some((row.name.clone(), state.orgs.get(&row.org)?.name.clone()))
}

/// Returns when an invitation expires.
pub fn invitation_expiry(state: &State, invitation: InvitationId) -> Option<Timestamp> {
    state.invitations.get(&invitation).map(|row| row.expires_at)
}

/// Returns the living machine of this name, after a registration that may have been repeated.
pub fn machine_id(state: &State, org: OrgId, name: &Name) -> Option<MachineId> {
    state.index.machine_names.get(&org)?.get(name).copied()
}

/// Returns the job that was submitted with this key, after the commit.
pub fn submitted(state: &State, user: UserId, key: IdempotencyKey) -> Option<Submitted> {
    let id = *state.index.keys.get(&(user, key))?;
    let number = state.jobs.get(&id)?.number;
    let progress = state.progress.get(&id)?;
    let awaits = progress.awaits.iter().filter_map(|awaited| {
        let job = state.jobs.get(&awaited.job)?.number;
        let condition = awaited.condition;
        Some(After { job, condition })
    });
    Some(Submitted {
        id,
        number,
        status: progress.status(),
        awaits: awaits.collect(),
        held: progress.held.is_some(),
    })
}

/// Returns the jobs of the graph of so many that was submitted with this key, after the commit.
pub fn submitted_graph(
    state: &State,
    user: UserId,
    key: IdempotencyKey,
    count: usize,
) -> Option<Vec<Submitted>> {
    let jobs = (0..count).map(|place| submitted(state, user, key_at(key, place)));
    jobs.collect()
}

/// Returns what was sent along with a job of a graph that was submitted with this key.
pub fn sent_with_at(state: &State, user: UserId, key: IdempotencyKey, place: usize) -> Vec<TreeId> {
    sent_with(state, user, key_at(key, place))
}

/// Returns what was sent along with the job that was submitted with this key; nothing where there is none.
pub fn sent_with(state: &State, user: UserId, key: IdempotencyKey) -> Vec<TreeId> {
    let id = state.index.keys.get(&(user, key));
    let job = id.and_then(|id| state.jobs.get(id));
    job.into_iter().flat_map(|job| job.spec.sent()).collect()
}

/// Returns whether a machine may take jobs.
pub fn is_approved(state: &State, machine: MachineId) -> bool {
    let row = state.machines.get(&machine);
    row.is_some_and(|row| row.state.is_approved())
}

/// Returns every org with its name.
pub fn orgs(state: &State) -> Vec<(OrgId, Name)> {
    let rows = state.orgs.iter();
    rows.map(|(id, row)| (*id, row.name.clone())).collect()
}

/// Returns whether the org has a member of this handle.
pub fn is_member(state: &State, org: OrgId, handle: &Name) -> bool {
    user(state, handle).is_some_and(|user| state.members.contains_key(&(org, user)))
}

/// Returns the user of this handle, in whatever orgs.
pub fn user(state: &State, handle: &Name) -> Option<UserId> {
    state.index.handles.get(handle).copied()
}

/// Returns every approved machine: after a start, those that do not come back within a lease are lost.
pub fn approved_machines(state: &State) -> Vec<MachineId> {
    let rows = state.machines.iter();
    let approved = rows.filter(|(_, row)| row.state.is_approved());
    approved.map(|(id, _)| *id).collect()
}
