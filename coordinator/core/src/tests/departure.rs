//! Leaving and removal: what is shown before is what happens, and nothing that was on its way comes in afterwards.

use std::collections::BTreeSet;

use common::{
    api::org::{OrgAnswer, OrgRequest},
    code::Code,
    id::UserId,
    job::JobNumber,
    name::Name,
    org::departure::{DeparturePreview, Stays},
    problem::Problem,
    status::{EndReason, Role},
    time::Timestamp,
    units::Bytes,
    wire::agent::AttemptReport,
};

use super::{
    invariants, tokens,
    world::{
        ALICE, BOB, CAROL, ORG, World, array, asking, capacity, machine_id, name, outcome, refused,
        report, spec, tree, user,
    },
};
use crate::{
    Actor, Body, State, command::OrgCommand, event::Holder, lifecycle::attempt::AttemptState,
    lifecycle::job::JobState, query::enrolment,
};

pub(super) fn ask(world: &World, who: UserId, question: OrgRequest) -> Result<OrgAnswer, Problem> {
    match world.ask(who, &common::api::Request::Org(question))? {
        common::api::Answer::AboutOrg(answer) => Ok(answer),
        other => panic!("{other:?}"),
    }
}

fn preview(world: &World, who: UserId, handle: &str) -> DeparturePreview {
    let handle = name(handle);
    let question = OrgRequest::PreviewRemoval { org: ORG, handle };
    let Ok(OrgAnswer::Departure(preview)) = ask(world, who, question) else {
        panic!("no preview");
    };
    *preview
}

fn remove(handle: &str) -> Body {
    let handle = name(handle);
    Body::RemoveMember { org: ORG, handle }
}

fn leave() -> Body {
    Body::Org(OrgCommand::Leave { org: ORG })
}

/// Counts what went between two states, without looking at any event.
pub(super) fn check_went(
    before: &State,
    after: &State,
    at: Timestamp,
    who: UserId,
    shown: &DeparturePreview,
) {
    let open = |state: &State| -> BTreeSet<JobNumber> {
        let rows = state.jobs.iter().filter(|(id, job)| {
            let state = state.progress[id].state;
            job.owner == who && state == JobState::Open
        });
        rows.map(|(_, job)| job.number).collect()
    };
    let living = |state: &State| -> BTreeSet<Name> {
        let rows = state.machines.values();
        let own = rows.filter(|row| row.owner == who && row.state.is_living());
        own.map(|row| row.name.clone()).collect()
    };
    let tasks = |state: &State| {
        let own = state.jobs.iter().filter(|(_, job)| job.owner == who);
        own.fold((0, 0), |(queued, running), (id, _)| {
            let progress = &state.progress[id];
            let counts = progress.counts;
            // Of a cancelled job nothing waits but for the word of its machine.
            let waits = match progress.state {
                JobState::Cancelling => 0,
                _ => counts.queued,
            };
            (queued + waits, running + counts.running)
        })
    };
    let still = |state: &State, at| {
        let rows = state.invitations.values();
        let own = rows.filter(|row| row.created_by == who || row.user == Some(who));
        let open = own.filter(|row| crate::decide::invitation::open(row, at).is_ok());
        open.count()
    };
    let good = |state: &State| {
        let rows = state.devices.values();
        let own = rows.filter(|row| row.user == who && row.revoked_at.is_none());
        own.count()
    };
    let tokens = |state: &State| {
        let rows = state.tokens.values();
        rows.filter(|row| row.user == who && row.revoked_at.is_none())
            .count()
    };
    let on_theirs = |state: &State| {
        let live = state.attempts.iter().filter(|(_, row)| row.has_place());
        let there = live.filter(|(id, row)| {
            state.machines[&row.machine].owner == who && state.jobs[&id.job].owner != who
        });
        there.count()
    };
    let count = |number: u32| number as usize;
    let went: Vec<JobNumber> = open(before).difference(&open(after)).copied().collect();
    let named: Vec<JobNumber> = shown.jobs.iter().map(|job| job.number).collect();
    assert_eq!((&named, count(shown.job_count)), (&went, went.len()));
    assert!(open(after).is_empty() && living(after).is_empty() && still(after, at) == 0);
    let machines: Vec<Name> = living(before).into_iter().collect();
    assert_eq!(
        (&shown.machines, count(shown.machine_count)),
        (&machines, machines.len())
    );
    let (queued, _) = tasks(before);
    let waited: u32 = shown.jobs.iter().map(|job| job.queued).sum();
    assert_eq!(
        (shown.queued_tasks, waited, tasks(after).0),
        (queued, queued, 0)
    );
    assert_eq!(count(shown.invitations), still(before, at));
    assert_eq!(count(shown.devices), good(before) - good(after));
    assert_eq!(count(shown.tokens), tokens(before) - tokens(after));
    assert_eq!(
        count(shown.interrupted_tasks),
        on_theirs(before) - on_theirs(after)
    );
}

