//! What rows say of other rows.

use common::id::{DeviceId, OrgId, ProjectId, TokenId, UserId};

use super::{RowError, RowKey};
use crate::state::{State, approval::ApprovalSubject, invitation::Guest};

/// Checks what [`crate::apply`] and the index rely on.
pub(crate) fn check_references(state: &State) -> Result<(), RowError> {
    let org = |id: &OrgId| state.orgs.contains_key(id);
    let user = |id: &UserId| state.users.contains_key(id);
    let project = |id: &ProjectId| state.projects.contains_key(id);
    let check = |holds: bool, row: &dyn Fn() -> RowKey| {
        let dangling = |row: RowKey| RowError::Dangling {
            table: row.table,
            key: row.to_string(),
        };
        if holds { Ok(()) } else { Err(dangling(row())) }
    };
    for id in state.logos.keys() {
        check(org(id), &|| RowKey::logo(*id))?;
    }
    for (o, u) in state.members.keys() {
        check(org(o) && user(u), &|| RowKey::member(*o, *u))?;
    }
    for (o, u) in state.former.keys() {
        let gone = !state.members.contains_key(&(*o, *u));
        check(org(o) && user(u) && gone, &|| RowKey::former(*o, *u))?;
    }
    for (id, row) in &state.approvals {
        let subject = match row.subject {
            ApprovalSubject::Machine(machine) => state.machines.contains_key(&machine),
            ApprovalSubject::Job(job) => state.jobs.contains_key(&job),
            ApprovalSubject::Rejoin(who) => user(&who),
        };
        let known = org(&row.org) && user(&row.asked_by) && subject;
        check(known, &|| RowKey::approval(*id))?;
    }
    for (member, row) in &state.own_limits {
        let known =
            state.members.contains_key(member) && row.resources.values().all(|own| user(&own.by));
        check(known, &|| RowKey::own_limits(member.0, member.1))?;
    }
    for member in state.standings.keys() {
        let known = state.members.contains_key(member);
        check(known, &|| RowKey::standing(member.0, member.1))?;
    }
    for (id, row) in &state.invitations {
        let guest = row.invitee.as_ref();
        let known = org(&row.org)
            && user(&row.created_by)
            && row.user.as_ref().is_none_or(user)
            && guest.is_none_or(|guest| match guest {
                Guest::User(guest) => user(guest),
                Guest::Email(_) => true,
            });
        check(known, &|| RowKey::invitation(*id))?;
    }
    for ((id, key), row) in &state.invitation_uses {
        let known = state.invitations.contains_key(id) && user(&row.user);
        check(known, &|| RowKey::invitation_use(*id, *key))?;
    }
    for (serial, row) in &state.certificates {
        let device = |id: &DeviceId| state.devices.contains_key(id);
        let known = row.device.as_ref().is_none_or(device);
        check(known, &|| RowKey::certificate(*serial))?;
    }
    for (id, row) in &state.devices {
        let token = |id: &TokenId| state.tokens.contains_key(id);
        let known = user(&row.user) && row.token.as_ref().is_none_or(token);
        check(known, &|| RowKey::device(*id))?;
    }
    for id in state.credentials.keys() {
        check(user(id), &|| RowKey::credentials(*id))?;
    }
    for (id, row) in &state.tokens {
        check(user(&row.user) && org(&row.org), &|| RowKey::token(*id))?;
    }
    for (id, row) in &state.machines {
        check(org(&row.org) && user(&row.owner), &|| RowKey::machine(*id))?;
    }
    for id in state.reports.keys() {
        check(state.machines.contains_key(id), &|| RowKey::report(*id))?;
    }
    for (id, row) in &state.datasets {
        let known = org(&row.org) && user(&row.owner);
        let makers = row.versions.iter().all(|version| {
            let by = version.deleted.as_ref().map(|deleted| &deleted.by);
            user(&version.created_by) && by.is_none_or(user)
        });
        let by = row.deleted.as_ref().map(|deleted| &deleted.by);
        check(
            known && makers && by.is_none_or(user) && row.project.as_ref().is_none_or(project),
            &|| RowKey::dataset(*id),
        )?;
    }
    for (o, tree) in state.discarded.keys() {
        check(org(o), &|| RowKey::discarded(*o, *tree))?;
    }
    for (o, name) in state.past_names.keys() {
        check(org(o), &|| RowKey::past_name(*o, name))?;
    }
    for (id, row) in &state.jobs {
        let known = org(&row.org) && user(&row.owner) && state.progress.contains_key(id);
        let first = row
            .rerun
            .is_none_or(|rerun| state.jobs.contains_key(&rerun.of));
        check(
            known && first && row.project.as_ref().is_none_or(project),
            &|| RowKey::job(*id),
        )?;
    }
    for (id, row) in &state.progress {
        let held = row.held.as_ref().is_none_or(|hold| user(&hold.by));
        let broken = row.broken.iter().map(|broken| &broken.awaited);
        let mut others = row.awaits.iter().chain(broken);
        let known = held && others.all(|other| state.jobs.contains_key(&other.job));
        check(known && state.jobs.contains_key(id), &|| {
            RowKey::progress(*id)
        })?;
    }
    for (id, row) in &state.attempts {
        let known = state.jobs.contains_key(&id.job)
            && state.machines.contains_key(&row.machine)
            && row
                .preempted
                .is_none_or(|by| state.jobs.contains_key(&by.job));
        check(known, &|| RowKey::attempt(*id))?;
    }
    for (id, row) in &state.projects {
        check(org(&row.org) && user(&row.created_by), &|| {
            RowKey::project(*id)
        })?;
    }
    for ((id, to), row) in &state.grants {
        let known = project(id) && user(to) && user(&row.by);
        check(known, &|| RowKey::grant(*id, *to))?;
    }
    for (id, row) in &state.secrets {
        let mut projects = row.project.iter().chain(&row.users.projects);
        let known = org(&row.org) && user(&row.set_by) && row.users.members.iter().all(user);
        check(known && projects.all(project), &|| RowKey::secret(*id))?;
    }
    Ok(())
}
