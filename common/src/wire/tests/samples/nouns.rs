//! The nouns that messages are made of.

use std::collections::BTreeMap;

use crate::api::job::{LogCursor, SubmitJob};
use crate::api::page::Page;
use crate::code::Code;
use crate::id::{
    AttemptId, ChunkId, Fingerprint, IdempotencyKey, InvitationId, JobId, MachineId, OrgId, TreeId,
    UserId,
};
use crate::job::{
    After, ArtifactMount, AttemptUsage, DatasetMount, JobNumber, JobRef, JobSpec, Outcome, Retries,
};
use crate::limits::{Amount, Limits, ResourceLimits, StorageLimits};
use crate::machine::{Admits, Isolation, MachineLoad, MachineReport, Pause, PausedBy, SystemInfo};
use crate::name::Name;
use crate::problem::Problem;
use crate::resources::{Allocation, Capacity, Gpu, GpuHealth, GpuRequest};
use crate::seal::Sealed;
use crate::status::{
    Condition, EndReason, IsolationLevel, MinIsolation, Network, Priority, SandboxScope, Visibility,
};
use crate::time::{Span, Timestamp};
use crate::tree::{ChunkRef, Entry, EntryKind, LinkTarget, TreePath};
use crate::units::{Bytes, MilliCpu};
use crate::usage::UsageSample;
use crate::wire::agent::{AttemptImage, AttemptSpec, MountedTree};
use crate::wire::data::{Offer, OfferedEntry, OfferedKind, OfferedPart, Run, TreePart};
use crate::wire::peer::PeerLoad;
use crate::wire::{Hello, PROTOCOL};

pub(super) const ORG: OrgId = OrgId::from_bytes([1; 16]);
pub(super) const USER: UserId = UserId::from_bytes([2; 16]);
pub(super) const MACHINE: MachineId = MachineId::from_bytes([3; 16]);
pub(super) const JOB: JobId = JobId::from_bytes([4; 16]);
pub(super) const INVITATION: InvitationId = InvitationId::from_bytes([5; 16]);
pub(super) const TREE: TreeId = TreeId::new([6; 32]);
pub(super) const KEY: Fingerprint = Fingerprint::new([7; 32]);
pub(super) const NUMBER: JobNumber = JobNumber(42);
pub(super) const AT: Timestamp = Timestamp::from_unix_ms(1_790_000_000_123);
pub(super) const ATTEMPT: AttemptId = AttemptId {
    job: JOB,
    task: 7,
    number: 2,
};
pub(super) const CURSOR: LogCursor = LogCursor {
    task: 7,
    attempt: 2,
    offset: 70_000,
};

