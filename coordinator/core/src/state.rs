//! What is known: one map of rows per noun, and what follows from them.
//!
//! Rows are the truth and are what is stored; `index` is rebuilt from them after a load; who is connected
//! and what should be scheduled again is neither stored nor rebuilt. Only [`crate::apply()`] changes any of it.

pub(crate) mod account;
pub(crate) mod activity;
pub(crate) mod approval;
pub(crate) mod attempt;
pub(crate) mod certificate;
pub(crate) mod dataset;
pub(crate) mod decay;
pub(crate) mod delays;
pub(crate) mod deletion;
pub(crate) mod dense;
pub(crate) mod following;
pub(crate) mod guests;
pub(crate) mod held;
pub(crate) mod index;
pub(crate) mod invitation;
pub(crate) mod job;
pub(crate) mod limits;
pub(crate) mod looks;
pub(crate) mod machine;
pub(crate) mod org;
pub(crate) mod pool;
pub(crate) mod project;
pub(crate) mod queue;
pub(crate) mod ranges;
pub(crate) mod rare;
pub(crate) mod reserved;
pub(crate) mod room;
pub mod rows;
pub(crate) mod secret;
pub(crate) mod specification;
pub(crate) mod standing;
pub(crate) mod trouble;
pub(crate) mod usage;
pub(crate) mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{
        ApprovalId, AttemptId, CertificateSerial, DatasetId, DeviceId, Fingerprint, InvitationId,
        JobId, MachineId, OrgId, ProjectId, SecretId, TokenId, TreeId, UserId,
    },
    machine::MachineReport,
    name::Name,
    org::logo::Logo,
    secret::SecretName,
    time::Timestamp,
    wire::agent::MAX_ATTEMPTS_PER_MACHINE,
};

use self::{
    account::{Credentials, Device, Token},
    approval::Approval,
    attempt::Attempt,
    certificate::Certificate,
    dataset::{Dataset, Discarded, PastName},
    deletion::Deletion,
    dense::Dense,
    index::Index,
    invitation::{Invitation, InvitationUse},
    job::{Job, JobProgress},
    limits::OwnLimits,
    looks::Looks,
    machine::Machine,
    org::{Former, Member, Org, User},
    pool::Pool,
    project::{Grant, Project},
    reserved::Reserved,
    rows::{RowError, RowKey, Table},
    secret::Secret,
    standing::Standing,
};

/// Everything that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) orgs: BTreeMap<OrgId, Org>,
    /// Apart from the orgs: large, and seldom changed.
    pub(crate) logos: BTreeMap<OrgId, Logo>,
    pub(crate) users: BTreeMap<UserId, User>,
    pub(crate) members: BTreeMap<(OrgId, UserId), Member>,
    pub(crate) former: BTreeMap<(OrgId, UserId), Former>,
    /// Apart from the memberships, which every check of a right copies.
    pub(crate) own_limits: BTreeMap<(OrgId, UserId), OwnLimits>,
    /// Apart from the memberships, too: changed with every task that ends.
    pub(crate) standings: BTreeMap<(OrgId, UserId), Standing>,
    pub(crate) invitations: BTreeMap<InvitationId, Invitation>,
    /// By the key that was let in, so that the same key asked again is known.
    pub(crate) invitation_uses: BTreeMap<(InvitationId, Fingerprint), InvitationUse>,
    pub(crate) certificates: BTreeMap<CertificateSerial, Certificate>,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) credentials: BTreeMap<UserId, Credentials>,
    pub(crate) tokens: BTreeMap<TokenId, Token>,
    pub(crate) machines: BTreeMap<MachineId, Machine>,
    /// Apart from the machines: large, and changed by nobody but the machine itself.
    pub(crate) reports: BTreeMap<MachineId, MachineReport>,
    pub(crate) datasets: BTreeMap<DatasetId, Dataset>,
    pub(crate) jobs: Dense<JobId, Job>,
    /// Apart from the jobs: small, and changed with every task.
    pub(crate) progress: Dense<JobId, JobProgress>,
    pub(crate) attempts: Dense<AttemptId, Attempt>,
    pub(crate) projects: BTreeMap<ProjectId, Project>,
    /// What members may in projects, by name.
    pub(crate) grants: BTreeMap<(ProjectId, UserId), Grant>,
    pub(crate) secrets: BTreeMap<SecretId, Secret>,
    pub(crate) approvals: BTreeMap<ApprovalId, Approval>,
    /// What deleted orgs still have on the disk.
    pub(crate) deletions: BTreeMap<OrgId, Deletion>,
    /// What deleted datasets and forgotten artifacts may still have there.
    pub(crate) discarded: BTreeMap<(OrgId, TreeId), Discarded>,
    pub(crate) past_names: BTreeMap<(OrgId, Name), PastName>,
    pub(crate) index: Index,
    pub(crate) volatile: Volatile,
}

