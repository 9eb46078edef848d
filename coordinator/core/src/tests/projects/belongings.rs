//! What belongs to a project: who sees it, adds to it and takes it away.

use common::{
    api::{Answer, Request, job::ListJobs, project::SetProject},
    code::Code,
    job::{JobNumber, JobSpec},
    status::{Access, CopyOut, DeleteBy, DownloadBy, JobStatus, Visibility},
    wire::client::DownloadSource,
};

use super::{
    super::{
        invariants,
        views::ask,
        world::{ALICE, BOB, CAROL, ORG, World, job_id, name, spec},
    },
    DAVE, check, inside, member, setting, world,
};
use crate::query::access::readable_tree;

#[test]
fn jobs_of_a_project_take_contribute_and_are_seen_with_view() {
    let mut world = world();
    world
        .grant(BOB, "vision", member("carol"), Access::View)
        .unwrap();
    check(&mut world, &Code::NotFound, "no project vision", |world| {
        world.submit(DAVE, 20, inside("vision"))
    });
    check(
        &mut world,
        &Code::Permission,
        "access is view; it takes contribute",
        |world| world.submit(CAROL, 20, inside("vision")),
    );
    world.submit(BOB, 20, inside("vision")).unwrap();
    world.submit(BOB, 21, spec()).unwrap();
    let seen_of = |world: &World, user, project: Option<&str>| {
        let list = ListJobs {
            org: ORG,
            status: Vec::new(),
            owner: None,
            project: project.map(name),
            before: None,
            limit: 10,
        };
        match ask(world, user, &Request::ListJobs(list)) {
            Ok(Answer::Jobs(jobs)) => jobs
                .rows
                .into_iter()
                .map(|job| (job.number.0, job.project.map(|name| name.to_string())))
                .collect::<Vec<_>>(),
            Err(problem) => vec![(0, Some(problem.code.to_string()))],
            other => panic!("{other:?}"),
        }
    };
    let seen = |world: &World, user| seen_of(world, user, None);
    let vision = Some("vision".to_owned());
    assert_eq!(seen(&world, CAROL), [(1, vision.clone())]);
    assert_eq!(seen(&world, DAVE), []);
    let of_vision = seen_of(&world, BOB, Some("vision"));
    assert_eq!(
        of_vision,
        [(1, vision.clone())],
        "not the one of no project"
    );
    let not_found = vec![(0, Some("not_found".to_owned()))];
    assert_eq!(seen_of(&world, DAVE, Some("vision")), not_found);
    check(
        &mut world,
        &Code::Permission,
        "cancel jobs of others",
        |world| world.cancel(CAROL, 1, None),
    );
    check(&mut world, &Code::NotFound, "no job 1", |world| {
        world.cancel(DAVE, 1, None)
    });

    // Whoever submitted a job goes on seeing it, and answers for it.
    world
        .grant(BOB, "vision", member("carol"), Access::Administer)
        .unwrap();
    world.revoke(CAROL, "vision", member("bob")).unwrap();
    assert_eq!(seen(&world, BOB), [(2, None), (1, vision)]);
    let source = DownloadSource::Artifacts {
        job: JobNumber(1),
        task: 0,
        attempt: None,
    };
    let files = readable_tree(&world.state, BOB, ORG, &source).unwrap_err();
    assert_eq!(files.code, Code::NotFound);
    world.cancel(CAROL, 1, None).unwrap();
    assert_eq!(
        world.state.progress[&job_id(20)].status(),
        JobStatus::Cancelled
    );
    invariants::check(&world);
}

