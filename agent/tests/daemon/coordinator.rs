//! The other end of an agent, played step by step by a test. Every wait is for something that the agent does;
//! [`PATIENCE`] only turns a hang into a failure.

use std::{future::Future, time::Duration};

use agent::registration::{AgentFolder, Registration};
use certs::{
    Authority, CertificateRequest, Identity, MACHINE_LIFE, PrivateKey, Subject, server_config,
};
use common::{
    id::{AttemptId, JobId, MachineId},
    logs::split_record,
    machine::MachineReport,
    problem::Problem,
    time::{Span, Timestamp},
    wire::{
        Hello,
        agent::{
            AgentHello, AgentMessage, AgentStream, Assigned, Assignment, AttemptReport,
            CoordinatorHello, CoordinatorMessage, Goal, LogAck, LogData, LogResume, ReportStage,
        },
        join::{JoinAnswer, JoinRequest},
    },
};
use link::frames::{FrameReceiver, FrameSender, split};
use tokio::{sync::mpsc, time::timeout};

use crate::spec::spec;

const PATIENCE: Duration = Duration::from_secs(30);
const HEARTBEAT: Span = Span::from_millis(200);

pub(crate) async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"))
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap())
}

pub(crate) fn attempt(task: u32) -> AttemptId {
    AttemptId {
        job: JobId::from_bytes([4; 16]),
        task,
        number: 1,
    }
}

pub(crate) fn text_of(mut log: &[u8]) -> String {
    let mut text = String::new();
    while let Some((record, rest)) = split_record(log).unwrap() {
        text += &String::from_utf8_lossy(record.bytes);
        log = rest;
    }
    text
}

/// A registered machine's folder, its org's authority, and where its coordinator listens.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    authority: Authority,
    endpoint: quinn::Endpoint,
    registration: Registration,
    /// Whether the jobs are the machine's owner's own.
    own_jobs: bool,
}

impl Bench {
    /// A machine that no admin has approved yet.
    pub(crate) fn registered() -> Self {
        certs::install_crypto();
        let temp = tempfile::tempdir().unwrap();
        let authority_folder = temp.path().join("authority");
        std::fs::create_dir(&authority_folder).unwrap();
        let authority =
            Authority::create(&authority_folder, &"lab".parse().unwrap(), now()).unwrap();
        let endpoint = listen(&authority);
        let registration = Registration {
            machine: MachineId::from_bytes([6; 16]),
            name: "bob-workstation".parse().unwrap(),
            org: "lab".parse().unwrap(),
            address: endpoint.local_addr().unwrap().to_string(),
            fingerprint: authority.fingerprint(),
        };
        let bench = Self {
            folder: temp,
            authority,
            endpoint,
            registration,
            own_jobs: true,
        };
        std::fs::create_dir(bench.folder().path()).unwrap();
        bench.registration.save(&bench.folder()).unwrap();
        let key = PrivateKey::generate().unwrap();
        key.save(&bench.folder().machine_key()).unwrap();
        bench
    }

    /// A machine with a certificate.
    pub(crate) fn approved() -> Self {
        let bench = Self::registered();
        let key = PrivateKey::load(&bench.folder().machine_key()).unwrap();
        let chain = bench.issue(&key.request().unwrap());
        Identity::new(chain, &key)
            .unwrap()
            .save(&bench.folder().identity())
            .unwrap();
        bench
    }

    fn issue(&self, csr: &[u8]) -> Vec<Vec<u8>> {
        let request = CertificateRequest::parse(csr).unwrap();
        let subject = Subject::Machine(self.registration.machine);
        self.authority
            .issue(&request, subject, now(), MACHINE_LIFE)
            .unwrap()
            .chain
    }

    /// The same with jobs of other members.
    pub(crate) fn of_others(mut self) -> Self {
        self.own_jobs = false;
        self
    }

    pub(crate) fn folder(&self) -> AgentFolder {
        AgentFolder::new(self.folder.path().join("agent"))
    }

