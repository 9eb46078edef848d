//! A world to test in: a clock, fresh ids, and short words for long commands.

use std::{collections::BTreeMap, time::Duration};

use common::{
    api::{
        self,
        explain::Explanation,
        job::{CancelJob, ShowJob, SubmitJob},
        limits::SetMemberLimits,
        shares::{SetWeight, Weighed},
    },
    code::Code,
    id::{
        AttemptId, CertificateSerial, CodeDigest, DatasetId, DeviceId, Fingerprint, IdempotencyKey,
        InvitationId, JobId, MachineId, OrgId, TreeId, UserId,
    },
    job::{ArraySpec, AttemptUsage, JobDetail, JobNumber, JobSpec, Outcome},
    join_link::LinkPurpose,
    limits::{Amount, Limits, ResourceLimits},
    machine::{Isolation, MachineReport, SystemInfo},
    name::Name,
    problem::Problem,
    resources::{Capacity, Request},
    status::{EndReason, IsolationLevel, Role, Visibility},
    time::{Span, Timestamp},
    units::{Bytes, MilliCpu},
    usage::UsageSample,
    wire::agent::AttemptReport,
};

use crate::{
    Actor, Body, Command, Event, Rejection, State, apply,
    command::{
        NewCertificate, SignIn,
        invitation::{CreateInvitations, InvitationCommand, NewInvitation},
    },
    decide,
    lifecycle::attempt::AttemptState,
    query::{Presence, Samples, answer},
    schedule::explain::{Subject, explain},
};

pub(super) const ORG: OrgId = OrgId::from_bytes([1; 16]);

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) state: State,
    pub(super) now: Timestamp,
    minted: u8,
    /// What the shell would know.
    pub(super) samples: Sampled,
}

/// The samples of each attempt, oldest first.
pub(super) type Sampled = BTreeMap<AttemptId, Vec<UsageSample>>;

impl Samples for Sampled {
    fn newest(&self, attempt: AttemptId, most: usize) -> Vec<UsageSample> {
        let all = self.get(&attempt).map_or(&[][..], Vec::as_slice);
        all[all.len().saturating_sub(most)..].to_vec()
    }
}

/// Returns the name.
pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

/// Returns what a computer says of itself that signs in.
pub(super) fn sign_in(number: u8) -> SignIn {
    SignIn {
        fresh_device: DeviceId::from_bytes([number; 16]),
        name: name("laptop"),
        proof: None,
    }
}

pub(super) fn machine_id(number: u8) -> MachineId {
    MachineId::from_bytes([number; 16])
}

pub(super) fn job_id(number: u8) -> JobId {
    JobId::from_bytes([number; 16])
}

/// Returns the machines in the order in which they were placed on.
pub(super) fn where_to(placed: &[(AttemptId, MachineId)]) -> Vec<MachineId> {
    placed.iter().map(|(_, machine)| *machine).collect()
}

pub(super) fn tree(number: u8) -> TreeId {
    TreeId::new([number; 32])
}

pub(super) const ALICE: UserId = UserId::from_bytes([1; 16]);
pub(super) const BOB: UserId = UserId::from_bytes([2; 16]);
pub(super) const CAROL: UserId = UserId::from_bytes([3; 16]);

pub(super) fn capacity(cpus: u32, gib: u64) -> Capacity {
    Capacity {
        cpu: MilliCpu::cpus(cpus),
        memory: Bytes::gib(gib),
        disk: Bytes::gib(100),
        gpus: Vec::new(),
    }
}

pub(super) fn report(capacity: Capacity) -> MachineReport {
    MachineReport::lending_all(
        capacity,
        Isolation::of(IsolationLevel::A),
        SystemInfo::default(),
    )
}

/// Returns bounds in the least units: thousandths of a processor, bytes, GPUs.
pub(super) fn bounds(limits: &[(&str, u64)]) -> ResourceLimits {
    let mut bounds = ResourceLimits::default();
    for (resource, most) in limits {
        let resource = resource.parse().unwrap();
        bounds.set(resource, Amount(*most)).unwrap();
    }
    bounds
}

