//! Machines come, report, go and are lost; their attempts with them.

use common::{
    code::Code,
    job::{ArtifactsView, JobSpec, Retries},
    status::{EndReason, JobStatus},
    wire::agent::{AttemptReport, Goal},
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, capacity, job_id, machine_id, name, outcome, refused,
        report, spec, tree,
    },
};
use crate::{Actor, Body, Effect, assign, effects, query::access};

#[test]
fn names_are_unique_among_the_living_and_registration_can_be_repeated() {
    let mut world = World::new();
    world.register(10, BOB, "box").unwrap();
    assert_eq!(world.register(10, BOB, "box"), Ok(Vec::new()));
    assert_eq!(
        refused(world.register(11, CAROL, "box")).code,
        Code::NameTaken
    );
    let reject = Body::RejectMachine {
        org: ORG,
        name: name("box"),
        reason: "not ours\u{7}".to_owned(),
    };
    assert_eq!(
        refused(world.user_does(BOB, reject.clone())).code,
        Code::Permission
    );
    world.user_does(ALICE, reject).unwrap();
    let claim = crate::query::enrolment::claim(
        &world.state,
        machine_id(10),
        common::id::Fingerprint::new([10; 32]),
    );
    let problem = claim.unwrap_err();
    assert_eq!(
        (problem.code, problem.why.as_str()),
        (Code::MachineRejected, "not ours")
    );
    let approve = Body::ApproveMachine {
        org: ORG,
        name: name("box"),
    };
    let problem = refused(world.user_does(ALICE, approve));
    assert_eq!(
        (problem.code, problem.what.as_str(), problem.why.as_str()),
        (
            Code::MachineRejected,
            "machine box was rejected",
            "not ours"
        )
    );
    assert!(
        problem.help.contains("register --name box"),
        "{}",
        problem.help
    );
    world.register(11, CAROL, "box").unwrap();
    invariants::check(&world);
}

#[test]
fn a_machine_that_is_not_approved_cannot_connect() {
    let mut world = World::new();
    world.register(10, BOB, "box").unwrap();
    let body = Body::ConnectMachine {
        report: report(capacity(1, 1)),
        attempts: Vec::new(),
    };
    let problem = refused(world.run(Actor::Machine(machine_id(10)), body));
    assert_eq!(problem.code, Code::MachineNotApproved);
    assert!(problem.help.contains("machine approve box"));
}

#[test]
fn every_change_of_the_desired_set_grows_its_generation() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    let mut last = assign(&world.state, machine_id(10)).generation;
    let mut grown = |world: &World, goal: Option<Goal>| {
        let set = assign(&world.state, machine_id(10));
        assert!(set.generation > last, "{} after {last}", set.generation);
        assert_eq!(set.attempts.first().map(|a| a.goal), goal);
        last = set.generation;
    };
    world.submit(BOB, 30, spec()).unwrap();
    let (attempt, _) = world.schedule()[0];
    grown(&world, Some(Goal::Run));
    world.start(attempt);
    world.cancel(BOB, 1, None).unwrap();
    grown(
        &world,
        Some(Goal::Stop {
            reason: EndReason::Cancelled,
        }),
    );
    let mut cancelled = outcome(EndReason::Cancelled, None);
    cancelled.log_bytes = 7;
    let ended = AttemptReport::Ended {
        at: world.now,
        outcome: cancelled,
        artifacts: true,
    };
    let events = world.report(attempt, ended.clone()).unwrap();
    assert!(
        events
            .iter()
            .any(|e| effects(&world.state, e).contains(&Effect::Assign(machine_id(10))))
    );
    grown(&world, Some(Goal::Collect));
    assert_eq!(world.report(attempt, ended), Ok(Vec::new()), "said twice");
    assert!(access::machine_may_upload(
        &world.state,
        machine_id(10),
        attempt
    ));
    world
        .report(attempt, AttemptReport::Artifacts { tree: tree(7) })
        .unwrap();
    assert_eq!(
        world.report(attempt, AttemptReport::ArtifactsLost),
        Ok(Vec::new())
    );
    grown(&world, Some(Goal::Collect));
    world.must(Actor::System, Body::CompleteLog { attempt });
    assert_eq!(
        world.must(Actor::System, Body::CompleteLog { attempt }),
        Vec::new()
    );
    grown(&world, None);
    assert!(matches!(
        world.state.attempts[&attempt].artifacts,
        ArtifactsView::Stored { .. }
    ));
    assert_eq!(
        world.state.progress[&job_id(30)].status(),
        JobStatus::Cancelled
    );
    invariants::check(&world);
}