    /// Stops listening.
    pub(crate) fn unplug(&self) {
        self.endpoint.close(0_u32.into(), b"");
    }

    /// Listens again, at another port.
    pub(crate) fn plugged_in(mut self) -> Self {
        self.endpoint = listen(&self.authority);
        self.registration.address = self.endpoint.local_addr().unwrap().to_string();
        self.registration.save(&self.folder()).unwrap();
        self
    }

    async fn connection(&self) -> quinn::Connection {
        let incoming = soon("a connection", self.endpoint.accept()).await.unwrap();
        soon("a handshake", incoming.into_future()).await.unwrap()
    }

    pub(crate) async fn accept_claim(&self) -> Claim {
        let connection = self.connection().await;
        let (mut tx, mut rx) = split(soon("a stream", connection.accept_bi()).await.unwrap());
        let request = soon("a claim", rx.expect::<JoinRequest>()).await.unwrap();
        let JoinRequest::ClaimMachine { machine, csr } = request else {
            panic!("{request:?}");
        };
        assert_eq!(machine, self.registration.machine);
        let (org_name, name) = (
            self.registration.org.clone(),
            self.registration.name.clone(),
        );
        tx.send(&JoinAnswer::Waiting { org_name, name })
            .await
            .unwrap();
        Claim {
            _connection: connection,
            tx,
            csr,
        }
    }

    pub(crate) async fn accept(&self) -> Coordinator {
        self.accept_with_lease(Span::from_secs(300)).await
    }

    pub(crate) async fn accept_with_lease(&self, lease: Span) -> Coordinator {
        let connection = self.connection().await;
        let (mut tx, mut rx) = split(
            soon("the control stream", connection.accept_bi())
                .await
                .unwrap(),
        );
        let hello = soon("a hello", rx.expect::<AgentHello>()).await.unwrap();
        hello.report.check().unwrap();
        tx.send(&CoordinatorHello {
            hello: Hello::ours(),
            machine: self.registration.name.clone(),
            org: self.registration.org.clone(),
            lease,
            heartbeat: HEARTBEAT,
            now: now(),
        })
        .await
        .unwrap();
        Coordinator {
            answers: lease > Span::from_secs(1),
            own_jobs: self.own_jobs,
            connection,
            hello,
            tx,
            rx,
            reports: Vec::new().into_iter(),
        }
    }
}

fn listen(authority: &Authority) -> quinn::Endpoint {
    let tls = server_config(&authority.server_identity(now()).unwrap()).unwrap();
    link::endpoint::listen("127.0.0.1:0".parse().unwrap(), tls).unwrap()
}

/// A machine that asks for its certificate.
pub(crate) struct Claim {
    _connection: quinn::Connection,
    tx: FrameSender,
    csr: Vec<u8>,
}

impl Claim {
    pub(crate) async fn approve(mut self, bench: &Bench) {
        let answer = JoinAnswer::Approved {
            org_name: bench.registration.org.clone(),
            name: bench.registration.name.clone(),
            chain: bench.issue(&self.csr),
        };
        self.tx.send(&answer).await.unwrap();
        self.tx.finish();
        // Kept until the agent has read it.
        drop(self.tx.delivered().await);
    }

    pub(crate) async fn refuse(mut self, problem: &Problem) {
        self.tx.refuse(problem).await.unwrap();
        drop(self.tx.delivered().await);
    }
}

/// A session with the agent.
pub(crate) struct Coordinator {
    pub(crate) connection: quinn::Connection,
    pub(crate) hello: AgentHello,
    pub(crate) tx: FrameSender,
    rx: FrameReceiver,
    /// Whether heartbeats are answered.
    answers: bool,
    own_jobs: bool,
    /// Those of a message that were not looked at yet.
    reports: std::vec::IntoIter<(AttemptId, AttemptReport)>,
}

