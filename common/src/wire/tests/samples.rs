//! One message of every shape that can travel: every variant of every enum, with every option once full.

mod accounts;
mod answers;
mod approvals;
mod audit;
mod datasets;
mod invitations;
mod jobs;
mod limits;
mod nouns;
mod orgs;
mod peers;
mod projects;
mod requests;
mod secrets;
mod shares;
mod usage;
mod views;

pub(super) use self::nouns::submit_job;

use self::nouns::{
    AT, ATTEMPT, MACHINE, NUMBER, ORG, TREE, USER, attempt_spec, hello, load, machine_report, name,
    offer, offered_part, outcome, problem, sample, tree_part,
};
use super::Sample;
use crate::join_link::LinkPurpose;
use crate::seal::RegistryLogin;
use crate::status::{EndReason, Role};
use crate::time::Span;
use crate::units::Bytes;
use crate::usage::AttemptSample;
use crate::wire::agent::{
    AgentHello, AgentMessage, AgentStream, Assigned, Assignment, AssignmentUpdate, AttemptReport,
    CoordinatorHello, CoordinatorMessage, Goal, KnownAttempt, LogAck, LogData, LogResume,
    RegistryAnswer, ReportStage, WantedTree,
};
use crate::wire::client::{ClientStream, DownloadSource, UploadPurpose};
use crate::wire::data::{Announced, Based, ChunkAsk, Run, Stored, Wanted};
use crate::wire::join::{JoinAnswer, JoinRequest};

pub(super) fn samples() -> Vec<Sample> {
    let mut all = vec![
        Sample::new("problem", &problem()),
        Sample::new("hello", &hello()),
        Sample::new("log_resume", &LogResume { offset: 300 }),
        Sample::new(
            "log_data",
            &LogData {
                offset: 1 << 40,
                bytes: b"line\n".to_vec(),
            },
        ),
        Sample::new("log_ack", &LogAck { offset: 0 }),
        Sample::new(
            "wanted",
            &Wanted {
                runs: Run::of([0, 250, 251, 65_536]),
            },
        ),
        Sample::new("damaged", &ChunkAsk::Damaged { ordinal: 300 }),
        Sample::new(
            "wanted",
            &ChunkAsk::Wanted(Wanted {
                runs: Run::of([7, 8]),
            }),
        ),
        Sample::new("offer", &offer()),
        Sample::new("offered_part", &offered_part()),
        Sample::new("stored", &Stored { tree: TREE }),
        Sample::new("based", &Based { tree: Some(TREE) }),
        Sample::new("not_based", &Based { tree: None }),
        Sample::new("tree_part", &tree_part()),
    ];
    all.extend(requests::requests());
    all.extend(audit::audit());
    all.extend(datasets::datasets());
    all.extend(usage::usage());
    all.extend(answers::answers());
    all.extend(approvals::approvals());
    all.extend(orgs::orgs());
    all.extend(projects::projects());
    all.extend(invitations::invitations());
    all.extend(accounts::accounts());
    all.extend(peers::peers());
    all.extend(secrets::secrets());
    all.extend(jobs::jobs());
    all.extend(limits::messages());
    all.extend(shares::messages());
    all.extend(client_streams());
    all.extend(agent_messages());
    all.extend(coordinator_messages());
    all.extend(join_messages());
    all
}

const ANNOUNCED: Announced = Announced {
    files: 3,
    bytes: Bytes(70_000),
    beside: None,
};

