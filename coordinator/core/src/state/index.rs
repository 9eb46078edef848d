//! What follows from the rows, kept so that nothing has to walk them: names, queues, what is held.
//!
//! Every `*_in` has its `*_out`; whoever changes a row takes the old one out and puts the new one in. Entries
//! that come to nothing are dropped, so that an index built anew from the rows is equal to the one kept.

mod attempts;
pub(crate) mod belongings;
pub(crate) mod chains;
mod data;
pub(crate) mod dependants;
mod invitations;
mod listed;
mod parties;
mod secrets;
mod uses;

use std::collections::{BTreeMap, BTreeSet};

use common::{
    id::{
        ApprovalId, AttemptId, CertificateSerial, CodeDigest, DatasetId, DeviceId, IdempotencyKey,
        InvitationId, JobId, MachineId, OrgId, ProjectId, SecretId, TokenId, UserId,
    },
    job::JobNumber,
    name::Name,
    secret::SecretName,
    time::Timestamp,
};

use self::{belongings::Belongings, chains::Chains, dependants::Dependants, listed::Listed};
pub(crate) use self::{
    parties::{Parties, Waking},
    uses::{MachineUse, MemberUse},
};
use super::{
    State,
    account::Token,
    approval::Approval,
    certificate::{Certificate, Holder},
    dense::Dense,
    held::OrgUse,
    job::{Job, JobProgress},
    machine::Machine,
    queue::Queue,
    usage::UsageIndex,
};

use crate::lifecycle::approval::ApprovalState;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) handles: BTreeMap<Name, UserId>,
    pub(crate) org_names: BTreeMap<Name, OrgId>,
    pub(crate) codes: BTreeMap<CodeDigest, InvitationId>,
    /// Invitations that are for somebody, in whatever state.
    pub(crate) invitees: BTreeMap<UserId, BTreeSet<InvitationId>>,
    /// Invitations and sign-in links by when they end or did, in whatever state.
    pub(crate) invitation_ends: BTreeMap<OrgId, BTreeSet<(Timestamp, InvitationId)>>,
    /// Requests for approval that wait.
    pub(crate) approvals: BTreeMap<OrgId, BTreeSet<ApprovalId>>,
    pub(crate) holders: BTreeMap<Holder, BTreeSet<CertificateSerial>>,
    /// Every device of a user that is remembered, and the certificates that were issued to it.
    pub(crate) devices: BTreeMap<UserId, BTreeMap<DeviceId, BTreeSet<CertificateSerial>>>,
    /// Of every token, good or not.
    pub(crate) token_digests: BTreeMap<CodeDigest, TokenId>,
    pub(crate) tokens: BTreeMap<(OrgId, UserId), BTreeSet<TokenId>>,
    /// Of living machines only: the name of one that was removed is free again.
    pub(crate) machine_names: BTreeMap<OrgId, BTreeMap<Name, MachineId>>,
    pub(crate) dataset_names: BTreeMap<OrgId, BTreeMap<Name, DatasetId>>,
    pub(crate) project_names: BTreeMap<OrgId, BTreeMap<Name, ProjectId>>,
    /// By whose they are: a project's, or the org's own.
    pub(crate) secret_names: BTreeMap<(OrgId, Option<ProjectId>), BTreeMap<SecretName, SecretId>>,
    pub(crate) job_numbers: Dense<(OrgId, JobNumber), JobId>,
    pub(crate) keys: Dense<(UserId, IdempotencyKey), JobId>,
    /// Jobs of a member that have not ended.
    pub(crate) open_jobs: BTreeMap<(OrgId, UserId), Dense<JobId, ()>>,
    /// Jobs with a task that may be placed as far as the job itself goes.
    pub(crate) queues: BTreeMap<OrgId, Queue>,
    /// What is to happen by itself, by when.
    pub(crate) wakings: BTreeSet<(Timestamp, Waking)>,
    pub(crate) members: BTreeMap<(OrgId, UserId), MemberUse>,
    pub(crate) orgs: BTreeMap<OrgId, OrgUse>,
    pub(crate) machines: BTreeMap<MachineId, MachineUse>,
    /// Deleted datasets that can be brought back, by the name that they had and when they were deleted.
    pub(crate) deleted_names: BTreeMap<(OrgId, Name), BTreeSet<(Timestamp, DatasetId)>>,
    /// When deleted datasets and versions go for good; version 0 is a whole dataset.
    pub(crate) ends: BTreeMap<OrgId, BTreeSet<(Timestamp, DatasetId, u32)>>,
    /// Jobs that have not ended, by what they read: a version of a dataset.
    pub(crate) readers: BTreeMap<(DatasetId, u32), BTreeSet<JobId>>,
    /// The same, by what they read that an attempt left.
    pub(crate) artifact_readers: BTreeMap<AttemptId, BTreeSet<JobId>>,
    /// What attempts left and no job reads, by when it came.
    pub(crate) artifacts: BTreeMap<OrgId, BTreeSet<(Timestamp, AttemptId)>>,
    /// Attempts of a job that have a place on a machine and have not ended.
    pub(crate) live: BTreeMap<JobId, BTreeSet<AttemptId>>,
    /// Those that wait for one, each behind another.
    pub(crate) chains: Chains,
    /// Jobs that run tasks of another again, by that and their age.
    pub(crate) reruns: BTreeMap<JobId, BTreeSet<(JobNumber, JobId)>>,
    /// Jobs that wait for another, by that.
    pub(crate) dependants: BTreeMap<JobId, Dependants>,
    /// Those of these others that have come so far that something is to be decided.
    pub(crate) settling: BTreeSet<JobId>,
    pub(crate) listed: Listed,
    pub(crate) belongings: Belongings,
    pub(crate) usage: UsageIndex,
}