pub(super) fn spec() -> JobSpec {
    JobSpec {
        name: "work".to_owned(),
        ..JobSpec::of(vec!["true".to_owned()])
    }
}

pub(super) fn asking(cpus: u32, gib: u64) -> JobSpec {
    JobSpec {
        request: Request {
            cpu: MilliCpu::cpus(cpus),
            memory: Bytes::gib(gib),
            ..Request::default()
        },
        ..spec()
    }
}

pub(super) fn array(tasks: u32, parallel: Option<u32>) -> JobSpec {
    JobSpec {
        array: Some(ArraySpec::of(0, tasks - 1, parallel)),
        ..spec()
    }
}

pub(super) fn outcome(reason: EndReason, exit_code: Option<i32>) -> Outcome {
    Outcome {
        reason,
        exit_code,
        signal: None,
        detail: None,
        usage: AttemptUsage {
            wall: Span::from_millis(1_500),
            ..AttemptUsage::default()
        },
        log_bytes: 0,
    }
}

/// Returns the code under which a person meets this rejection.
#[track_caller]
pub(super) fn refused(result: Result<Vec<Event>, Rejection>) -> Problem {
    let problem = Problem::from(result.expect_err("this should be refused"));
    assert_ne!(problem.code, Code::Internal, "{problem}");
    assert!(!problem.what.is_empty() && !problem.why.is_empty() && !problem.help.is_empty());
    problem
}

/// Returns a wish for one invitation whose code is `number`.
pub(super) fn wish(number: u8, role: Role) -> CreateInvitations {
    CreateInvitations {
        org: ORG,
        role,
        ttl: Span::from_secs(3600),
        uses: 1,
        invitee: None,
        batch: vec![NewInvitation {
            id: InvitationId::from_bytes([number; 16]),
            codes: vec![CodeDigest::new([number; 32])],
        }],
    }
}

impl World {
    /// Returns an org `lab` with its owner alice, and bob and carol as members.
    pub(super) fn new() -> Self {
        let mut world = Self {
            state: State::new(),
            now: Timestamp::from_unix_ms(1_700_000_000_000),
            minted: 100,
            samples: Sampled::new(),
        };
        let body = Body::CreateOrg {
            org: ORG,
            name: name("lab"),
            owner: ALICE,
            handle: name("alice"),
        };
        world.must(Actor::System, body);
        world.join(2, "bob", Role::Member);
        world.join(3, "carol", Role::Member);
        world
    }

    pub(super) fn mint(&mut self) -> u8 {
        self.minted += 1;
        self.minted
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.now = self.now.saturating_add(Duration::from_secs(seconds));
    }

    pub(super) fn run(&mut self, actor: Actor, body: Body) -> Result<Vec<Event>, Rejection> {
        let command = Command {
            at: self.now,
            actor,
            body,
        };
        let events = decide(&self.state, &command)?;
        for event in &events {
            super::audit::check_entry(&self.state, event);
            apply(&mut self.state, event);
        }
        Ok(events)
    }

    #[track_caller]
    pub(super) fn must(&mut self, actor: Actor, body: Body) -> Vec<Event> {
        self.run(actor, body).expect("this should be done")
    }

    /// Asks what only reads.
    pub(super) fn ask(&self, who: UserId, question: &api::Request) -> Result<api::Answer, Problem> {
        let presence = Presence {
            contacts: &BTreeMap::new(),
            certificate: CertificateSerial::new([0; 16]),
            certificate_expires_at: self.now,
            version: "0",
            sealing_key: &[],
            samples: &self.samples,
        };
        answer(&self.state, &presence, self.now, who, question)
    }

    pub(super) fn user_does(&mut self, user: UserId, body: Body) -> Result<Vec<Event>, Rejection> {
        self.run(Actor::User(user), body)
    }

    pub(super) fn certificate(&mut self, key: u8) -> NewCertificate {
        let serial = self.mint();
        NewCertificate {
            serial: CertificateSerial::new([serial; 16]),
            key: Fingerprint::new([key; 32]),
            expires_at: self.now.saturating_add(Duration::from_secs(7 * 86_400)),
        }
    }

