//! Submission, cancellation, visibility.

use std::collections::BTreeMap;

use common::{
    api::{
        Answer, Request,
        job::{ExplainJob, FollowJob, ListJobs, ShowJob, SubmitJob},
        page::Page,
    },
    code::Code,
    dataset::DatasetRef,
    id::IdempotencyKey,
    job::{DatasetMount, JobNumber, JobSpec, TaskCounts},
    problem::Problem,
    resources::GpuRequest,
    status::{EndReason, JobStatus, Visibility},
    time::Timestamp,
    units::Bytes,
    wire::client::DownloadSource,
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, array, asking, capacity, job_id, name, outcome, refused,
        report, spec, tree,
    },
};
use crate::{
    Body, Event,
    event::dataset::DatasetEvent,
    query::{
        self, Presence,
        access::{Readable, readable_tree},
        follow::{LogEnd, followed},
    },
};

fn ask(world: &World, user: common::id::UserId, request: &Request) -> Result<Answer, Problem> {
    let presence = Presence {
        contacts: &BTreeMap::new(),
        certificate: common::id::CertificateSerial::new([0; 16]),
        certificate_expires_at: Timestamp::default(),
        version: "0",
        sealing_key: b"key",
        samples: &world.samples,
    };
    query::answer(&world.state, &presence, world.now, user, request)
}

#[test]
fn the_same_key_gives_the_same_job() {
    let mut world = World::new();
    let events = world.submit(BOB, 30, spec()).unwrap();
    assert!(matches!(
        events[..],
        [Event::JobSubmitted {
            number: JobNumber(1),
            ..
        }]
    ));
    assert_eq!(world.submit(BOB, 30, spec()), Ok(Vec::new()));
    let problem = refused(world.submit(BOB, 30, asking(2, 2)));
    assert_eq!(problem.code, Code::KeyConflict);
    assert!(problem.why.contains("job 1"));
    // Keys are each member's own.
    world.submit(CAROL, 31, spec()).unwrap();
    let submitted =
        query::enrolment::submitted(&world.state, BOB, IdempotencyKey::from_bytes([30; 16]));
    assert_eq!(
        submitted.map(|s| (s.id, s.number)),
        Some((job_id(30), JobNumber(1)))
    );
    invariants::check(&world);
}

#[test]
fn what_can_never_run_is_refused_with_the_nearest_machine() {
    let mut world = World::new();
    world.submit(BOB, 30, asking(64, 64)).unwrap();
    world.machine(10, BOB, "bob-workstation", report(capacity(8, 16)));
    world.machine(11, BOB, "laptop", report(capacity(2, 4)));
    let problem = refused(world.submit(CAROL, 31, asking(64, 8)));
    assert_eq!(problem.code, Code::NeverFits);
    assert!(
        problem
            .why
            .contains("the nearest, bob-workstation, lends 8 CPUs, 16 GiB"),
        "{problem}"
    );
    assert!(problem.help.contains("at most 8 CPUs"), "{}", problem.help);
    let gpu = GpuRequest {
        count: 1,
        model: Some("h200".to_owned()),
        memory: None,
        share: false,
        memory_most: None,
    };
    let mut wants_gpu = spec();
    wants_gpu.request.gpu = Some(gpu);
    assert!(
        refused(world.submit(CAROL, 32, wants_gpu))
            .why
            .contains("1 GPU h200")
    );
    world.submit(CAROL, 33, asking(8, 16)).unwrap();
    invariants::check(&world);
}

#[test]
fn a_specification_is_checked_whole() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut JobSpec), expect: &str) {
        let mut spec = spec();
        change(&mut spec);
        let mut world = World::new();
        let problem = refused(world.submit(BOB, 30, spec));
        assert_eq!(problem.code, Code::BadJobFile);
        assert!(problem.why.contains(expect), "{}", problem.why);
    }
    let mount = |path: &str| DatasetMount {
        dataset: DatasetRef {
            name: name("digits"),
            version: None,
        },
        path: path.to_owned(),
        lazy: false,
    };
    let variable = |name: &str| (name.to_owned(), "1".to_owned());
    check(|s| s.command.clear(), "no command");
    check(|s| s.command.push("a\0".to_owned()), "zero byte");
    check(
        |s| s.command = vec!["a".to_owned(); 5000],
        "5000 of them, 4096",
    );
    check(|s| s.command.push("a".repeat(300 << 10)), "bytes together");
    check(|s| s.env.extend([variable("A=B")]), "'='");
    check(|s| s.env.extend([variable("")]), "empty");
    check(
        |s| s.env.extend([variable("COMPUTE_SHARE_JOB_ID")]),
        "COMPUTE_SHARE_",
    );
    check(|s| s.request.cpu.0 = 0, "no processor");
    check(|s| s.request.memory.0 = 1000, "1 MiB");
    check(|s| s.request.memory.0 = u64::MAX, "than any machine");
    let share = |memory| {
        Some(GpuRequest {
            count: 1,
            model: None,
            memory,
            share: true,
            memory_most: None,
        })
    };
    check(|s| s.request.gpu = share(None), "a share of a GPU");
    check(
        |s| s.request.gpu = share(Some(Bytes::ZERO)),
        "a share of a GPU",
    );
    check(|s| s.retries.max = 101, "101 retries");
    check(|s| s.outputs.push("../up".to_owned()), "../up");
    check(|s| s.datasets.push(mount("data")), "absolute");
    check(
        |s| s.datasets.extend([mount("/data"), mount("/data/in")]),
        "two datasets",
    );
    check(
        |s| s.max_runtime = Some(common::time::Span::default()),
        "run time",
    );
    check(|s| s.name = "x".repeat(300), "name");
    check(
        |s| {
            s.array = Some(common::job::ArraySpec::of(5, 1, None));
        },
        "ends before it begins",
    );
}

