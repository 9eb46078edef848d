//! Rows as they are stored: which table, which key, which bytes. JSON, so that records outlive releases.

mod key;

use std::fmt;

use common::id::{
    ApprovalId, AttemptId, CertificateSerial, DatasetId, DeviceId, Fingerprint, InvitationId,
    JobId, MachineId, OrgId, ProjectId, SecretId, UserId,
};
use serde::{Serialize, de::DeserializeOwned};

use self::key::Key;
use super::{State, approval::ApprovalSubject, invitation::Guest};

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident $text:literal)*) => {
        /// A table of the store. A name is never used again for another layout.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table { $($(#[$doc])* $name,)* }

        impl Table {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

tables! {
    Orgs "orgs-1"
    Users "users-1"
    /// By org and user.
    Members "members-1"
    Invitations "invitations-1"
    /// By invitation and the key that came in.
    InvitationUses "invitation-uses-1"
    Certificates "certificates-1"
    /// Computers on which users are signed in.
    Devices "devices-1"
    Machines "machines-1"
    /// What machines report, by machine.
    Reports "machine-reports-1"
    Datasets "datasets-1"
    Jobs "jobs-1"
    /// How far jobs are, by job.
    Progress "job-progress-1"
    /// By job, task and number.
    Attempts "attempts-1"
    Projects "projects-1"
    /// By project and user.
    Grants "project-grants-1"
    /// By org and user, who was a member and is none now.
    Former "former-members-1"
    Secrets "secrets-1"
    /// Set for single members, by org and user.
    OwnLimits "member-limits-1"
    Approvals "approvals-1"
}

/// Names one row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    pub table: Table,
    pub key: Vec<u8>,
}

/// A stored row cannot be what it claims.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    #[error("a key of table {} has {length} bytes", table.name())]
    Key { table: Table, length: usize },
    #[error("a row of table {} cannot be read", table.name())]
    Value {
        table: Table,
        #[source]
        source: serde_json::Error,
    },
    #[error("row {key} of table {} refers to a row that is not there", table.name())]
    Dangling { table: Table, key: String },
}

impl RowKey {
    pub(crate) fn org(id: OrgId) -> Self {
        Self::new(Table::Orgs, id.as_bytes())
    }

    pub(crate) fn user(id: UserId) -> Self {
        Self::new(Table::Users, id.as_bytes())
    }

    pub(crate) fn member(org: OrgId, user: UserId) -> Self {
        Self::pair(Table::Members, org.as_bytes(), user.as_bytes())
    }

    pub(crate) fn former(org: OrgId, user: UserId) -> Self {
        Self::pair(Table::Former, org.as_bytes(), user.as_bytes())
    }

    pub(crate) fn approval(id: ApprovalId) -> Self {
        Self::new(Table::Approvals, id.as_bytes())
    }

    pub(crate) fn own_limits(org: OrgId, user: UserId) -> Self {
        Self::pair(Table::OwnLimits, org.as_bytes(), user.as_bytes())
    }

    pub(crate) fn invitation(id: InvitationId) -> Self {
        Self::new(Table::Invitations, id.as_bytes())
    }

    pub(crate) fn invitation_use(id: InvitationId, key: Fingerprint) -> Self {
        Self::pair(Table::InvitationUses, id.as_bytes(), key.as_bytes())
    }

    pub(crate) fn certificate(serial: CertificateSerial) -> Self {
        Self::new(Table::Certificates, serial.as_bytes())
    }

    pub(crate) fn device(id: DeviceId) -> Self {
        Self::new(Table::Devices, id.as_bytes())
    }

    pub(crate) fn machine(id: MachineId) -> Self {
        Self::new(Table::Machines, id.as_bytes())
    }

    pub(crate) fn report(id: MachineId) -> Self {
        Self::new(Table::Reports, id.as_bytes())
    }

    pub(crate) fn dataset(id: DatasetId) -> Self {
        Self::new(Table::Datasets, id.as_bytes())
    }

    pub(crate) fn job(id: JobId) -> Self {
        Self::new(Table::Jobs, id.as_bytes())
    }

    pub(crate) fn progress(id: JobId) -> Self {
        Self::new(Table::Progress, id.as_bytes())
    }

    pub(crate) fn attempt(id: AttemptId) -> Self {
        Self::new(Table::Attempts, &id.key())
    }

    pub(crate) fn project(id: ProjectId) -> Self {
        Self::new(Table::Projects, id.as_bytes())
    }

    pub(crate) fn grant(project: ProjectId, user: UserId) -> Self {
        Self::pair(Table::Grants, project.as_bytes(), user.as_bytes())
    }

    pub(crate) fn secret(id: SecretId) -> Self {
        Self::new(Table::Secrets, id.as_bytes())
    }

    fn new(table: Table, key: &[u8]) -> Self {
        Self {
            table,
            key: key.to_vec(),
        }
    }

    fn pair(table: Table, first: &[u8], second: &[u8]) -> Self {
        Self::new(table, &[first, second].concat())
    }
}

