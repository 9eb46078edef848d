//! What people see.

use std::{collections::BTreeMap, time::Duration};

use common::{
    api::{Answer, Request, account::CreateLoginLink, job::ShowJob},
    code::Code,
    id::{JobId, UserId},
    job::{JobNumber, JobSpec},
    machine::{MachineLoad, Pause, PausedBy},
    problem::Problem,
    status::{EndReason, JobStatus, MachineStatus},
    time::{Span, Timestamp},
    units::{Bytes, MilliCpu},
    usage::UsageSample,
    wire::{agent::AttemptReport, client::DownloadSource, peer::PeerLoad},
};

use super::world::{
    ALICE, BOB, CAROL, ORG, World, array, capacity, job_id, machine_id, name, outcome, report,
    spec, tree,
};
use crate::query::{
    self, Contact, Presence,
    access::{Readable, readable_tree},
};

pub(super) fn ask(world: &World, user: UserId, request: &Request) -> Result<Answer, Problem> {
    let heard = Contact {
        at: world.now,
        load: Some(MachineLoad {
            cpu_percent: 7,
            memory_used: Bytes::gib(1),
            peers: PeerLoad::default(),
        }),
    };
    let presence = Presence {
        contacts: &BTreeMap::from([(machine_id(10), heard)]),
        certificate: common::id::CertificateSerial::new([0; 16]),
        certificate_expires_at: world.now.saturating_add(Duration::from_secs(60)),
        version: "1.2.3",
        sealing_key: b"key",
        samples: &world.samples,
    };
    query::answer(&world.state, &presence, world.now, user, request)
}

#[test]
fn an_org_at_a_glance() {
    let mut world = World::new();
    world.machine(10, BOB, "busy", report(capacity(4, 8)));
    world.machine(11, BOB, "gone", report(capacity(4, 8)));
    world.disconnect(11);
    world.register(12, CAROL, "new").unwrap();
    world.submit(BOB, 30, array(6, None)).unwrap();
    let placed = world.schedule();
    world.succeed(placed[0].0);
    let Ok(Answer::Org(org)) = ask(&world, CAROL, &Request::ShowOrg { org: ORG }) else {
        panic!("carol is a member");
    };
    let seen = [
        (MachineStatus::Pending, 1),
        (MachineStatus::Busy, 1),
        (MachineStatus::Offline, 1),
    ];
    let machines: Vec<_> = org
        .machines
        .iter()
        .map(|row| (row.status, row.count))
        .collect();
    assert_eq!(machines, seen);
    assert_eq!((org.members, org.owner), (3, name("alice")));
    assert_eq!(
        (org.total.cpu, org.free.cpu),
        (MilliCpu::cpus(4), MilliCpu::cpus(1))
    );
    assert_eq!((org.running_tasks, org.queued_tasks), (3, 2));
    assert_eq!(
        org.compute_time,
        Span::default(),
        "no more than the time that passed"
    );

    let show = Request::ShowMachine {
        org: ORG,
        name: name("busy"),
    };
    let Ok(Answer::Machine(machine)) = ask(&world, CAROL, &show) else {
        panic!("every member sees the machines");
    };
    assert_eq!((machine.running, machine.executed), (3, 1));
    assert_eq!(machine.load.map(|load| load.cpu_percent), Some(7));
    assert_eq!(machine.allocated.cpu, MilliCpu::cpus(3));

    let Ok(Answer::WhoAmI(me)) = ask(&world, BOB, &Request::WhoAmI) else {
        panic!("bob knows who he is");
    };
    assert_eq!((me.handle, me.orgs.len()), (name("bob"), 1));
    assert_eq!(me.sealing_key, b"key");
    let Ok(Answer::Members(members)) = ask(
        &world,
        BOB,
        &Request::ListMembers {
            org: ORG,
            after: None,
        },
    ) else {
        panic!("every member sees the members");
    };
    let bob = members
        .rows
        .iter()
        .find(|member| member.handle == name("bob"));
    assert_eq!(
        bob.map(|bob| (bob.machines, bob.running, bob.queued)),
        Some((2, 3, 2))
    );
    let invitations = Request::ListInvitations {
        org: ORG,
        after: None,
    };
    assert_eq!(
        ask(&world, BOB, &invitations).unwrap_err().code,
        Code::Permission
    );
    assert!(
        matches!(ask(&world, ALICE, &invitations), Ok(Answer::Invitations(page)) if page.rows.len() == 2)
    );
    let stranger = UserId::from_bytes([99; 16]);
    let asked = ask(&world, stranger, &Request::ShowOrg { org: ORG });
    assert_eq!(asked.unwrap_err().code, Code::NotFound);
    let command = Request::CreateLoginLink(CreateLoginLink {
        org: ORG,
        user: None,
        reset: false,
    });
    assert_eq!(
        ask(&world, BOB, &command).unwrap_err().code,
        Code::BadRequest
    );
}