#[test]
fn datasets_are_pinned_at_submission_and_read_only_by_who_may() {
    let mut world = World::new();
    world.dataset(BOB, 1, "digits");
    let with = |version| JobSpec {
        datasets: vec![DatasetMount {
            dataset: DatasetRef {
                name: name("digits"),
                version,
            },
            path: "/data".to_owned(),
            lazy: false,
        }],
        ..spec()
    };
    world.submit(CAROL, 30, with(None)).unwrap();
    world.dataset(BOB, 2, "digits");
    world.dataset(BOB, 2, "digits");
    let pinned = &world.state.jobs[&job_id(30)].pinned[0];
    assert_eq!((pinned.version, pinned.tree), (1, tree(1)));
    let problem = refused(world.submit(CAROL, 31, with(Some(3))));
    assert_eq!(problem.code, Code::NotFound);
    assert!(problem.why.contains("from 1 to 2"), "{problem}");

    let change = |user, visibility, number| {
        let request = common::api::data::AddDatasetVersion {
            org: ORG,
            name: name("digits"),
            tree: tree(number),
            description: None,
            visibility,
            project: None,
        };
        let dataset = common::id::DatasetId::from_bytes([number; 16]);
        let body = Body::AddDatasetVersion {
            dataset,
            request,
            bytes: Bytes::ZERO,
            files: 0,
        };
        (user, body)
    };
    let (user, body) = change(CAROL, None, 3);
    assert_eq!(refused(world.user_does(user, body)).code, Code::Permission);
    let (user, body) = change(BOB, Some(Visibility::Personal), 2);
    assert!(matches!(
        world.user_does(user, body).unwrap()[..],
        [Event::Dataset(DatasetEvent::DatasetChanged { .. })]
    ));
    assert_eq!(
        refused(world.submit(CAROL, 32, with(None))).code,
        Code::NotFound
    );
    let (user, body) = change(CAROL, None, 3);
    assert_eq!(refused(world.user_does(user, body)).code, Code::NameTaken);
    world.submit(BOB, 33, with(None)).unwrap();
    world.submit(ALICE, 34, with(None)).unwrap();
    let source = DownloadSource::Dataset {
        name: name("digits"),
        version: Some(1),
    };
    assert!(
        matches!(readable_tree(&world.state, BOB, ORG, &source), Ok(Readable::Tree(found)) if found == tree(1))
    );
    assert_eq!(
        readable_tree(&world.state, CAROL, ORG, &source)
            .unwrap_err()
            .code,
        Code::NotFound
    );
    assert_eq!(
        ask(
            &world,
            CAROL,
            &Request::ListDatasets {
                org: ORG,
                after: None
            }
        )
        .unwrap(),
        Answer::Datasets(Page::default())
    );
    invariants::check(&world);
}

