//! Images of jobs: pinned, and what opens their registries shown to nobody but the machine that needs it.

use common::{
    api::{Answer, Request, job::ShowJob},
    code::Code,
    id::AttemptId,
    image::Image,
    job::{JobNumber, JobSpec},
    problem::Problem,
    seal::{MAX_SEALED_BYTES, Sealed},
    status::Visibility,
    wire::agent::{AttemptImage, AttemptReport, Goal},
};

use super::{
    invariants::{self, save},
    rules::pinned_image,
    world::{
        ALICE, BOB, CAROL, ORG, World, capacity, job_id, machine_id, name, outcome, refused,
        report, spec, tree,
    },
};
use crate::{
    Body, Event, Table, assign,
    query::{
        self, Presence,
        access::{machine_may_fetch, registry_login},
    },
};

/// Bytes that are found nowhere by chance, in JSON and in Debug.
const SECRET: [u8; 4] = [211, 199, 223, 227];

fn sealed(salt: u8) -> Sealed {
    Sealed {
        encapsulated: vec![salt; 32],
        ciphertext: [&SECRET[..], &[salt]].concat(),
    }
}

/// A job whose image's registry wants a login, which is sealed otherwise each time.
fn private(salt: u8) -> JobSpec {
    JobSpec {
        image: pinned_image(),
        registry_login: Some(sealed(salt)),
        ..spec()
    }
}

fn imported(text: &str) -> JobSpec {
    JobSpec {
        image: text.parse().unwrap(),
        ..spec()
    }
}

fn show(world: &World, number: u64) -> JobSpec {
    let presence = Presence {
        contacts: &std::collections::BTreeMap::new(),
        certificate: common::id::CertificateSerial::new([0; 16]),
        certificate_expires_at: world.now,
        version: "1",
        sealing_key: b"key",
        samples: &world.samples,
    };
    let request = Request::ShowJob(ShowJob {
        org: ORG,
        number: JobNumber(number),
        task: None,
        live: false,
        attempts: 1,
    });
    match query::answer(&world.state, &presence, world.now, ALICE, &request) {
        Ok(Answer::Job(job)) => job.spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_imported_image_is_pinned_as_datasets_are() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(4, 8)));
    world.dataset(BOB, 1, "mine");
    world.submit(CAROL, 30, imported("imported:mine")).unwrap();
    world.dataset(BOB, 2, "mine");
    world
        .submit(CAROL, 31, imported("imported:mine@2"))
        .unwrap();
    world.schedule();
    let set = assign(&world.state, machine_id(10));
    let images: Vec<&AttemptImage> = set.attempts.iter().map(|one| &one.spec.image).collect();
    let image = |text: &str, number| AttemptImage::Imported {
        name: text.to_owned(),
        tree: tree(number),
    };
    assert_eq!(images, [&image("mine@1", 1), &image("mine@2", 2)]);
    assert_eq!(show(&world, 1).image.to_string(), "imported:mine@1");
    for (number, may) in [(1, true), (2, true), (3, false)] {
        assert_eq!(
            machine_may_fetch(&world.state, machine_id(10), tree(number)),
            may
        );
    }
    for attempt in world.live() {
        world.succeed(attempt);
    }
    assert!(!machine_may_fetch(&world.state, machine_id(10), tree(1)));
    invariants::check(&world);

    let missing = refused(world.submit(CAROL, 32, imported("imported:other")));
    assert_eq!(missing.code, Code::NotFound);
    let beyond = refused(world.submit(CAROL, 33, imported("imported:mine@9")));
    assert!(beyond.why.contains("from 1 to 2"), "{beyond}");
    let request = common::api::data::AddDatasetVersion {
        org: ORG,
        name: name("mine"),
        tree: tree(2),
        description: None,
        visibility: Some(Visibility::Personal),
        project: None,
    };
    let body = Body::AddDatasetVersion {
        dataset: common::id::DatasetId::from_bytes([9; 16]),
        request,
        bytes: common::units::Bytes::ZERO,
        files: 0,
    };
    world.user_does(BOB, body).unwrap();
    let hidden = refused(world.submit(CAROL, 34, imported("imported:mine")));
    assert_eq!(hidden.code, Code::NotFound, "as if it were not there");
    world.submit(BOB, 35, imported("imported:mine")).unwrap();
}

#[test]
fn an_image_without_a_digest_and_a_login_without_a_registry_are_refused() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut JobSpec), expect: &str) {
        let mut spec = private(1);
        change(&mut spec);
        let problem = refused(World::new().submit(BOB, 30, spec));
        assert_eq!(problem.code, Code::BadRequest);
        assert!(problem.why.contains(expect), "{problem}");
    }
    let tagged: Image = "python:3.12".parse().unwrap();
    check(
        |s| s.image = tagged,
        "docker.io/library/python:3.12 has no digest",
    );
    check(|s| s.image = Image::Host, "its image comes from none");
    let long = Sealed {
        ciphertext: vec![0; MAX_SEALED_BYTES + 1],
        ..sealed(1)
    };
    check(|s| s.registry_login = Some(long), "longer than 16384");
}

