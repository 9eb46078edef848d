//! A machine that is played by the test: registered, approved, given a job, and heard to its end.

use certs::{Identity, PrivateKey, client_config};
use common::{
    api::{
        Answer, Request,
        job::{FollowEvent, FollowJob, LogCursor, SubmitJob, Submitted},
        member::RegisterMachine,
    },
    code::Code,
    id::{AttemptId, IdempotencyKey},
    job::{AttemptUsage, JobSpec, Outcome},
    machine::{Isolation, MachineLoad, MachineReport, SystemInfo},
    name::Name,
    problem::Problem,
    resources::{Capacity, Request as Resources},
    status::{EndReason, IsolationLevel, JobStatus},
    time::Timestamp,
    units::{Bytes, MilliCpu},
    wire::{
        ALPN_AGENT, ALPN_JOIN, Hello,
        agent::{
            AgentHello, AgentMessage, AgentStream, Assigned, AttemptReport, CoordinatorHello,
            CoordinatorMessage, Goal, ReportStage,
        },
        client::ClientStream,
        frame,
        join::{JoinAnswer, JoinRequest},
    },
};
use link::{
    endpoint::Dialer,
    frames::{self, FrameReceiver, FrameSender, RecvError},
};

use crate::{
    lab::{Lab, Signed, ask, name},
    streams::LogStreamOf,
};

/// A machine with its certificate.
pub(crate) struct Machine {
    pub(crate) called: Name,
    pub(crate) key: PrivateKey,
    pub(crate) identity: Identity,
}

/// A machine's connection with its control stream.
pub(crate) struct Control {
    pub(crate) connection: quinn::Connection,
    pub(crate) tx: FrameSender,
    pub(crate) rx: FrameReceiver,
    /// The last set.
    pub(crate) told: Vec<Assigned>,
}

fn capacity() -> Capacity {
    Capacity {
        cpu: MilliCpu::cpus(4),
        memory: Bytes::gib(8),
        disk: Bytes::gib(100),
        gpus: Vec::new(),
    }
}

fn report() -> MachineReport {
    MachineReport::lending_all(
        capacity(),
        Isolation::of(IsolationLevel::A),
        SystemInfo::default(),
    )
}

pub(crate) fn job(org: common::id::OrgId) -> SubmitJob {
    SubmitJob {
        org,
        spec: JobSpec {
            request: Resources {
                cpu: MilliCpu::cpus(1),
                memory: Bytes::mib(64),
                disk: Bytes::mib(64),
                gpu: None,
                exclusive: false,
            },
            ..JobSpec::of(vec!["true".to_owned()])
        },
        key: IdempotencyKey::from_bytes([7; 16]),
        dry_run: false,
    }
}

/// Registers a machine of the org's owner.
pub(crate) async fn machine(lab: &Lab, owner: &Signed) -> Machine {
    machine_of(lab, owner, owner, "box").await
}

/// Registers a machine of a member, lets it ask for its certificate, and approves it while it waits.
pub(crate) async fn machine_of(lab: &Lab, owner: &Signed, admin: &Signed, called: &str) -> Machine {
    let called = name(called);
    let member = lab.connect(owner).await;
    let key = PrivateKey::generate().unwrap();
    let request = RegisterMachine {
        org: owner.org,
        name: called.clone(),
        key: key.fingerprint(),
    };
    let answer = ask(&member, Request::RegisterMachine(request.clone())).await;
    let Ok(Answer::Registered(registered)) = answer else {
        panic!("{answer:?}");
    };
    let again = ask(&member, Request::RegisterMachine(request)).await;
    assert_eq!(again, Ok(Answer::Registered(registered)));

    let tls = client_config(lab.running.fingerprint(), None, ALPN_JOIN).unwrap();
    let address = lab.running.address().to_string();
    let stranger = Dialer::new().unwrap().dial(&address, tls).await.unwrap();
    let (mut tx, mut rx) = frames::split(stranger.open_bi().await.unwrap());
    let claim = JoinRequest::ClaimMachine {
        machine: registered.machine,
        csr: key.request().unwrap(),
    };
    tx.send(&claim).await.unwrap();
    tx.finish();
    let waiting: JoinAnswer = rx.expect().await.unwrap();
    assert!(matches!(waiting, JoinAnswer::Waiting { .. }), "{waiting:?}");
    let approval = Request::ApproveMachine {
        org: owner.org,
        name: called.clone(),
    };
    let admin = lab.connect(admin).await;
    assert_eq!(ask(&admin, approval).await, Ok(Answer::Done));
    let approved: JoinAnswer = rx.expect().await.unwrap();
    let JoinAnswer::Approved { chain, .. } = approved else {
        panic!("{approved:?}");
    };
    Machine {
        called,
        identity: Identity::new(chain, &key).unwrap(),
        key,
    }
}

