//! Two orgs of one coordinator: who knows the other's ids and names still meets nothing of it.

use std::collections::BTreeMap;

use common::{
    api::{
        Answer, Request,
        data::AddDatasetVersion,
        job::{CancelJob, ExplainJob, FollowJob, ListJobs, ShowJob, SubmitJob},
        page::Page,
    },
    code::Code,
    id::{
        CodeDigest, DatasetId, Fingerprint, IdempotencyKey, InvitationId, MachineId, OrgId, UserId,
    },
    job::JobNumber,
    name::Name,
    problem::Problem,
    status::Role,
    time::Span,
    units::Bytes,
    wire::client::DownloadSource,
};

use super::{
    invariants,
    world::{
        ALICE, BOB, ORG, World, array, capacity, job_id, machine_id, name, refused, report, spec,
        tree, user, wish,
    },
};
use crate::{
    Actor, Body,
    command::invitation::{CreateInvitations, InvitationCommand},
    query::{
        self, Presence,
        access::{machine_log, machine_may_fetch, machine_may_upload, may_upload, readable_tree},
        follow::followed,
    },
};

const OTHER: OrgId = OrgId::from_bytes([2; 16]);
const DORA: UserId = UserId::from_bytes([4; 16]);

fn ask(world: &World, user: UserId, request: &Request) -> Result<Answer, Problem> {
    let presence = Presence {
        contacts: &BTreeMap::new(),
        certificate: common::id::CertificateSerial::new([0; 16]),
        certificate_expires_at: world.now,
        version: "1",
        sealing_key: b"key",
        samples: &world.samples,
    };
    query::answer(&world.state, &presence, world.now, user, request)
}

/// Returns the org `lab` with a machine, a dataset, a running job and an invitation, and `shop` with its owner
/// dora and a machine.
fn world() -> World {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(1, 8)));
    world.dataset(BOB, 50, "digits");
    world.submit(BOB, 30, array(2, None)).unwrap();
    world.schedule();
    world.invite(70, Role::Member, 1);
    let body = Body::CreateOrg {
        org: OTHER,
        name: name("shop"),
        owner: DORA,
        handle: name("dora"),
    };
    world.must(Actor::System, body);
    let body = Body::RegisterMachine {
        machine: machine_id(11),
        org: OTHER,
        name: name("till"),
        key: Fingerprint::new([11; 32]),
        from: None,
    };
    world.user_does(DORA, body).unwrap();
    let approval = Body::ApproveMachine {
        org: OTHER,
        name: name("till"),
    };
    world.user_does(DORA, approval).unwrap();
    world.connect(11, report(capacity(64, 256)), &[]);
    world
}

fn questions(org: OrgId, machine: &str) -> Vec<Request> {
    let number = JobNumber(1);
    let list = ListJobs {
        org,
        status: Vec::new(),
        owner: None,
        project: None,
        before: None,
        limit: 10,
    };
    let show = ShowJob {
        org,
        number,
        task: None,
        attempts: 10,
        live: false,
    };
    let dry_run = SubmitJob {
        org,
        spec: spec(),
        key: IdempotencyKey::from_bytes([9; 16]),
        dry_run: true,
    };
    vec![
        Request::ShowOrg { org },
        Request::ListMembers { org, after: None },
        Request::ListInvitations { org, after: None },
        Request::ListMachines { org, after: None },
        Request::ShowMachine {
            org,
            name: name(machine),
        },
        Request::ListDatasets { org, after: None },
        Request::ShowDataset {
            org,
            name: name("digits"),
        },
        Request::ListJobs(list),
        Request::ShowJob(show),
        Request::ExplainJob(ExplainJob { org, number }),
        Request::SubmitJob(Box::new(dry_run)),
    ]
}

fn commands(org: OrgId) -> Vec<Body> {
    let handle = name("bob");
    let machine = || name("box");
    vec![
        Body::ApplyLimits {
            org,
            limits: Box::default(),
        },
        Body::SetRole {
            org,
            handle: handle.clone(),
            role: Role::Admin,
        },
        Body::RemoveMember { org, handle },
        Body::Invitation(InvitationCommand::Create(CreateInvitations {
            org,
            ..wish(71, Role::Member)
        })),
        Body::CreateLoginLink {
            invitation: InvitationId::from_bytes([71; 16]),
            org,
            code: CodeDigest::new([71; 32]),
            ttl: Span::from_secs(60),
            user: None,
            reset: false,
        },
        Body::RevokeInvitation {
            org,
            invitation: InvitationId::from_bytes([70; 16]),
        },
        Body::RegisterMachine {
            machine: MachineId::from_bytes([72; 16]),
            org,
            name: name("mine"),
            key: Fingerprint::new([72; 32]),
            from: None,
        },
        Body::ApproveMachine {
            org,
            name: machine(),
        },
        Body::RejectMachine {
            org,
            name: machine(),
            reason: String::new(),
        },
        Body::RemoveMachine {
            org,
            name: machine(),
        },
        Body::AddDatasetVersion {
            dataset: DatasetId::from_bytes([73; 16]),
            request: AddDatasetVersion {
                org,
                name: name("digits"),
                tree: tree(73),
                description: None,
                visibility: None,
                project: None,
            },
            bytes: Bytes::kib(1),
            files: 1,
        },
        Body::SubmitJob {
            job: job_id(74),
            request: SubmitJob {
                org,
                spec: spec(),
                key: IdempotencyKey::from_bytes([74; 16]),
                dry_run: false,
            },
        },
        Body::CancelJob(CancelJob {
            org,
            number: JobNumber(1),
            task: None,
            dependants: false,
        }),
    ]
}

