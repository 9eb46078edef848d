//! Secrets of an org and of its projects: whose jobs use them, and that nothing else has them.

mod refusals;

use common::{
    api::secret::{AllowSecret, SecretAnswer, SecretRequest, SetSecret, UsersChange},
    api::{Answer, Request},
    code::Code,
    id::{AttemptId, SecretId, UserId},
    job::JobSpec,
    problem::Problem,
    project::Grantee,
    seal::Sealed,
    secret::{SecretKind, SecretUser, SecretView, sealing_context},
    status::{Access, EndReason, Role},
};

use super::{
    invariants::{self, save},
    projects::{check, inside, member},
    rules::pinned_image,
    views::ask,
    world::{ALICE, BOB, CAROL, ORG, World, capacity, name, outcome, report, spec},
};
use crate::{
    Body, Event, Rejection, Table, assign,
    command::secret::SecretCommand,
    query::access::{registry_login, secrets},
};

/// Bytes that are found nowhere by chance, in JSON and in Debug.
const SECRET: [u8; 4] = [211, 199, 223, 227];

fn sealed(salt: u8) -> Sealed {
    Sealed {
        encapsulated: vec![salt; 32],
        ciphertext: [&SECRET[..], &[salt]].concat(),
    }
}

impl World {
    /// Sets a secret whose value is `number`.
    pub(super) fn secret(
        &mut self,
        by: UserId,
        number: u8,
        called: &str,
        project: Option<&str>,
    ) -> Result<Vec<Event>, Rejection> {
        self.set_secret(by, number, called, project, SecretKind::Variable)
    }

    fn set_secret(
        &mut self,
        by: UserId,
        number: u8,
        called: &str,
        project: Option<&str>,
        kind: SecretKind,
    ) -> Result<Vec<Event>, Rejection> {
        let command = SecretCommand::Set {
            secret: SecretId::from_bytes([number; 16]),
            request: SetSecret {
                org: ORG,
                project: project.map(name),
                name: called.parse().unwrap(),
                kind,
                value: sealed(number),
            },
            masked: true,
        };
        self.user_does(by, Body::Secret(command))
    }

    fn allow(
        &mut self,
        by: UserId,
        called: &str,
        change: UsersChange,
    ) -> Result<Vec<Event>, Rejection> {
        let command = SecretCommand::Allow(AllowSecret {
            org: ORG,
            name: called.parse().unwrap(),
            change,
        });
        self.user_does(by, Body::Secret(command))
    }

    pub(super) fn delete_secret(
        &mut self,
        by: UserId,
        called: &str,
        project: Option<&str>,
    ) -> Result<Vec<Event>, Rejection> {
        let command = SecretCommand::Delete {
            org: ORG,
            project: project.map(name),
            name: called.parse().unwrap(),
        };
        self.user_does(by, Body::Secret(command))
    }

    fn secrets(&self, by: UserId) -> Vec<SecretView> {
        match ask(
            self,
            by,
            &Request::Secret(SecretRequest::List {
                org: ORG,
                after: None,
            }),
        ) {
            Ok(Answer::Secret(SecretAnswer::List(list))) => list.rows,
            other => panic!("{other:?}"),
        }
    }

    /// Returns what the attempt's own machine is given: names, and the salts of the values.
    fn given(&self, attempt: AttemptId) -> Result<Vec<(String, u8)>, Problem> {
        let machine = self.state.attempts[&attempt].machine;
        let secrets = secrets(&self.state, machine, attempt)?;
        Ok(secrets
            .iter()
            .map(|one| (one.name.to_string(), one.sealed.encapsulated[0]))
            .collect())
    }
}

fn using(names: &[&str]) -> JobSpec {
    JobSpec {
        secrets: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..spec()
    }
}

fn world() -> World {
    let mut world = World::new();
    world.join(4, "dave", Role::Member);
    world.machine(10, ALICE, "box", report(capacity(8, 16)));
    world.project(BOB, 1, "vision");
    world
}