impl Coordinator {
    pub(crate) async fn assign(&mut self, generation: u64, goals: &[(u32, Goal, &str)]) {
        let attempts = goals.iter().map(|(task, goal, script)| Assigned {
            attempt: attempt(*task),
            goal: *goal,
            spec: spec(script, self.own_jobs),
            after: None,
        });
        let assignment = CoordinatorMessage::Assignment(Assignment {
            generation,
            attempts: attempts.collect(),
            trees: Vec::new(),
        });
        self.tx.send(&assignment).await.unwrap();
    }

    pub(crate) async fn acknowledge(&mut self, attempt: AttemptId, stage: ReportStage) {
        self.tx
            .send(&CoordinatorMessage::AttemptAck { attempt, stage })
            .await
            .unwrap();
    }

    async fn message(&mut self) -> AgentMessage {
        let message = soon("a message", self.rx.expect::<AgentMessage>())
            .await
            .unwrap();
        if let AgentMessage::Heartbeat { sequence, .. } = message
            && self.answers
        {
            let ack = CoordinatorMessage::HeartbeatAck { sequence };
            self.tx.send(&ack).await.unwrap();
        }
        message
    }

    /// Returns the next report about an attempt.
    pub(crate) async fn report(&mut self) -> (AttemptId, AttemptReport) {
        loop {
            if let Some(report) = self.reports.next() {
                return report;
            }
            if let AgentMessage::Attempts { reports } = self.message().await {
                self.reports = reports.into_iter();
            }
        }
    }

    pub(crate) async fn heartbeat(&mut self) {
        while !matches!(self.message().await, AgentMessage::Heartbeat { .. }) {}
    }

    /// Returns the next report about the machine.
    pub(crate) async fn news(&mut self) -> MachineReport {
        loop {
            if let AgentMessage::Heartbeat {
                report: Some(report),
                ..
            } = self.message().await
            {
                return *report;
            }
        }
    }

    /// Loses the connection.
    pub(crate) fn cut(self) {
        self.connection
            .close(common::wire::close::SHUTDOWN.into(), b"");
    }

    /// Closes the connection for good.
    pub(crate) fn revoke(self) {
        let problem = Problem::new(common::code::Code::CertificateRevoked, "no", "removed");
        link::refuse(
            &self.connection,
            common::wire::close::UNAUTHORISED,
            &problem,
        );
    }

    /// Takes the next log stream from its beginning until it has `total` bytes.
    pub(crate) async fn log(&mut self, attempt: AttemptId, total: u64) -> Vec<u8> {
        self.read_log(attempt, |log| log.len() as u64 >= total)
            .await
    }

    /// Takes the beginning of the next log stream.
    pub(crate) async fn log_begun(&mut self, attempt: AttemptId) -> Vec<u8> {
        self.read_log(attempt, |log| !log.is_empty()).await
    }

    async fn read_log(&mut self, attempt: AttemptId, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let (pieces, mut arrived) = mpsc::unbounded_channel();
        let connection = self.connection.clone();
        tokio::spawn(async move {
            let (mut tx, mut rx) = split(connection.accept_bi().await.unwrap());
            let first = rx.expect::<AgentStream>().await.unwrap();
            assert_eq!(first, AgentStream::Log { attempt });
            tx.send(&LogResume { offset: 0 }).await.unwrap();
            let mut offset = 0;
            while let Ok(Some(data)) = rx.recv::<LogData>().await {
                assert_eq!(data.offset, offset, "a gap or a double");
                offset += data.bytes.len() as u64;
                if pieces.send(data.bytes).is_err() || tx.send(&LogAck { offset }).await.is_err() {
                    break;
                }
            }
            tx.finish();
            drop(tx.delivered().await);
        });
        let mut log = Vec::new();
        while !enough(&log) {
            let piece = soon("a piece of log", arrived.recv()).await;
            log.extend(piece.expect("the log ends too early"));
        }
        log
    }
}