impl Control {
    /// Asks something on a stream of its own.
    pub(crate) async fn ask<T: frame::Message>(&self, question: AgentStream) -> Result<T, Problem> {
        let stream = self.connection.open_bi().await.unwrap();
        let (mut tx, mut rx) = frames::split(stream);
        tx.send(&question).await.unwrap();
        match rx.expect::<T>().await {
            Ok(answer) => Ok(answer),
            Err(RecvError::Refused(problem)) => Err(problem),
            Err(other) => panic!("{other:?}"),
        }
    }

    pub(crate) async fn open(lab: &Lab, machine: &Machine, attempts: Vec<AttemptId>) -> Self {
        let root = lab.running.fingerprint();
        let tls = client_config(root, Some(&machine.identity), ALPN_AGENT).unwrap();
        let address = lab.running.address().to_string();
        let connection = Dialer::new().unwrap().dial(&address, tls).await.unwrap();
        let (mut tx, mut rx) = frames::split(connection.open_bi().await.unwrap());
        let hello = AgentHello {
            hello: Hello::ours(),
            report: report(),
            generation: 0,
            attempts,
        };
        tx.send(&hello).await.unwrap();
        let answer: CoordinatorHello = rx.expect().await.unwrap();
        assert_eq!(answer.machine, machine.called);
        assert_eq!(answer.lease, lab.config.lease);
        Self {
            connection,
            tx,
            rx,
            told: Vec::new(),
        }
    }

    pub(crate) async fn next(&mut self) -> CoordinatorMessage {
        self.rx.expect().await.unwrap()
    }

    /// Waits until everything said before was taken in.
    pub(crate) async fn settled(&mut self) {
        let sequence = 77;
        let heartbeat = AgentMessage::Heartbeat {
            sequence,
            load: MachineLoad::default(),
            report: None,
        };
        self.tx.send(&heartbeat).await.unwrap();
        let ack = CoordinatorMessage::HeartbeatAck { sequence };
        while self.next().await != ack {}
    }

    pub(crate) async fn say(&mut self, attempt: AttemptId, report: AttemptReport) {
        let message = AgentMessage::Attempt { attempt, report };
        self.tx.send(&message).await.unwrap();
    }

    pub(crate) async fn acknowledged(&mut self, attempt: AttemptId, stage: ReportStage) {
        let wanted = CoordinatorMessage::AttemptAck { attempt, stage };
        while self.next().await != wanted {}
    }
}

pub(crate) fn ended(log_bytes: u64) -> AttemptReport {
    AttemptReport::Ended {
        at: Timestamp::from_unix_ms(2),
        outcome: Outcome {
            reason: EndReason::Exited,
            exit_code: Some(0),
            signal: None,
            detail: None,
            usage: AttemptUsage::default(),
            log_bytes,
        },
        artifacts: false,
    }
}

pub(crate) async fn submit(connection: &quinn::Connection, request: SubmitJob) -> Submitted {
    let answer = ask(connection, Request::SubmitJob(Box::new(request))).await;
    let Ok(Answer::Submitted(submitted)) = answer else {
        panic!("{answer:?}");
    };
    submitted
}

pub(crate) async fn follow(
    connection: &quinn::Connection,
    owner: &Signed,
    number: common::job::JobNumber,
) -> FrameReceiver {
    let (mut tx, rx) = frames::split(connection.open_bi().await.unwrap());
    tx.send(&ClientStream::Request).await.unwrap();
    let request = FollowJob {
        org: owner.org,
        number,
        task: None,
        logs: true,
        until_end: true,
        cursors: Vec::new(),
    };
    tx.send(&Request::FollowJob(request)).await.unwrap();
    rx
}

