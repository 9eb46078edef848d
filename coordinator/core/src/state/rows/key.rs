//! Keys of rows, read back.

use common::{
    id::{
        ApprovalId, AttemptId, CertificateSerial, DatasetId, DeviceId, Fingerprint, InvitationId,
        JobId, MachineId, OrgId, ProjectId, SecretId, TokenId, TreeId, UserId,
    },
    name::{InvalidName, Name},
};

use super::{RowError, Table};

/// After a name, so that a key that was cut short is no other name's.
pub(super) const END: u8 = b'.';

/// The bytes of a key, with the table for the error.
#[derive(Clone, Copy)]
pub(super) struct Key<'a>(pub(super) Table, pub(super) &'a [u8]);

impl Key<'_> {
    pub(super) fn org(&self) -> Result<OrgId, RowError> {
        self.whole().map(OrgId::from_bytes)
    }

    pub(super) fn user(&self) -> Result<UserId, RowError> {
        self.whole().map(UserId::from_bytes)
    }

    pub(super) fn member(&self) -> Result<(OrgId, UserId), RowError> {
        let (org, user) = self.split::<16, 16>()?;
        Ok((OrgId::from_bytes(org), UserId::from_bytes(user)))
    }

    pub(super) fn invitation(&self) -> Result<InvitationId, RowError> {
        self.whole().map(InvitationId::from_bytes)
    }

    pub(super) fn invitation_use(&self) -> Result<(InvitationId, Fingerprint), RowError> {
        let (id, key) = self.split::<16, 32>()?;
        Ok((InvitationId::from_bytes(id), Fingerprint::new(key)))
    }

    pub(super) fn certificate(&self) -> Result<CertificateSerial, RowError> {
        self.whole().map(CertificateSerial::new)
    }

    pub(super) fn device(&self) -> Result<DeviceId, RowError> {
        self.whole().map(DeviceId::from_bytes)
    }

    pub(super) fn token(&self) -> Result<TokenId, RowError> {
        self.whole().map(TokenId::from_bytes)
    }

    pub(super) fn machine(&self) -> Result<MachineId, RowError> {
        self.whole().map(MachineId::from_bytes)
    }

    pub(super) fn dataset(&self) -> Result<DatasetId, RowError> {
        self.whole().map(DatasetId::from_bytes)
    }

    pub(super) fn discarded(&self) -> Result<(OrgId, TreeId), RowError> {
        let (org, tree) = self.split::<16, 32>()?;
        Ok((OrgId::from_bytes(org), TreeId::new(tree)))
    }

    pub(super) fn past_name(&self) -> Result<(OrgId, Name), RowError> {
        let wrong = |_: InvalidName| self.wrong();
        let (org, rest) = self.1.split_first_chunk().ok_or_else(|| self.wrong())?;
        let name = rest.strip_suffix(&[END]).ok_or_else(|| self.wrong())?;
        let name = std::str::from_utf8(name).map_err(|_| self.wrong())?;
        Ok((OrgId::from_bytes(*org), name.parse().map_err(wrong)?))
    }

    pub(super) fn job(&self) -> Result<JobId, RowError> {
        self.whole().map(JobId::from_bytes)
    }

    pub(super) fn attempt(&self) -> Result<AttemptId, RowError> {
        let (job, rest) = self.split::<16, 8>()?;
        let rest = u64::from_be_bytes(rest);
        Ok(AttemptId {
            job: JobId::from_bytes(job),
            task: u32::try_from(rest >> 32).map_err(|_| self.wrong())?,
            number: u32::try_from(rest & u64::from(u32::MAX)).map_err(|_| self.wrong())?,
        })
    }

    pub(super) fn approval(&self) -> Result<ApprovalId, RowError> {
        self.whole().map(ApprovalId::from_bytes)
    }

    pub(super) fn project(&self) -> Result<ProjectId, RowError> {
        self.whole().map(ProjectId::from_bytes)
    }

    pub(super) fn grant(&self) -> Result<(ProjectId, UserId), RowError> {
        let (project, user) = self.split::<16, 16>()?;
        Ok((ProjectId::from_bytes(project), UserId::from_bytes(user)))
    }

    pub(super) fn secret(&self) -> Result<SecretId, RowError> {
        self.whole().map(SecretId::from_bytes)
    }

    fn whole<const N: usize>(&self) -> Result<[u8; N], RowError> {
        self.1.try_into().map_err(|_| self.wrong())
    }

    fn split<const A: usize, const B: usize>(&self) -> Result<([u8; A], [u8; B]), RowError> {
        let (first, second) = self.1.split_at_checked(A).ok_or_else(|| self.wrong())?;
        let first = first.try_into().map_err(|_| self.wrong())?;
        Ok((first, second.try_into().map_err(|_| self.wrong())?))
    }

    fn wrong(&self) -> RowError {
        RowError::Key {
            table: self.0,
            length: self.1.len(),
        }
    }
}