#[test]
fn a_job_with_its_attempts() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    world.submit(BOB, 30, array(3, None)).unwrap();
    let placed: Vec<_> = world.schedule().into_iter().map(|(id, _)| id).collect();
    let show_some = |world: &World, attempts, live| {
        let request = ShowJob {
            org: ORG,
            number: JobNumber(1),
            task: None,
            attempts,
            live,
        };
        match ask(world, BOB, &Request::ShowJob(request)) {
            Ok(Answer::Job(job)) => job,
            other => panic!("{other:?}"),
        }
    };
    let show = |world: &World, attempts| show_some(world, attempts, false);
    let job = show(&world, 2);
    assert_eq!((job.attempts.len(), job.attempts_left_out), (2, 1));
    assert_eq!(
        (job.summary.status, job.summary.exit_code),
        (JobStatus::Running, None)
    );
    assert_eq!(job.summary.machines, [name("box")]);
    world.succeed(placed[0]);
    let live = show_some(&world, 1, true);
    assert_eq!((live.attempts.len(), live.attempts_left_out), (1, 1));
    assert_ne!(live.attempts[0].task, placed[0].task);
    world.end(placed[1], outcome(EndReason::Exited, Some(3)));
    world.end(placed[2], outcome(EndReason::Exited, Some(4)));
    let job = show(&world, 10);
    assert_eq!(
        (job.summary.status, job.summary.exit_code),
        (JobStatus::Failed, Some(3))
    );
}

#[test]
fn samples_are_shown_of_what_runs_and_bounded_in_all() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(500, 1000)));
    world.submit(BOB, 30, array(100, None)).unwrap();
    let placed: Vec<_> = world.schedule().into_iter().map(|(id, _)| id).collect();
    let many = (0..100).map(|cpu_percent| UsageSample {
        cpu_percent,
        ..UsageSample::default()
    });
    let many: Vec<UsageSample> = many.collect();
    world.samples = placed.iter().map(|id| (*id, many.clone())).collect();
    world.succeed(placed[0]);
    let shown = |attempts, task| -> Vec<(usize, Option<u32>)> {
        let request = ShowJob {
            org: ORG,
            number: JobNumber(1),
            task,
            attempts,
            live: false,
        };
        let Ok(Answer::Job(job)) = ask(&world, BOB, &Request::ShowJob(request)) else {
            panic!("it is bob's");
        };
        let samples = job.attempts.iter().map(|attempt| &attempt.samples);
        samples
            .map(|samples| (samples.len(), samples.last().map(|last| last.cpu_percent)))
            .collect()
    };
    assert_eq!(shown(2, None), [(0, None), (60, Some(99))]);
    assert_eq!(shown(1, Some(7)), [(60, Some(99))]);
    let all = shown(100, None);
    assert_eq!(all[99], (41, Some(99)));
    assert!(all.iter().map(|(count, _)| count).sum::<usize>() <= 4096);
}

#[test]
fn a_paused_machine_says_why_and_until_when() {
    let until = Timestamp::from_unix_ms(1_700_000_000_000);
    let rule = "its owner is at the keyboard";
    for (by, reason, end, expect) in [
        (
            PausedBy::Command,
            "",
            None,
            "until its owner resumes it".to_owned(),
        ),
        (PausedBy::Command, "", Some(until), format!("until {until}")),
        (PausedBy::Rule, rule, None, rule.to_owned()),
        (
            PausedBy::Rule,
            rule,
            Some(until),
            format!("{rule}, until {until}"),
        ),
        (PausedBy::Rule, "", None, "a rule of its owner".to_owned()),
        (
            PausedBy::Draining,
            "",
            None,
            "its agent is about to stop".to_owned(),
        ),
    ] {
        let mut world = World::new();
        let mut paused = report(capacity(4, 8));
        paused.paused = Some(Pause {
            until: end,
            reason: reason.to_owned(),
            by,
        });
        world.machine(10, BOB, "box", paused);
        let show = Request::ShowMachine {
            org: ORG,
            name: name("box"),
        };
        let Ok(Answer::Machine(machine)) = ask(&world, CAROL, &show) else {
            panic!("every member sees the machines");
        };
        assert_eq!(machine.status, MachineStatus::Paused);
        assert_eq!(machine.status_detail, Some(expect));
    }
}

#[test]
fn artifacts_come_are_waited_for_or_are_not() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 8)));
    let find = |world: &World, job: u64| {
        let source = DownloadSource::Artifacts {
            job: JobNumber(job),
            task: 0,
            attempt: None,
        };
        readable_tree(&world.state, BOB, ORG, &source).map_err(|problem| problem.code)
    };
    let waits = |id: JobId| Ok(Readable::Waiting(id));
    world.submit(BOB, 30, spec()).unwrap();
    assert_eq!(find(&world, 1), waits(job_id(30)));
    let (attempt, _) = world.schedule()[0];
    assert_eq!(find(&world, 1), waits(job_id(30)));
    let ended = AttemptReport::Ended {
        at: world.now,
        outcome: outcome(EndReason::Exited, Some(0)),
        artifacts: true,
    };
    let early = world.report(attempt, AttemptReport::Artifacts { tree: tree(5) });
    assert_eq!(super::world::refused(early).code, Code::BadRequest);
    world.report(attempt, ended).unwrap();
    assert_eq!(find(&world, 1), waits(job_id(30)));
    world
        .report(attempt, AttemptReport::Artifacts { tree: tree(5) })
        .unwrap();
    assert_eq!(find(&world, 1), Ok(Readable::Tree(tree(5))));

    world.submit(BOB, 31, spec()).unwrap();
    let (attempt, _) = world.schedule()[0];
    world.succeed(attempt);
    assert_eq!(find(&world, 2), Err(Code::NotFound));
    let retries = common::job::Retries {
        max: 0,
        on: Vec::new(),
        ..common::job::Retries::default()
    };
    world
        .submit(BOB, 32, JobSpec { retries, ..spec() })
        .unwrap();
    world.schedule();
    world.disconnect(10);
    world.expire(10);
    assert_eq!(find(&world, 3), Err(Code::NotFound));
    assert_eq!(find(&world, 4), Err(Code::NotFound));
}
