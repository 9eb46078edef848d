//! Owners who let jobs in by the project that they are of.

use common::{
    api::{Answer, Request, explain::BlockerCode},
    job::JobSpec,
    machine::{Admits, MachineReport},
    project::Grantee,
    status::Access,
};

use super::{
    super::{
        invariants,
        projects::inside,
        world::{ALICE, BOB, CAROL, ORG, World, job_id, name, spec},
    },
    admitting, why,
};

/// Returns the report of a machine that lets these in: members, projects, and projects that never may.
fn letting(members: Option<&str>, projects: Option<&str>, never: &str) -> MachineReport {
    let names = |text: &str| text.split_whitespace().map(name).collect::<Vec<_>>();
    admitting(Admits {
        members: members.map(names),
        projects: projects.map(names),
        not_projects: names(never),
        ..Admits::default()
    })
}

/// Alice's projects `vision` and `games`, in which everybody may run jobs, and no machine.
fn world() -> World {
    let mut world = World::new();
    for (number, called) in [(1, "vision"), (2, "games")] {
        world.project(ALICE, number, called);
        let everyone = Grantee::Everyone;
        world
            .grant(ALICE, called, everyone, Access::Contribute)
            .unwrap();
    }
    world
}

/// Checks on bob's machine which of carol's jobs run: one of no project, one of `vision`, one of `games`.
#[track_caller]
fn check(report: &MachineReport, expect: [bool; 3]) {
    let mut world = world();
    for (number, spec) in [(30, spec()), (31, inside("vision")), (32, inside("games"))] {
        world.submit(CAROL, number, spec).unwrap();
    }
    world.machine(10, BOB, "box", report.clone());
    let placed = world.schedule();
    let runs = [30, 31, 32].map(|number| placed.iter().any(|(id, _)| id.job == job_id(number)));
    assert_eq!(runs, expect, "{:?}", report.admits);
    invariants::check(&world);
    invariants::check_waiting_is_explained(&world);
    for (number, runs) in [30, 31, 32].into_iter().zip(expect) {
        let codes: Vec<BlockerCode> = why(&world, number)
            .blockers
            .iter()
            .map(|b| b.code)
            .collect();
        assert_eq!(
            codes.contains(&BlockerCode::OwnerKeepsOut),
            !runs,
            "{codes:?}"
        );
    }
}

#[test]
fn owners_let_jobs_in_by_their_project() {
    check(&letting(None, None, ""), [true, true, true]);
    check(
        &letting(None, Some("zoo vision art"), ""),
        [false, true, false],
    );
    check(&letting(None, Some(""), ""), [false, false, false]);
    check(&letting(None, None, "vision"), [true, false, true]);
    check(
        &letting(None, Some("vision games"), "vision"),
        [false, false, true],
    );
    // Members and projects are two ways in, and what never may has none.
    check(
        &letting(Some("dora"), Some("vision"), ""),
        [false, true, false],
    );
    check(
        &letting(Some("carol"), Some("vision"), ""),
        [true, true, true],
    );
    check(&letting(Some("carol"), None, "games"), [true, true, false]);
}

#[test]
fn what_is_kept_out_says_by_what_it_could_come_in() {
    let mut world = world();
    world.submit(CAROL, 30, inside("games")).unwrap();
    world.machine(10, BOB, "box", letting(None, Some("vision"), ""));
    assert!(world.schedule().is_empty());
    let explanation = why(&world, 30);
    let said = &explanation.blockers[0].text;
    assert_eq!(said, "its owner does not let carol or project games in");
    let change = explanation.smallest_change.unwrap();
    assert!(
        change.contains("lets carol or project games in"),
        "{change}"
    );
    // Once the owner does, it starts.
    world.connect(10, letting(None, Some("games"), ""), &[]);
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    let set = crate::assign(&world.state, placed[0].1);
    assert_eq!(set.attempts[0].spec.project, Some(name("games")));
    // The owner's own jobs always may.
    world.submit(BOB, 31, spec()).unwrap();
    assert_eq!(world.schedule().len(), 1);
}

#[test]
fn where_no_machine_tells_projects_apart_they_are_given_up_together() {
    let large = |spec: JobSpec| JobSpec {
        request: super::super::world::asking(4, 8).request,
        ..spec
    };
    let mut world = world();
    world.machine(10, BOB, "box", letting(None, None, ""));
    world.submit(CAROL, 30, large(spec())).unwrap();
    world.submit(CAROL, 31, large(inside("vision"))).unwrap();
    world.submit(CAROL, 32, inside("games")).unwrap();
    let placed = world.schedule();
    assert_eq!(placed.len(), 1, "the oldest takes all of the machine");
    world.succeed(placed[0].0);
    let placed = world.schedule();
    assert_eq!(placed.len(), 1);
    world.succeed(placed[0].0);
    assert_eq!(world.schedule().len(), 1);
    invariants::check(&world);
}

#[test]
fn names_of_projects_are_shown_to_who_sees_them_and_to_who_wrote_them() {
    let mut world = world();
    world.project(ALICE, 3, "secret");
    world.machine(
        10,
        BOB,
        "box",
        letting(None, Some("vision secret"), "secret"),
    );
    let shown = |user| {
        let show = Request::ShowMachine {
            org: ORG,
            name: name("box"),
        };
        match world.ask(user, &show) {
            Ok(Answer::Machine(view)) => {
                let admits = view.report.unwrap().admits;
                (admits.projects.unwrap().len(), admits.not_projects.len())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([ALICE, BOB, CAROL].map(shown), [(2, 1), (2, 1), (1, 0)]);
}
