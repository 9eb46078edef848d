//! Every list there is, with rows by number. They are put in as a store would, not made by commands: some bounds of orgs
//! are below the length of a page.

use common::{
    api::{
        Answer, MAX_ROWS, Request,
        approval::{ApprovalAnswer, ApprovalRequest},
        invitation::{InvitationAnswer, InvitationRequest, PendingInvitation},
        job::ListJobs,
        project::{ProjectAnswer, ProjectRequest},
        secret::{SecretAnswer, SecretPlace, SecretRequest},
        token::{TokenAnswer, TokenRequest},
    },
    approval::ApprovalView,
    dataset::DatasetView,
    id::{
        ApprovalId, CodeDigest, DatasetId, IdempotencyKey, InvitationId, JobId, MachineId,
        ProjectId, SecretId, TokenId, UserId,
    },
    job::{JobNumber, JobSummary},
    join_link::LinkPurpose,
    machine::MachineView,
    name::Name,
    org::{InvitationView, MemberView, settings::SettingsChange},
    project::{ProjectView, Restrictions},
    seal::Sealed,
    secret::{SecretKind, SecretView},
    status::{Access, Role, TokenScope, Visibility},
    token::TokenView,
};

use super::{
    super::world::{ALICE, BOB, CAROL, ORG, World, job_id, machine_id, name, spec},
    List,
};
use crate::{
    Actor, Body,
    command::OrgCommand,
    lifecycle::{approval::ApprovalState, machine::MachineState},
    state::{
        account::Token,
        approval::{Approval, ApprovalSubject},
        dataset::Dataset,
        invitation::{Guest, Invitation},
        machine::Machine,
        org::{Member, User},
        project::Project,
        secret::{Secret, SecretUsers},
    },
};

/// Nobody's member.
const DAVE: UserId = UserId::from_bytes([4; 16]);
/// Of job numbers, which are listed from the greatest on.
const LAST_JOB: u64 = 1_000_000;

