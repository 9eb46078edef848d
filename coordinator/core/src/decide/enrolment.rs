//! Getting in and staying in: codes, certificates, renewal, revocation.

use std::time::Duration;

use common::{
    id::{
        CertificateSerial, CodeDigest, DeviceId, Fingerprint, InvitationId, MachineId, OrgId,
        UserId,
    },
    join_link::LinkPurpose,
    name::Name,
    time::Timestamp,
};

use super::{
    account::{check_new_handle, proof::second_factor},
    device,
    draft::Draft,
    invitation::{self, open},
    login_link, rejoin, token,
};
use crate::{
    command::{Actor, NewCertificate, SignIn},
    event::{AccountEvent, Event, Holder, token::TokenEvent},
    lifecycle::machine::MachineState,
    rejection::{AccountRejection, Rejection},
    state::{State, certificate::Certificate, invitation::Invitation, machine::Machine},
};

/// How long an old certificate is good after its renewal, for what is still on its way.
const RENEWAL_GRACE: Duration = Duration::from_secs(3600);

/// Most certificates of one device or machine that are good at once: renewals in their grace.
const MAX_CERTIFICATES: usize = 256;

/// The name of a device that signed in before devices were kept.
const UNNAMED: &str = "unnamed";

/// A code that lets a key in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission {
    pub(crate) invitation: InvitationId,
    pub(crate) org: OrgId,
    /// Who it is, where that is known already.
    pub(crate) user: Option<UserId>,
    /// They were a member and are one again with this.
    pub(crate) returns: bool,
    /// The same key asks once more.
    pub(crate) again: bool,
}

/// Checks a code. What is wrong with it is told only to who holds it.
pub(crate) fn admit(
    state: &State,
    code: CodeDigest,
    purpose: LinkPurpose,
    key: Fingerprint,
    now: Timestamp,
) -> Result<Admission, Rejection> {
    let (id, invitation) = find_code(state, code, purpose)?;
    let used = state.invitation_uses.get(&(id, key));
    let user = match (open(invitation, now), used) {
        (Ok(()) | Err(Rejection::CodeUsed), Some(used)) => Some(used.user),
        (Ok(()), None) => invitation.user,
        (Err(closed), _) => return Err(closed),
    };
    match purpose {
        LinkPurpose::Login => login_link::still_may(state, invitation)?,
        LinkPurpose::Join if used.is_none() => invitation::still_may(state, invitation)?,
        LinkPurpose::Join | LinkPurpose::Token => {}
    }
    // Nor does the key of a device that was revoked: whoever has it may have the old link, too.
    let lost = |user| {
        let devices = device::devices(state, user).filter(|(_, row)| row.key == key);
        let revoked: Vec<bool> = devices.map(|(_, row)| row.revoked_at.is_some()).collect();
        !revoked.is_empty() && revoked.iter().all(|revoked| *revoked)
    };
    if used.is_some_and(|used| lost(used.user)) {
        return Err(Rejection::CodeUsed);
    }
    let returns = match (user, used) {
        (None, None) => rejoin::known_by_key(state, invitation.org, key),
        _ => None,
    };
    if let Some(user) = returns {
        rejoin::may_return(state, user, invitation)?;
    }
    // Who was removed does not come back by an old code.
    if user.is_some_and(|user| !state.members.contains_key(&(invitation.org, user))) {
        return Err(Rejection::CodeUsed);
    }
    Ok(Admission {
        invitation: id,
        org: invitation.org,
        user: user.or(returns),
        returns: returns.is_some(),
        again: used.is_some(),
    })
}

/// Returns what a code is of.
pub(crate) fn find_code(
    state: &State,
    code: CodeDigest,
    purpose: LinkPurpose,
) -> Result<(InvitationId, &Invitation), Rejection> {
    let found = state.index.codes.get(&code).and_then(|id| {
        let invitation = state.invitations.get(id)?;
        (invitation.purpose == purpose).then_some((*id, invitation))
    });
    found.ok_or(Rejection::CodeInvalid)
}

