//! The end of an org.

use std::collections::BTreeMap;

use common::{
    id::{OrgId, UserId},
    name::Name,
    org::deletion::DeletionPreview,
    time::Timestamp,
    units::Bytes,
};

use super::transfer::check_typed;
use crate::{
    decide::{enrolment::revocations, token},
    event::{Event, Holder, OrgEvent},
    policy::{Action, permit},
    rejection::Rejection,
    state::{
        State,
        deletion::{files_of, rows_of},
        rows::{RowKey, Table},
    },
};

/// Deletes an org with everything in it, if its name was typed.
pub(super) fn delete(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
    typed: &str,
) -> Result<Vec<Event>, Rejection> {
    permit(state, org, user, Action::DeleteOrg)?;
    check_typed(state, org, typed)?;
    let name = name_of(state, org)?;
    // The registry of certificates remembers them, so that a machine hears why it is not let in any more.
    let machines = state.machines.iter().filter(|(_, row)| row.org == org);
    let mut events: Vec<Event> = machines
        .flat_map(|(id, _)| revocations(state, at, Holder::Machine(*id)))
        .collect();
    let members = state.index.tokens.keys().filter(|(of, _)| *of == org);
    for (_, member) in members {
        events.extend(token::revoke_all(state, at, org, *member));
    }
    events.push(Event::Org(OrgEvent::OrgDeleted {
        org,
        name,
        by: user,
        at,
        rows: rows_of(state, org),
    }));
    Ok(events)
}

/// Returns what [`delete`] would do.
pub(crate) fn preview(
    state: &State,
    at: Timestamp,
    user: UserId,
    org: OrgId,
) -> Result<DeletionPreview, Rejection> {
    permit(state, org, user, Action::DeleteOrg)?;
    let name = name_of(state, org)?;
    let rows = rows_of(state, org);
    let mut tables: BTreeMap<Table, u32> = BTreeMap::new();
    for RowKey { table, .. } in &rows {
        *tables.entry(*table).or_default() += 1;
    }
    let count = |table| tables.get(&table).copied().unwrap_or(0);
    let own = |place: &(OrgId, UserId)| place.0 == org;
    let used = state.index.members.iter().filter(|(place, _)| own(place));
    let (running, queued) = used.fold((0, 0), |(running, queued), (_, used)| {
        (running + u64::from(used.running), queued + used.queued)
    });
    let made = state.index.belongings.made.iter();
    let made = made.filter(|(place, _)| own(place));
    let bytes = made.fold(0_u64, |sum, (_, made)| {
        let more = made.artifact_bytes.saturating_add(made.dataset_bytes);
        sum.saturating_add(more)
    });
    Ok(DeletionPreview {
        name,
        members: count(Table::Members),
        machines: count(Table::Machines),
        jobs: count(Table::Jobs),
        running_tasks: running,
        queued_tasks: queued,
        datasets: count(Table::Datasets),
        projects: count(Table::Projects),
        secrets: count(Table::Secrets),
        trees: u32::try_from(files_of(state, org, at).trees.len()).unwrap_or(u32::MAX),
        bytes: Bytes(bytes),
    })
}

fn name_of(state: &State, org: OrgId) -> Result<Name, Rejection> {
    let row = state.orgs.get(&org).ok_or(Rejection::NoSuchOrg)?;
    Ok(row.name.clone())
}