#[test]
fn the_preview_is_exactly_what_happens_and_changes_nothing() {
    let mut world = World::new();
    world.machine(10, BOB, "bobs", report(capacity(4, 8)));
    world.machine(11, ALICE, "alices", report(capacity(2, 8)));
    world.register(12, BOB, "new").unwrap();
    world.dataset(BOB, 20, "digits");
    world.submit(BOB, 30, spec()).unwrap();
    let (done, _) = world.schedule()[0];
    let ended = AttemptReport::Ended {
        at: world.now,
        outcome: outcome(EndReason::Exited, Some(0)),
        artifacts: true,
    };
    world.report(done, ended).unwrap();
    world
        .report(done, AttemptReport::Artifacts { tree: tree(9) })
        .unwrap();
    world.submit(CAROL, 31, spec()).unwrap();
    world.submit(BOB, 32, array(3, Some(1))).unwrap();
    world.submit(BOB, 33, asking(4, 1)).unwrap();
    world.schedule();
    tokens::make(&mut world);

    let before = world.clone();
    let shown = preview(&world, ALICE, "bob");
    assert!(world.state == before.state);
    assert_eq!(
        (shown.job_count, shown.running_tasks, shown.queued_tasks),
        (2, 1, 3)
    );
    assert_eq!(
        (shown.machine_count, shown.devices, shown.tokens),
        (2, 1, 1)
    );
    let stays = Stays {
        ended_jobs: 1,
        artifact_bytes: Bytes::kib(1),
        datasets: 1,
        dataset_bytes: Bytes::mib(1),
    };
    assert_eq!(shown.stays, stays);
    world.user_does(ALICE, remove("bob")).unwrap();
    check_went(&before.state, &world.state, world.now, BOB, &shown);
    invariants::check(&world);
}

#[test]
fn whoever_may_not_remove_may_not_look() {
    let mut world = World::new();
    world.join(4, "dora", Role::Admin);
    let look = |world: &World, who, handle| {
        let handle = name(handle);
        let question = OrgRequest::PreviewRemoval { org: ORG, handle };
        ask(world, who, question)
            .map(drop)
            .map_err(|problem| problem.code)
    };
    assert_eq!(look(&world, BOB, "carol"), Err(Code::Permission));
    assert_eq!(look(&world, BOB, "bob"), Ok(()));
    assert_eq!(look(&world, user(4), "carol"), Ok(()));
    assert_eq!(look(&world, user(4), "alice"), Err(Code::OwnerStays));
    assert_eq!(look(&world, ALICE, "nobody"), Err(Code::NotFound));
    assert_eq!(look(&world, user(77), "bob"), Err(Code::NotFound));
}