/// What is true of this process only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Volatile {
    pub(crate) connected: BTreeSet<MachineId>,
    /// Machines whose lease has run out; what they still hold may never come.
    pub(crate) lost: BTreeSet<MachineId>,
    /// Orgs in which something changed that could let a task start.
    pub(crate) due: BTreeSet<OrgId>,
    /// Members of such orgs whose machines have room again, or who have jobs that are new: their own machines are
    /// theirs first.
    pub(crate) first: BTreeMap<OrgId, BTreeSet<UserId>>,
    pub(crate) pool: Pool,
    pub(crate) reserved: Reserved,
    pub(crate) looks: Looks,
}

impl State {
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the row as it is stored, or `None` where it is gone.
    pub fn encode_row(&self, key: &RowKey) -> Option<Vec<u8>> {
        rows::encode(self, key)
    }

    /// Takes a stored row in. [`State::finish_load`] comes after the last one.
    ///
    /// # Errors
    /// The bytes are not a row of that table.
    pub fn decode_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        rows::decode(self, table, key, value)
    }

    /// Takes in the jobs of a state into which nothing but their rows was read.
    pub fn take_in_jobs(&mut self, read: Self) {
        self.jobs.append(read.jobs);
    }

    /// Rebuilds everything that follows from the rows.
    ///
    /// # Errors
    /// A row refers to one that is not there.
    pub fn finish_load(&mut self) -> Result<(), RowError> {
        for (id, machine) in &self.machines {
            if let Some(approval) = approval::of_old(*id, machine) {
                let id = approval::of_machine(*id);
                self.approvals.entry(id).or_insert(approval);
            }
        }
        rows::check_references(self)?;
        self.index = Index::build(self);
        self.volatile = Volatile::default();
        Ok(())
    }

    /// Returns whether a pass of the schedule could place something, or decide for whom another job has come far enough.
    pub fn schedule_due(&self) -> bool {
        if !self.index.settling.is_empty() {
            return true;
        }
        let queued = |org: &OrgId| self.index.queues.get(org).is_some_and(|q| !q.is_empty());
        let waits = |org: &OrgId| queued(org) || self.index.chains.has_quick(*org);
        self.volatile.due.iter().any(waits)
    }

    /// Notes that the member's own machines may have room for the member's own jobs.
    pub(crate) fn first(&mut self, org: OrgId, user: UserId) {
        let pool = self.volatile.pool.of(org);
        if pool.is_some_and(|pool| pool.own.contains_key(&user)) {
            let first = self.volatile.first.entry(org).or_default();
            first.insert(user);
        }
    }

    /// Returns when something is to happen by itself next; what it is, [`crate::Body::Wake`] finds.
    pub fn next_waking(&self) -> Option<Timestamp> {
        let waking = self.index.wakings.first().map(|(moment, _)| *moment);
        waking.into_iter().chain(self.volatile.looks.next()).min()
    }

    /// Returns whether nothing new happens in the project.
    pub(crate) fn is_archived(&self, project: Option<ProjectId>) -> bool {
        let row = project.and_then(|project| self.projects.get(&project));
        row.is_some_and(|row| row.archived_at.is_some())
    }

    /// Returns who has access to the project by name.
    pub(crate) fn grants_of(&self, project: ProjectId) -> impl Iterator<Item = (UserId, &Grant)> {
        let first = (project, UserId::from_bytes([0; 16]));
        let last = (project, UserId::from_bytes([u8::MAX; 16]));
        let rows = self.grants.range(first..=last);
        rows.map(|((_, user), grant)| (*user, grant))
    }

    /// Returns the secret of this name: a project's own, or the org's.
    pub(crate) fn secret(
        &self,
        org: OrgId,
        project: Option<ProjectId>,
        name: &SecretName,
    ) -> Option<(SecretId, &Secret)> {
        let id = *self.index.secret_names.get(&(org, project))?.get(name)?;
        Some((id, self.secrets.get(&id)?))
    }

    /// Returns a project's own secrets, or the org's, by name.
    pub(crate) fn secrets_of(
        &self,
        org: OrgId,
        project: Option<ProjectId>,
    ) -> impl Iterator<Item = (SecretId, &Secret)> {
        let names = self.index.secret_names.get(&(org, project));
        let ids = names.into_iter().flat_map(|names| names.values());
        ids.filter_map(|id| Some((*id, self.secrets.get(id)?)))
    }

    /// Returns how many attempts the machine may be told of: one more while jobs try one that was set aside.
    pub(crate) fn most_attempts(&self, machine: MachineId) -> usize {
        let row = self.machines.get(&machine);
        match row.and_then(|row| row.set_aside.as_ref()) {
            None => MAX_ATTEMPTS_PER_MACHINE,
            Some(_) => {
                let used = self.index.machines.get(&machine);
                used.map_or(0, |used| used.desired.len()) + 1
            }
        }
    }

    /// Returns whether a machine that is set aside lets nobody in now.
    pub(crate) fn is_set_aside(&self, machine: MachineId) -> bool {
        let row = self.machines.get(&machine);
        let aside = row.and_then(|row| row.set_aside.as_ref());
        let used = self.index.machines.get(&machine);
        let live = used.map_or(0, |used| used.live.len());
        aside.is_some_and(|aside| !aside.lets_in(live))
    }

    /// Returns whether the machine has a connection open now.
    pub fn is_connected(&self, machine: MachineId) -> bool {
        self.volatile.connected.contains(&machine)
    }
}