/// Ids in the order of the numbers, above those that the world makes.
fn id(number: u32) -> [u8; 16] {
    let mut bytes = [0xee; 16];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Ids against the order of the numbers, for lists that begin with the newest.
fn newer(number: u32) -> [u8; 16] {
    id(u32::MAX - number)
}

fn tail(bytes: &[u8; 16]) -> u32 {
    u32::from_be_bytes(bytes[12..].try_into().unwrap())
}

fn called(number: u32) -> Name {
    name(&format!("row-{number:05}"))
}

fn number_of(name: &Name) -> u32 {
    let number = name.as_str().strip_prefix("row-");
    number.map_or(u32::MAX, |number| number.parse().unwrap())
}

pub(super) fn members() -> List<MemberView, UserId> {
    List {
        who: CAROL,
        ask: |after| Request::ListMembers { org: ORG, after },
        page: |answer| match answer {
            Answer::Members(page) => Some(page),
            _ => None,
        },
        number: |row| number_of(&row.handle),
        put: |world, number| {
            let row = User {
                handle: called(number),
                created_at: world.now,
                profile: Default::default(),
            };
            let user = UserId::from_bytes(id(number));
            world.state.users.insert(user, row);
            let row = Member {
                role: Role::Member,
                joined_at: world.now,
            };
            world.state.members.insert((ORG, user), row);
        },
        take: |world, number| {
            let user = UserId::from_bytes(id(number));
            world.state.members.remove(&(ORG, user));
        },
    }
}

#[test]
fn members_in_pages() {
    members().check(World::new());
}

pub(super) fn members_may_invite(world: &mut World) {
    let mut change = SettingsChange::default();
    change.set("members_may_invite", "on").unwrap();
    let change = Box::new(change);
    let body = OrgCommand::ChangeSettings { org: ORG, change };
    world.must(Actor::User(ALICE), Body::Org(body));
}

pub(super) fn put_invitation(world: &mut World, number: u32) {
    let row = Invitation {
        org: ORG,
        role: Role::Member,
        purpose: LinkPurpose::Join,
        user: None,
        codes: Vec::new(),
        created_by: ALICE,
        created_at: world.now,
        expires_at: world.now.saturating_add(std::time::Duration::from_secs(60)),
        uses_left: 1,
        revoked_at: None,
        invitee: Some(Guest::User(DAVE)),
        declined_at: None,
        used_up_at: None,
    };
    let row_of_dave = || User {
        handle: name("dave"),
        created_at: world.now,
        profile: Default::default(),
    };
    world.state.users.entry(DAVE).or_insert_with(row_of_dave);
    let id = InvitationId::from_bytes(newer(number));
    world.state.invitations.insert(id, row);
}

fn take_invitation(world: &mut World, number: u32) {
    let id = InvitationId::from_bytes(newer(number));
    world.state.invitations.remove(&id);
}

pub(super) fn invitations() -> List<InvitationView, InvitationId> {
    List {
        who: ALICE,
        ask: |after| Request::ListInvitations { org: ORG, after },
        page: |answer| match answer {
            Answer::Invitations(page) => Some(page),
            _ => None,
        },
        number: |row| u32::MAX - tail(row.id.as_bytes()),
        put: put_invitation,
        take: take_invitation,
    }
}

#[test]
fn invitations_in_pages() {
    invitations().check(World::new());
}

#[test]
fn what_waits_for_a_user_in_pages() {
    let list: List<PendingInvitation, InvitationId> = List {
        who: DAVE,
        ask: |after| Request::Invitation(InvitationRequest::Mine { after }),
        page: |answer| match answer {
            Answer::Invitation(InvitationAnswer::Mine(page)) => Some(page),
            _ => None,
        },
        number: |row| u32::MAX - tail(row.id.as_bytes()),
        put: put_invitation,
        take: take_invitation,
    };
    list.check(World::new());
}

pub(super) fn machine(number: u32) -> MachineId {
    MachineId::from_bytes(id(number))
}

/// Of rejected ones many have the same name.
pub(super) fn put_machine(world: &mut World, number: u32) {
    const OF_ONE_NAME: u32 = 70;
    let row = Machine {
        org: ORG,
        name: called(number / OF_ONE_NAME),
        owner: BOB,
        key: common::id::Fingerprint::new([1; 32]),
        registered_at: world.now,
        state: MachineState::Rejected {
            at: world.now,
            reason: String::new(),
        },
        generation: 0,
        last_seen: None,
        executed: 0,
        lent: Default::default(),
    };
    world.state.machines.insert(machine(number), row);
}

pub(super) fn machines() -> List<MachineView, (Name, MachineId)> {
    List {
        who: CAROL,
        ask: |after| Request::ListMachines { org: ORG, after },
        page: |answer| match answer {
            Answer::Machines(page) => Some(page),
            _ => None,
        },
        number: |row| tail(row.id.as_bytes()),
        put: put_machine,
        take: |world, number| {
            world.state.machines.remove(&machine(number));
        },
    }
}

#[test]
fn machines_in_pages() {
    machines().check(World::new());
}

#[test]
fn datasets_in_pages() {
    let list: List<DatasetView, Name> = List {
        who: CAROL,
        ask: |after| Request::ListDatasets { org: ORG, after },
        page: |answer| match answer {
            Answer::Datasets(page) => Some(page),
            _ => None,
        },
        number: |row| number_of(&row.name),
        put: |world, number| {
            let row = Dataset {
                org: ORG,
                name: called(number),
                owner: BOB,
                description: String::new(),
                visibility: Visibility::OrgRead,
                project: None,
                versions: Vec::new(),
            };
            let id = DatasetId::from_bytes(newer(number));
            world.state.datasets.insert(id, row);
        },
        take: |world, number| {
            let id = DatasetId::from_bytes(newer(number));
            world.state.datasets.remove(&id);
        },
    };
    list.check(World::new());
}

fn put_project(world: &mut World, number: u32) {
    let row = Project {
        org: ORG,
        name: called(number),
        description: String::new(),
        created_by: ALICE,
        created_at: world.now,
        archived_at: None,
        restrictions: Restrictions::default(),
        everyone: Some(Access::Contribute),
    };
    let id = ProjectId::from_bytes(id(number));
    world.state.projects.insert(id, row);
}

#[test]
fn projects_in_pages() {
    let list: List<ProjectView, Name> = List {
        who: CAROL,
        ask: |after| {
            Request::Project(ProjectRequest::List {
                org: ORG,
                archived: false,
                after,
            })
        },
        page: |answer| match answer {
            Answer::Project(ProjectAnswer::List(page)) => Some(page),
            _ => None,
        },
        number: |row| number_of(&row.name),
        put: put_project,
        take: |world, number| {
            let id = ProjectId::from_bytes(id(number));
            world.state.projects.remove(&id);
        },
    };
    list.check(World::new());
}

#[test]
fn secrets_in_pages() {
    let list: List<SecretView, SecretPlace> = List {
        who: CAROL,
        ask: |after| Request::Secret(SecretRequest::List { org: ORG, after }),
        page: |answer| match answer {
            Answer::Secret(SecretAnswer::List(page)) => Some(page),
            _ => None,
        },
        number: |row| tail(row.id.as_bytes()),
        put: |world, number| {
            const OF_ONE_PROJECT: u32 = 1_700;
            let project = (number / OF_ONE_PROJECT).checked_sub(1);
            let row = Secret {
                org: ORG,
                project: project.map(|project| ProjectId::from_bytes(id(project))),
                name: format!("ROW_{:05}", number % OF_ONE_PROJECT)
                    .parse()
                    .unwrap(),
                kind: SecretKind::Variable,
                version: 1,
                value: Sealed {
                    encapsulated: Vec::new(),
                    ciphertext: Vec::new(),
                },
                masked: true,
                set_by: ALICE,
                set_at: world.now,
                users: SecretUsers {
                    everyone: true,
                    ..SecretUsers::default()
                },
            };
            let id = SecretId::from_bytes(id(number));
            world.state.secrets.insert(id, row);
        },
        take: |world, number| {
            let id = SecretId::from_bytes(id(number));
            world.state.secrets.remove(&id);
        },
    };
    let mut world = World::new();
    put_project(&mut world, 0);
    put_project(&mut world, 1);
    list.check(world);
}

#[test]
fn approvals_in_pages() {
    fn approval(number: u32) -> ApprovalId {
        ApprovalId::from_bytes(newer(number))
    }
    let waiting: List<ApprovalView, ApprovalId> = List {
        who: ALICE,
        ask: |after| {
            let (org, all) = (ORG, false);
            Request::Approval(ApprovalRequest::List { org, all, after })
        },
        page: |answer| match answer {
            Answer::Approval(ApprovalAnswer::List(page)) => Some(page),
            _ => None,
        },
        number: |row| u32::MAX - tail(row.id.as_bytes()),
        put: |world, number| {
            let row = Approval {
                org: ORG,
                subject: ApprovalSubject::Machine(machine_id(10)),
                note: String::new(),
                asked_by: BOB,
                asked_at: world.now,
                state: ApprovalState::Waiting,
            };
            world.state.approvals.insert(approval(number), row);
        },
        take: |world, number| {
            world.state.approvals.remove(&approval(number));
        },
    };
    let every = List {
        ask: |after| {
            let (org, all) = (ORG, true);
            Request::Approval(ApprovalRequest::List { org, all, after })
        },
        put: |world, number| {
            let withdrawn = Approval {
                org: ORG,
                subject: ApprovalSubject::Machine(machine_id(10)),
                note: String::new(),
                asked_by: BOB,
                asked_at: world.now,
                state: ApprovalState::Withdrawn { at: world.now },
            };
            world.state.approvals.insert(approval(number), withdrawn);
        },
        ..waiting
    };
    let mut world = World::new();
    world.register(10, BOB, "box").unwrap();
    waiting.check(world.clone());
    every.check(world);
}

#[test]
fn tokens_in_pages() {
    fn token(number: u32) -> TokenId {
        TokenId::from_bytes(newer(number))
    }
    let list: List<TokenView, TokenId> = List {
        who: BOB,
        ask: |after| Request::Token(TokenRequest::List { org: ORG, after }),
        page: |answer| match answer {
            Answer::Token(TokenAnswer::Tokens(page)) => Some(page),
            _ => None,
        },
        number: |row| u32::MAX - tail(row.id.as_bytes()),
        put: |world, number| {
            let row = Token {
                user: BOB,
                org: ORG,
                name: called(number),
                scope: TokenScope::Read,
                digest: CodeDigest::new([7; 32]),
                created_at: world.now,
                expires_at: world.now,
                last_used_at: None,
                revoked_at: None,
            };
            world.state.tokens.insert(token(number), row);
        },
        take: |world, number| {
            world.state.tokens.remove(&token(number));
        },
    };
    list.check(World::new());
}

#[test]
fn jobs_in_pages() {
    let list: List<JobSummary, JobNumber> = List {
        who: ALICE,
        ask: |before| {
            Request::ListJobs(ListJobs {
                org: ORG,
                status: Vec::new(),
                owner: Some(name("bob")),
                project: None,
                before,
                limit: MAX_ROWS,
            })
        },
        page: |answer| match answer {
            Answer::Jobs(page) => Some(page),
            _ => None,
        },
        number: |row| u32::try_from(LAST_JOB - row.number.0).unwrap(),
        put: |world, number| {
            let mut job = world.state.jobs[&job_id(30)].clone();
            job.number = JobNumber(LAST_JOB - u64::from(number));
            job.key = IdempotencyKey::from_bytes(id(number));
            let progress = world.state.progress[&job_id(30)].clone();
            let id = JobId::from_bytes(id(number));
            world.state.jobs.insert(id, job);
            world.state.progress.insert(id, progress);
        },
        take: |world, number| {
            let id = JobId::from_bytes(id(number));
            world.state.jobs.remove(&id);
            world.state.progress.remove(&id);
        },
    };
    let mut world = World::new();
    world.submit(BOB, 30, spec()).unwrap();
    list.check(world);
}
