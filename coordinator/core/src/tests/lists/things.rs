//! Lists of machines and of what is made with them, in pages.

use common::{
    api::{
        Answer, MAX_ROWS, Request,
        job::ListJobs,
        project::{ProjectAnswer, ProjectRequest},
        secret::{SecretAnswer, SecretPlace, SecretRequest},
    },
    dataset::DatasetView,
    id::{DatasetId, Fingerprint, IdempotencyKey, JobId, MachineId, ProjectId, SecretId},
    job::{JobNumber, JobSummary},
    machine::MachineView,
    name::Name,
    project::{ProjectView, Restrictions},
    seal::Sealed,
    secret::{SecretKind, SecretView},
    status::{Access, Visibility},
    time::Span,
};

use super::{
    super::world::{ALICE, BOB, CAROL, ORG, World, job_id, name, spec},
    List, called, id, newer, number_of, tail,
};
use crate::{
    lifecycle::machine::MachineState,
    state::{
        dataset::Dataset,
        machine::Machine,
        project::Project,
        secret::{Secret, SecretUsers},
    },
};

/// Of job numbers, which are listed from the greatest on.
const LAST_JOB: u64 = 1_000_000;

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
        key: Fingerprint::new([1; 32]),
        registered_at: world.now,
        state: MachineState::Rejected {
            at: world.now,
            reason: String::new(),
        },
        generation: 0,
        last_seen: None,
        executed: 0,
        warm: Vec::new(),
        lent: Span::default(),
        troubles: Default::default(),
        set_aside: None,
        labels: Vec::new(),
        activity: Default::default(),
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
                first: 1,
                deleted: None,
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
        weight: common::weight::Weight::ONE,
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