/// The key in hexadecimal digits.
impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(crate) fn encode(state: &State, row: &RowKey) -> Option<Vec<u8>> {
    let key = Key(row.table, &row.key);
    match row.table {
        Table::Orgs => json(state.orgs.get(&key.org().ok()?)?),
        Table::Users => json(state.users.get(&key.user().ok()?)?),
        Table::Members => json(state.members.get(&key.member().ok()?)?),
        Table::Invitations => json(state.invitations.get(&key.invitation().ok()?)?),
        Table::InvitationUses => json(state.invitation_uses.get(&key.invitation_use().ok()?)?),
        Table::Certificates => json(state.certificates.get(&key.certificate().ok()?)?),
        Table::Devices => json(state.devices.get(&key.device().ok()?)?),
        Table::Machines => json(state.machines.get(&key.machine().ok()?)?),
        Table::Reports => json(state.reports.get(&key.machine().ok()?)?),
        Table::Datasets => json(state.datasets.get(&key.dataset().ok()?)?),
        Table::Jobs => json(state.jobs.get(&key.job().ok()?)?),
        Table::Progress => json(state.progress.get(&key.job().ok()?)?),
        Table::Attempts => json(state.attempts.get(&key.attempt().ok()?)?),
        Table::Projects => json(state.projects.get(&key.project().ok()?)?),
        Table::Grants => json(state.grants.get(&key.grant().ok()?)?),
        Table::Former => json(state.former.get(&key.member().ok()?)?),
        Table::Secrets => json(state.secrets.get(&key.secret().ok()?)?),
        Table::OwnLimits => json(state.own_limits.get(&key.member().ok()?)?),
        Table::Approvals => json(state.approvals.get(&key.approval().ok()?)?),
    }
}

pub(crate) fn decode(
    state: &mut State,
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<(), RowError> {
    let key = Key(table, key);
    match table {
        Table::Orgs => drop(state.orgs.insert(key.org()?, parse(table, value)?)),
        Table::Users => drop(state.users.insert(key.user()?, parse(table, value)?)),
        Table::Members => drop(state.members.insert(key.member()?, parse(table, value)?)),
        Table::Invitations => {
            let id = key.invitation()?;
            state.invitations.insert(id, parse(table, value)?);
        }
        Table::InvitationUses => {
            let id = key.invitation_use()?;
            state.invitation_uses.insert(id, parse(table, value)?);
        }
        Table::Certificates => {
            let serial = key.certificate()?;
            state.certificates.insert(serial, parse(table, value)?);
        }
        Table::Devices => drop(state.devices.insert(key.device()?, parse(table, value)?)),
        Table::Machines => drop(state.machines.insert(key.machine()?, parse(table, value)?)),
        Table::Reports => drop(state.reports.insert(key.machine()?, parse(table, value)?)),
        Table::Datasets => drop(state.datasets.insert(key.dataset()?, parse(table, value)?)),
        Table::Jobs => drop(state.jobs.insert(key.job()?, parse(table, value)?)),
        Table::Progress => drop(state.progress.insert(key.job()?, parse(table, value)?)),
        Table::Attempts => drop(state.attempts.insert(key.attempt()?, parse(table, value)?)),
        Table::Projects => drop(state.projects.insert(key.project()?, parse(table, value)?)),
        Table::Grants => drop(state.grants.insert(key.grant()?, parse(table, value)?)),
        Table::Former => drop(state.former.insert(key.member()?, parse(table, value)?)),
        Table::Secrets => drop(state.secrets.insert(key.secret()?, parse(table, value)?)),
        Table::OwnLimits => drop(state.own_limits.insert(key.member()?, parse(table, value)?)),
        Table::Approvals => {
            let id = key.approval()?;
            state.approvals.insert(id, parse(table, value)?);
        }
    }
    Ok(())
}

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
    for (id, row) in &state.invitations {
        let guest = row.invitee.as_ref();
        let known = org(&row.org)
            && user(&row.created_by)
            && row.user.as_ref().is_none_or(user)
            && guest.is_none_or(|Guest::User(guest)| user(guest));
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
        check(user(&row.user), &|| RowKey::device(*id))?;
    }
    for (id, row) in &state.machines {
        check(org(&row.org) && user(&row.owner), &|| RowKey::machine(*id))?;
    }
    for id in state.reports.keys() {
        check(state.machines.contains_key(id), &|| RowKey::report(*id))?;
    }
    for (id, row) in &state.datasets {
        let known = org(&row.org) && user(&row.owner);
        let makers = row.versions.iter().all(|version| user(&version.created_by));
        check(
            known && makers && row.project.as_ref().is_none_or(project),
            &|| RowKey::dataset(*id),
        )?;
    }
    for (id, row) in &state.jobs {
        let known = org(&row.org) && user(&row.owner) && state.progress.contains_key(id);
        check(known && row.project.as_ref().is_none_or(project), &|| {
            RowKey::job(*id)
        })?;
    }
    for id in state.progress.keys() {
        check(state.jobs.contains_key(id), &|| RowKey::progress(*id))?;
    }
    for (id, row) in &state.attempts {
        let known = state.jobs.contains_key(&id.job) && state.machines.contains_key(&row.machine);
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

fn json<T: Serialize>(row: &T) -> Option<Vec<u8>> {
    Some(serde_json::to_vec(row).expect("rows have text keys and no failing serializers"))
}

fn parse<T: DeserializeOwned>(table: Table, value: &[u8]) -> Result<T, RowError> {
    serde_json::from_slice(value).map_err(|source| RowError::Value { table, source })
}
