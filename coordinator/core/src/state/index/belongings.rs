//! What is whose in an org, so that a member's coming and going walks nobody else's rows.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{Fingerprint, InvitationId, MachineId, OrgId, UserId},
    job::ArtifactsView,
};

use crate::state::{
    attempt::Attempt, dataset::Dataset, invitation::Invitation, job::JobProgress, machine::Machine,
    org::Former,
};

/// Somebody's standing in an org.
type Place = (OrgId, UserId);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Belongings {
    /// The orgs of a user.
    pub(crate) orgs: BTreeMap<UserId, BTreeSet<OrgId>>,
    /// Living machines.
    pub(crate) machines: BTreeMap<Place, BTreeSet<MachineId>>,
    /// Invitations that a member made, and sign-in links for them, that are neither revoked nor used up.
    pub(crate) invitations: BTreeMap<Place, BTreeSet<InvitationId>>,
    pub(crate) made: BTreeMap<Place, Made>,
    /// Who was signed out of an org, by the keys of their devices.
    pub(crate) former_keys: BTreeMap<(OrgId, Fingerprint), UserId>,
}

/// What a member has made that stays when they go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) ended_jobs: u64,
    pub(crate) artifact_bytes: u64,
    pub(crate) datasets: u32,
    pub(crate) dataset_bytes: u64,
}

impl Belongings {
    pub(crate) fn member_in(&mut self, (org, user): Place) {
        put(&mut self.orgs, user, org);
    }

    pub(crate) fn member_out(&mut self, (org, user): Place) {
        take(&mut self.orgs, &user, &org);
    }

    pub(crate) fn former_in(&mut self, (org, user): Place, row: &Former) {
        for key in &row.keys {
            self.former_keys.insert((org, *key), user);
        }
    }

    pub(crate) fn former_out(&mut self, (org, user): Place, row: &Former) {
        for key in &row.keys {
            if self.former_keys.get(&(org, *key)) == Some(&user) {
                self.former_keys.remove(&(org, *key));
            }
        }
    }

    pub(super) fn machine_in(&mut self, id: MachineId, row: &Machine) {
        if row.state.is_living() {
            put(&mut self.machines, (row.org, row.owner), id);
        }
    }

    pub(super) fn machine_out(&mut self, id: MachineId, row: &Machine) {
        take(&mut self.machines, &(row.org, row.owner), &id);
    }

    pub(crate) fn invitation_in(&mut self, id: InvitationId, row: &Invitation) {
        if row.revoked_at.is_none() && row.uses_left > 0 {
            for user in [Some(row.created_by), row.user].into_iter().flatten() {
                put(&mut self.invitations, (row.org, user), id);
            }
        }
    }

    pub(crate) fn invitation_out(&mut self, id: InvitationId, row: &Invitation) {
        for user in [Some(row.created_by), row.user].into_iter().flatten() {
            take(&mut self.invitations, &(row.org, user), &id);
        }
    }

    pub(super) fn job_in(&mut self, place: Place, progress: &JobProgress) {
        if progress.ended_at.is_some() {
            self.made.entry(place).or_default().ended_jobs += 1;
        }
    }

    pub(super) fn job_out(&mut self, place: Place, progress: &JobProgress) {
        if progress.ended_at.is_some() {
            self.made_less(place, |made| made.ended_jobs -= 1);
        }
    }

    pub(super) fn attempt_in(&mut self, attempt: &Attempt, owner: UserId) {
        if let ArtifactsView::Stored { bytes, .. } = attempt.artifacts {
            let made = self.made.entry((attempt.org, owner)).or_default();
            made.artifact_bytes = made.artifact_bytes.saturating_add(bytes.0);
        }
    }

    pub(super) fn attempt_out(&mut self, attempt: &Attempt, owner: UserId) {
        if let ArtifactsView::Stored { bytes, .. } = attempt.artifacts {
            self.made_less((attempt.org, owner), |made| {
                made.artifact_bytes = made.artifact_bytes.saturating_sub(bytes.0);
            });
        }
    }

    pub(crate) fn dataset_in(&mut self, dataset: &Dataset) {
        let made = self.made.entry((dataset.org, dataset.owner)).or_default();
        made.datasets += 1;
        made.dataset_bytes = made.dataset_bytes.saturating_add(dataset.bytes());
    }

    pub(crate) fn dataset_out(&mut self, dataset: &Dataset) {
        self.made_less((dataset.org, dataset.owner), |made| {
            made.datasets -= 1;
            made.dataset_bytes = made.dataset_bytes.saturating_sub(dataset.bytes());
        });
    }

    fn made_less(&mut self, place: Place, less: impl FnOnce(&mut Made)) {
        if let Some(made) = self.made.get_mut(&place) {
            less(made);
            if *made == Made::default() {
                self.made.remove(&place);
            }
        }
    }
}

pub(super) fn put<K: Ord, V: Ord>(sets: &mut BTreeMap<K, BTreeSet<V>>, key: K, value: V) {
    sets.entry(key).or_default().insert(value);
}

pub(super) fn take<K: Ord, V: Ord>(sets: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}