#[test]
fn a_member_of_one_org_meets_nothing_of_the_other() {
    let mut world = world();
    for question in questions(ORG, "box") {
        assert!(ask(&world, ALICE, &question).is_ok(), "{question:?}");
        let answer = ask(&world, DORA, &question);
        assert_eq!(answer.unwrap_err().code, Code::NotFound, "{question:?}");
    }
    for command in commands(ORG) {
        let before = world.state.clone();
        let problem = refused(world.user_does(DORA, command.clone()));
        assert_eq!(problem.code, Code::NotFound, "{command:?}");
        assert_eq!(world.state, before);
    }
    let number = JobNumber(1);
    let follow = FollowJob {
        org: ORG,
        number,
        task: None,
        logs: true,
        until_end: true,
        cursors: Vec::new(),
    };
    assert!(followed(&world.state, world.now, BOB, &follow).is_ok());
    let problem = followed(&world.state, world.now, DORA, &follow).unwrap_err();
    assert_eq!(problem.code, Code::NotFound);
    for source in [
        DownloadSource::Dataset {
            name: name("digits"),
            version: None,
        },
        DownloadSource::Artifacts {
            job: number,
            task: 0,
            attempt: None,
        },
    ] {
        assert!(readable_tree(&world.state, BOB, ORG, &source).is_ok());
        for org in [ORG, OTHER] {
            let problem = readable_tree(&world.state, DORA, org, &source).unwrap_err();
            assert_eq!(problem.code, Code::NotFound, "{source:?}");
        }
    }
    assert!(may_upload(&world.state, DORA, ORG).is_err());
}

#[test]
fn what_has_the_same_name_or_number_elsewhere_is_not_found_by_it() {
    let world = world();
    let empty = [
        Answer::Datasets(Page::default()),
        Answer::Invitations(Page::default()),
        Answer::Jobs(Page::default()),
    ];
    let mut found = 0;
    for question in questions(OTHER, "box") {
        match ask(&world, DORA, &question) {
            Err(problem) => assert_eq!(problem.code, Code::NotFound, "{question:?}"),
            Ok(Answer::Members(members)) => {
                let handles: Vec<Name> = members.rows.into_iter().map(|one| one.handle).collect();
                assert_eq!(handles, [name("dora")]);
            }
            Ok(Answer::Machines(machines)) => {
                let names: Vec<Name> = machines.rows.into_iter().map(|one| one.name).collect();
                assert_eq!(names, [name("till")]);
            }
            Ok(Answer::Org(org)) => {
                assert_eq!((org.name, org.members), (name("shop"), 1));
                assert_eq!((org.running_tasks, org.queued_tasks), (0, 0));
            }
            Ok(Answer::Explanation(_)) => {}
            Ok(answer) => {
                assert!(empty.contains(&answer), "{answer:?}");
                found += 1;
            }
        }
    }
    assert_eq!(found, empty.len());
}

#[test]
fn a_machine_serves_its_own_org_alone() {
    let mut world = world();
    // One task waits in the lab, and the shop's machine has room for it.
    let waits = &world.state.progress[&job_id(30)];
    assert_eq!(waits.counts.queued, 1);
    assert_eq!(world.schedule(), []);
    let live = world.live();
    assert_eq!(live.len(), 1);
    let theirs = machine_id(11);
    assert!(machine_log(&world.state, machine_id(10), live[0]).is_some());
    assert_eq!(machine_log(&world.state, theirs, live[0]), None);
    assert!(!machine_may_upload(&world.state, theirs, live[0]));
    assert!(!machine_may_fetch(&world.state, theirs, tree(50)));

    // Jobs of the same number do not meet either.
    let request = SubmitJob {
        org: OTHER,
        spec: spec(),
        key: IdempotencyKey::from_bytes([31; 16]),
        dry_run: false,
    };
    let job = job_id(31);
    world
        .user_does(DORA, Body::SubmitJob { job, request })
        .unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    assert_eq!(placed[0].1, theirs);
    invariants::check(&world);
}

#[test]
fn one_user_in_two_orgs_loses_only_what_was_in_the_one() {
    let mut world = world();
    let third = OrgId::from_bytes([3; 16]);
    let body = Body::CreateOrg {
        org: third,
        name: name("club"),
        owner: BOB,
        handle: name("bob"),
    };
    world.must(Actor::System, body);
    assert_eq!(world.state.users.len(), 4, "bob is not made again");
    let removal = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    world.user_does(ALICE, removal).unwrap();
    let Ok(Answer::WhoAmI(me)) = ask(&world, user(2), &Request::WhoAmI) else {
        panic!("bob is still somebody");
    };
    assert_eq!(me.orgs.len(), 1);
    assert_eq!((me.orgs[0].org, me.orgs[0].role), (third, Role::Owner));
    for question in questions(ORG, "box") {
        let answer = ask(&world, BOB, &question);
        assert_eq!(answer.unwrap_err().code, Code::NotFound, "{question:?}");
    }
    invariants::check(&world);
}