fn client_streams() -> Vec<Sample> {
    let download = |source| ClientStream::Download { org: ORG, source };
    let upload = |purpose| ClientStream::Upload {
        org: ORG,
        announced: ANNOUNCED,
        purpose,
    };
    vec![
        Sample::new("request", &ClientStream::Request),
        Sample::new(
            "upload_workdir",
            &upload(UploadPurpose::Workdir {
                project: Some(name("vision")),
            }),
        ),
        Sample::new(
            "upload_dataset",
            &upload(UploadPurpose::Dataset {
                name: name("digits"),
                project: None,
            }),
        ),
        Sample::new(
            "chunks",
            &ClientStream::Chunks {
                org: ORG,
                source: DownloadSource::Artifacts {
                    job: NUMBER,
                    task: 7,
                    attempt: None,
                },
                tree: TREE,
            },
        ),
        Sample::new("pieces", &ClientStream::Pieces { upload: 400 }),
        Sample::new(
            "download_dataset",
            &download(DownloadSource::Dataset {
                name: name("digits"),
                version: Some(3),
            }),
        ),
        Sample::new(
            "download_artifacts",
            &download(DownloadSource::Artifacts {
                job: NUMBER,
                task: 7,
                attempt: Some(2),
            }),
        ),
    ]
}

fn agent_messages() -> Vec<Sample> {
    let report = |report| AgentMessage::Attempt {
        attempt: ATTEMPT,
        report,
    };
    let hello = AgentHello {
        hello: hello(),
        report: machine_report(),
        generation: 9,
        attempts: vec![ATTEMPT],
    };
    let heartbeat = AgentMessage::Heartbeat {
        sequence: 1,
        load: load(),
        report: Some(Box::new(machine_report())),
    };
    let ended = AttemptReport::Ended {
        at: AT,
        outcome: outcome(),
        artifacts: true,
    };
    vec![
        Sample::new("agent_hello", &hello),
        Sample::new("heartbeat", &heartbeat),
        Sample::new("preparing", &report(AttemptReport::Preparing)),
        Sample::new(
            "usage",
            &AgentMessage::Usage {
                samples: vec![AttemptSample {
                    attempt: ATTEMPT,
                    sample: sample(),
                }],
            },
        ),
        Sample::new(
            "fetched",
            &AgentMessage::Fetched {
                tree: TREE,
                problem: None,
            },
        ),
        Sample::new("started", &report(AttemptReport::Started { at: AT })),
        Sample::new("ended", &report(ended)),
        Sample::new(
            "artifacts",
            &report(AttemptReport::Artifacts { tree: TREE }),
        ),
        Sample::new("artifacts_lost", &report(AttemptReport::ArtifactsLost)),
        Sample::new("returned", &report(AttemptReport::Returned)),
        Sample::new(
            "attempts",
            &AgentMessage::Attempts {
                reports: vec![
                    (ATTEMPT, AttemptReport::Started { at: AT }),
                    (ATTEMPT, AttemptReport::ArtifactsLost),
                ],
            },
        ),
        Sample::new("renew", &AgentMessage::Renew { csr: vec![0x30] }),
        Sample::new("log", &AgentStream::Log { attempt: ATTEMPT }),
        Sample::new(
            "download",
            &AgentStream::Download {
                tree: TREE,
                beside: Vec::new(),
            },
        ),
        Sample::new(
            "download_beside",
            &AgentStream::Download {
                tree: TREE,
                beside: vec![TREE],
            },
        ),
        Sample::new(
            "upload",
            &AgentStream::Upload {
                attempt: ATTEMPT,
                announced: ANNOUNCED,
            },
        ),
        Sample::new("chunks", &AgentStream::Chunks { tree: TREE }),
        Sample::new("pieces", &AgentStream::Pieces { upload: 4 }),
        Sample::new(
            "registry_login",
            &AgentStream::RegistryLogin { attempt: ATTEMPT },
        ),
        Sample::new(
            "registry_answer",
            &RegistryAnswer {
                login: RegistryLogin {
                    registry: "ghcr.io".to_owned(),
                    user: "ada".to_owned(),
                    password: "pw".to_owned(),
                },
            },
        ),
    ]
}

