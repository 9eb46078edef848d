//! The end of an org.

use std::collections::BTreeMap;

use common::{
    id::{OrgId, UserId},
    org::deletion::DeletionPreview,
    time::Timestamp,
    units::Bytes,
};

use super::transfer::check_typed;
use crate::{
    decide::token,
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
    let name = state
        .orgs
        .get(&org)
        .ok_or(Rejection::NoSuchOrg)?
        .name
        .clone();
    // The registry of certificates remembers them, so that a machine hears why it is not let in any more.
    let machines = state.machines.iter().filter(|(_, row)| row.org == org);
    let serials = machines.filter_map(|(id, _)| state.index.holders.get(&Holder::Machine(*id)));
    let good = serials.flatten().filter(|serial| {
        let row = state.certificates.get(serial);
        row.is_some_and(|row| row.revoked_at.is_none())
    });
    let revoked = good.map(|serial| Event::CertificateRevoked {
        serial: *serial,
        at,
    });
    let mut events: Vec<Event> = revoked.collect();
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
    let name = state
        .orgs
        .get(&org)
        .ok_or(Rejection::NoSuchOrg)?
        .name
        .clone();
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
