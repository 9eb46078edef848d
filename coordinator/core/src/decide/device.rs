//! Devices: signing in on one, naming it, revoking it, and forgetting those that are long gone.

use std::{collections::BTreeSet, time::Duration};

use common::{
    api::account::MemberRef,
    id::{CertificateSerial, DeviceId, Fingerprint, OrgId, TokenId, UserId},
    name::{MAX_NAME_BYTES, Name},
    time::Timestamp,
};

use crate::{
    command::SignIn,
    event::{AccountEvent, Event},
    policy::{self, Action, permit},
    rejection::{AccountRejection, Rejection},
    state::{State, account::Device},
};

/// Most devices of one user that are signed in at once.
pub(crate) const MAX_DEVICES: usize = 64;
/// Most programs that are signed in with one token at once.
const MAX_SIGN_INS_OF_TOKEN: usize = 1024;
/// How long what can no longer be used is still known, so that it is told why it is refused.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
/// The same of what signed in with a token: there may be many of them, each for one run.
const PROGRAM_REMEMBERED: Duration = Duration::from_secs(86_400);
/// Most devices or certificates that are forgotten with one sign-in or renewal.
const FORGOTTEN_AT_ONCE: usize = 16;

/// What somebody signs in with, where it is less than they themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Means {
    pub(super) token: Option<TokenId>,
    /// A link that somebody else in this org made for them.
    pub(super) bound: Option<OrgId>,
}

/// Returns the device that signs in with this key, and the event that makes it where there is none.
pub(super) fn sign_in(
    state: &State,
    at: Timestamp,
    user: UserId,
    key: Fingerprint,
    wish: &SignIn,
    means: Means,
) -> Result<(DeviceId, Vec<Event>), Rejection> {
    let Means { token, bound } = means;
    let like = |row: &Device| row.is_signed_in(at) && row.token == token && row.bound == bound;
    let signed_in = || devices(state, user).filter(|(_, row)| like(row));
    if let Some((id, _)) = signed_in().find(|(_, row)| row.key == key) {
        return Ok((id, Vec::new()));
    }
    let most = token.map_or(MAX_DEVICES, |_| MAX_SIGN_INS_OF_TOKEN);
    if signed_in().count() >= most {
        return Err(AccountRejection::TooManyDevices { most }.into());
    }
    let taken: BTreeSet<&Name> = signed_in().map(|(_, row)| &row.name).collect();
    let mut events = forget_devices(state, at, user);
    events.push(Event::Account(AccountEvent::DeviceSignedIn {
        device: wish.fresh_device,
        user,
        name: free_name(&wish.name, &taken),
        key,
        token,
        bound,
        at,
    }));
    Ok((wish.fresh_device, events))
}

/// Returns the name, with the first number behind it that makes it free.
fn free_name(name: &Name, taken: &BTreeSet<&Name>) -> Name {
    if !taken.contains(name) {
        return name.clone();
    }
    let numbered = (2..=taken.len() + 2).filter_map(|number| {
        let end = format!("-{number}");
        // A name is ASCII: it can be cut anywhere.
        let cut = name.as_str().len().min(MAX_NAME_BYTES - end.len());
        format!("{}{end}", &name.as_str()[..cut]).parse().ok()
    });
    let mut free = numbered.filter(|candidate: &Name| !taken.contains(candidate));
    free.next()
        .expect("of more numbers than names are taken, one is free")
}

/// Returns what forgets devices of the user that could not be used for a long time.
fn forget_devices(state: &State, at: Timestamp, user: UserId) -> Vec<Event> {
    let gone = devices(state, user).filter(|(_, row)| {
        let remembered = row.token.map_or(REMEMBERED, |_| PROGRAM_REMEMBERED);
        at.since(row.expires_at) > remembered
    });
    let forgotten = gone.take(FORGOTTEN_AT_ONCE).map(|(device, _)| {
        Event::Account(AccountEvent::DeviceForgotten {
            device,
            user,
            certificates: certificates(state, user, device).collect(),
        })
    });
    forgotten.collect()
}

