//! What answers show.

use super::nouns::{
    AT, INVITATION, JOB, KEY, MACHINE, NUMBER, ORG, TREE, allocation, job_spec, limits, load,
    machine_report, name, outcome,
};
use crate::api::explain::{Blocker, BlockerCode, Explanation, MachineData};
use crate::api::machine::{Lately, MachineExplanation, Obstacle, WaitingClass};
use crate::api::member::{InvitationSecrets, Invited};
use crate::dataset::{DatasetVersionView, DatasetView};
use crate::id::DatasetId;
use crate::job::{
    AfterView, ArtifactsView, AttemptView, DelayedTask, HoldView, JobDetail, JobNumber, JobSummary,
    TaskCounts, Unmet,
};
use crate::machine::{CachedDataset, MachineView, SetAsideView, UnseenProjects};
use crate::org::{Amounts, GpuCount, MachineCount, OrgOverview, OrgSettings};
use crate::preemption::{MayPreempt, PreemptedBy, PreemptingJob};
use crate::resources::Allocation;
use crate::status::{
    AfterStatus, AttemptStatus, Condition, EndReason, JobStatus, MachineStatus, Precedence,
    Priority, Visibility,
};
use crate::time::Span;
use crate::units::{Bytes, MilliCpu};

pub(super) fn job_summary() -> JobSummary {
    JobSummary {
        id: JOB,
        number: NUMBER,
        name: "train".to_owned(),
        owner: name("ada"),
        project: Some(name("vision")),
        status: JobStatus::Running,
        priority: Priority::Normal,
        tasks: TaskCounts {
            queued: 1,
            running: 2,
            succeeded: 3,
            failed: 4,
            cancelled: 5,
        },
        submitted_at: AT,
        started_at: Some(AT),
        ended_at: None,
        machines: vec![name("box")],
        exit_code: Some(-1),
        held: Some(HoldView {
            by: name("ada"),
            since: AT,
        }),
        awaits: 2,
    }
}

pub(super) fn job_detail() -> JobDetail {
    let attempt = |artifacts| AttemptView {
        task: 7,
        number: 2,
        machine: name("box"),
        status: AttemptStatus::Ended,
        allocation: allocation(),
        placed_at: AT,
        started_at: Some(AT),
        ended_at: Some(AT),
        outcome: Some(outcome()),
        artifacts,
        artifacts_kept_until: Some(AT),
        samples: vec![super::nouns::sample()],
        preempted_by: Some(PreemptedBy {
            precedence: Precedence::OwnMachine,
            job: Some(PreemptingJob {
                number: NUMBER,
                priority: Priority::High,
            }),
        }),
    };
    let artifacts = [
        ArtifactsView::NotYet,
        ArtifactsView::None,
        ArtifactsView::Pending,
        ArtifactsView::Stored {
            tree: TREE,
            bytes: Bytes(5000),
            files: 2,
        },
        ArtifactsView::Lost,
        ArtifactsView::Forgotten {
            at: AT,
            bytes: Bytes(5000),
            files: 2,
        },
    ];
    JobDetail {
        summary: job_summary(),
        spec: job_spec(),
        attempts: artifacts.into_iter().map(attempt).collect(),
        attempts_left_out: 1,
        approval: Some(Box::new(super::approvals::approval_view())),
        rerun_of: Some(JobNumber(40)),
        reruns: vec![JobNumber(43)],
        after: vec![AfterView {
            job: JobNumber(41),
            condition: Condition::Started,
            status: AfterStatus::Waits,
            job_status: Some(JobStatus::Queued),
        }],
        unmet: Some(Unmet {
            job: JobNumber(41),
            condition: Condition::Succeeded,
            ended: JobStatus::Failed,
        }),
        delayed: vec![DelayedTask {
            task: 3,
            until: AT,
            after: EndReason::OutOfMemory,
        }],
        delayed_left_out: 2,
    }
}

