//! Projects: who sees them, who may do what in them, and what is refused.

mod archived;
mod belongings;

use common::{
    api::project::{
        ArchiveProject, CreateProject, GrantAccess, ProjectAnswer, ProjectRequest, RevokeAccess,
        SetProject,
    },
    api::{Answer, Request, data::AddDatasetVersion},
    code::Code,
    id::{DatasetId, OrgId, ProjectId, UserId},
    job::JobSpec,
    problem::Problem,
    project::{Grantee, ProjectView, Restrictions},
    status::{Access, Role, Visibility},
    units::Bytes,
};

use super::{
    invariants,
    views::ask,
    world::{ALICE, BOB, CAROL, ORG, World, capacity, name, refused, report, spec, tree, user},
};
use crate::{Actor, Body, Event, Rejection, command::project::ProjectCommand};

pub(super) const DAVE: UserId = UserId::from_bytes([4; 16]);

pub(super) fn project_id(number: u8) -> ProjectId {
    ProjectId::from_bytes([number; 16])
}

impl World {
    pub(super) fn project(&mut self, by: UserId, number: u8, called: &str) {
        self.create_project(by, number, called, Restrictions::default())
            .unwrap();
    }

    pub(super) fn create_project(
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

    pub(super) fn revoke(
        &mut self,
        by: UserId,
        called: &str,
        from: Grantee,
    ) -> Result<Vec<Event>, Rejection> {
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

    pub(super) fn restrict(
        &mut self,
        by: UserId,
        set: SetProject,
    ) -> Result<Vec<Event>, Rejection> {
        self.user_does(by, Body::Project(ProjectCommand::Set(set)))
    }

    pub(super) fn add_version(
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
            after: None,
        };
        match ask(self, by, &Request::Project(request)) {
            Ok(Answer::Project(ProjectAnswer::List(list))) => list.rows,
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

pub(super) fn setting(called: &str) -> SetProject {
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
pub(super) fn check(
    world: &mut World,
    code: &Code,
    words: &str,
    act: impl FnOnce(&mut World) -> Result<Vec<Event>, Rejection>,
) {
    let before = world.state.clone();
    let problem = refused(act(world));
    assert_eq!(problem.code, *code, "{problem}");
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
fn an_archived_project_takes_nothing_new() {
    let mut world = world();
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    check(
        &mut world,
        &Code::Permission,
        "change or archive it",
        |world| world.archive(CAROL, "vision", true),
    );
    world.archive(BOB, "vision", true).unwrap();
    assert_eq!(world.archive(BOB, "vision", true).unwrap(), []);
    check(&mut world, &Code::WrongState, "archived", |world| {
        world.submit(CAROL, 20, inside("vision"))
    });
    check(&mut world, &Code::WrongState, "archived", |world| {
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
    check(&mut world, &Code::NotFound, "no such org", |world| {
        let command = ProjectCommand::Revoke(RevokeAccess {
            org: other,
            name: name("vision"),
            from: Grantee::Everyone,
        });
        world.user_does(BOB, Body::Project(command))
    });
    check(&mut world, &Code::NotFound, "no project nowhere", |world| {
        world.grant(BOB, "nowhere", member("carol"), Access::View)
    });
    check(&mut world, &Code::NotFound, "no project vision", |world| {
        world.grant(CAROL, "vision", member("carol"), Access::Administer)
    });
    check(&mut world, &Code::NotFound, "no member mallory", |world| {
        world.grant(BOB, "vision", member("mallory"), Access::View)
    });
    check(&mut world, &Code::SelfGrant, "to yourself", |world| {
        world.grant(BOB, "vision", member("bob"), Access::View)
    });
    check(
        &mut world,
        &Code::WrongState,
        "nobody else administers",
        |world| world.revoke(BOB, "vision", member("bob")),
    );
    check(
        &mut world,
        &Code::WrongState,
        "nobody else administers",
        |world| world.grant(ALICE, "vision", member("bob"), Access::View),
    );
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    check(
        &mut world,
        &Code::Permission,
        "say who may do what",
        |world| world.grant(CAROL, "vision", member("dave"), Access::View),
    );
    check(&mut world, &Code::NameTaken, "another project", |world| {
        world.create_project(CAROL, 2, "vision", Restrictions::default())
    });
    for hidden in ["a\u{1b}[31m", "a\u{202e}b", "a\u{200b}b"] {
        check(&mut world, &Code::BadRequest, "description", |world| {
            let set = SetProject {
                description: Some(hidden.to_owned()),
                ..setting("vision")
            };
            world.restrict(BOB, set)
        });
    }
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