#[test]
fn a_job_of_another_member_is_not_found_but_by_admins() {
    let mut world = World::new();
    world.submit(BOB, 30, spec()).unwrap();
    let number = JobNumber(1);
    let list = Request::ListJobs(ListJobs {
        org: ORG,
        status: Vec::new(),
        owner: None,
        project: None,
        before: None,
        limit: 10,
    });
    let show = Request::ShowJob(ShowJob {
        org: ORG,
        number,
        task: None,
        attempts: 10,
        live: false,
    });
    let why = Request::ExplainJob(ExplainJob { org: ORG, number });
    for request in [&show, &why] {
        assert_eq!(
            ask(&world, CAROL, request).unwrap_err().code,
            Code::NotFound
        );
        assert!(ask(&world, BOB, request).is_ok() && ask(&world, ALICE, request).is_ok());
    }
    let rows = |user| match ask(&world, user, &list) {
        Ok(Answer::Jobs(page)) => page.rows.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((rows(BOB), rows(CAROL), rows(ALICE)), (1, 0, 1));
    assert_eq!(refused(world.cancel(CAROL, 1, None)).code, Code::NotFound);
    world.cancel(ALICE, 1, None).unwrap();
    assert_eq!(refused(world.cancel(BOB, 1, None)).code, Code::WrongState);
    assert_eq!(
        ask(&world, common::id::UserId::from_bytes([77; 16]), &list)
            .unwrap_err()
            .code,
        Code::NotFound
    );
}

#[test]
fn tasks_are_cancelled_one_by_one_or_all() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(2, 8)));
    world.submit(BOB, 30, array(4, None)).unwrap();
    let placed: Vec<_> = world.schedule().into_iter().map(|(id, _)| id).collect();
    assert_eq!(placed.len(), 2);
    world.cancel(BOB, 1, Some(3)).unwrap();
    world.cancel(BOB, 1, Some(0)).unwrap();
    assert_eq!(world.cancel(BOB, 1, Some(0)), Ok(Vec::new()));
    assert_eq!(
        refused(world.cancel(BOB, 1, Some(3))).code,
        Code::WrongState
    );
    let problem = refused(world.cancel(BOB, 1, Some(9)));
    assert!(problem.why.contains("tasks 0-3"), "{problem}");
    world.end(placed[0], outcome(EndReason::Cancelled, None));
    world.succeed(placed[1]);
    for (attempt, _) in world.schedule() {
        world.succeed(attempt);
    }
    let progress = &world.state.progress[&job_id(30)];
    assert_eq!(
        progress.counts,
        TaskCounts {
            succeeded: 2,
            cancelled: 2,
            ..TaskCounts::default()
        }
    );
    assert_eq!(progress.status(), JobStatus::Cancelled);
    invariants::check(&world);
}

#[test]
fn an_array_of_a_million_is_a_small_row() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(4, 64)));
    world.submit(BOB, 30, array(1_000_000, Some(3))).unwrap();
    assert_eq!(world.schedule().len(), 3);
    let row = world
        .state
        .encode_row(&crate::state::rows::RowKey::progress(job_id(30)));
    assert!(row.is_some_and(|row| row.len() < 300));
}

#[test]
fn a_follower_knows_where_every_log_ends() {
    let mut world = World::new();
    world.machine(10, BOB, "box", report(capacity(2, 8)));
    world.submit(BOB, 30, array(2, None)).unwrap();
    let placed: Vec<_> = world.schedule().into_iter().map(|(id, _)| id).collect();
    let look = |world: &World, task| {
        let request = FollowJob {
            org: ORG,
            number: JobNumber(1),
            task,
            logs: true,
            until_end: true,
            cursors: Vec::new(),
        };
        let followed = followed(&world.state, world.now, BOB, &request).unwrap();
        let logs: Vec<LogEnd> = followed
            .attempts
            .iter()
            .map(|attempt| attempt.log)
            .collect();
        (followed.ended, logs)
    };
    let mut done = outcome(EndReason::Exited, Some(0));
    done.log_bytes = 9;
    world.end(placed[0], done);
    assert_eq!(
        look(&world, None),
        (false, vec![LogEnd::At(9), LogEnd::Open])
    );
    assert_eq!(look(&world, Some(0)), (true, vec![LogEnd::At(9)]));
    assert_eq!(look(&world, Some(1)), (false, vec![LogEnd::Open]));
    world.disconnect(10);
    world.expire(10);
    assert_eq!(
        look(&world, None),
        (false, vec![LogEnd::Here, LogEnd::Here])
    );
}

#[test]
fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let mut world = World::new();
    let submit = |spec, dry_run| SubmitJob {
        org: ORG,
        spec,
        key: IdempotencyKey::from_bytes([1; 16]),
        dry_run,
    };
    let dry = |world: &World, spec| match ask(
        world,
        BOB,
        &Request::SubmitJob(Box::new(submit(spec, true))),
    ) {
        Ok(Answer::Explanation(explanation)) => explanation,
        other => panic!("{other:?}"),
    };
    let codes = |world: &World, spec| -> Vec<&str> {
        dry(world, spec)
            .blockers
            .iter()
            .map(|blocker| blocker.code.as_str())
            .collect()
    };
    assert_eq!(codes(&world, spec()), ["no_machine"]);
    world.machine(10, BOB, "box", report(capacity(2, 8)));
    assert_eq!(codes(&world, spec()), [""; 0]);
    assert!(dry(&world, asking(3, 1)).never);
    world.disconnect(10);
    assert_eq!(codes(&world, spec()), ["machine_offline"]);
    let request = submit(spec(), true);
    assert_eq!(
        refused(world.user_does(
            BOB,
            Body::SubmitJob {
                job: job_id(1),
                request
            }
        ))
        .code,
        Code::BadRequest
    );
}
