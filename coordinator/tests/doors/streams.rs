//! Streams of machines and of followers: how many there may be, and who may still read.

use certs::PrivateKey;
use common::{
    api::{Answer, Request, job::FollowEvent},
    code::Code,
    id::{AttemptId, JobId},
    join_link::LinkPurpose,
    logs,
    status::{LogStream, Role},
    time::Timestamp,
    wire::agent::{
        AgentStream, AttemptReport, LogAck, LogData, LogResume, MAX_ATTEMPTS_PER_MACHINE,
        ReportStage,
    },
};
use link::frames::{self, FrameReceiver, FrameSender, RecvError};

use crate::{
    lab::{Lab, ask, invite, name},
    machine::{Control, follow, job, machine, submit},
};

/// A log on its way up.
pub(crate) struct LogStreamOf {
    tx: FrameSender,
    rx: FrameReceiver,
    sent: Vec<u8>,
}

impl LogStreamOf {
    pub(crate) async fn open(control: &Control, attempt: AttemptId) -> Self {
        let stream = control.connection.open_bi().await.unwrap();
        let (mut tx, mut rx) = frames::split(stream);
        tx.send(&AgentStream::Log { attempt }).await.unwrap();
        let resume: LogResume = rx.expect().await.unwrap();
        assert_eq!(resume.offset, 0);
        let sent = Vec::new();
        Self { tx, rx, sent }
    }

    pub(crate) async fn write(&mut self, line: &str) {
        let (offset, mut bytes) = (self.sent.len() as u64, Vec::new());
        let at = Timestamp::from_unix_ms(1);
        logs::append(&mut bytes, LogStream::Stdout, at, line.as_bytes());
        self.sent.extend_from_slice(&bytes);
        self.tx.send(&LogData { offset, bytes }).await.unwrap();
    }

    /// Waits until all of it is safe, and returns it.
    pub(crate) async fn acknowledged(&mut self) -> Vec<u8> {
        while self.rx.expect::<LogAck>().await.unwrap().offset < self.sent.len() as u64 {}
        self.sent.clone()
    }
}

#[tokio::test]
async fn a_machine_has_a_stream_for_every_attempt_it_may_hold() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let machine = machine(&lab, &owner).await;
    let control = Control::open(&lab, &machine, Vec::new()).await;
    // Opened and nothing more: the last one is served all the same.
    let mut idle = Vec::new();
    for _ in 0..MAX_ATTEMPTS_PER_MACHINE {
        let (mut tx, rx) = control.connection.open_bi().await.unwrap();
        tx.write_all(&[0]).await.unwrap();
        idle.push((tx, rx));
    }
    let stream = control.connection.open_bi().await.unwrap();
    let (mut tx, mut rx) = frames::split(stream);
    let attempt = AttemptId {
        job: JobId::from_bytes([9; 16]),
        task: 0,
        number: 1,
    };
    tx.send(&AgentStream::Log { attempt }).await.unwrap();
    let refused = rx.expect::<LogResume>().await;
    assert!(matches!(refused, Err(RecvError::Refused(problem)) if problem.code == Code::NotFound));
    lab.running.stop().await;
}

#[tokio::test]
async fn who_may_no_longer_see_a_job_hears_no_more_of_its_log() {
    let lab = Lab::start().await;
    let owner = lab.owner().await;
    let member = lab.connect(&owner).await;
    let machine = machine(&lab, &owner).await;
    let mut control = Control::open(&lab, &machine, Vec::new()).await;
    let (_, secret) = invite(&member, owner.org).await;
    let key = PrivateKey::generate().unwrap();
    let bob = lab
        .enrol(&secret, LinkPurpose::Join, Some("bob"), &key)
        .await;
    let bob = bob.unwrap();
    let set_role = |role| Request::SetRole {
        org: owner.org,
        handle: name("bob"),
        role,
    };
    assert_eq!(ask(&member, set_role(Role::Admin)).await, Ok(Answer::Done));

    let number = submit(&member, job(owner.org)).await.number;
    let set = control.assignment(|set| !set.attempts.is_empty()).await;
    let attempt = set.attempts[0].attempt;
    let at = Timestamp::from_unix_ms(1);
    control.say(attempt, AttemptReport::Started { at }).await;
    control.acknowledged(attempt, ReportStage::Started).await;
    let mut log = LogStreamOf::open(&control, attempt).await;
    log.write("one\n").await;
    let admin = lab.connect(&bob).await;
    let mut follower = follow(&admin, &bob, number).await;
    loop {
        if let FollowEvent::Log { .. } = follower.expect::<FollowEvent>().await.unwrap() {
            break;
        }
    }
    assert_eq!(ask(&member, set_role(Role::Member)).await, Ok(Answer::Done));
    log.write("two\n").await;
    let refused = follower.expect::<FollowEvent>().await;
    assert!(
        matches!(&refused, Err(RecvError::Refused(problem)) if problem.code == Code::NotFound),
        "{refused:?}"
    );
    lab.running.stop().await;
}