#[test]
fn a_secret_is_used_by_whom_it_is_allowed_to_and_is_not_there_for_others() {
    let mut world = world();
    world.secret(ALICE, 50, "HF_TOKEN", None).unwrap();
    world.submit(ALICE, 20, using(&["HF_TOKEN"])).unwrap();
    check(&mut world, &Code::NotFound, "no secret HF_TOKEN", |world| {
        world.submit(BOB, 21, using(&["HF_TOKEN"]))
    });
    check(&mut world, &Code::NotFound, "no secret OTHER", |world| {
        world.submit(ALICE, 21, using(&["OTHER"]))
    });
    let names = |world: &World, user| {
        let list = world.secrets(user);
        list.into_iter()
            .map(|one| one.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&world, BOB), [""; 0]);
    assert_eq!(names(&world, ALICE), ["HF_TOKEN"]);

    world
        .allow(
            ALICE,
            "HF_TOKEN",
            UsersChange::Allow(SecretUser::Member(name("bob"))),
        )
        .unwrap();
    world.submit(BOB, 21, using(&["HF_TOKEN"])).unwrap();
    assert_eq!(names(&world, BOB), ["HF_TOKEN"]);
    assert_eq!(
        world.secrets(BOB)[0].users,
        None,
        "that is not for those who only use it"
    );
    world
        .allow(ALICE, "HF_TOKEN", UsersChange::Allow(SecretUser::Everyone))
        .unwrap();
    world.submit(CAROL, 22, using(&["HF_TOKEN"])).unwrap();
    world
        .allow(ALICE, "HF_TOKEN", UsersChange::AdminsOnly)
        .unwrap();
    assert_eq!(
        world
            .allow(ALICE, "HF_TOKEN", UsersChange::AdminsOnly)
            .unwrap(),
        []
    );
    check(&mut world, &Code::NotFound, "no secret", |world| {
        world.submit(BOB, 23, using(&["HF_TOKEN"]))
    });

    // Whoever runs jobs in the project has it there, and nowhere else.
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    world
        .allow(
            ALICE,
            "HF_TOKEN",
            UsersChange::Allow(SecretUser::Project(name("vision"))),
        )
        .unwrap();
    let there = JobSpec {
        secrets: using(&["HF_TOKEN"]).secrets,
        ..inside("vision")
    };
    world.submit(CAROL, 24, there).unwrap();
    assert_eq!(names(&world, CAROL), ["HF_TOKEN"]);
    check(&mut world, &Code::NotFound, "no secret", |world| {
        world.submit(CAROL, 25, using(&["HF_TOKEN"]))
    });
    invariants::check(&world);
}

#[test]
fn a_projects_own_secret_comes_before_the_orgs() {
    let mut world = world();
    world.secret(ALICE, 50, "TOKEN", None).unwrap();
    world
        .allow(ALICE, "TOKEN", UsersChange::Allow(SecretUser::Everyone))
        .unwrap();
    world.secret(BOB, 51, "TOKEN", Some("vision")).unwrap();
    world
        .grant(BOB, "vision", Grantee::Everyone, Access::Contribute)
        .unwrap();
    let in_project = JobSpec {
        secrets: using(&["TOKEN"]).secrets,
        ..inside("vision")
    };
    world.submit(CAROL, 20, in_project).unwrap();
    world.submit(CAROL, 21, using(&["TOKEN"])).unwrap();
    let placed = world.schedule();
    let given = |world: &World, at: usize| world.given(placed[at].0).unwrap();
    assert_eq!(given(&world, 0), [("TOKEN".to_owned(), 51)]);
    assert_eq!(given(&world, 1), [("TOKEN".to_owned(), 50)]);
    let found = secrets(&world.state, placed[0].1, placed[0].0).unwrap();
    let token = "TOKEN".parse().unwrap();
    let context = sealing_context(ORG, Some(&name("vision")), &token);
    assert_eq!(found[0].context, context);
    world.delete_secret(BOB, "TOKEN", Some("vision")).unwrap();
    assert_eq!(given(&world, 0), [("TOKEN".to_owned(), 50)]);
    invariants::check(&world);
}

#[test]
fn only_the_machine_that_is_to_run_the_attempt_is_told_and_as_things_are_then() {
    let mut world = world();
    world.machine(11, ALICE, "other", report(capacity(8, 16)));
    world.secret(ALICE, 50, "TOKEN", None).unwrap();
    world
        .allow(
            ALICE,
            "TOKEN",
            UsersChange::Allow(SecretUser::Member(name("bob"))),
        )
        .unwrap();
    world.submit(BOB, 20, using(&["TOKEN"])).unwrap();
    let (attempt, on) = world.schedule()[0];
    let other = super::world::machine_id(21 - on.as_bytes()[0]);
    let refused = secrets(&world.state, other, attempt).unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    assert!(!refused.to_string().contains("TOKEN"), "{refused}");
    let told = assign(&world.state, on);
    assert_eq!(told.attempts[0].spec.secrets, using(&["TOKEN"]).secrets);

    world.secret(ALICE, 52, "TOKEN", None).unwrap();
    assert_eq!(world.given(attempt).unwrap(), [("TOKEN".to_owned(), 52)]);
    world
        .allow(ALICE, "TOKEN", UsersChange::AdminsOnly)
        .unwrap();
    assert!(
        world
            .given(attempt)
            .unwrap_err()
            .what
            .contains("no secret TOKEN")
    );
    world
        .allow(ALICE, "TOKEN", UsersChange::Allow(SecretUser::Everyone))
        .unwrap();
    world.cancel(BOB, 1, None).unwrap();
    assert_eq!(world.given(attempt).unwrap_err().code, Code::NotFound);
    world.end(attempt, outcome(EndReason::Cancelled, None));
    assert_eq!(world.given(attempt).unwrap_err().code, Code::NotFound);
}