/// Returns what forgets certificates of a device that were replaced a long time ago.
pub(super) fn forget_certificates(
    state: &State,
    at: Timestamp,
    user: UserId,
    device: DeviceId,
) -> Option<Event> {
    let gone = certificates(state, user, device).filter(|serial| {
        let row = state.certificates.get(serial);
        row.is_some_and(|row| at.since(row.good_until()) > REMEMBERED)
    });
    let certificates: Vec<CertificateSerial> = gone.take(FORGOTTEN_AT_ONCE).collect();
    (!certificates.is_empty()).then_some(Event::Account(AccountEvent::CertificatesForgotten {
        device,
        user,
        certificates,
    }))
}

/// Every connection that was opened with the device's certificates is closed with the commit.
pub(super) fn revoke(
    state: &State,
    at: Timestamp,
    user: UserId,
    of: Option<&MemberRef>,
    named: Option<&Name>,
    from: Option<DeviceId>,
) -> Result<Vec<Event>, Rejection> {
    let whose = whose(state, user, of, Action::RevokeDevice)?;
    let missing = || {
        let name = named.cloned();
        Rejection::from(AccountRejection::NoSuchDevice { name })
    };
    let device = match named {
        None => from.filter(|_| of.is_none()),
        Some(named) => find(state, at, whose, named),
    };
    let device = device.ok_or_else(missing)?;
    let row = state.devices.get(&device).ok_or_else(missing)?;
    if row.user != whose {
        return Err(missing());
    }
    if row.revoked_at.is_some() {
        return Ok(Vec::new());
    }
    Ok(revocation(state, at, whose, device))
}

/// Returns what ends a device.
pub(super) fn revocation(
    state: &State,
    at: Timestamp,
    user: UserId,
    device: DeviceId,
) -> Vec<Event> {
    let open = certificates(state, user, device).filter(|serial| {
        let row = state.certificates.get(serial);
        row.is_some_and(|row| row.revoked_at.is_none())
    });
    let revoked = open.map(|serial| Event::CertificateRevoked { serial, at });
    let gone = Event::Account(AccountEvent::DeviceRevoked { device, user, at });
    revoked.chain([gone]).collect()
}

/// Returns whose way in an action is about, if the user may: their own, or as an admin that of who is in no other org.
pub(crate) fn whose(
    state: &State,
    user: UserId,
    of: Option<&MemberRef>,
    action: Action,
) -> Result<UserId, Rejection> {
    let Some(MemberRef { org, handle }) = of else {
        return Ok(user);
    };
    let asking = policy::member(state, *org, user)?;
    let found = state.index.handles.get(handle);
    let target = found.filter(|target| state.members.contains_key(&(*org, **target)));
    let target = *target.ok_or_else(|| Rejection::NoSuchMember {
        handle: handle.clone(),
    })?;
    if target == user {
        return Ok(user);
    }
    permit(state, *org, user, action)?;
    let theirs = state.members.get(&(*org, target));
    if theirs.is_some_and(|theirs| theirs.role >= asking.role) {
        return Err(Rejection::NotAllowed {
            action,
            role: asking.role,
        });
    }
    let orgs = state.index.belongings.orgs.get(&target);
    if orgs.into_iter().flatten().any(|other| other != org) {
        let handle = handle.clone();
        return Err(AccountRejection::DevicesElsewhere { handle }.into());
    }
    Ok(target)
}

/// Returns the user's device of this name, or id as it is listed.
fn find(state: &State, now: Timestamp, user: UserId, named: &Name) -> Option<DeviceId> {
    let named_so = |(_, row): &(_, &Device)| {
        row.name == *named && row.token.is_none() && row.is_signed_in(now)
    };
    let by_name = devices(state, user).find(named_so);
    let by_id = || devices(state, user).find(|(id, _)| id.to_string() == named.as_str());
    by_name.or_else(by_id).map(|(id, _)| id)
}

/// Returns the user's devices that are remembered.
pub(crate) fn devices(state: &State, user: UserId) -> impl Iterator<Item = (DeviceId, &Device)> {
    let ids = state.index.devices.get(&user);
    let ids = ids.into_iter().flat_map(|devices| devices.keys());
    ids.filter_map(|id| Some((*id, state.devices.get(id)?)))
}

fn certificates(
    state: &State,
    user: UserId,
    device: DeviceId,
) -> impl Iterator<Item = CertificateSerial> {
    let devices = state.index.devices.get(&user);
    let serials = devices.and_then(|devices| devices.get(&device));
    serials.into_iter().flatten().copied()
}