pub(super) fn enrol(
    state: &State,
    at: Timestamp,
    admission: &Admission,
    fresh_user: UserId,
    handle: Option<&Name>,
    sign_in: &SignIn,
    certificate: &NewCertificate,
) -> Result<Vec<Event>, Rejection> {
    let mut events = Vec::new();
    let role = || {
        let invitation = state.invitations.get(&admission.invitation);
        let role = invitation.map(|invitation| invitation.role);
        role.ok_or(Rejection::CodeInvalid)
    };
    // Who asks again with the same key has shown it before.
    if let Some(user) = admission.user.filter(|_| !admission.again) {
        let invitation = state.invitations.get(&admission.invitation);
        if invitation.is_some_and(|invitation| invitation.reset) {
            let held = state.credentials.contains_key(&user);
            let reset = AccountEvent::CredentialsReset { user, at };
            events.extend(held.then_some(Event::Account(reset)));
        } else {
            events.extend(second_factor(state, at, user, sign_in.proof.as_ref())?);
        }
    }
    let user = match admission.user {
        Some(user) if admission.returns => {
            events.extend(rejoin::needless(state, at, admission.org, user));
            events.push(Event::MemberAdded {
                org: admission.org,
                user,
                role: role()?,
                at,
            });
            user
        }
        Some(user) => user,
        None => {
            let handle = handle.ok_or(Rejection::HandleMissing)?;
            let known = state.users.contains_key(&fresh_user);
            if known {
                return Err(Rejection::NameTaken {
                    noun: "user",
                    name: handle.clone(),
                });
            }
            check_new_handle(state, handle)?;
            events.push(Event::UserCreated {
                user: fresh_user,
                handle: handle.clone(),
                at,
            });
            events.push(Event::MemberAdded {
                org: admission.org,
                user: fresh_user,
                role: role()?,
                at,
            });
            fresh_user
        }
    };
    if !admission.again {
        events.push(Event::InvitationUsed {
            invitation: admission.invitation,
            user,
            key: certificate.key,
            at,
        });
    }
    let invitation = state.invitations.get(&admission.invitation);
    let means = device::Means {
        token: None,
        bound: invitation.and_then(login_link::bound_to),
    };
    let (device, signed_in) = device::sign_in(state, at, user, certificate.key, sign_in, means)?;
    events.extend(signed_in);
    let holder = Holder::User(user);
    events.push(issued(state, holder, Some(device), certificate, at)?);
    Ok(events)
}

pub(super) fn renew(
    state: &State,
    at: Timestamp,
    actor: Actor,
    old: CertificateSerial,
    new: &NewCertificate,
) -> Result<Vec<Event>, Rejection> {
    let holder = match actor {
        Actor::User(user) | Actor::Program { user, .. } => Holder::User(user),
        Actor::Machine(machine) => Holder::Machine(machine),
        Actor::Stranger | Actor::System => return Err(Rejection::WrongCaller),
    };
    let row = check(state, old, at)?;
    if row.holder != holder {
        return Err(Rejection::CertificateUnknown);
    }
    let superseded = row
        .superseded_until
        .is_none()
        .then(|| Event::CertificateSuperseded {
            serial: old,
            until: at.saturating_add(RENEWAL_GRACE),
        });
    let (device, signed_in) = match holder {
        Holder::Machine(_) => (None, Vec::new()),
        Holder::User(user) => {
            let (device, signed_in) = device_of(state, at, user, old, row);
            (Some(device), signed_in)
        }
    };
    let used = token_used(state, at, device, new)?;
    let issued = issued(state, holder, device, new, at)?;
    let events = signed_in.into_iter().chain(superseded).chain([issued]);
    let events = events.chain(used);
    Ok(events.collect())
}

/// Checks the token that the device signed in with, if it did: its certificates end with it.
fn token_used(
    state: &State,
    at: Timestamp,
    device: Option<DeviceId>,
    new: &NewCertificate,
) -> Result<Option<Event>, Rejection> {
    let row = device.and_then(|device| state.devices.get(&device));
    let Some(id) = row.and_then(|row| row.token) else {
        return Ok(None);
    };
    let row = token::check(state, at, id)?;
    if new.expires_at > row.expires_at {
        return Err(AccountRejection::TokenExpired { at: row.expires_at }.into());
    }
    Ok(Some(Event::Token(TokenEvent::TokenUsed {
        token: id,
        org: row.org,
        at,
    })))
}

