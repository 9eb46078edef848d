//! Orgs, users and memberships.

use crate::{
    event::{Event, OrgEvent},
    state::{
        State,
        org::{Former, Member, Org, User},
    },
};

pub(super) fn apply(state: &mut State, event: &Event) {
    match event {
        Event::OrgCreated { org, name, at } => {
            state.index.org_names.insert(name.clone(), *org);
            let row = Org {
                name: name.clone(),
                created_at: *at,
                limits: common::limits::Limits::default(),
                settings: common::org::OrgSettings::default(),
                next_job_number: 1,
            };
            state.orgs.insert(*org, row);
        }
        Event::UserCreated { user, handle, at } => {
            state.index.handles.insert(handle.clone(), *user);
            let row = User {
                handle: handle.clone(),
                created_at: *at,
                profile: crate::state::org::Profile::default(),
            };
            state.users.insert(*user, row);
        }
        Event::LimitsApplied { org, before, after } => {
            if let Some(row) = state.orgs.get_mut(org) {
                row.limits = (**after).clone();
            }
            // A tighter bound lets nothing start.
            if before.is_loosened_by(after) {
                state.volatile.due.insert(*org);
            }
        }
        Event::MemberLimitsSet {
            org,
            user,
            by,
            after,
            at,
            ..
        } => {
            let own = state.own_limits.entry((*org, *user)).or_default();
            own.replace(after, *by, *at);
            if own.resources.is_empty() {
                state.own_limits.remove(&(*org, *user));
            }
            state.volatile.due.insert(*org);
        }
        Event::MemberAdded {
            org,
            user,
            role,
            at,
        } => {
            let row = Member {
                role: *role,
                joined_at: *at,
            };
            state.index.belongings.member_in((*org, *user));
            state.former.remove(&(*org, *user));
            state.members.insert((*org, *user), row);
        }
        Event::RoleChanged {
            org, user, after, ..
        } => {
            if let Some(row) = state.members.get_mut(&(*org, *user)) {
                row.role = *after;
            }
        }
        Event::MemberRemoved {
            org,
            user,
            role,
            at,
            parting,
            keys,
        } => {
            state.index.belongings.member_out((*org, *user));
            state.members.remove(&(*org, *user));
            let former = Former {
                role: *role,
                at: *at,
                parting: *parting,
                keys: keys.clone(),
            };
            state.former.insert((*org, *user), former);
            state.own_limits.remove(&(*org, *user));
        }
        Event::Org(OrgEvent::OrgSettingsChanged { org, after, .. }) => {
            if let Some(row) = state.orgs.get_mut(org) {
                row.settings = (**after).clone();
            }
        }
        _ => {}
    }
}
