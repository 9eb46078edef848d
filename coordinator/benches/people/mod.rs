//! The people and machines of a measured org, and the commands that make them.

use common::{
    id::{
        CertificateSerial, CodeDigest, DeviceId, Fingerprint, InvitationId, MachineId, OrgId,
        UserId,
    },
    job::JobSpec,
    join_link::LinkPurpose,
    name::Name,
    status::Role,
    time::{Span, Timestamp},
};
use coordinator_core::{
    Body,
    command::{
        NewCertificate, SignIn,
        invitation::{CreateInvitations, InvitationCommand, NewInvitation},
    },
};

pub(super) const ORG: OrgId = OrgId::from_bytes([1; 16]);
/// Owns it.
pub(super) const ALICE: UserId = UserId::from_bytes([1; 16]);

pub(super) fn id(number: u64) -> [u8; 16] {
    let mut bytes = [0xa5; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

pub(super) fn key(number: u64) -> [u8; 32] {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

pub(super) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub(super) fn member(number: u64) -> UserId {
    UserId::from_bytes(id(1_000_000 + number))
}

pub(super) fn handle(number: u64) -> Name {
    name(&format!("member{number}"))
}

pub(super) fn machine(number: u64) -> MachineId {
    MachineId::from_bytes(id(2_000_000 + number))
}

pub(super) fn invitation(code: u64, uses: u32) -> Body {
    Body::Invitation(InvitationCommand::Create(CreateInvitations {
        org: ORG,
        role: Role::Member,
        ttl: Span::from_secs(86_400),
        uses,
        invitee: None,
        batch: vec![NewInvitation {
            id: InvitationId::from_bytes(id(code)),
            codes: vec![CodeDigest::new(key(code))],
        }],
    }))
}

pub(super) fn enrol(code: u64, number: u64) -> Body {
    Body::Enrol {
        code: CodeDigest::new(key(code)),
        purpose: LinkPurpose::Join,
        fresh_user: member(number),
        handle: Some(handle(number)),
        sign_in: SignIn {
            fresh_device: DeviceId::from_bytes(id(4_000_000 + number)),
            name: name("laptop"),
            proof: None,
        },
        certificate: NewCertificate {
            serial: CertificateSerial::new(id(3_000_000 + number)),
            key: Fingerprint::new(key(number)),
            expires_at: Timestamp::from_unix_ms(u64::MAX >> 16),
        },
    }
}

pub(super) fn register(number: u64) -> Body {
    Body::RegisterMachine {
        machine: machine(number),
        org: ORG,
        name: name(&format!("box{number}")),
        key: Fingerprint::new(key(number)),
        from: None,
    }
}

/// One processor, a gibibyte.
pub(super) fn spec() -> JobSpec {
    JobSpec {
        max_runtime: Some(Span::from_secs(3600)),
        ..JobSpec::of(vec!["true".to_owned()])
    }
}
