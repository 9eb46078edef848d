//! What makes the org: its members, machines of ten kinds, and the smallest job.

use common::{
    id::{
        CertificateSerial, CodeDigest, DeviceId, Fingerprint, InvitationId, MachineId, OrgId,
        UserId,
    },
    job::JobSpec,
    join_link::LinkPurpose,
    machine::{Isolation, MachineReport, SystemInfo},
    name::Name,
    resources::{Capacity, Gpu, GpuHealth},
    status::{IsolationLevel, Role},
    time::{Span, Timestamp},
    units::{Bytes, MilliCpu},
};
use coordinator_core::{
    Body,
    command::{
        NewCertificate, SignIn,
        invitation::{CreateInvitations, InvitationCommand, NewInvitation},
    },
};

pub(super) const ORG: OrgId = OrgId::from_bytes([1; 16]);
pub(super) const ALICE: UserId = UserId::from_bytes([1; 16]);
pub(super) const MEMBERS: usize = 200;
/// Processors, GiB, GPUs and their model; machines are of these kinds in turn.
const KINDS: [(u32, u64, usize, &str); 10] = [
    (4, 16, 0, ""),
    (8, 16, 0, ""),
    (8, 32, 0, ""),
    (16, 64, 0, ""),
    (12, 32, 1, "rtx-4070"),
    (16, 64, 1, "rtx-4090"),
    (16, 128, 2, "rtx-4090"),
    (32, 128, 0, ""),
    (64, 256, 0, ""),
    (64, 512, 8, "h200"),
];

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

pub(super) fn machine(number: u64) -> MachineId {
    MachineId::from_bytes(id(2_000_000 + number))
}

pub(super) fn kind(number: u64) -> (u32, u64, usize, &'static str) {
    let place = usize::try_from(number).expect("some thousands");
    KINDS[place % KINDS.len()]
}

pub(super) fn invitation() -> Body {
    Body::Invitation(InvitationCommand::Create(CreateInvitations {
        org: ORG,
        role: Role::Member,
        ttl: Span::from_secs(86_400),
        uses: u32::try_from(MEMBERS).expect("a small number"),
        invitee: None,
        batch: vec![NewInvitation {
            id: InvitationId::from_bytes(id(1)),
            codes: vec![CodeDigest::new(key(1))],
        }],
    }))
}

pub(super) fn enrol(number: u64) -> Body {
    Body::Enrol {
        code: CodeDigest::new(key(1)),
        purpose: LinkPurpose::Join,
        fresh_user: member(number),
        handle: Some(name(&format!("member{number}"))),
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
        key: Fingerprint::new(key(10_000_000 + number)),
        from: None,
    }
}

pub(super) fn connect(number: u64) -> Body {
    let (processors, gib, gpus, model) = kind(number);
    let gpu = |place| Gpu {
        uuid: format!("GPU-{number}-{place}"),
        model: model.to_owned(),
        memory: Bytes::gib(24),
        driver: String::new(),
        health: GpuHealth::Usable,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    };
    let capacity = Capacity {
        cpu: MilliCpu::cpus(processors),
        memory: Bytes::gib(gib),
        disk: Bytes::gib(500),
        gpus: (0..gpus).map(gpu).collect(),
    };
    let report = MachineReport::lending_all(
        capacity,
        Isolation::of(IsolationLevel::A),
        SystemInfo::default(),
    );
    Body::ConnectMachine {
        report,
        attempts: Vec::new(),
    }
}

/// One processor, a gibibyte.
pub(super) fn spec() -> JobSpec {
    JobSpec {
        max_runtime: Some(Span::from_secs(3600)),
        ..JobSpec::of(vec!["true".to_owned()])
    }
}