/// Returns the device whose certificate is renewed. One from before devices were kept becomes one.
fn device_of(
    state: &State,
    at: Timestamp,
    user: UserId,
    serial: CertificateSerial,
    row: &Certificate,
) -> (DeviceId, Vec<Event>) {
    if let Some(device) = row.device {
        let forgotten = device::forget_certificates(state, at, user, device);
        return (device, forgotten.into_iter().collect());
    }
    let device = DeviceId::from_bytes(*serial.as_bytes());
    if state.devices.contains_key(&device) {
        return (device, Vec::new());
    }
    let signed_in = AccountEvent::DeviceSignedIn {
        device,
        user,
        name: UNNAMED.parse().expect("the word is a name"),
        key: row.key,
        token: None,
        bound: None,
        at: row.issued_at,
    };
    (device, vec![Event::Account(signed_in)])
}

pub(super) fn claim(
    state: &State,
    at: Timestamp,
    machine: MachineId,
    certificate: &NewCertificate,
) -> Result<Vec<Event>, Rejection> {
    let row = claimed(state, machine, certificate.key)?;
    if row.state == MachineState::Pending {
        return Err(Rejection::MachinePending {
            name: row.name.clone(),
        });
    }
    let issued = issued(state, Holder::Machine(machine), None, certificate, at)?;
    Ok(vec![issued])
}

/// Returns the registration that this key made, if it may still come to something.
pub(crate) fn claimed(
    state: &State,
    machine: MachineId,
    key: Fingerprint,
) -> Result<&Machine, Rejection> {
    let row = state.machines.get(&machine).filter(|row| row.key == key);
    let row = row.ok_or(Rejection::NoSuchMachine { name: None })?;
    match &row.state {
        MachineState::Pending | MachineState::Approved { .. } => Ok(row),
        MachineState::Rejected { reason, .. } => Err(Rejection::MachineRejected {
            name: row.name.clone(),
            reason: reason.clone(),
        }),
        MachineState::Removed { .. } => Err(Rejection::MachineRemoved {
            name: row.name.clone(),
        }),
    }
}

/// Returns a certificate that is good now.
pub(crate) fn check(
    state: &State,
    serial: CertificateSerial,
    now: Timestamp,
) -> Result<&Certificate, Rejection> {
    let row = state.certificates.get(&serial);
    let row = row.ok_or(Rejection::CertificateUnknown)?;
    if row.revoked_at.is_some() {
        return Err(Rejection::CertificateRevoked);
    }
    if now >= row.good_until() {
        return Err(Rejection::CertificateExpired {
            at: row.good_until(),
            now,
        });
    }
    Ok(row)
}

/// Revokes every certificate of a user or machine, and with a user's their devices.
pub(super) fn revoke_all(draft: &mut Draft<'_>, state: &State, at: Timestamp, holder: Holder) {
    for revoked in revocations(state, at, holder) {
        draft.push(revoked);
    }
    if let Holder::User(user) = holder {
        for (device, row) in device::devices(state, user) {
            if row.revoked_at.is_none() {
                let gone = AccountEvent::DeviceRevoked { device, user, at };
                draft.push(Event::Account(gone));
            }
        }
    }
}

/// Returns what revokes every certificate of a user or machine that is not revoked yet.
pub(super) fn revocations(
    state: &State,
    at: Timestamp,
    holder: Holder,
) -> impl Iterator<Item = Event> {
    let serials = state.index.holders.get(&holder).into_iter().flatten();
    let open = serials.filter(|serial| {
        let row = state.certificates.get(serial);
        row.is_some_and(|row| row.revoked_at.is_none())
    });
    open.map(move |serial| Event::CertificateRevoked {
        serial: *serial,
        at,
    })
}

pub(super) fn issued(
    state: &State,
    holder: Holder,
    device: Option<DeviceId>,
    certificate: &NewCertificate,
    at: Timestamp,
) -> Result<Event, Rejection> {
    let of_device = |user, device| state.index.devices.get(&user)?.get(&device);
    let serials = match (holder, device) {
        (Holder::User(user), Some(device)) => of_device(user, device),
        _ => state.index.holders.get(&holder),
    };
    let good = serials
        .into_iter()
        .flatten()
        .filter(|serial| check(state, **serial, at).is_ok());
    if good.count() >= MAX_CERTIFICATES {
        return Err(Rejection::TooManyCertificates {
            most: MAX_CERTIFICATES,
        });
    }
    Ok(Event::CertificateIssued {
        serial: certificate.serial,
        holder,
        device,
        key: certificate.key,
        at,
        expires_at: certificate.expires_at,
    })
}