    /// Makes an invitation whose code is `number`, by alice.
    pub(super) fn invite(&mut self, number: u8, role: Role, uses: u32) -> InvitationId {
        self.invite_by(ALICE, number, role, uses)
    }

    pub(super) fn invite_by(
        &mut self,
        maker: UserId,
        number: u8,
        role: Role,
        uses: u32,
    ) -> InvitationId {
        let invitation = InvitationId::from_bytes([number; 16]);
        let wish = CreateInvitations {
            uses,
            ..wish(number, role)
        };
        let body = Body::Invitation(InvitationCommand::Create(wish));
        self.must(Actor::User(maker), body);
        invitation
    }

    pub(super) fn enrol(
        &mut self,
        code: u8,
        key: u8,
        fresh: u8,
        handle: &str,
    ) -> Result<Vec<Event>, Rejection> {
        let certificate = self.certificate(key);
        let body = Body::Enrol {
            code: CodeDigest::new([code; 32]),
            purpose: LinkPurpose::Join,
            fresh_user: user(fresh),
            handle: Some(name(handle)),
            sign_in: sign_in(fresh),
            certificate,
        };
        self.run(Actor::Stranger, body)
    }

    pub(super) fn join(&mut self, number: u8, handle: &str, role: Role) {
        self.invite(number, role, 1);
        self.enrol(number, number, number, handle).unwrap();
    }

    pub(super) fn limit(&mut self, limits: Limits) {
        let limits = Box::new(limits);
        self.must(Actor::User(ALICE), Body::ApplyLimits { org: ORG, limits });
    }

    /// Sets limits of one member, by alice.
    pub(super) fn limit_member(&mut self, member: UserId, limits: &[(&str, u64)]) {
        let body = Body::SetMemberLimits(SetMemberLimits {
            org: ORG,
            handle: self.state.users[&member].handle.clone(),
            set: bounds(limits),
            unset: Vec::new(),
        });
        self.must(Actor::User(ALICE), body);
    }

    pub(super) fn weigh(&mut self, member: UserId, weight: &str) {
        let body = Body::SetWeight(SetWeight {
            org: ORG,
            of: Weighed::Member(self.state.users[&member].handle.clone()),
            weight: weight.parse().unwrap(),
        });
        self.must(Actor::User(ALICE), body);
    }

    /// Registers, approves and connects a machine.
    pub(super) fn machine(
        &mut self,
        number: u8,
        owner: UserId,
        called: &str,
        report: MachineReport,
    ) {
        self.register(number, owner, called).unwrap();
        let name = name(called);
        self.must(Actor::User(ALICE), Body::ApproveMachine { org: ORG, name });
        let certificate = self.certificate(number);
        let body = Body::ClaimMachine {
            machine: machine_id(number),
            certificate,
        };
        self.must(Actor::Stranger, body);
        self.connect(number, report, &[]);
    }

    pub(super) fn register(
        &mut self,
        number: u8,
        owner: UserId,
        called: &str,
    ) -> Result<Vec<Event>, Rejection> {
        let body = Body::RegisterMachine {
            machine: machine_id(number),
            org: ORG,
            name: name(called),
            key: Fingerprint::new([number; 32]),
            from: None,
        };
        self.user_does(owner, body)
    }

    pub(super) fn connect(&mut self, number: u8, report: MachineReport, attempts: &[AttemptId]) {
        let body = Body::ConnectMachine {
            report,
            attempts: attempts.to_vec(),
        };
        self.must(Actor::Machine(machine_id(number)), body);
    }

    pub(super) fn disconnect(&mut self, number: u8) {
        let machine = machine_id(number);
        self.must(Actor::System, Body::DisconnectMachine { machine });
    }

    pub(super) fn expire(&mut self, number: u8) {
        let machine = machine_id(number);
        self.must(Actor::System, Body::ExpireLease { machine });
    }

