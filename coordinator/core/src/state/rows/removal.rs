//! Rows that go with their org.

use super::{Key, RowError, RowKey, Table};
use crate::state::State;

/// Takes one row out, wherever it is. What follows from it is the caller's.
pub(crate) fn remove(state: &mut State, row: &RowKey) {
    // A key that names nothing takes nothing out; those here were made of rows that are there.
    let _ = try_remove(state, Key(row.table, &row.key));
}

fn try_remove(state: &mut State, key: Key<'_>) -> Result<(), RowError> {
    match key.0 {
        Table::Orgs => drop(state.orgs.remove(&key.org()?)),
        Table::Users => drop(state.users.remove(&key.user()?)),
        Table::Members => drop(state.members.remove(&key.member()?)),
        Table::Invitations => drop(state.invitations.remove(&key.invitation()?)),
        Table::InvitationUses => drop(state.invitation_uses.remove(&key.invitation_use()?)),
        Table::Certificates => drop(state.certificates.remove(&key.certificate()?)),
        Table::Devices => drop(state.devices.remove(&key.device()?)),
        Table::Machines => drop(state.machines.remove(&key.machine()?)),
        Table::Reports => drop(state.reports.remove(&key.machine()?)),
        Table::Datasets => drop(state.datasets.remove(&key.dataset()?)),
        Table::Jobs => drop(state.jobs.remove(&key.job()?)),
        Table::Progress => drop(state.progress.remove(&key.job()?)),
        Table::Attempts => drop(state.attempts.remove(&key.attempt()?)),
        Table::Projects => drop(state.projects.remove(&key.project()?)),
        Table::Grants => drop(state.grants.remove(&key.grant()?)),
        Table::Former => drop(state.former.remove(&key.member()?)),
        Table::Secrets => drop(state.secrets.remove(&key.secret()?)),
        Table::OwnLimits => drop(state.own_limits.remove(&key.member()?)),
        Table::Standings => drop(state.standings.remove(&key.member()?)),
        Table::Approvals => drop(state.approvals.remove(&key.approval()?)),
        Table::Credentials => drop(state.credentials.remove(&key.user()?)),
        Table::Logos => drop(state.logos.remove(&key.org()?)),
        Table::Tokens => drop(state.tokens.remove(&key.token()?)),
        Table::Discarded => drop(state.discarded.remove(&key.discarded()?)),
        Table::PastNames => drop(state.past_names.remove(&key.past_name()?)),
        Table::Deletions => drop(state.deletions.remove(&key.org()?)),
    }
    Ok(())
}
