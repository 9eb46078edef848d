//! Orgs that were deleted: which rows went with one, and what of it still lies on the coordinator's disk.

use std::collections::BTreeSet;

use common::{
    id::{JobId, OrgId, TreeId},
    job::ArtifactsView,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{State, index::Index, pool, rows, rows::RowKey};

/// Files of an org that is no more. The row stays until they are gone, so that a restart goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    pub(crate) at: Timestamp,
    /// Datasets, work folders and artifacts.
    pub(crate) trees: BTreeSet<TreeId>,
    /// Whose logs are there.
    pub(crate) jobs: Vec<JobId>,
}

/// Returns every row that is of the org or belongs to one that is.
pub(crate) fn rows_of(state: &State, org: OrgId) -> Vec<RowKey> {
    let mut rows = vec![RowKey::org(org)];
    rows.extend(state.logos.contains_key(&org).then(|| RowKey::logo(org)));
    let members = state.members.keys().filter(|(of, _)| *of == org);
    rows.extend(members.map(|(_, user)| RowKey::member(org, *user)));
    let former = state.former.keys().filter(|(of, _)| *of == org);
    rows.extend(former.map(|(_, user)| RowKey::former(org, *user)));
    let limits = state.own_limits.keys().filter(|(of, _)| *of == org);
    rows.extend(limits.map(|(_, user)| RowKey::own_limits(org, *user)));
    let standings = state.standings.keys().filter(|(of, _)| *of == org);
    rows.extend(standings.map(|(_, user)| RowKey::standing(org, *user)));

    let invitations = state.invitations.iter().filter(|(_, row)| row.org == org);
    rows.extend(invitations.map(|(id, _)| RowKey::invitation(*id)));
    let of_ours = |id| state.invitations.get(id).is_some_and(|row| row.org == org);
    let uses = state.invitation_uses.keys().filter(|(id, _)| of_ours(id));
    rows.extend(uses.map(|(id, key)| RowKey::invitation_use(*id, *key)));

    for (id, _) in state.machines.iter().filter(|(_, row)| row.org == org) {
        rows.push(RowKey::machine(*id));
        if state.reports.contains_key(id) {
            rows.push(RowKey::report(*id));
        }
    }
    // What signed in by a token of the org goes with it.
    let tokens = state.tokens.iter().filter(|(_, row)| row.org == org);
    let tokens: BTreeSet<_> = tokens.map(|(id, _)| *id).collect();
    rows.extend(tokens.iter().map(|id| RowKey::token(*id)));
    let devices = state.devices.iter();
    let devices = devices.filter(|(_, row)| row.token.is_some_and(|token| tokens.contains(&token)));
    let devices: BTreeSet<_> = devices.map(|(id, _)| *id).collect();
    rows.extend(devices.iter().map(|id| RowKey::device(*id)));
    let certificates = state.certificates.iter();
    let certificates =
        certificates.filter(|(_, row)| row.device.is_some_and(|device| devices.contains(&device)));
    rows.extend(certificates.map(|(serial, _)| RowKey::certificate(*serial)));

    let approvals = state.approvals.iter().filter(|(_, row)| row.org == org);
    rows.extend(approvals.map(|(id, _)| RowKey::approval(*id)));
    let datasets = state.datasets.iter().filter(|(_, row)| row.org == org);
    rows.extend(datasets.map(|(id, _)| RowKey::dataset(*id)));
    let discarded = state.discarded.keys().filter(|(of, _)| *of == org);
    rows.extend(discarded.map(|(_, tree)| RowKey::discarded(org, *tree)));
    let names = state.past_names.keys().filter(|(of, _)| *of == org);
    rows.extend(names.map(|(_, name)| RowKey::past_name(org, name)));
    for (id, _) in state.jobs.iter().filter(|(_, row)| row.org == org) {
        rows.extend([RowKey::job(*id), RowKey::progress(*id)]);
    }
    let attempts = state.attempts.iter().filter(|(_, row)| row.org == org);
    rows.extend(attempts.map(|(id, _)| RowKey::attempt(*id)));

    let projects = state.projects.iter().filter(|(_, row)| row.org == org);
    rows.extend(projects.map(|(id, _)| RowKey::project(*id)));
    let of_ours = |id| state.projects.get(id).is_some_and(|row| row.org == org);
    let grants = state.grants.keys().filter(|(id, _)| of_ours(id));
    rows.extend(grants.map(|(id, user)| RowKey::grant(*id, *user)));
    let secrets = state.secrets.iter().filter(|(_, row)| row.org == org);
    rows.extend(secrets.map(|(id, _)| RowKey::secret(*id)));
    rows
}

/// Returns what the org leaves on the disk.
pub(crate) fn files_of(state: &State, org: OrgId, at: Timestamp) -> Deletion {
    let jobs = state.jobs.iter().filter(|(_, row)| row.org == org);
    Deletion {
        at,
        trees: trees_of(state, org),
        jobs: jobs.map(|(id, _)| *id).collect(),
    }
}

/// Returns every tree that a row of the org names, or named once.
fn trees_of(state: &State, org: OrgId) -> BTreeSet<TreeId> {
    let datasets = state.datasets.values().filter(|row| row.org == org);
    let datasets = datasets.flat_map(|row| row.versions.iter().map(|version| version.tree));
    let discarded = state.discarded.keys().filter(|(of, _)| *of == org);
    let discarded = discarded.map(|(_, tree)| *tree);
    let attempts = state.attempts.values().filter(|row| row.org == org);
    let artifacts = attempts.filter_map(|row| match row.artifacts {
        ArtifactsView::Stored { tree, .. } => Some(tree),
        _ => None,
    });
    let jobs = state.jobs.values().filter(|row| row.org == org);
    let jobs = jobs.flat_map(|row| row.trees().collect::<Vec<_>>());
    let kept = datasets.chain(discarded).chain(artifacts);
    kept.chain(jobs).collect()
}

/// Returns whether anything of the org needs the tree: a dataset, an artifact, a work folder. What a job reads that has
/// not ended is a dataset's: none is deleted under its readers. What one read that has ended may go.
pub(crate) fn keeps(state: &State, org: OrgId, tree: TreeId) -> bool {
    let used = state.index.orgs.get(&org);
    used.is_some_and(|used| used.keeps(tree))
}

/// Takes the rows of a deleted org out. What follows from the rest is worked out anew, which walks the rows of other
/// orgs too: an org is not deleted every day.
pub(crate) fn take_out(state: &mut State, org: OrgId, gone: &[RowKey]) {
    let machines = state.machines.iter().filter(|(_, row)| row.org == org);
    let machines: Vec<_> = machines.map(|(id, _)| *id).collect();
    for row in gone {
        rows::remove(state, row);
    }
    state.index = Index::build(state);
    state.volatile.due.remove(&org);
    state.volatile.first.remove(&org);
    state.volatile.reserved.forget(org);
    state.volatile.looks.forget(org);
    for machine in machines {
        state.volatile.connected.remove(&machine);
        state.volatile.lost.remove(&machine);
        pool::refresh(state, machine);
    }
}