#[test]
fn artifacts_that_went_before_they_were_named_are_lost_and_not_awaited_for_ever() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    world.submit(CAROL, 30, spec()).unwrap();
    let (attempt, machine) = world.schedule()[0];
    world.start(attempt);
    let ended = AttemptReport::Ended {
        at: world.now,
        outcome: outcome(EndReason::Exited, Some(0)),
        artifacts: true,
    };
    world.report(attempt, ended).unwrap();
    let arrived = Body::ReportAttempt {
        attempt,
        report: AttemptReport::Artifacts { tree: tree(7) },
        artifact_size: None,
    };
    world.must(Actor::Machine(machine), arrived);
    let row = &world.state.attempts[&attempt];
    assert_eq!(row.artifacts, ArtifactsView::Lost);
    invariants::check(&world);
}

#[test]
fn a_lost_machine_gives_its_tasks_back_and_its_late_reports_change_nothing() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    world.submit(BOB, 30, spec()).unwrap();
    let (first, _) = world.schedule()[0];
    world.start(first);
    let before = world.state.clone();
    world.expire(10);
    assert_eq!(
        world.state, before,
        "a machine that is connected is not lost"
    );
    world.disconnect(10);
    assert_eq!(world.live(), [first]);
    world.expire(10);
    assert_eq!(world.live(), []);
    assert!(world.schedule().is_empty(), "nobody is there");
    invariants::check(&world);

    world.connect(10, report(capacity(4, 8)), &[first]);
    assert!(assign(&world.state, machine_id(10)).attempts.is_empty());
    let late = AttemptReport::Ended {
        at: world.now,
        outcome: outcome(EndReason::Exited, Some(0)),
        artifacts: true,
    };
    assert_eq!(world.report(first, late), Ok(Vec::new()));
    let (second, _) = world.schedule()[0];
    assert_eq!((second.task, second.number), (0, 2));
    world.succeed(second);
    assert_eq!(
        world.state.progress[&job_id(30)].status(),
        JobStatus::Succeeded
    );
    invariants::check(&world);
}

#[test]
fn retries_end() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    let once = Retries {
        max: 1,
        on: vec![EndReason::MachineLost],
        ..Retries::default()
    };
    world
        .submit(
            BOB,
            30,
            JobSpec {
                retries: once,
                ..spec()
            },
        )
        .unwrap();
    for _ in 0..2 {
        assert_eq!(world.schedule().len(), 1);
        world.disconnect(10);
        world.expire(10);
        world.connect(10, report(capacity(4, 8)), &[]);
    }
    assert!(world.schedule().is_empty());
    assert_eq!(
        world.state.progress[&job_id(30)].status(),
        JobStatus::Failed
    );
    invariants::check(&world);
}

#[test]
fn what_a_machine_comes_back_without_is_lost_unless_it_never_heard_of_it() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    world.submit(BOB, 30, spec()).unwrap();
    world.submit(BOB, 31, spec()).unwrap();
    let placed: Vec<_> = world.schedule().into_iter().map(|(id, _)| id).collect();
    world.start(placed[0]);
    world.disconnect(10);
    world.connect(10, report(capacity(4, 8)), &[]);
    assert_eq!(
        world.live(),
        [placed[1]],
        "the one that had only been placed"
    );
    invariants::check(&world);
    world.connect(10, report(capacity(4, 8)), &placed);
    assert_eq!(world.live(), [placed[1]]);
}

#[test]
fn the_owner_takes_a_machine_back() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    world.submit(CAROL, 30, spec()).unwrap();
    let (attempt, _) = world.schedule()[0];
    world.start(attempt);
    world.wait(5);
    let body = Body::RemoveMachine {
        org: ORG,
        name: name("box"),
    };
    assert_eq!(
        refused(world.user_does(CAROL, body.clone())).code,
        Code::Permission
    );
    let events = world.user_does(BOB, body.clone()).unwrap();
    let closed = events.iter().flat_map(|event| effects(&world.state, event));
    assert_eq!(
        closed
            .filter(|effect| matches!(effect, Effect::Close(_)))
            .count(),
        1
    );
    assert_eq!(
        world.state.progress[&job_id(30)].status(),
        JobStatus::Queued,
        "tried again"
    );
    assert_eq!(refused(world.user_does(BOB, body)).code, Code::NotFound);
    let mine = access::machine_log(&world.state, machine_id(10), attempt);
    assert_eq!(mine, None);
    invariants::check(&world);
}

#[test]
fn a_machine_fetches_only_what_it_is_to_run() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(1, 8)));
    world
        .submit(
            BOB,
            30,
            JobSpec {
                workdir: Some(tree(1)),
                ..spec()
            },
        )
        .unwrap();
    world
        .submit(
            BOB,
            31,
            JobSpec {
                workdir: Some(tree(2)),
                ..spec()
            },
        )
        .unwrap();
    world.schedule();
    let may = |number| access::machine_may_fetch(&world.state, machine_id(10), tree(number));
    assert!(may(1) && !may(2) && !may(3));
}
