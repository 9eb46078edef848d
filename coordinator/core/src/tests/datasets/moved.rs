//! Where a dataset belongs, and what is said of it.

use common::{
    api::{
        Answer, Request,
        data::{MoveDataset, SetDataset},
        project::SetProject,
    },
    code::Code,
    dataset::DatasetView,
    id::UserId,
    project::Restrictions,
    status::{Access, CopyOut, DeleteBy, Visibility},
};

use super::{
    super::{
        invariants,
        projects::{DAVE, check, member, setting},
        views::ask,
        world::{ALICE, BOB, CAROL, ORG, World, name, refused, user},
    },
    world,
};
use crate::{Body, Event, Rejection, command::dataset::DatasetCommand};

impl World {
    fn relocate(
        &mut self,
        by: UserId,
        dataset: &str,
        project: Option<&str>,
    ) -> Result<Vec<Event>, Rejection> {
        let request = MoveDataset {
            org: ORG,
            name: name(dataset),
            project: project.map(name),
        };
        self.user_does(by, Body::Dataset(DatasetCommand::Move(request)))
    }

    fn say(
        &mut self,
        by: UserId,
        dataset: &str,
        description: Option<&str>,
        visibility: Option<Visibility>,
    ) -> Result<Vec<Event>, Rejection> {
        let request = SetDataset {
            org: ORG,
            name: name(dataset),
            description: description.map(str::to_owned),
            visibility,
        };
        self.user_does(by, Body::Dataset(DatasetCommand::Set(request)))
    }

    fn seen(&self, by: UserId, dataset: &str) -> Option<DatasetView> {
        let show = Request::ShowDataset {
            org: ORG,
            name: name(dataset),
        };
        match ask(self, by, &show) {
            Ok(Answer::Dataset(view)) => Some(view),
            _ => None,
        }
    }
}

#[test]
fn no_project_is_called_none() {
    let mut world = world();
    check(
        &mut world,
        &Code::BadRequest,
        "stands for no project",
        |world| world.create_project(BOB, 1, "none", Restrictions::default()),
    );
}

#[test]
fn a_dataset_moves_where_its_mover_has_a_right_on_both_sides() {
    let mut world = world();
    world.project(CAROL, 1, "vision");
    // Bob's, but he does not see the project; carol's project, but not her dataset.
    check(&mut world, &Code::NotFound, "no project vision", |world| {
        world.relocate(BOB, "digits", Some("vision"))
    });
    check(
        &mut world,
        &Code::Permission,
        "datasets of others",
        |world| world.relocate(CAROL, "digits", Some("vision")),
    );
    check(&mut world, &Code::NotFound, "no dataset maps", |world| {
        world.relocate(CAROL, "maps", Some("vision"))
    });
    world
        .grant(CAROL, "vision", member("bob"), Access::View)
        .unwrap();
    check(
        &mut world,
        &Code::Permission,
        "access is view; it takes upload",
        |world| world.relocate(BOB, "digits", Some("vision")),
    );
    world
        .grant(CAROL, "vision", member("bob"), Access::Upload)
        .unwrap();
    let events = world.relocate(BOB, "digits", Some("vision")).unwrap();
    let told = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(
        (&told["before"], &told["after"]),
        (&serde_json::Value::Null, &"vision".into())
    );
    assert_eq!(world.relocate(BOB, "digits", Some("vision")).unwrap(), []);
    // What everybody saw is the project's now.
    assert!(world.seen(user(4), "digits").is_none());
    assert_eq!(
        world.seen(CAROL, "digits").unwrap().project,
        Some(name("vision"))
    );

    // To upload is not enough to take away.
    check(
        &mut world,
        &Code::Permission,
        "move their own datasets elsewhere (project vision)",
        |world| world.relocate(BOB, "digits", None),
    );
    world
        .grant(CAROL, "vision", member("bob"), Access::Contribute)
        .unwrap();
    // What a contributor may take away is theirs.
    world
        .grant(CAROL, "vision", member("dave"), Access::Contribute)
        .unwrap();
    let others = refused(world.relocate(DAVE, "digits", None));
    assert_eq!(others.code, Code::Permission);
    assert_eq!(
        (others.what.as_str(), others.why.as_str()),
        (
            "you may not move datasets of others elsewhere (project vision)",
            "your access is contribute; it takes administer"
        )
    );
    for restricted in [
        SetProject {
            copy_out: Some(CopyOut::None),
            ..setting("vision")
        },
        SetProject {
            copy_out: Some(CopyOut::All),
            delete: Some(DeleteBy::Admins),
            ..setting("vision")
        },
    ] {
        world.restrict(CAROL, restricted).unwrap();
        check(
            &mut world,
            &Code::Permission,
            "it takes administer",
            |world| world.relocate(BOB, "digits", None),
        );
    }
    // Carol administers the project, and sees what she let go no more.
    world.relocate(CAROL, "digits", None).unwrap();
    assert!(world.seen(CAROL, "digits").is_none());
    let view = world.seen(BOB, "digits").unwrap();
    assert_eq!(
        (view.visibility, view.project),
        (Visibility::Personal, None)
    );

    world.archive(CAROL, "vision", true).unwrap();
    check(&mut world, &Code::WrongState, "it is archived", |world| {
        world.relocate(BOB, "digits", Some("vision"))
    });
    invariants::check(&world);
}

#[test]
fn owners_and_admins_change_what_is_said_of_a_dataset() {
    let mut world = world();
    check(
        &mut world,
        &Code::Permission,
        "datasets of others",
        |world| world.say(CAROL, "digits", Some("hers"), None),
    );
    check(&mut world, &Code::NotFound, "no dataset maps", |world| {
        world.say(CAROL, "maps", Some("hers"), None)
    });
    check(&mut world, &Code::BadRequest, "", |world| {
        world.say(BOB, "maps", Some(&"x".repeat(2000)), None)
    });
    let events = world.say(BOB, "maps", Some("roads"), None).unwrap();
    let told = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(told["event"], "dataset_changed");
    assert_eq!(
        (
            &told["before"]["description"],
            &told["after"]["description"]
        ),
        (&"".into(), &"roads".into())
    );
    assert_eq!(world.say(BOB, "maps", Some("roads"), None).unwrap(), []);
    world
        .say(ALICE, "maps", None, Some(Visibility::OrgRead))
        .unwrap();
    let view = world.seen(CAROL, "maps").unwrap();
    assert_eq!(
        (view.description.as_str(), view.visibility),
        ("roads", Visibility::OrgRead)
    );

    world.project(BOB, 1, "vision");
    world.relocate(BOB, "maps", Some("vision")).unwrap();
    check(
        &mut world,
        &Code::BadRequest,
        "which says who sees it",
        |world| world.say(BOB, "maps", None, Some(Visibility::OrgRead)),
    );
    world.say(BOB, "maps", Some("rivers"), None).unwrap();
    invariants::check(&world);
}