    /// Submits with a key of its own.
    pub(super) fn submit(
        &mut self,
        owner: UserId,
        number: u8,
        spec: JobSpec,
    ) -> Result<Vec<Event>, Rejection> {
        let request = SubmitJob {
            org: ORG,
            spec,
            key: IdempotencyKey::from_bytes([number; 16]),
            dry_run: false,
        };
        let job = job_id(number);
        self.user_does(owner, Body::SubmitJob { job, request })
    }

    pub(super) fn cancel(
        &mut self,
        by: UserId,
        number: u64,
        task: Option<u32>,
    ) -> Result<Vec<Event>, Rejection> {
        let body = Body::CancelJob(CancelJob {
            org: ORG,
            number: JobNumber(number),
            task,
            dependants: false,
        });
        self.user_does(by, body)
    }

    /// Returns the job as somebody sees it.
    pub(super) fn seen_by(&self, who: UserId, number: u64) -> JobDetail {
        let show = api::Request::ShowJob(ShowJob {
            org: ORG,
            number: JobNumber(number),
            task: None,
            attempts: 10,
            live: false,
        });
        match self.ask(who, &show).unwrap() {
            api::Answer::Job(job) => *job,
            other => panic!("{other:?}"),
        }
    }

    /// Says why a job waits.
    pub(super) fn why(&self, number: u8) -> Explanation {
        let id = job_id(number);
        let (job, progress) = (&self.state.jobs[&id], &self.state.progress[&id]);
        explain(&self.state, self.now, &Subject::of(id, job, progress))
    }

    /// Places until nothing more fits, and returns what was placed where.
    pub(super) fn schedule(&mut self) -> Vec<(AttemptId, MachineId)> {
        const MOST_PASSES: usize = 1000;
        let mut placed = Vec::new();
        for _ in 0..MOST_PASSES {
            if !self.state.schedule_due() {
                return placed;
            }
            for event in self.must(Actor::System, Body::Schedule { most: 8 }) {
                if let Event::AttemptPlaced {
                    attempt, machine, ..
                } = event
                {
                    placed.push((attempt, machine));
                }
            }
        }
        panic!("the schedule never settles");
    }

    pub(super) fn report(
        &mut self,
        attempt: AttemptId,
        report: AttemptReport,
    ) -> Result<Vec<Event>, Rejection> {
        let machine = self.state.attempts[&attempt].machine;
        let size = matches!(report, AttemptReport::Artifacts { .. });
        let body = Body::ReportAttempt {
            attempt,
            report,
            artifact_size: size.then_some((Bytes::kib(1), 1)),
        };
        self.run(Actor::Machine(machine), body)
    }

    pub(super) fn start(&mut self, attempt: AttemptId) {
        let at = self.now;
        self.report(attempt, AttemptReport::Started { at }).unwrap();
    }

    pub(super) fn end(&mut self, attempt: AttemptId, outcome: Outcome) -> Vec<Event> {
        let report = AttemptReport::Ended {
            at: self.now,
            outcome,
            artifacts: false,
        };
        self.report(attempt, report).unwrap()
    }

    pub(super) fn succeed(&mut self, attempt: AttemptId) {
        self.end(attempt, outcome(EndReason::Exited, Some(0)));
    }

    /// Adds a version that everybody may read.
    pub(super) fn dataset(&mut self, owner: UserId, number: u8, called: &str) {
        self.dataset_of(owner, number, called, Bytes::mib(1));
    }

    pub(super) fn dataset_of(&mut self, owner: UserId, number: u8, called: &str, bytes: Bytes) {
        let body = Body::AddDatasetVersion {
            dataset: DatasetId::from_bytes([number; 16]),
            request: api::data::AddDatasetVersion {
                org: ORG,
                name: name(called),
                tree: tree(number),
                description: None,
                visibility: Some(Visibility::OrgRead),
                project: None,
            },
            bytes,
            files: 3,
        };
        self.user_does(owner, body).unwrap();
    }

    pub(super) fn live(&self) -> Vec<AttemptId> {
        let attempts = self.state.attempts.iter();
        let live = attempts.filter(|(_, a)| !matches!(a.state, AttemptState::Ended(_)));
        live.map(|(id, _)| *id).collect()
    }
}
