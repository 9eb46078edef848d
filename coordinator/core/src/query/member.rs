//! Members and invitations as people see them.

use common::{
    api::member::WhoAmI,
    id::{OrgId, UserId},
    join_link::LinkPurpose,
    org::{InvitationView, MemberView, MembershipView},
    time::Timestamp,
};

use super::{Presence, count, handle, most, of_org, org_name};
use crate::{
    policy::{Action, permit},
    rejection::Rejection,
    state::State,
};

pub(super) fn who_am_i(
    state: &State,
    presence: &Presence<'_>,
    user: UserId,
) -> Result<WhoAmI, Rejection> {
    let memberships = state
        .members
        .iter()
        .filter(|((_, member), _)| *member == user);
    let orgs = memberships.map(|((org, _), member)| {
        Ok(MembershipView {
            org: *org,
            name: org_name(state, *org)?,
            role: member.role,
        })
    });
    Ok(WhoAmI {
        user,
        handle: handle(state, user)?,
        orgs: orgs.collect::<Result<_, Rejection>>()?,
        certificate_expires_at: presence.certificate_expires_at,
        coordinator_version: presence.version.to_owned(),
        sealing_key: presence.sealing_key.to_vec(),
    })
}

pub(super) fn list(state: &State, user: UserId, org: OrgId) -> Result<Vec<MemberView>, Rejection> {
    permit(state, org, user, Action::SeeMembers)?;
    let names = state.index.machine_names.get(&org);
    let machines = |user: UserId| {
        let ids = names.into_iter().flat_map(|names| names.values());
        let own = ids.filter(|id| state.machines.get(id).is_some_and(|row| row.owner == user));
        count(own.count())
    };
    of_org(&state.members, org)
        .take(most(u32::MAX))
        .map(|(user, member)| {
            let used = state
                .index
                .members
                .get(&(org, user))
                .copied()
                .unwrap_or_default();
            Ok(MemberView {
                handle: handle(state, user)?,
                role: member.role,
                joined_at: member.joined_at,
                machines: machines(user),
                running: used.running,
                queued: u32::try_from(used.queued).unwrap_or(u32::MAX),
            })
        })
        .collect()
}

/// Newest first.
pub(super) fn invitations(
    state: &State,
    now: Timestamp,
    user: UserId,
    org: OrgId,
) -> Result<Vec<InvitationView>, Rejection> {
    permit(state, org, user, Action::SeeInvitations)?;
    let rows = state.invitations.iter().rev();
    rows.filter(|(_, row)| row.org == org && row.purpose == LinkPurpose::Join)
        .take(most(u32::MAX))
        .map(|(id, row)| {
            Ok(InvitationView {
                id: *id,
                role: row.role,
                status: row.status(now),
                created_by: handle(state, row.created_by)?,
                created_at: row.created_at,
                expires_at: row.expires_at,
                uses_left: row.uses_left,
            })
        })
        .collect()
}