#[test]
fn data_of_a_project_is_the_projects() {
    let mut world = world();
    world
        .grant(BOB, "vision", member("carol"), Access::View)
        .unwrap();
    check(&mut world, &Code::Permission, "it takes upload", |world| {
        world.add_version(CAROL, 30, "maps", Some("vision"), None)
    });
    world
        .grant(BOB, "vision", member("carol"), Access::Upload)
        .unwrap();
    check(
        &mut world,
        &Code::BadRequest,
        "belongs to project vision",
        |world| world.add_version(CAROL, 30, "maps", Some("vision"), Some(Visibility::OrgRead)),
    );
    world
        .add_version(CAROL, 30, "maps", Some("vision"), None)
        .unwrap();
    world.add_version(BOB, 31, "maps", None, None).unwrap();
    check(&mut world, &Code::NameTaken, "maps", |world| {
        world.add_version(DAVE, 32, "maps", None, None)
    });
    world.add_version(BOB, 33, "own", None, None).unwrap();
    check(
        &mut world,
        &Code::WrongState,
        "stays where it belongs",
        |world| world.add_version(BOB, 34, "own", Some("vision"), None),
    );

    // It stays when its maker goes.
    world.revoke(CAROL, "vision", member("carol")).unwrap();
    let show = Request::ShowDataset {
        org: ORG,
        name: name("maps"),
    };
    assert_eq!(ask(&world, CAROL, &show).unwrap_err().code, Code::NotFound);
    assert!(ask(&world, BOB, &show).is_ok());
    invariants::check(&world);
}

#[test]
fn restrictions_keep_data_in() {
    let mut world = world();
    world
        .add_version(BOB, 30, "maps", Some("vision"), None)
        .unwrap();
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    let with = |project: Option<&str>| JobSpec {
        project: project.map(name),
        datasets: vec!["maps:/maps".parse().unwrap()],
        ..spec()
    };
    world.submit(CAROL, 20, with(None)).unwrap();
    let set = SetProject {
        copy_out: Some(CopyOut::None),
        delete: Some(DeleteBy::Admins),
        download: Some(DownloadBy::None),
        ..setting("vision")
    };
    world.restrict(BOB, set.clone()).unwrap();
    assert_eq!(world.restrict(BOB, set).unwrap(), []);
    world.project(CAROL, 2, "other");
    for user in [CAROL, ALICE] {
        check(&mut world, &Code::Permission, "copy_out is none", |world| {
            world.submit(user, 21, with(None))
        });
        check(
            &mut world,
            &Code::Permission,
            "outside project vision",
            |world| world.submit(user, 21, with(Some("other"))),
        );
    }
    world.submit(CAROL, 21, with(Some("vision"))).unwrap();
    let source = DownloadSource::Dataset {
        name: name("maps"),
        version: None,
    };
    let carols = readable_tree(&world.state, CAROL, ORG, &source).unwrap_err();
    assert_eq!(carols.code, Code::Permission, "{carols}");
    assert!(readable_tree(&world.state, BOB, ORG, &source).is_ok());
    let files = DownloadSource::Artifacts {
        job: JobNumber(2),
        task: 0,
        attempt: None,
    };
    let own = readable_tree(&world.state, CAROL, ORG, &files).unwrap_err();
    assert_eq!(own.code, Code::Permission, "{own}");
}

#[test]
fn jobs_of_no_project_are_shared_as_they_say() {
    let mut world = world();
    let shared = |visibility| JobSpec {
        visibility: Some(visibility),
        ..spec()
    };
    world.submit(BOB, 20, shared(Visibility::Personal)).unwrap();
    world.submit(BOB, 21, shared(Visibility::OrgRead)).unwrap();
    world.submit(BOB, 22, shared(Visibility::OrgWrite)).unwrap();
    check(&mut world, &Code::NotFound, "no job 1", |world| {
        world.cancel(CAROL, 1, None)
    });
    check(&mut world, &Code::Permission, "jobs of others", |world| {
        world.cancel(CAROL, 2, None)
    });
    world.cancel(CAROL, 3, None).unwrap();
    check(
        &mut world,
        &Code::BadRequest,
        "which says who sees it",
        |world| {
            let both = JobSpec {
                project: Some(name("vision")),
                ..shared(Visibility::OrgRead)
            };
            world.submit(BOB, 23, both)
        },
    );
}