#[test]
fn the_owner_cannot_leave_and_whoever_leaves_stays_signed_in() {
    let mut world = World::new();
    let before = world.state.clone();
    let problem = refused(world.user_does(ALICE, leave()));
    assert_eq!(problem.code, Code::OwnerStays);
    assert!(problem.help.contains("org transfer"), "{problem}");
    let asked = ask(&world, ALICE, OrgRequest::PreviewLeaving { org: ORG });
    assert_eq!(asked.unwrap_err().code, Code::OwnerStays);
    assert!(world.state == before);

    let good = |world: &World, who| {
        let serials = &world.state.index.holders[&Holder::User(who)];
        let mut serials = serials.iter();
        serials.any(|serial| enrolment::certificate(&world.state, *serial, world.now).is_ok())
    };
    world.user_does(BOB, leave()).unwrap();
    world.user_does(ALICE, remove("carol")).unwrap();
    assert_eq!((good(&world, BOB), good(&world, CAROL)), (true, false));
    for who in [BOB, CAROL] {
        assert_eq!(refused(world.submit(who, 40, spec())).code, Code::NotFound);
        assert_eq!(refused(world.user_does(who, leave())).code, Code::NotFound);
        assert_eq!(
            refused(world.register(50, who, "late")).code,
            Code::NotFound
        );
        let upload = crate::query::access::may_upload(&world.state, who, ORG);
        assert_eq!(upload.unwrap_err().code, Code::NotFound);
    }
    invariants::check(&world);
}

#[test]
fn what_a_removed_machine_still_says_is_refused_or_changes_nothing() {
    let mut world = World::new();
    world.machine(10, BOB, "bobs", report(capacity(4, 8)));
    world.submit(CAROL, 30, spec()).unwrap();
    let (attempt, _) = world.schedule()[0];
    world.start(attempt);
    world.user_does(ALICE, remove("bob")).unwrap();
    let after = world.state.clone();
    let said = world.report(attempt, AttemptReport::Started { at: world.now });
    assert_eq!(said, Ok(Vec::new()));
    assert_eq!(world.end(attempt, outcome(EndReason::Exited, Some(0))), []);
    let connect = Body::ConnectMachine {
        report: report(capacity(4, 8)),
        attempts: vec![attempt],
    };
    let machine = Actor::Machine(machine_id(10));
    assert_eq!(
        refused(world.run(machine, connect)).code,
        Code::CertificateRevoked
    );
    let certificate = world.certificate(10);
    let claim = Body::ClaimMachine {
        machine: machine_id(10),
        certificate,
    };
    assert_eq!(
        refused(world.run(Actor::Stranger, claim)).code,
        Code::CertificateRevoked
    );
    assert!(world.state == after);
    let ended = &world.state.attempts[&attempt].state;
    assert!(matches!(ended, AttemptState::Ended(end) if end.reason == EndReason::MachineOwner));
}

#[test]
fn what_somebody_made_passes_to_the_org_and_does_not_come_back_with_them() {
    let mut world = World::new();
    world.dataset(BOB, 20, "digits");
    world.machine(10, ALICE, "box", report(capacity(4, 8)));
    world.submit(BOB, 30, spec()).unwrap();
    let (attempt, _) = world.schedule()[0];
    world.succeed(attempt);
    world.user_does(BOB, leave()).unwrap();
    let digits = |world: &World, who| {
        let request = common::api::Request::ShowDataset {
            org: ORG,
            name: name("digits"),
        };
        world.ask(who, &request)
    };
    let Ok(common::api::Answer::Dataset(seen)) = digits(&world, ALICE) else {
        panic!("the owner sees all");
    };
    assert_eq!((seen.owner, seen.passed_to_org), (name("bob"), true));
    // The same account in a new membership.
    let back = crate::Event::MemberAdded {
        org: ORG,
        user: BOB,
        role: Role::Member,
        at: world.now.saturating_add(std::time::Duration::from_secs(1)),
    };
    crate::apply(&mut world.state, &back);
    invariants::check(&world);
    let job = common::api::Request::ShowJob(common::api::job::ShowJob {
        org: ORG,
        number: JobNumber(1),
        task: None,
        attempts: 1,
        live: false,
    });
    assert_eq!(world.ask(BOB, &job).unwrap_err().code, Code::NotFound);
    assert!(world.ask(ALICE, &job).is_ok());
    let again = crate::policy::may_change_dataset(
        &world.state,
        BOB,
        Role::Member,
        world.state.datasets.values().next().unwrap(),
    );
    assert!(!again, "it is the org's");
}
