//! Labels: what owners and admins say of machines, and jobs that ask for it.

use common::{
    api::{explain::BlockerCode, machine::LabelMachine},
    code::Code,
    id::UserId,
    job::JobSpec,
    label::Label,
    machine::MachineReport,
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, capacity, machine_id, name, refused, report, spec, where_to,
    },
};
use crate::{Actor, Body, Event, Rejection};

fn labels(texts: &[&str]) -> Vec<Label> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn labelled(texts: &[&str]) -> MachineReport {
    MachineReport {
        labels: labels(texts),
        ..report(capacity(4, 8))
    }
}

fn wanting(texts: &[&str]) -> JobSpec {
    JobSpec {
        labels: texts.iter().map(|text| text.parse().unwrap()).collect(),
        ..spec()
    }
}

fn label(
    world: &mut World,
    who: UserId,
    machine: &str,
    set: &[&str],
    unset: &[&str],
) -> Result<Vec<Event>, Rejection> {
    let request = LabelMachine {
        org: ORG,
        name: name(machine),
        set: labels(set),
        unset: labels(unset),
    };
    world.user_does(who, Body::LabelMachine(request))
}

#[test]
fn a_job_goes_where_its_labels_are() {
    let mut world = World::new();
    world.machine(10, ALICE, "plain", report(capacity(4, 8)));
    world.machine(11, ALICE, "fast", labelled(&["ssd", "zone=a"]));
    world.machine(12, ALICE, "slow", labelled(&["slow", "ssd", "zone=b"]));
    for (number, wanted, expect) in [
        (30, &["ssd", "zone=a"][..], 11),
        (31, &["zone=b"], 12),
        (32, &["!zone"], 10),
        (33, &["ssd", "!slow"], 11),
        (34, &["slow", "zone"], 12),
    ] {
        world.submit(BOB, number, wanting(wanted)).unwrap();
        let placed = world.schedule();
        assert_eq!(where_to(&placed), [machine_id(expect)], "{wanted:?}");
        world.succeed(placed[0].0);
        invariants::check(&world);
    }
}

#[test]
fn what_waits_for_a_label_says_so_and_keeps_nobody_waiting() {
    let mut world = World::new();
    world.machine(10, ALICE, "fast", labelled(&["ssd"]));
    world.machine(11, ALICE, "plain", report(capacity(4, 8)));
    world.disconnect(10);
    world.submit(BOB, 30, wanting(&["ssd"])).unwrap();
    world.submit(BOB, 31, spec()).unwrap();
    assert_eq!(where_to(&world.schedule()), [machine_id(11)]);
    let why = world.why(30);
    let blockers: Vec<_> = why
        .blockers
        .iter()
        .map(|one| (one.code, one.machine_count, one.text.as_str()))
        .collect();
    assert_eq!(
        blockers,
        [
            (BlockerCode::MachineOffline, 1, "not connected"),
            (
                BlockerCode::LabelMissing,
                1,
                "asks for label ssd (plain lacks it)"
            ),
        ]
    );
    assert!(!why.never);
    invariants::check_waiting_is_explained(&world);
    // The owner of the other one says so of it.
    let report = labelled(&["ssd=nvme"]);
    let actor = Actor::Machine(machine_id(11));
    world.must(actor, Body::ReportMachine { report });
    assert_eq!(where_to(&world.schedule()), [machine_id(11)]);
    invariants::check(&world);
}

#[test]
fn what_no_machine_will_ever_satisfy_is_refused_with_what_would_change_it() {
    let mut world = World::new();
    world.machine(10, ALICE, "slow", labelled(&["slow"]));
    let problem = refused(world.submit(BOB, 30, wanting(&["ssd", "!slow"])));
    assert_eq!(problem.code, Code::NeverFits);
    let all = format!("{} {}", problem.why, problem.help);
    for expect in [
        "asks for label ssd (slow lacks it); does not want label slow (slow has it)",
        "`compute-share machine label slow ssd --unset slow`",
    ] {
        assert!(all.contains(expect), "{problem}");
    }
    let many: Vec<String> = (0..17).map(|number| format!("l{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let problem = refused(world.submit(BOB, 31, wanting(&many)));
    assert!(problem.why.contains("labels: 17 of them, 16"), "{problem}");
}

#[test]
fn admins_label_machines_and_win_over_owners() {
    let mut world = World::new();
    world.machine(10, BOB, "box", labelled(&["ssd", "zone=a"]));
    let problem = refused(label(&mut world, BOB, "box", &["rack=1"], &[]));
    assert_eq!(problem.code, Code::Permission);
    let problem = refused(label(&mut world, ALICE, "bax", &["rack=1"], &[]));
    assert_eq!(problem.code, Code::NotFound);

    let events = label(&mut world, ALICE, "box", &["zone=b", "rack=1"], &[]).unwrap();
    assert_eq!(events.len(), 1);
    let again = label(&mut world, ALICE, "box", &["rack=1"], &[]).unwrap();
    assert!(again.is_empty(), "so it is already");
    invariants::check(&world);
    assert!(world.submit(CAROL, 30, wanting(&["zone=a"])).is_err());
    world
        .submit(CAROL, 31, wanting(&["zone=b", "ssd"]))
        .unwrap();
    assert_eq!(world.schedule().len(), 1);

    label(&mut world, ALICE, "box", &[], &["zone=anything"]).unwrap();
    invariants::check(&world);
    world
        .submit(CAROL, 32, wanting(&["zone=a", "rack"]))
        .unwrap();
    assert_eq!(world.schedule().len(), 1);

    let many: Vec<String> = (0..32).map(|number| format!("l{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let problem = refused(label(&mut world, ALICE, "box", &many, &[]));
    assert_eq!(problem.code, Code::Limit);
}

#[test]
fn a_label_that_an_admin_takes_away_lets_a_waiting_job_start() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    world.machine(11, BOB, "other", report(capacity(4, 8)));
    world.disconnect(11);
    label(&mut world, ALICE, "box", &["slow"], &[]).unwrap();
    world.submit(CAROL, 30, wanting(&["!slow"])).unwrap();
    assert!(world.schedule().is_empty());
    label(&mut world, ALICE, "box", &[], &["slow"]).unwrap();
    assert_eq!(where_to(&world.schedule()), [machine_id(10)]);
}

#[test]
fn a_report_with_labels_that_are_none_is_refused() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    for bad in [&["zone=a", "ssd"][..], &["a=1", "a=2"], &["a", "a"]] {
        let report = labelled(bad);
        let actor = Actor::Machine(machine_id(10));
        refused(world.run(actor, Body::ReportMachine { report }));
    }
}
