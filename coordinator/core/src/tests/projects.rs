//! Projects: who sees them, who may do what in them, and what is refused.

use common::{
    api::project::{
        ArchiveProject, CreateProject, GrantAccess, ProjectAnswer, ProjectRequest, RevokeAccess,
        SetProject,
    },
    api::{Answer, Request, data::AddDatasetVersion},
    code::Code,
    id::{DatasetId, OrgId, ProjectId, UserId},
    job::{JobNumber, JobSpec},
    problem::Problem,
    project::{Grantee, ProjectView, Restrictions},
    status::{Access, CopyOut, DeleteBy, DownloadBy, JobStatus, Role, Visibility},
    units::Bytes,
    wire::client::DownloadSource,
};

use super::{
    invariants,
    views::ask,
    world::{ALICE, BOB, CAROL, ORG, World, capacity, name, refused, report, spec, tree, user},
};
use crate::{
    Actor, Body, Event, Rejection, command::project::ProjectCommand, query::access::readable_tree,
};

const DAVE: UserId = UserId::from_bytes([4; 16]);

pub(super) fn project_id(number: u8) -> ProjectId {
    ProjectId::from_bytes([number; 16])
}

impl World {
    pub(super) fn project(&mut self, by: UserId, number: u8, called: &str) {
        self.create_project(by, number, called, Restrictions::default())
            .unwrap();
    }

    fn create_project(
        &mut self,
        by: UserId,
        number: u8,
        called: &str,
        restrictions: Restrictions,
    ) -> Result<Vec<Event>, Rejection> {
        let command = ProjectCommand::Create {
            project: project_id(number),
            request: CreateProject {
                org: ORG,
                name: name(called),
                description: String::new(),
                restrictions,
            },
        };
        self.user_does(by, Body::Project(command))
    }

    pub(super) fn grant(
        &mut self,
        by: UserId,
        called: &str,
        to: Grantee,
        access: Access,
    ) -> Result<Vec<Event>, Rejection> {
        let command = ProjectCommand::Grant(GrantAccess {
            org: ORG,
            name: name(called),
            to,
            access,
        });
        self.user_does(by, Body::Project(command))
    }

    fn revoke(&mut self, by: UserId, called: &str, from: Grantee) -> Result<Vec<Event>, Rejection> {
        let command = ProjectCommand::Revoke(RevokeAccess {
            org: ORG,
            name: name(called),
            from,
        });
        self.user_does(by, Body::Project(command))
    }

    pub(super) fn archive(
        &mut self,
        by: UserId,
        called: &str,
        archived: bool,
    ) -> Result<Vec<Event>, Rejection> {
        let command = ProjectCommand::Archive(ArchiveProject {
            org: ORG,
            name: name(called),
            archived,
        });
        self.user_does(by, Body::Project(command))
    }

    fn restrict(&mut self, by: UserId, set: SetProject) -> Result<Vec<Event>, Rejection> {
        self.user_does(by, Body::Project(ProjectCommand::Set(set)))
    }

    fn add_version(
        &mut self,
        by: UserId,
        number: u8,
        called: &str,
        project: Option<&str>,
        visibility: Option<Visibility>,
    ) -> Result<Vec<Event>, Rejection> {
        let body = Body::AddDatasetVersion {
            dataset: DatasetId::from_bytes([number; 16]),
            request: AddDatasetVersion {
                org: ORG,
                name: name(called),
                tree: tree(number),
                description: None,
                visibility,
                project: project.map(name),
            },
            bytes: Bytes::mib(1),
            files: 1,
        };
        self.user_does(by, body)
    }

    fn projects(&self, by: UserId) -> Vec<ProjectView> {
        let request = ProjectRequest::List {
            org: ORG,
            archived: true,
        };
        match ask(self, by, &Request::Project(request)) {
            Ok(Answer::Project(ProjectAnswer::List(list))) => list,
            other => panic!("{other:?}"),
        }
    }