impl Index {
    /// Returns the index of these rows, all of which refer to rows that are there.
    pub(crate) fn build(state: &State) -> Self {
        let mut index = Self::default();
        for (id, org) in &state.orgs {
            index.org_names.insert(org.name.clone(), *id);
        }
        for (id, user) in &state.users {
            index.handles.insert(user.handle.clone(), *id);
        }
        for place in state.members.keys() {
            index.belongings.member_in(*place);
        }
        for (place, former) in &state.former {
            index.belongings.former_in(*place, former);
        }
        for (id, invitation) in &state.invitations {
            index.invitation_in(*id, invitation);
        }
        for (id, device) in &state.devices {
            let devices = index.devices.entry(device.user).or_default();
            devices.entry(*id).or_default();
        }
        for (id, approval) in &state.approvals {
            index.approval_in(*id, approval);
        }
        for (id, token) in &state.tokens {
            index.token_in(*id, token);
        }
        for (serial, certificate) in &state.certificates {
            index.certificate_in(*serial, certificate);
        }
        for (id, machine) in &state.machines {
            index.machine_in(*id, machine);
        }
        for (id, dataset) in &state.datasets {
            index.dataset_in(*id, dataset);
        }
        for (id, project) in &state.projects {
            let names = index.project_names.entry(project.org).or_default();
            names.insert(project.name.clone(), *id);
        }
        for (id, secret) in &state.secrets {
            index.secret_in(*id, secret);
        }
        for (id, job) in &state.jobs {
            index.job_numbers.insert((job.org, job.number), *id);
            index.keys.insert((job.owner, job.key), *id);
            index.sent_in(job);
            index.rerun_in(*id, job);
            if let Some(progress) = state.progress.get(id) {
                index.job_in(*id, job, progress);
                if progress.ended_at.is_none() {
                    index.reader_in(*id, job);
                }
            }
        }
        for (id, attempt) in &state.attempts {
            if let Some(job) = state.jobs.get(&id.job) {
                let parties = Parties::of(&state.machines, attempt, job);
                index.attempt_in(*id, attempt, parties);
            }
        }
        let awaited: Vec<JobId> = index.dependants.keys().copied().collect();
        for id in awaited {
            if let Some(progress) = state.progress.get(&id) {
                index.note_settling(id, progress);
            }
        }
        index
    }

    pub(crate) fn token_in(&mut self, id: TokenId, row: &Token) {
        self.token_digests.insert(row.digest, id);
        let tokens = self.tokens.entry((row.org, row.user)).or_default();
        tokens.insert(id);
    }

    pub(crate) fn token_out(&mut self, id: TokenId, row: &Token) {
        self.token_digests.remove(&row.digest);
        if let Some(tokens) = self.tokens.get_mut(&(row.org, row.user)) {
            tokens.remove(&id);
            if tokens.is_empty() {
                self.tokens.remove(&(row.org, row.user));
            }
        }
    }

    pub(crate) fn certificate_in(&mut self, serial: CertificateSerial, row: &Certificate) {
        self.holders.entry(row.holder).or_default().insert(serial);
        if let (Holder::User(user), Some(device)) = (row.holder, row.device) {
            let devices = self.devices.entry(user).or_default();
            devices.entry(device).or_default().insert(serial);
        }
    }