pub(in crate::wire::tests) fn submit_job() -> SubmitJob {
    SubmitJob {
        org: ORG,
        spec: job_spec(),
        key: IdempotencyKey::from_bytes([8; 16]),
        dry_run: false,
    }
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn problem() -> Problem {
    Problem::new(Code::NotFound, "cannot show job 42", "there is none").help("Look again.")
}

pub(super) fn hello() -> Hello {
    Hello {
        build: "0.1.0".to_owned(),
        protocol: PROTOCOL,
    }
}

pub(super) fn limits() -> Limits {
    Limits {
        max_machines_per_user: Some(3),
        max_concurrent_jobs_per_user: Some(20),
        max_queued_jobs_per_user: None,
        max_job_runtime: Some(Span::from_secs(43_200)),
        max_job_memory: Some(Bytes::gib(64)),
        min_isolation: Some(MinIsolation::B),
        concurrent: resource_limits(&[("cpu", 512_500), ("gpu", 16)]),
        per_user: resource_limits(&[("rtx-5090", 1)]),
        storage: StorageLimits {
            datasets: Some(Bytes::gib(2048)),
            artifacts: None,
        },
    }
}

pub(super) fn resource_limits(bounds: &[(&str, u64)]) -> ResourceLimits {
    let mut limits = ResourceLimits::default();
    for (resource, most) in bounds {
        let resource = resource.parse().expect("the sample names a resource type");
        limits
            .set(resource, Amount(*most))
            .expect("the sample has few resource types");
    }
    limits
}

pub(super) fn job_spec() -> JobSpec {
    JobSpec {
        name: "train".to_owned(),
        command: vec!["./train".to_owned(), "--depth=$TASK".to_owned()],
        env: BTreeMap::from([("SEED".to_owned(), "1".to_owned())]),
        image: "python:3.12".parse().unwrap(),
        registry_login: Some(Sealed {
            encapsulated: vec![1, 2],
            ciphertext: vec![3],
        }),
        workdir: Some(TREE),
        request: crate::resources::Request {
            gpu: Some(GpuRequest {
                count: 1,
                model: Some("h200".to_owned()),
                memory: Some(Bytes::gib(80)),
                share: true,
                memory_most: Some(Bytes::gib(100)),
            }),
            exclusive: true,
            ..crate::resources::Request::default()
        },
        datasets: vec![DatasetMount {
            dataset: "digits@3".parse().unwrap(),
            path: "/data/digits".to_owned(),
            lazy: true,
        }],
        outputs: vec!["model.bin".to_owned()],
        network: Network::Full,
        isolation: Some(MinIsolation::Strong),
        priority: Priority::High,
        max_runtime: Some(Span::from_millis(1500)),
        retries: Retries {
            backoff: Some(Span::from_secs(30)),
            memory: Some("1.5x".parse().unwrap()),
            ..Retries::default()
        },
        array: Some("0-9,20%4".parse().unwrap()),
        project: Some(name("vision")),
        visibility: Some(Visibility::OrgRead),
        secrets: vec!["HF_TOKEN".parse().unwrap()],
        artifacts: vec![ArtifactMount {
            job: JobRef {
                number: NUMBER,
                task: Some(3),
            },
            path: "/data/prev".to_owned(),
        }],
        after: vec![After {
            job: JobNumber(41),
            condition: Condition::Ended,
        }],
        hold: true,
        labels: vec!["ssd".parse().unwrap(), "!zone=a".parse().unwrap()],
        nodes: Some(4),
        checkpoint: Some("USR1:2m".parse().unwrap()),
        params: Some(TreeId::new([9; 32])),
        sandbox: Some(SandboxScope::Task),
    }
}

pub(super) fn outcome() -> Outcome {
    Outcome {
        reason: EndReason::OutOfMemory,
        exit_code: None,
        signal: Some(9),
        detail: Some("over 1 GiB".to_owned()),
        usage: AttemptUsage {
            wall: Span::from_secs(3),
            cpu: Span::from_millis(2500),
            peak_memory: Some(Bytes::gib(1)),
            frozen: Span::from_millis(10),
            sent: Bytes(7),
            received: Bytes(8),
            peak_disk: Some(Bytes(9)),
            peak_gpu_memory: None,
        },
        log_bytes: 70_000,
    }
}

pub(super) fn allocation() -> Allocation {
    Allocation {
        cpu: MilliCpu(1500),
        memory: Bytes::gib(1),
        disk: Bytes::gib(2),
        gpus: vec!["GPU-1".to_owned()],
        gpu_shares: BTreeMap::from([("GPU-1".to_owned(), Bytes::gib(8))]),
    }
}

pub(super) const fn load() -> MachineLoad {
    MachineLoad {
        cpu_percent: 12,
        memory_used: Bytes(1 << 30),
        peers: PeerLoad {
            serves: true,
            served: Bytes(1 << 31),
            fetched: Bytes(1 << 32),
        },
    }
}

pub(super) fn machine_report() -> MachineReport {
    let health = [
        GpuHealth::Usable,
        GpuHealth::UsedByOthers,
        GpuHealth::Faulty("lost".to_owned()),
        GpuHealth::Withheld,
        GpuHealth::Shared,
        GpuHealth::Leftover,
    ];
    let capacity = Capacity {
        cpu: MilliCpu(8000),
        memory: Bytes::gib(32),
        disk: Bytes::gib(100),
        gpus: health
            .into_iter()
            .map(|health| Gpu {
                uuid: "GPU-1".to_owned(),
                model: "h200".to_owned(),
                memory: Bytes::gib(141),
                driver: "580.1".to_owned(),
                health,
                temperature_celsius: Some(40),
                utilization_percent: None,
                memory_used: Bytes(0),
            })
            .collect(),
    };
    MachineReport {
        offer: capacity.clone(),
        capacity,
        paused: Some(Pause {
            until: Some(AT),
            reason: "its owner is at the keyboard".to_owned(),
            by: PausedBy::Rule,
        }),
        admits: Admits {
            members: Some(vec![name("ada")]),
            max_runtime: Some(Span::from_secs(60)),
            projects: Some(vec![name("vision")]),
            not_projects: vec![name("games")],
            ..Admits::default()
        },
        isolation: Isolation {
            level: IsolationLevel::B,
            missing: vec!["disk limit".to_owned()],
            remedy: Some("run as root".to_owned()),
            strong: true,
            networks: vec![Network::None, Network::Internet],
        },
        system: SystemInfo {
            os: "Debian 12".to_owned(),
            kernel: "6.1".to_owned(),
            architecture: "x86_64".to_owned(),
            agent_version: "0.1.0".to_owned(),
        },
        cached: vec![TREE],
        fetch_rate: Some(Bytes::mib(11)),
        cache_limit: Some(Bytes(3 << 30)),
        labels: vec!["ssd".parse().unwrap()],
    }
}

pub(super) fn attempt_spec() -> AttemptSpec {
    AttemptSpec {
        org: name("lab"),
        job_number: NUMBER,
        job_name: "train".to_owned(),
        submitter: name("ada"),
        own_machine: false,
        task_count: 10,
        command: vec!["./train".to_owned()],
        env: BTreeMap::from([("SEED".to_owned(), "1".to_owned())]),
        image: AttemptImage::Imported {
            name: "mine@2".to_owned(),
            tree: TREE,
        },
        registry_login: true,
        secrets: vec!["HF_TOKEN".parse().unwrap()],
        strong: true,
        workdir: Some(TREE),
        allocation: allocation(),
        datasets: vec![MountedTree {
            name: "digits@3".to_owned(),
            tree: TREE,
            path: "/data/digits".to_owned(),
            lazy: true,
        }],
        outputs: vec!["model.bin".to_owned()],
        network: Network::Internet,
        max_runtime: None,
        grace: Span::from_secs(10),
        project: Some(name("vision")),
        nodes: vec![name("box"), name("lab-1")],
        checkpoint: Some("TERM:10s".parse().unwrap()),
        restore: Some(TreeId::new([9; 32])),
        params: Some(TreeId::new([9; 32])),
        shares: true,
    }
}

pub(super) fn tree_part() -> TreePart {
    let entry = |path: &str, kind| Entry {
        path: path.parse().unwrap(),
        kind,
    };
    TreePart {
        entries: vec![
            entry("a", EntryKind::Directory),
            entry(
                "a/run.sh",
                EntryKind::File {
                    executable: true,
                    chunks: vec![ChunkRef {
                        id: ChunkId::new([0xab; 32]),
                        bytes: 1 << 20,
                    }],
                },
            ),
            entry(
                "a/link",
                EntryKind::Symlink {
                    target: "run.sh".into(),
                },
            ),
        ],
        last: true,
    }
}

pub(super) fn offer() -> Offer {
    Offer {
        chunks: vec![ChunkRef {
            id: ChunkId::new([0xcd; 32]),
            bytes: 70_000,
        }],
    }
}

pub(super) fn offered_part() -> OfferedPart {
    let entry = |path: &[u8], kind| OfferedEntry {
        path: TreePath::new(path).unwrap(),
        kind,
    };
    let file = OfferedKind::File {
        executable: false,
        chunks: Run::of([0, 1, 2, 9]),
    };
    let link = OfferedKind::Symlink {
        target: LinkTarget::new(*b"no\xfftext"),
    };
    OfferedPart {
        entries: vec![
            entry(b"a", OfferedKind::Directory),
            entry(b"a/no\xfftext", file),
            entry(b"link", link),
        ],
        last: false,
    }
}

pub(super) fn sample() -> UsageSample {
    UsageSample {
        at: AT,
        cpu_percent: 250,
        memory: Some(Bytes::gib(1)),
        disk: Bytes(5),
        processes: Some(3),
        sent: Bytes(6),
        received: Bytes(7),
        gpu_memory: None,
        gpu_percent: Some(99),
        frozen: true,
    }
}

/// Returns the last page of a list, with one row.
pub(super) fn last<T, K>(row: T) -> Page<T, K> {
    Page {
        rows: vec![row],
        next: None,
    }
}
