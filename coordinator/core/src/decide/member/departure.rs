//! The end of a membership: everything that goes with it, in one go. What is shown before is read from the very
//! events that would happen.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{Fingerprint, JobId, OrgId, UserId},
    org::departure::{DeparturePreview, EndingJob, MAX_NAMED, Stays},
    time::Timestamp,
    units::Bytes,
};

use crate::{
    decide::{draft::Draft, enrolment, invitation, machine, project, secret, token},
    event::{
        AccountEvent, Event, Holder, Parting, project::ProjectEvent, secret::SecretEvent,
        token::TokenEvent,
    },
    rejection::Rejection,
    state::{
        State, attempt::Attempt, certificate::Certificate, index::belongings::Made, org::Member,
    },
};

/// Returns everything that happens when the user's membership ends.
pub(crate) fn depart(
    state: &State,
    at: Timestamp,
    by: UserId,
    org: OrgId,
    user: UserId,
    member: Member,
    parting: Parting,
) -> Vec<Event> {
    let place = (org, user);
    let mut draft = Draft::new(state, at);
    let jobs = state.index.open_jobs.get(&place);
    for (job, ()) in jobs.into_iter().flatten() {
        draft.cancel_job(*job);
    }
    let belongings = &state.index.belongings;
    let machines = belongings.machines.get(&place);
    for id in machines.into_iter().flatten() {
        if let Some(row) = state.machines.get(id) {
            machine::take_out(&mut draft, state, at, *id, row);
        }
    }
    let invitations = belongings.invitations.get(&place);
    for id in invitations.into_iter().flatten() {
        let row = state.invitations.get(id);
        if row.is_some_and(|row| invitation::open(row, at).is_ok()) {
            draft.push(Event::InvitationRevoked {
                invitation: *id,
                at,
            });
        }
    }
    let grants = project::take_grants(state, at, by, org, user);
    for taken in grants.chain(secret::take_uses(state, org, user)) {
        draft.push(taken);
    }
    for gone in token::revoke_all(state, at, org, user) {
        draft.push(gone);
    }
    let orgs = belongings.orgs.get(&user).map_or(0, BTreeSet::len);
    // Who leaves stays a user, signed in, and can ask to come back; who is removed from their last org is signed out.
    let keys = if parting == Parting::Removed && orgs <= 1 {
        let keys = good_keys(state, user, at);
        enrolment::revoke_all(&mut draft, state, at, Holder::User(user));
        keys
    } else {
        Vec::new()
    };
    draft.push(Event::MemberRemoved {
        org,
        user,
        role: member.role,
        at,
        parting,
        keys,
    });
    draft.into_events()
}

/// Returns what these events, which [`depart`] made, come to.
pub(crate) fn preview(
    state: &State,
    org: OrgId,
    user: UserId,
    member: Member,
    events: &[Event],
) -> Result<DeparturePreview, Rejection> {
    let row = state.users.get(&user).ok_or(Rejection::NoSuchOrg)?;
    let made = state.index.belongings.made.get(&(org, user));
    let mut preview = DeparturePreview::of(row.handle.clone(), member.role);
    preview.stays = stays(made.copied().unwrap_or_default());
    let mut ending = BTreeMap::new();
    for event in events {
        match event {
            Event::JobCancelled { job } => note_job(state, *job, &mut ending, &mut preview),
            Event::MachineRemoved { machine, .. } => {
                preview.machine_count += 1;
                let name = state.machines.get(machine).map(|row| row.name.clone());
                preview.machines.extend(name);
            }
            Event::AttemptEnded { attempt, .. } => {
                let job = state.jobs.get(&attempt.job);
                let of_others = job.is_some_and(|job| job.owner != user);
                // What waits behind another one is ended with it, and runs no more than what waits in the queue.
                let row = state.attempts.get(attempt);
                let runs = row.is_some_and(Attempt::has_place);
                preview.interrupted_tasks += u32::from(of_others && runs);
            }
            Event::InvitationRevoked { .. } => preview.invitations += 1,
            Event::Project(ProjectEvent::ProjectAccessChanged { .. })
            | Event::Secret(SecretEvent::SecretUsersChanged { .. }) => preview.grants += 1,
            Event::Token(TokenEvent::TokenRevoked { .. }) => preview.tokens += 1,
            Event::Account(AccountEvent::DeviceRevoked { .. }) => preview.devices += 1,
            _ => {}
        }
    }
    preview.jobs = ending.into_values().take(MAX_NAMED).collect();
    preview.machines.sort_unstable();
    preview.machines.truncate(MAX_NAMED);
    Ok(preview)
}

fn note_job(
    state: &State,
    id: JobId,
    ending: &mut BTreeMap<common::job::JobNumber, EndingJob>,
    preview: &mut DeparturePreview,
) {
    let (Some(job), Some(progress)) = (state.jobs.get(&id), state.progress.get(&id)) else {
        return;
    };
    let one = EndingJob {
        number: job.number,
        running: progress.counts.running,
        queued: progress.counts.queued,
    };
    preview.job_count += 1;
    preview.running_tasks = preview.running_tasks.saturating_add(one.running);
    preview.queued_tasks = preview.queued_tasks.saturating_add(one.queued);
    ending.insert(one.number, one);
}

fn stays(made: Made) -> Stays {
    Stays {
        ended_jobs: made.ended_jobs,
        artifact_bytes: Bytes(made.artifact_bytes),
        datasets: made.datasets,
        dataset_bytes: Bytes(made.dataset_bytes),
    }
}

/// Returns the keys that speak for the user now: with one of them they are known again. Those of programs with a
/// token are none.
fn good_keys(state: &State, user: UserId, at: Timestamp) -> Vec<Fingerprint> {
    let serials = state.index.holders.get(&Holder::User(user));
    let programs = |row: &Certificate| {
        let device = row.device.and_then(|device| state.devices.get(&device));
        device.is_some_and(|device| device.token.is_some())
    };
    let good = serials
        .into_iter()
        .flatten()
        .filter_map(|serial| enrolment::check(state, *serial, at).ok())
        .filter(|row| !programs(row));
    let keys: BTreeSet<Fingerprint> = good.map(|row| row.key).collect();
    keys.into_iter().collect()
}