#[test]
fn the_same_key_is_the_same_job_however_its_login_is_sealed() {
    let mut world = World::new();
    world.submit(BOB, 30, private(1)).unwrap();
    assert_eq!(world.submit(BOB, 30, private(2)).unwrap(), []);
    let other = JobSpec {
        name: "other".to_owned(),
        ..private(2)
    };
    assert_eq!(
        refused(world.submit(BOB, 30, other)).code,
        Code::KeyConflict
    );
    assert!(world.state.jobs.len() == 1);
}

#[test]
fn a_login_is_for_the_machine_that_is_to_run_the_attempt_and_nobody_else() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(4, 8)));
    world.machine(11, ALICE, "other", report(capacity(2, 8)));
    world.submit(BOB, 30, private(7)).unwrap();
    world.submit(BOB, 31, spec()).unwrap();
    let placed = world.schedule();
    let (attempt, on) = placed[0];
    let other = machine_id(21 - on.as_bytes()[0]);
    let open = |world: &World, machine, attempt: AttemptId| -> Result<(), Problem> {
        let found = registry_login(&world.state, machine, attempt)?;
        assert_eq!(
            (found.registry, found.sealed),
            ("r.example:5000", &sealed(7))
        );
        assert_eq!(found.context, found.registry);
        Ok(())
    };
    #[track_caller]
    fn no(result: Result<(), Problem>) {
        let problem = result.unwrap_err();
        assert_eq!(problem.code, Code::NotFound);
        assert!(!problem.to_string().contains("example"), "{problem}");
    }
    open(&world, on, attempt).unwrap();
    no(open(&world, other, attempt));
    no(open(&world, placed[1].1, placed[1].0));
    no(open(
        &world,
        on,
        AttemptId {
            number: 2,
            ..attempt
        },
    ));
    let told = |world: &World| {
        let set = assign(&world.state, on);
        let one = set.attempts.iter().find(|one| one.attempt == attempt);
        one.map(|one| (one.goal, one.spec.registry_login))
    };
    assert_eq!(told(&world), Some((Goal::Run, true)));
    world.report(attempt, AttemptReport::Preparing).unwrap();
    open(&world, on, attempt).unwrap();
    world.start(attempt);
    open(&world, on, attempt).unwrap();
    world.cancel(BOB, 1, None).unwrap();
    no(open(&world, on, attempt));
    invariants::check(&world);

    let mut ended = outcome(common::status::EndReason::Cancelled, None);
    ended.log_bytes = 1;
    world.end(attempt, ended);
    assert_eq!(told(&world), Some((Goal::Collect, false)));
    no(open(&world, on, attempt));
    assert_eq!(world.state.jobs[&job_id(30)].spec.registry_login, None);
    invariants::check(&world);
}

#[test]
fn what_opens_a_registry_is_in_its_row_while_it_is_needed_and_nowhere_else() {
    let quoted = SECRET.map(|byte| byte.to_string()).join(",");
    let shown = |events: &[Event]| {
        let debug = format!("{events:?}");
        let json = serde_json::to_string(events).unwrap();
        assert!(json.contains("job_submitted") || json.contains("login_forgotten"));
        let spaced = quoted.replace(',', ", ");
        debug.contains(&spaced) || json.contains(&quoted)
    };
    let rows = |world: &World| -> Vec<Table> {
        let rows = save(&world.state).into_iter();
        let holding = rows.filter(|(_, row)| String::from_utf8_lossy(row).contains(&quoted));
        holding.map(|(key, _)| key.table).collect()
    };
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(4, 8)));
    let submitted = world.submit(BOB, 30, private(1)).unwrap();
    assert!(!shown(&submitted));
    assert_eq!(rows(&world), [Table::Jobs]);
    assert_eq!(show(&world, 1).registry_login, None);
    let (attempt, _) = world.schedule()[0];
    let debug = format!("{:?}", assign(&world.state, machine_id(10)));
    assert!(!debug.contains("211, 199"), "{debug}");
    let events = world.end(attempt, outcome(common::status::EndReason::Exited, Some(0)));
    assert!(!shown(&events));
    let forgotten = events.last().unwrap();
    assert!(matches!(forgotten, Event::LoginForgotten { .. }));
    assert_eq!(forgotten.touched()[0].table, Table::Jobs);
    assert_eq!(rows(&world), []);
    assert_eq!(
        world.submit(BOB, 30, private(2)).unwrap(),
        [],
        "still the same job"
    );
    // A job that ends before it begins leaves none either.
    world.submit(BOB, 31, private(3)).unwrap();
    world.cancel(BOB, 2, None).unwrap();
    assert_eq!(rows(&world), []);
    invariants::check(&world);
}