    pub(crate) fn certificate_out(&mut self, serial: CertificateSerial, row: &Certificate) {
        if let Some(serials) = self.holders.get_mut(&row.holder) {
            serials.remove(&serial);
            if serials.is_empty() {
                self.holders.remove(&row.holder);
            }
        }
        if let (Holder::User(user), Some(device)) = (row.holder, row.device)
            && let Some(devices) = self.devices.get_mut(&user)
            && let Some(serials) = devices.get_mut(&device)
        {
            serials.remove(&serial);
        }
    }

    pub(crate) fn approval_in(&mut self, id: ApprovalId, approval: &Approval) {
        self.listed.approval_in(id, approval);
        if approval.state == ApprovalState::Waiting {
            self.approvals.entry(approval.org).or_default().insert(id);
        }
    }

    pub(crate) fn approval_out(&mut self, id: ApprovalId, approval: &Approval) {
        self.listed.approval_out(id, approval);
        if let Some(waiting) = self.approvals.get_mut(&approval.org) {
            waiting.remove(&id);
            if waiting.is_empty() {
                self.approvals.remove(&approval.org);
            }
        }
    }

    pub(crate) fn machine_in(&mut self, id: MachineId, machine: &Machine) {
        self.listed.machine_in(id, machine);
        self.belongings.machine_in(id, machine);
        let moment = machine.waking();
        self.wakings
            .extend(moment.map(|at| (at, Waking::Machine(id))));
        if machine.state.is_living() {
            let names = self.machine_names.entry(machine.org).or_default();
            names.insert(machine.name.clone(), id);
        }
    }

    pub(crate) fn machine_out(&mut self, id: MachineId, machine: &Machine) {
        self.listed.machine_out(id, machine);
        self.belongings.machine_out(id, machine);
        if let Some(moment) = machine.waking() {
            self.wakings.remove(&(moment, Waking::Machine(id)));
        }
        if let Some(names) = self.machine_names.get_mut(&machine.org) {
            if names.get(&machine.name) == Some(&id) {
                names.remove(&machine.name);
            }
            if names.is_empty() {
                self.machine_names.remove(&machine.org);
            }
        }
    }

    pub(crate) fn job_in(&mut self, id: JobId, job: &Job, progress: &JobProgress) {
        let member = (job.org, job.owner);
        self.belongings.job_in(member, progress);
        self.dependant_in(id, progress);
        self.chains.job_in(id, job, progress);
        if progress.ended_at.is_none() {
            self.open_jobs.entry(member).or_default().insert(id, ());
        }
        if progress.counts.queued > 0 {
            self.members.entry(member).or_default().queued += u64::from(progress.counts.queued);
        }
        let moment = progress.delayed.first();
        self.wakings.extend(moment.map(|at| (at, Waking::Job(id))));
        if progress.is_ready(job.parallel()) {
            let queue = self.queues.entry(job.org).or_default();
            queue.insert(id, job, progress);
        }
    }

    pub(crate) fn job_out(&mut self, id: JobId, job: &Job, progress: &JobProgress) {
        let member = (job.org, job.owner);
        self.belongings.job_out(member, progress);
        self.dependant_out(id, progress);
        self.chains.job_out(id, job);
        if let Some(jobs) = self.open_jobs.get_mut(&member) {
            jobs.remove(&id);
            if jobs.is_empty() {
                self.open_jobs.remove(&member);
            }
        }
        self.member_less(member, |used| {
            used.queued = used
                .queued
                .saturating_sub(u64::from(progress.counts.queued));
        });
        if let Some(moment) = progress.delayed.first() {
            self.wakings.remove(&(moment, Waking::Job(id)));
        }
        if let Some(queue) = self.queues.get_mut(&job.org) {
            queue.remove(id, job, progress);
            if queue.is_empty() {
                self.queues.remove(&job.org);
            }
        }
    }

    fn member_less(&mut self, key: (OrgId, UserId), less: impl FnOnce(&mut MemberUse)) {
        if let Some(used) = self.members.get_mut(&key) {
            less(used);
            if *used == MemberUse::default() {
                self.members.remove(&key);
            }
        }
    }

    fn org_less(&mut self, org: OrgId, less: impl FnOnce(&mut OrgUse)) {
        if let Some(used) = self.orgs.get_mut(&org) {
            less(used);
            if *used == OrgUse::default() {
                self.orgs.remove(&org);
            }
        }
    }
}
