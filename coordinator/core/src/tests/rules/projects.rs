//! Owners who let jobs in by the project that they are of.

use common::{
    api::{Answer, Request, explain::BlockerCode},
    job::JobSpec,
    machine::{Admits, MachineReport, UnseenProjects},
    project::Grantee,
    status::{Access, Network},
};

use super::{
    super::{
        invariants,
        projects::inside,
        world::{ALICE, BOB, CAROL, ORG, World, job_id, name, spec},
    },
    admitting, networked,
};
use crate::schedule::plan::plan;

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
        let codes: Vec<BlockerCode> = world.why(number).blockers.iter().map(|b| b.code).collect();
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
    let explanation = world.why(30);
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

/// Checks what is said of carol's job of `games` on bob's machine, and that it starts once his lists are the others.
#[track_caller]
fn check_remedy(kept_out: MachineReport, text: &str, change: &str, mended: MachineReport) {
    let mut world = world();
    world.submit(CAROL, 30, inside("games")).unwrap();
    world.machine(10, BOB, "box", kept_out);
    assert!(world.schedule().is_empty());
    let explanation = world.why(30);
    assert_eq!(explanation.blockers[0].text, text);
    assert_eq!(explanation.smallest_change.as_deref(), Some(change));
    world.connect(10, mended, &[]);
    assert_eq!(world.schedule().len(), 1, "{change}");
}

#[test]
fn the_remedy_is_about_the_list_that_is_in_the_way() {
    check_remedy(
        letting(None, None, "games"),
        "its owner never lets project games in",
        "the owner of box takes project games off `not_projects`",
        letting(None, None, ""),
    );
    check_remedy(
        letting(Some("carol"), None, "games"),
        "its owner never lets project games in",
        "the owner of box takes project games off `not_projects`",
        letting(Some("carol"), None, ""),
    );
    check_remedy(
        letting(None, Some("vision"), "games"),
        "its owner never lets project games in",
        "the owner of box takes project games off `not_projects` and lets carol or project games in",
        letting(None, Some("games"), ""),
    );
    let mut never = letting(None, None, "games");
    never.admits.not_members = vec![name("carol")];
    check_remedy(
        never,
        "its owner never lets carol or project games in",
        "the owner of box takes carol off `not` and takes project games off `not_projects`",
        letting(None, None, ""),
    );
}

#[test]
fn where_no_machine_tells_projects_apart_they_are_given_up_together() {
    // The machine has room, but its owner allows no network: how many of those that are alike but for their project
    // are held against it before they are given up?
    let looks = |not_projects: &str| {
        let mut world = world();
        let jobs = [spec(), inside("vision"), inside("games")];
        for (number, spec) in (30..).zip(jobs) {
            let online = JobSpec {
                network: Network::Internet,
                ..spec
            };
            world.submit(CAROL, number, online).unwrap();
        }
        let mut report = networked(Network::ALL, &[]);
        report.admits.not_projects = letting(None, None, not_projects).admits.not_projects;
        world.machine(10, BOB, "box", report.clone());
        let planned = plan(&world.state, world.now, 100);
        assert_eq!(planned.placements, []);
        assert!(world.schedule().is_empty());
        report.admits.networks = Network::ALL.to_vec();
        world.connect(10, report, &[]);
        assert_eq!(world.schedule().len(), 3, "none is given up for good");
        invariants::check(&world);
        planned.looks
    };
    assert_eq!(looks(""), 1);
    assert_eq!(looks("art"), 3);
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
                let list = Request::ListMachines {
                    org: ORG,
                    after: None,
                };
                let Ok(Answer::Machines(listed)) = world.ask(user, &list) else {
                    panic!("machines are listed");
                };
                assert_eq!(listed.rows, [(*view).clone()]);
                let UnseenProjects { let_in, kept_out } = view.unseen;
                let admits = view.report.unwrap().admits;
                let (may, never) = (admits.projects.unwrap().len(), admits.not_projects.len());
                ((may, let_in), (never, kept_out))
            }
            other => panic!("{other:?}"),
        }
    };
    let all = ((2, false), (1, false));
    assert_eq!([ALICE, BOB].map(shown), [all, all]);
    assert_eq!(shown(CAROL), ((1, true), (0, true)));
}