    fn show_project(&self, by: UserId, called: &str) -> Result<ProjectView, Problem> {
        let request = ProjectRequest::Show {
            org: ORG,
            name: name(called),
        };
        match ask(self, by, &Request::Project(request))? {
            Answer::Project(ProjectAnswer::One(view)) => Ok(*view),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn member(handle: &str) -> Grantee {
    Grantee::Member(name(handle))
}

fn setting(called: &str) -> SetProject {
    SetProject {
        org: ORG,
        name: name(called),
        description: None,
        copy_out: None,
        delete: None,
        download: None,
    }
}

pub(super) fn inside(project: &str) -> JobSpec {
    JobSpec {
        project: Some(name(project)),
        ..spec()
    }
}

/// Bob's project `vision` and a machine; dave is a member too.
fn world() -> World {
    let mut world = World::new();
    world.join(4, "dave", Role::Member);
    world.machine(10, ALICE, "box", report(capacity(8, 16)));
    world.project(BOB, 1, "vision");
    world
}

/// Checks that the refusal has the code and the words, and that nothing changed.
#[track_caller]
fn check(
    world: &mut World,
    code: Code,
    words: &str,
    act: impl FnOnce(&mut World) -> Result<Vec<Event>, Rejection>,
) {
    let before = world.state.clone();
    let problem = refused(act(world));
    assert_eq!(problem.code, code, "{problem}");
    assert!(format!("{problem}").contains(words), "{problem}");
    assert_eq!(world.state, before);
}

#[test]
fn a_project_is_seen_by_whom_it_is_granted_to_and_by_admins() {
    let mut world = world();
    let names = |world: &World, user| {
        let list = world.projects(user);
        list.into_iter()
            .map(|row| (row.name.to_string(), row.access))
            .collect::<Vec<_>>()
    };
    let vision = |access| vec![("vision".to_owned(), access)];
    assert_eq!(names(&world, BOB), vision(Access::Administer));
    assert_eq!(names(&world, ALICE), vision(Access::Administer));
    assert_eq!(names(&world, CAROL), []);
    assert_eq!(
        world.show_project(CAROL, "vision").unwrap_err().code,
        Code::NotFound
    );

    world
        .grant(BOB, "vision", member("carol"), Access::Upload)
        .unwrap();
    assert_eq!(names(&world, CAROL), vision(Access::Upload));
    world
        .grant(BOB, "vision", Grantee::Everyone, Access::View)
        .unwrap();
    assert_eq!(names(&world, DAVE), vision(Access::View));
    // The higher of both counts.
    world
        .grant(BOB, "vision", Grantee::Everyone, Access::Contribute)
        .unwrap();
    assert_eq!(names(&world, CAROL), vision(Access::Contribute));
    world.revoke(BOB, "vision", Grantee::Everyone).unwrap();
    assert_eq!(names(&world, DAVE), []);
    assert_eq!(names(&world, CAROL), vision(Access::Upload));

    let shown = world.show_project(CAROL, "vision").unwrap();
    let grants: Vec<_> = shown
        .grants
        .iter()
        .map(|row| (row.member.as_str(), row.access))
        .collect();
    assert_eq!(
        grants,
        [("bob", Access::Administer), ("carol", Access::Upload)]
    );
    invariants::check(&world);
}

#[test]
fn jobs_of_a_project_take_contribute_and_are_seen_with_view() {
    let mut world = world();
    world
        .grant(BOB, "vision", member("carol"), Access::View)
        .unwrap();
    check(&mut world, Code::NotFound, "no project vision", |world| {
        world.submit(DAVE, 20, inside("vision"))
    });
    check(
        &mut world,
        Code::Permission,
        "access is view; it takes contribute",
        |world| world.submit(CAROL, 20, inside("vision")),
    );
    world.submit(BOB, 20, inside("vision")).unwrap();
    world.submit(BOB, 21, spec()).unwrap();
    let seen = |world: &World, user| {
        let list = common::api::job::ListJobs {
            org: ORG,
            status: Vec::new(),
            owner: None,
            before: None,
            limit: 10,
        };
        match ask(world, user, &Request::ListJobs(list)) {
            Ok(Answer::Jobs(jobs)) => jobs
                .into_iter()
                .map(|job| (job.number.0, job.project.map(|name| name.to_string())))
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let vision = Some("vision".to_owned());
    assert_eq!(seen(&world, CAROL), [(1, vision.clone())]);
    assert_eq!(seen(&world, DAVE), []);
    check(
        &mut world,
        Code::Permission,
        "cancel jobs of others",
        |world| world.cancel(CAROL, 1, None),
    );
    check(&mut world, Code::NotFound, "no job 1", |world| {
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
    };
    let files = readable_tree(&world.state, BOB, ORG, &source).unwrap_err();
    assert_eq!(files.code, Code::NotFound);
    world.cancel(CAROL, 1, None).unwrap();
    assert_eq!(
        world.state.progress[&super::world::job_id(20)].status(),
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
    check(&mut world, Code::Permission, "it takes upload", |world| {
        world.add_version(CAROL, 30, "maps", Some("vision"), None)
    });
    world
        .grant(BOB, "vision", member("carol"), Access::Upload)
        .unwrap();
    check(
        &mut world,
        Code::BadRequest,
        "belongs to project vision",
        |world| world.add_version(CAROL, 30, "maps", Some("vision"), Some(Visibility::OrgRead)),
    );
    world
        .add_version(CAROL, 30, "maps", Some("vision"), None)
        .unwrap();
    world.add_version(BOB, 31, "maps", None, None).unwrap();
    check(&mut world, Code::NameTaken, "maps", |world| {
        world.add_version(DAVE, 32, "maps", None, None)
    });
    world.add_version(BOB, 33, "own", None, None).unwrap();
    check(
        &mut world,
        Code::WrongState,
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
        check(&mut world, Code::Permission, "copy_out is none", |world| {
            world.submit(user, 21, with(None))
        });
        check(
            &mut world,
            Code::Permission,
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
    };
    let own = readable_tree(&world.state, CAROL, ORG, &files).unwrap_err();
    assert_eq!(own.code, Code::Permission, "{own}");
}

#[test]
fn an_archived_project_takes_nothing_new() {
    let mut world = world();
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    check(
        &mut world,
        Code::Permission,
        "change or archive it",
        |world| world.archive(CAROL, "vision", true),
    );
    world.archive(BOB, "vision", true).unwrap();
    assert_eq!(world.archive(BOB, "vision", true).unwrap(), []);
    check(&mut world, Code::WrongState, "archived", |world| {
        world.submit(CAROL, 20, inside("vision"))
    });
    check(&mut world, Code::WrongState, "archived", |world| {
        world.add_version(BOB, 30, "maps", Some("vision"), None)
    });
    assert!(
        world
            .show_project(CAROL, "vision")
            .unwrap()
            .archived_at
            .is_some()
    );
    world.archive(BOB, "vision", false).unwrap();
    world.submit(CAROL, 20, inside("vision")).unwrap();
}

#[test]
fn grants_that_cannot_be() {
    let mut world = world();
    let other = OrgId::from_bytes([9; 16]);
    check(&mut world, Code::NotFound, "no such org", |world| {
        let command = ProjectCommand::Revoke(RevokeAccess {
            org: other,
            name: name("vision"),
            from: Grantee::Everyone,
        });
        world.user_does(BOB, Body::Project(command))
    });
    check(&mut world, Code::NotFound, "no project nowhere", |world| {
        world.grant(BOB, "nowhere", member("carol"), Access::View)
    });
    check(&mut world, Code::NotFound, "no project vision", |world| {
        world.grant(CAROL, "vision", member("carol"), Access::Administer)
    });
    check(&mut world, Code::NotFound, "no member mallory", |world| {
        world.grant(BOB, "vision", member("mallory"), Access::View)
    });
    check(&mut world, Code::Permission, "to yourself", |world| {
        world.grant(BOB, "vision", member("bob"), Access::View)
    });
    check(
        &mut world,
        Code::WrongState,
        "nobody else administers",
        |world| world.revoke(BOB, "vision", member("bob")),
    );
    check(
        &mut world,
        Code::WrongState,
        "nobody else administers",
        |world| world.grant(ALICE, "vision", member("bob"), Access::View),
    );
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    check(
        &mut world,
        Code::Permission,
        "say who may do what",
        |world| world.grant(CAROL, "vision", member("dave"), Access::View),
    );
    check(&mut world, Code::NameTaken, "another project", |world| {
        world.create_project(CAROL, 2, "vision", Restrictions::default())
    });
    check(&mut world, Code::BadRequest, "description", |world| {
        let set = SetProject {
            description: Some("a\u{1b}[31m".to_owned()),
            ..setting("vision")
        };
        world.restrict(BOB, set)
    });
    let machine = Actor::Machine(super::world::machine_id(10));
    let body = Body::Project(ProjectCommand::Archive(ArchiveProject {
        org: ORG,
        name: name("vision"),
        archived: true,
    }));
    assert_eq!(refused(world.run(machine, body)).code, Code::Permission);
    // Names with control or look-alike characters, and levels that there are not, never get so far.
    assert!("vi\u{430}".parse::<common::name::Name>().is_err());
    assert!("vi\u{7}".parse::<common::name::Name>().is_err());
    assert!("own".parse::<Access>().is_err());
    assert!(serde_json::from_str::<Access>("\"own\"").is_err());
}

#[test]
fn access_goes_with_the_membership() {
    let mut world = world();
    world.project(CAROL, 2, "sound");
    world
        .grant(CAROL, "sound", member("bob"), Access::Administer)
        .unwrap();
    world
        .grant(BOB, "vision", member("carol"), Access::Administer)
        .unwrap();
    let body = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    world.must(Actor::User(ALICE), body);
    assert!(!world.state.grants.keys().any(|(_, user)| *user == BOB));
    assert_eq!(world.state.grants.len(), 2);
    // Whoever comes back begins without.
    world.invite(50, Role::Member, 1);
    world.enrol(50, 50, 50, "bobby").unwrap();
    assert_eq!(world.projects(user(50)), []);
    invariants::check(&world);
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
    check(&mut world, Code::NotFound, "no job 1", |world| {
        world.cancel(CAROL, 1, None)
    });
    check(&mut world, Code::Permission, "jobs of others", |world| {
        world.cancel(CAROL, 2, None)
    });
    world.cancel(CAROL, 3, None).unwrap();
    check(
        &mut world,
        Code::BadRequest,
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