pub(super) fn explanation() -> Explanation {
    Explanation {
        number: Some(NUMBER),
        status: JobStatus::Queued,
        blockers: vec![Blocker {
            code: BlockerCode::Queue,
            text: "3 tasks come first".to_owned(),
            machine_count: 1,
            machines: vec![name("box")],
        }],
        never: false,
        smallest_change: Some("ask for 2 GiB less".to_owned()),
        ahead: Some(3),
        expected_start: Some(AT),
        data: vec![MachineData {
            machine: name("box"),
            there: Bytes::gib(12),
            missing: Bytes::gib(29),
            fetch_time: Span::from_secs(2970),
            text: "12 GiB already there, 29 GiB to fetch (about 49m 30s)".to_owned(),
        }],
        kept: vec![name("box")],
        preempts: Some(MayPreempt { tasks: 2, from: AT }),
    }
}

pub(super) fn invited() -> Invited {
    Invited {
        id: INVITATION,
        secrets: Some(InvitationSecrets {
            code: "AAAA-BBBB-CCCC".to_owned(),
            secret: "SECRET".to_owned(),
        }),
        expires_at: AT,
        fingerprint: KEY,
    }
}

pub(super) fn org_overview() -> OrgOverview {
    let amounts = Amounts {
        cpu: MilliCpu(8000),
        memory: Bytes::gib(32),
        disk: Bytes::gib(100),
    };
    OrgOverview {
        id: ORG,
        name: name("lab"),
        owner: name("ada"),
        created_at: AT,
        members: 2,
        machines: MachineStatus::ALL
            .iter()
            .map(|&status| MachineCount { status, count: 1 })
            .collect(),
        total: amounts,
        free: Amounts::default(),
        gpus: vec![GpuCount {
            model: "h200".to_owned(),
            total: 2,
            free: 1,
        }],
        running_tasks: 1,
        queued_tasks: 0,
        compute_time: Span::from_secs(1 << 20),
        limits: limits(),
        settings: OrgSettings::default(),
        logo: Some(super::orgs::logo().about),
    }
}

pub(super) fn dataset_view() -> DatasetView {
    DatasetView {
        id: DatasetId::from_bytes([9; 16]),
        name: name("digits"),
        owner: name("ada"),
        passed_to_org: true,
        description: String::new(),
        visibility: Visibility::Personal,
        project: Some(name("vision")),
        versions: vec![DatasetVersionView {
            version: 1,
            tree: TREE,
            bytes: Bytes(1 << 33),
            files: 60_000,
            created_by: name("ada"),
            created_at: AT,
        }],
    }
}

pub(super) fn machine_view() -> MachineView {
    MachineView {
        id: MACHINE,
        name: name("box"),
        owner: name("bob"),
        status: MachineStatus::Paused,
        status_detail: Some("until noon".to_owned()),
        registered_at: AT,
        last_heartbeat: Some(AT),
        running: 0,
        executed: 12,
        lent: Span::from_secs(3600),
        report: Some(machine_report()),
        allocated: Allocation::default(),
        load: Some(load()),
        unseen: UnseenProjects {
            let_in: true,
            kept_out: false,
        },
        cached: vec![CachedDataset {
            name: name("digits"),
            version: 3,
            bytes: Bytes::gib(41),
        }],
        set_aside: Some(SetAsideView {
            since: AT,
            until: AT,
            on_trial: true,
            after: vec![NUMBER],
            text: "it could not start 3 jobs in a row".to_owned(),
        }),
        labels: vec!["zone=a".parse().unwrap()],
    }
}

pub(super) fn machine_explanation() -> MachineExplanation {
    let obstacle = |code| Obstacle {
        code,
        text: "as it is".to_owned(),
    };
    MachineExplanation {
        machine: name("box"),
        status: MachineStatus::SetAside,
        obstacles: vec![
            obstacle(BlockerCode::MachineSetAside),
            obstacle(BlockerCode::LendsNothing),
        ],
        lately: Lately {
            since: AT,
            tasks: 3,
            running: 1,
            busy: Span::from_secs(5400),
        },
        waiting: 41,
        not_ready: 2,
        classes: vec![WaitingClass {
            tasks: 40,
            asks: "8 CPUs, 64 GiB".to_owned(),
            obstacles: vec![obstacle(BlockerCode::BackingOff)],
        }],
        classes_left_out: 1,
    }
}
