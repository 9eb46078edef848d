//! Orgs, users and memberships.

use common::{org::logo::Logo, status::Role};

use crate::{
    event::{Event, OrgEvent},
    state::{
        State, deletion,
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
                approvals: common::approval::ApprovalRules::default(),
                machine_rules_made: 0,
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
            // A tighter bound lets nothing start, but for what was kept for a job that it holds back, and what waits
            // behind others may be too much.
            let keeps = state.volatile.reserved.jobs(*org).next().is_some();
            if keeps || state.index.chains.has_quick(*org) || before.is_loosened_by(after) {
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
            if let Some(former) = state.former.remove(&(*org, *user)) {
                state.index.belongings.former_out((*org, *user), &former);
            }
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
                request: None,
            };
            state.index.belongings.former_in((*org, *user), &former);
            state.former.insert((*org, *user), former);
            state.own_limits.remove(&(*org, *user));
            state.standings.remove(&(*org, *user));
        }
        Event::Org(OrgEvent::OrgTransferred { org, before, after }) => {
            for (user, role) in [(before, Role::Admin), (after, Role::Owner)] {
                if let Some(row) = state.members.get_mut(&(*org, *user)) {
                    row.role = role;
                }
            }
        }
        Event::Org(OrgEvent::RejoinRequested {
            request, org, user, ..
        }) => {
            if let Some(row) = state.former.get_mut(&(*org, *user)) {
                row.request = Some(*request);
            }
        }
        Event::Org(OrgEvent::OrgDeleted { org, at, rows, .. }) => {
            let files = deletion::files_of(state, *org, *at);
            deletion::take_out(state, *org, rows);
            state.deletions.insert(*org, files);
        }
        Event::Org(OrgEvent::OrgFilesDeleted { org, .. }) => {
            state.deletions.remove(org);
        }
        Event::Org(OrgEvent::RejoinRefused { org, user, .. }) => {
            if let Some(row) = state.former.get_mut(&(*org, *user)) {
                row.request = None;
            }
        }
        Event::Org(OrgEvent::OrgLogoChanged {
            org,
            after,
            picture,
            ..
        }) => {
            let logo = after.zip(picture.clone());
            match logo.map(|(about, picture)| Logo { about, picture }) {
                Some(logo) => drop(state.logos.insert(*org, logo)),
                None => drop(state.logos.remove(org)),
            }
        }
        Event::Org(OrgEvent::MemberWeightSet {
            org, user, after, ..
        }) => {
            let standing = state.standings.entry((*org, *user)).or_default();
            standing.weight = *after;
        }
        Event::Org(OrgEvent::OrgSettingsChanged { org, after, .. }) => {
            if let Some(row) = state.orgs.get_mut(org) {
                row.settings = (**after).clone();
            }
        }
        _ => {}
    }
}