#[tokio::test]
async fn a_job_runs_and_its_follower_hears_all_of_it() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let machine = machine(&lab, &owner).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;

    let submitted = submit(&member, job(owner.org)).await;
    assert_eq!(submit(&member, job(owner.org)).await, submitted);
    let mut follower = follow(&member, &owner, submitted.number).await;
    let set = control.assignment(|set| !set.attempts.is_empty()).await;
    assert_eq!(set.attempts.len(), 1);
    assert_eq!(set.attempts[0].goal, Goal::Run);
    let attempt = set.attempts[0].attempt;
    assert_eq!(attempt.job, submitted.id);

    control.say(attempt, AttemptReport::Preparing).await;
    let at = Timestamp::from_unix_ms(1);
    control.say(attempt, AttemptReport::Started { at }).await;
    control.acknowledged(attempt, ReportStage::Started).await;

    let mut stream = LogStreamOf::open(&control, attempt).await;
    for line in ["one\n", "two\n"] {
        stream.write(line).await;
    }
    let log = stream.acknowledged().await;

    control.say(attempt, ended(log.len() as u64)).await;
    control.acknowledged(attempt, ReportStage::Ended).await;
    let gone = control.assignment(|set| set.attempts.is_empty()).await;
    assert!(gone.generation > set.generation);

    let (mut heard, mut last) = (Vec::new(), None);
    loop {
        match follower.expect::<FollowEvent>().await.unwrap() {
            FollowEvent::Status(summary) => last = Some(summary),
            FollowEvent::Log { cursor, records } => {
                let expected = LogCursor {
                    task: attempt.task,
                    attempt: attempt.number,
                    offset: heard.len() as u64,
                };
                assert_eq!(cursor, expected);
                heard.extend(records);
            }
            FollowEvent::End => break,
        }
    }
    assert_eq!(heard, log);
    assert_eq!(last.unwrap().status, JobStatus::Succeeded);
    lab.running.stop().await;
}

#[tokio::test]
async fn a_job_goes_on_over_a_restart_of_the_coordinator() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let machine = machine(&lab, &owner).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    let member = lab.connect(&owner).await;
    let submitted = submit(&member, job(owner.org)).await;
    let set = control.assignment(|set| !set.attempts.is_empty()).await;
    let attempt = set.attempts[0].attempt;
    let at = Timestamp::from_unix_ms(1);
    control.say(attempt, AttemptReport::Started { at }).await;
    control.acknowledged(attempt, ReportStage::Started).await;

    let lab = lab.restart().await;
    let mut control = Control::open(&lab, &machine, vec![attempt]).await;
    let again = control.assignment(|_| true).await;
    assert!(again.generation >= set.generation);
    assert_eq!(again.attempts[0].attempt, attempt);
    control.say(attempt, ended(0)).await;
    control.acknowledged(attempt, ReportStage::Ended).await;
    // Said again because the acknowledgement was lost.
    control.say(attempt, ended(0)).await;
    control.acknowledged(attempt, ReportStage::Ended).await;

    let member = lab.connect(&owner).await;
    let mut follower = follow(&member, &owner, submitted.number).await;
    let mut last = None;
    while let FollowEvent::Status(summary) = follower.expect().await.unwrap() {
        last = Some(summary.status);
    }
    assert_eq!(last, Some(JobStatus::Succeeded));
    lab.running.stop().await;
}

#[tokio::test]
async fn a_machine_has_one_connection_and_renews_its_certificate_over_it() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let machine = machine(&lab, &owner).await;
    let old = Control::open(&lab, &machine, Vec::new()).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    let closed = old.connection.closed().await;
    assert_eq!(link::close_problem(&closed).code, Code::WrongState);

    let csr = machine.key.request().unwrap();
    control.tx.send(&AgentMessage::Renew { csr }).await.unwrap();
    let chain = loop {
        match control.next().await {
            CoordinatorMessage::Certificate { chain } => break chain,
            CoordinatorMessage::Assignment(_) | CoordinatorMessage::Update(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let renewed = Identity::new(chain, &machine.key).unwrap();
    assert_ne!(renewed.peer().serial, machine.identity.peer().serial);
    let heartbeat = AgentMessage::Heartbeat {
        sequence: 3,
        load: MachineLoad::default(),
        report: None,
    };
    control.tx.send(&heartbeat).await.unwrap();
    let ack = CoordinatorMessage::HeartbeatAck { sequence: 3 };
    while control.next().await != ack {}

    let member = lab.connect(&owner).await;
    let removal = Request::RemoveMachine {
        org: owner.org,
        name: name("box"),
    };
    assert_eq!(ask(&member, removal).await, Ok(Answer::Done));
    let closed = control.connection.closed().await;
    assert_eq!(link::close_problem(&closed).code, Code::CertificateRevoked);
    lab.running.stop().await;
}