fn coordinator_messages() -> Vec<Sample> {
    let hello = CoordinatorHello {
        hello: hello(),
        machine: name("box"),
        org: name("lab"),
        lease: Span::from_secs(300),
        heartbeat: Span::from_secs(10),
        now: AT,
    };
    let goals = [
        Goal::Run,
        Goal::Stop {
            reason: EndReason::Cancelled,
        },
        Goal::Collect,
        Goal::Return,
    ];
    let assignment = Assignment {
        generation: 10,
        attempts: goals
            .into_iter()
            .map(|goal| Assigned {
                attempt: ATTEMPT,
                goal,
                spec: attempt_spec(),
                after: (goal == Goal::Return).then_some(ATTEMPT),
            })
            .collect(),
        trees: vec![WantedTree {
            tree: TREE,
            name: "digits@3".to_owned(),
        }],
    };
    let update = AssignmentUpdate {
        generation: 11,
        new: assignment.attempts[..1].to_vec(),
        known: vec![KnownAttempt {
            attempt: ATTEMPT,
            goal: Goal::Collect,
            after: Some(ATTEMPT),
        }],
        trees: assignment.trees.clone(),
    };
    let ack = |stage| CoordinatorMessage::AttemptAck {
        attempt: ATTEMPT,
        stage,
    };
    vec![
        Sample::new("coordinator_hello", &hello),
        Sample::new("assignment", &CoordinatorMessage::Assignment(assignment)),
        Sample::new("update", &CoordinatorMessage::Update(update)),
        Sample::new(
            "heartbeat_ack",
            &CoordinatorMessage::HeartbeatAck { sequence: 251 },
        ),
        Sample::new("ack_preparing", &ack(ReportStage::Preparing)),
        Sample::new("ack_started", &ack(ReportStage::Started)),
        Sample::new("ack_ended", &ack(ReportStage::Ended)),
        Sample::new("ack_artifacts", &ack(ReportStage::Artifacts)),
        Sample::new("ack_returned", &ack(ReportStage::Returned)),
        Sample::new(
            "attempt_acks",
            &CoordinatorMessage::AttemptAcks {
                acks: vec![
                    (ATTEMPT, ReportStage::Started),
                    (ATTEMPT, ReportStage::Artifacts),
                ],
            },
        ),
        Sample::new(
            "certificate",
            &CoordinatorMessage::Certificate {
                chain: vec![vec![1]],
            },
        ),
        Sample::new("refused", &CoordinatorMessage::Refused(problem())),
    ]
}

fn join_messages() -> Vec<Sample> {
    // These two hide their secrets from `Debug`, and so from a failing comparison.
    let enrol = |purpose, handle| JoinRequest::Enrol {
        secret: "SECRET".to_owned(),
        purpose,
        handle,
        csr: vec![0x30],
        device: name("laptop"),
        code: Some("123456".to_owned()),
    };
    vec![
        Sample::new("enrol_join", &enrol(LinkPurpose::Join, Some(name("bob")))),
        Sample::new("enrol_login", &enrol(LinkPurpose::Login, None)),
        Sample::new(
            "claim_machine",
            &JoinRequest::ClaimMachine {
                machine: MACHINE,
                csr: vec![0x30],
            },
        ),
        Sample::new(
            "exchange_token",
            &JoinRequest::ExchangeToken {
                token: "cs_SECRET".to_owned(),
                csr: vec![0x30],
                device: name("ci"),
            },
        ),
        Sample::new(
            "enrolled",
            &JoinAnswer::Enrolled {
                user: USER,
                handle: name("bob"),
                org: ORG,
                org_name: name("lab"),
                role: Role::Member,
                chain: vec![vec![1], vec![2]],
            },
        ),
        Sample::new(
            "waiting",
            &JoinAnswer::Waiting {
                org_name: name("lab"),
                name: name("box"),
            },
        ),
        Sample::new(
            "approved",
            &JoinAnswer::Approved {
                org_name: name("lab"),
                name: name("box"),
                chain: vec![vec![1]],
            },
        ),
    ]
}
