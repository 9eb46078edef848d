//! Rows as they are stored: which table, which key, which bytes. JSON, so that records outlive releases.

mod key;
mod references;
mod removal;

use std::fmt;

use common::{
    id::{
        ApprovalId, AttemptId, CertificateSerial, DatasetId, DeviceId, Fingerprint, InvitationId,
        JobId, MachineId, OrgId, ProjectId, SecretId, TokenId, TreeId, UserId,
    },
    name::Name,
};
use serde::{Serialize, de::DeserializeOwned};

use self::key::Key;
pub(crate) use self::{references::check_references, removal::remove};
use super::{State, job::Job};

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
    /// What shows that users are who they say, by user.
    Credentials "credentials-1"
    Tokens "tokens-1"
    /// What deleted orgs still have on the disk, by org.
    Deletions "deletions-1"
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
    /// What members took and lent lately, by org and user.
    Standings "member-standings-1"
    Approvals "approvals-1"
    /// By org.
    Logos "org-logos-1"
    /// What deleted datasets may still have on the disk, by org and tree.
    Discarded "discarded-trees-1"
    /// Names that deleted datasets had, by org and name.
    PastNames "past-dataset-names-1"
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

    pub(crate) fn logo(org: OrgId) -> Self {
        Self::new(Table::Logos, org.as_bytes())
    }

    pub(crate) fn user(id: UserId) -> Self {
        Self::new(Table::Users, id.as_bytes())
    }

    pub(crate) fn member(org: OrgId, user: UserId) -> Self {
        Self::pair(Table::Members, org.as_bytes(), user.as_bytes())
    }

    pub(crate) fn deletion(org: OrgId) -> Self {
        Self::new(Table::Deletions, org.as_bytes())
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

    pub(crate) fn standing(org: OrgId, user: UserId) -> Self {
        Self::pair(Table::Standings, org.as_bytes(), user.as_bytes())
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

    pub(crate) fn credentials(id: UserId) -> Self {
        Self::new(Table::Credentials, id.as_bytes())
    }

    pub(crate) fn token(id: TokenId) -> Self {
        Self::new(Table::Tokens, id.as_bytes())
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

    pub(crate) fn discarded(org: OrgId, tree: TreeId) -> Self {
        Self::pair(Table::Discarded, org.as_bytes(), tree.as_bytes())
    }

    pub(crate) fn past_name(org: OrgId, name: &Name) -> Self {
        let name = [name.as_str().as_bytes(), &[key::END]].concat();
        Self::pair(Table::PastNames, org.as_bytes(), &name)
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
        Table::Credentials => json(state.credentials.get(&key.user().ok()?)?),
        Table::Tokens => json(state.tokens.get(&key.token().ok()?)?),
        Table::Deletions => json(state.deletions.get(&key.org().ok()?)?),
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
        Table::Standings => json(state.standings.get(&key.member().ok()?)?),
        Table::Approvals => json(state.approvals.get(&key.approval().ok()?)?),
        Table::Logos => json(state.logos.get(&key.org().ok()?)?),
        Table::Discarded => json(state.discarded.get(&key.discarded().ok()?)?),
        Table::PastNames => json(state.past_names.get(&key.past_name().ok()?)?),
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
        Table::Credentials => drop(state.credentials.insert(key.user()?, parse(table, value)?)),
        Table::Tokens => drop(state.tokens.insert(key.token()?, parse(table, value)?)),
        Table::Deletions => drop(state.deletions.insert(key.org()?, parse(table, value)?)),
        Table::Machines => drop(state.machines.insert(key.machine()?, parse(table, value)?)),
        Table::Reports => drop(state.reports.insert(key.machine()?, parse(table, value)?)),
        Table::Datasets => drop(state.datasets.insert(key.dataset()?, parse(table, value)?)),
        Table::Jobs => {
            let mut job: Job = parse(table, value)?;
            if let Some((_, before)) = state.jobs.last() {
                job.spec.share(&before.spec);
            }
            state.jobs.insert(key.job()?, job);
        }
        Table::Progress => drop(state.progress.insert(key.job()?, parse(table, value)?)),
        Table::Attempts => drop(state.attempts.insert(key.attempt()?, parse(table, value)?)),
        Table::Projects => drop(state.projects.insert(key.project()?, parse(table, value)?)),
        Table::Grants => drop(state.grants.insert(key.grant()?, parse(table, value)?)),
        Table::Former => drop(state.former.insert(key.member()?, parse(table, value)?)),
        Table::Secrets => drop(state.secrets.insert(key.secret()?, parse(table, value)?)),
        Table::OwnLimits => drop(state.own_limits.insert(key.member()?, parse(table, value)?)),
        Table::Standings => drop(state.standings.insert(key.member()?, parse(table, value)?)),
        Table::Approvals => {
            let id = key.approval()?;
            state.approvals.insert(id, parse(table, value)?);
        }
        Table::Logos => drop(state.logos.insert(key.org()?, parse(table, value)?)),
        Table::Discarded => {
            let id = key.discarded()?;
            state.discarded.insert(id, parse(table, value)?);
        }
        Table::PastNames => {
            let id = key.past_name()?;
            state.past_names.insert(id, parse(table, value)?);
        }
    }
    Ok(())
}

fn json<T: Serialize>(row: &T) -> Option<Vec<u8>> {
    Some(serde_json::to_vec(row).expect("rows have text keys and no failing serializers"))
}

fn parse<T: DeserializeOwned>(table: Table, value: &[u8]) -> Result<T, RowError> {
    serde_json::from_slice(value).map_err(|source| RowError::Value { table, source })
}