#[test]
fn a_registry_is_opened_by_a_secret_that_no_job_finds() {
    let mut world = world();
    let registry = "r.example:5000".to_owned();
    let kind = SecretKind::Registry { registry };
    world
        .set_secret(ALICE, 50, "LAB_REGISTRY", None, kind)
        .unwrap();
    let private = || JobSpec {
        image: pinned_image(),
        ..spec()
    };
    world.submit(BOB, 20, private()).unwrap();
    let (attempt, on) = world.schedule()[0];
    let told = |world: &World| assign(&world.state, on).attempts[0].spec.registry_login;
    assert!(!told(&world));
    assert!(registry_login(&world.state, on, attempt).is_err());
    world
        .allow(
            ALICE,
            "LAB_REGISTRY",
            UsersChange::Allow(SecretUser::Everyone),
        )
        .unwrap();
    assert!(told(&world));
    let found = registry_login(&world.state, on, attempt).unwrap();
    assert_eq!(
        (found.registry, found.sealed),
        ("r.example:5000", &sealed(50))
    );
    assert_eq!(
        found.context,
        sealing_context(ORG, None, &"LAB_REGISTRY".parse().unwrap())
    );
    check(&mut world, &Code::BadRequest, "opens a registry", |world| {
        world.submit(BOB, 21, using(&["LAB_REGISTRY"]))
    });
    // What its submitter sends along comes first.
    let own = JobSpec {
        registry_login: Some(sealed(7)),
        ..private()
    };
    world.submit(BOB, 22, own).unwrap();
    let (attempt, on) = world.schedule()[0];
    let found = registry_login(&world.state, on, attempt).unwrap();
    assert_eq!(found.sealed, &sealed(7));
}

#[test]
fn a_value_is_in_its_row_and_nowhere_else() {
    let mut world = world();
    let quoted = SECRET.map(|byte| byte.to_string()).join(",");
    let spaced = quoted.replace(',', ", ");
    let mut events = world.secret(ALICE, 50, "TOKEN", None).unwrap();
    events.extend(world.secret(ALICE, 51, "TOKEN", None).unwrap());
    let everyone = UsersChange::Allow(SecretUser::Everyone);
    events.extend(world.allow(ALICE, "TOKEN", everyone).unwrap());
    events.extend(world.submit(BOB, 20, using(&["TOKEN"])).unwrap());
    let holding: Vec<Table> = save(&world.state)
        .into_iter()
        .filter(|(_, row)| String::from_utf8_lossy(row).contains(&quoted))
        .map(|(key, _)| key.table)
        .collect();
    assert_eq!(holding, [Table::Secrets]);
    events.extend(world.delete_secret(ALICE, "TOKEN", None).unwrap());
    let shown = format!("{events:?}{:?}{:?}", world.state, world.secrets(ALICE));
    assert!(!shown.contains(&spaced), "{shown}");
    let json = serde_json::to_string(&events).unwrap();
    assert!(
        json.contains("secret_set") && json.contains("secret_deleted"),
        "{json}"
    );
    assert!(
        !json.contains(&quoted) && !json.contains("ciphertext"),
        "{json}"
    );
    assert_eq!(world.state.secrets.len(), 0);
    invariants::check(&world);
}

#[test]
fn who_leaves_uses_no_secret_any_more() {
    let mut world = world();
    world.secret(ALICE, 50, "TOKEN", None).unwrap();
    world
        .allow(
            ALICE,
            "TOKEN",
            UsersChange::Allow(SecretUser::Member(name("bob"))),
        )
        .unwrap();
    let body = Body::RemoveMember {
        org: ORG,
        handle: name("bob"),
    };
    world.user_does(ALICE, body).unwrap();
    let users = world.secrets(ALICE)[0].users.clone().unwrap();
    assert_eq!(users.members, []);
    invariants::check(&world);
}
