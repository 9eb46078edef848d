//! Members and invitations as people see them.

use std::collections::BTreeSet;

use common::{
    api::{MAX_ROWS, invitation::PendingInvitation, member::WhoAmI, page::Page},
    id::{Fingerprint, InvitationId, OrgId, UserId},
    invitee::Invitee,
    name::Name,
    org::{InvitationStatus, InvitationView, MAX_NAMED_GUESTS, MemberView, MembershipView},
    time::Timestamp,
};

use super::{
    Presence, count, enrolment, handle, of_org_after, org_name,
    page::{before, page},
};
use crate::{
    decide::{account::proof::has_two_factor, invitation::standing},
    policy::{self, Action, permit},
    rejection::Rejection,
    state::{
        State,
        invitation::{Guest, Invitation},
    },
};

pub(super) fn who_am_i(
    state: &State,
    presence: &Presence<'_>,
    now: Timestamp,
    user: UserId,
) -> Result<WhoAmI, Rejection> {
    let orgs = state.index.belongings.orgs.get(&user);
    let token = enrolment::token(state, presence.certificate);
    let within = |org: &&OrgId| token.is_none_or(|token| token.org == **org);
    let orgs = orgs.into_iter().flatten().filter(within).map(|org| {
        Ok(MembershipView {
            org: *org,
            name: org_name(state, *org)?,
            role: policy::membership(state, *org, user)?.role,
        })
    });
    let row = state.users.get(&user);
    let row = row.ok_or(Rejection::CertificateUnknown)?;
    Ok(WhoAmI {
        user,
        handle: row.handle.clone(),
        orgs: orgs.collect::<Result<_, Rejection>>()?,
        certificate_expires_at: presence.certificate_expires_at,
        coordinator_version: presence.version.to_owned(),
        sealing_key: presence.sealing_key.to_vec(),
        pending_invitations: count(pending(state, now, user, None)?.rows.len()),
        display_name: row.profile.display_name.clone(),
        email: row.profile.email.clone(),
        device: enrolment::device(state, presence.certificate),
        two_factor: has_two_factor(state, user),
        scope: token.map(|token| token.scope),
    })
}

pub(super) fn list(
    state: &State,
    user: UserId,
    org: OrgId,
    last: Option<&UserId>,
) -> Result<Page<MemberView, UserId>, Rejection> {
    permit(state, org, user, Action::SeeMembers)?;
    let sees_all = permit(state, org, user, Action::SeeAddresses).is_ok();
    let machines = |user: UserId| {
        let own = state.index.belongings.machines.get(&(org, user));
        count(own.map_or(0, BTreeSet::len))
    };
    let rows = of_org_after(&state.members, org, last);
    page(
        MAX_ROWS,
        rows,
        |(member, _)| member,
        |(id, member)| {
            let used = state.index.members.get(&(org, id));
            let (running, queued) = used.map_or((0, 0), |used| (used.running, used.queued));
            let row = state.users.get(&id).ok_or(Rejection::NoSuchOrg)?;
            let email = row.profile.email.clone();
            Ok(Some(MemberView {
                handle: row.handle.clone(),
                role: member.role,
                joined_at: member.joined_at,
                machines: machines(id),
                running,
                queued: u32::try_from(queued).unwrap_or(u32::MAX),
                display_name: row.profile.display_name.clone(),
                email: email.filter(|_| sees_all || id == user),
            }))
        },
    )
}

/// Newest first. Who may not see those of others sees their own.
pub(super) fn invitations(
    state: &State,
    now: Timestamp,
    user: UserId,
    org: OrgId,
    last: Option<&InvitationId>,
) -> Result<Page<InvitationView, InvitationId>, Rejection> {
    let all = permit(state, org, user, Action::SeeInvitations);
    if permit(state, org, user, Action::InviteMember).is_err() {
        all.clone()?;
    }
    let all = all.is_ok();
    let ids = state.index.listed.invitations.get(&org).into_iter();
    let ids = ids.flat_map(|ids| ids.range::<InvitationId, _>(before(last)).rev());
    page(
        MAX_ROWS,
        ids.copied(),
        |id| id,
        |id| {
            let row = state.invitations.get(&id);
            let row = row.filter(|row| all || row.created_by == user);
            row.map(|row| view(state, now, id, row)).transpose()
        },
    )
}

fn view(
    state: &State,
    now: Timestamp,
    id: InvitationId,
    row: &Invitation,
) -> Result<InvitationView, Rejection> {
    Ok(InvitationView {
        id,
        role: row.role,
        status: standing(state, row, now),
        created_by: handle(state, row.created_by)?,
        created_at: row.created_at,
        expires_at: row.expires_at,
        uses_left: row.uses_left,
        invitee: match &row.invitee {
            None => None,
            Some(Guest::User(guest)) => Some(Invitee::User(handle(state, *guest)?)),
            Some(Guest::Email(address)) => Some(Invitee::Email(address.clone())),
        },
        guests: guests(state, id)?,
    })
}

/// Returns who came in, first come first.
fn guests(state: &State, invitation: InvitationId) -> Result<Vec<Name>, Rejection> {
    let first = (invitation, Fingerprint::new([0; 32]));
    let last = (invitation, Fingerprint::new([u8::MAX; 32]));
    let uses = state.invitation_uses.range(first..=last);
    let mut guests: Vec<_> = uses.map(|(_, used)| (used.at, used.user)).collect();
    guests.sort_unstable();
    guests.truncate(MAX_NAMED_GUESTS);
    let names = guests.into_iter().map(|(_, user)| handle(state, user));
    names.collect()
}

/// Returns what waits for the user, newest first.
pub(super) fn pending(
    state: &State,
    now: Timestamp,
    user: UserId,
    last: Option<&InvitationId>,
) -> Result<Page<PendingInvitation, InvitationId>, Rejection> {
    let own = state.index.invitees.get(&user).into_iter();
    let own = own.flat_map(|ids| ids.range::<InvitationId, _>(before(last)).rev());
    page(
        MAX_ROWS,
        own.copied(),
        |id| id,
        |id| {
            let waits = |row: &&Invitation| {
                standing(state, row, now) == InvitationStatus::Pending
                    && !state.members.contains_key(&(row.org, user))
            };
            let Some(row) = state.invitations.get(&id).filter(waits) else {
                return Ok(None);
            };
            Ok(Some(PendingInvitation {
                id,
                org_name: org_name(state, row.org)?,
                role: row.role,
                created_by: handle(state, row.created_by)?,
                expires_at: row.expires_at,
            }))
        },
    )
}
