//! What tasks left: for how long it is kept, who gets it, and jobs that read it.

use common::{
    api::{Answer, Request, job::ShowJob},
    code::Code,
    job::{ArtifactMount, ArtifactsView, JobDetail, JobNumber, JobSpec, Mount},
    problem::Problem,
    status::{Access, CopyOut, DownloadBy, EndReason, Visibility},
    time::Timestamp,
    units::Bytes,
    wire::{agent::AttemptReport, client::DownloadSource},
};

use super::{
    invariants,
    projects::{check, inside, member, setting},
    views::ask,
    world::{
        ALICE, BOB, CAROL, ORG, World, array, capacity, job_id, outcome, refused, report, spec,
        tree, user,
    },
};
use crate::{
    Actor, Body, Effect, assign, effects,
    query::access::{Readable, leftovers, machine_may_fetch, readable_tree},
};

const DAY: u64 = 86_400;

/// A machine, and bob's job 1 with what it left.
fn world() -> World {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(8, 16)));
    world.submit(BOB, 30, spec()).unwrap();
    world.run_all(&[50]);
    world
}

/// Returns a job that reads these.
fn reading(mounts: &[&str]) -> JobSpec {
    let artifacts = mounts.iter().map(|text| match text.parse().unwrap() {
        Mount::Artifacts(mount) => mount,
        Mount::Dataset(mount) => panic!("{mount:?}"),
    });
    JobSpec {
        artifacts: artifacts.collect::<Vec<ArtifactMount>>(),
        ..spec()
    }
}

impl World {
    /// Runs what waits; its tasks leave these trees, and nothing where there are none left.
    fn run_all(&mut self, trees: &[u8]) {
        let mut trees = trees.iter();
        loop {
            let placed = self.schedule();
            if placed.is_empty() {
                return;
            }
            for (attempt, _) in placed {
                let left = trees.next();
                let ended = AttemptReport::Ended {
                    at: self.now,
                    outcome: outcome(EndReason::Exited, Some(0)),
                    artifacts: left.is_some(),
                };
                self.report(attempt, ended).unwrap();
                if let Some(number) = left {
                    let tree = tree(*number);
                    self.report(attempt, AttemptReport::Artifacts { tree })
                        .unwrap();
                }
            }
        }
    }

    fn shown(&self, number: u64) -> JobDetail {
        let show = ShowJob {
            org: ORG,
            number: JobNumber(number),
            task: None,
            attempts: 10,
            live: false,
        };
        match ask(self, ALICE, &Request::ShowJob(show)) {
            Ok(Answer::Job(job)) => *job,
            other => panic!("{other:?}"),
        }
    }

    fn pulled(&self, by: common::id::UserId, attempt: Option<u32>) -> Result<Readable, Problem> {
        let source = DownloadSource::Artifacts {
            job: JobNumber(1),
            task: 0,
            attempt,
        };
        readable_tree(&self.state, by, ORG, &source)
    }
}

#[test]
fn they_are_kept_for_as_long_as_the_org_says_and_said_to_be_gone() {
    let mut world = world();
    let came = world.now;
    let until = |days: u64| Timestamp::from_unix_ms(came.unix_ms() + days * DAY * 1000);
    assert_eq!(
        world.shown(1).attempts[0].artifacts_kept_until,
        Some(until(90))
    );
    world.kept_for("artifacts_kept", "forever");
    assert_eq!(world.shown(1).attempts[0].artifacts_kept_until, None);
    world.wait(1000 * DAY);
    assert_eq!(world.expire_data(), []);
    world.kept_for("artifacts_kept", "1001d");
    world.wait(DAY - 1);
    assert_eq!(world.expire_data(), []);
    assert_eq!(world.pulled(BOB, None).unwrap(), Readable::Tree(tree(50)));

    world.wait(1);
    let at = world.now;
    let gone = world.expire_data();
    assert_eq!(gone.len(), 1);
    assert!(effects(&world.state, &gone[0]).contains(&Effect::Sweep));
    let told = serde_json::to_value(&gone[0]).unwrap();
    assert_eq!(
        (&told["event"], &told["count"], told.get("attempts")),
        (&"artifacts_forgotten".into(), &1.into(), None)
    );
    assert_eq!(leftovers(&world.state).trees, [(ORG, tree(50))]);
    let attempt = world.shown(1).attempts[0].clone();
    let forgotten = ArtifactsView::Forgotten {
        at,
        bytes: Bytes::kib(1),
        files: 1,
    };
    assert_eq!(
        (attempt.artifacts, attempt.artifacts_kept_until),
        (forgotten, None)
    );
    let problem = world.pulled(BOB, None).unwrap_err();
    assert_eq!(problem.code, Code::NotFound);
    let since = format!("are gone since {}", at.to_second());
    assert!(problem.why.contains(&since), "{problem}");
    assert_eq!(world.expire_data(), []);
    invariants::check(&world);
}

#[test]
fn no_step_forgets_more_than_it_may() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(8, 16)));
    world.submit(BOB, 30, array(5, None)).unwrap();
    world.run_all(&[50, 51, 52, 53, 54]);
    world.wait(90 * DAY);
    let counts = (0..4).map(|_| {
        let events = world.must(Actor::System, Body::ExpireData { most: 2 });
        events.first().map_or(0, |event| event.touched().len() / 2)
    });
    assert_eq!(counts.collect::<Vec<_>>(), [2, 2, 1, 0]);
    invariants::check(&world);
}

#[test]
fn a_job_reads_what_another_one_left_as_it_was_then() {
    let mut world = world();
    world
        .submit(BOB, 31, reading(&["job:1:/data/prev/"]))
        .unwrap();
    let pinned = &world.state.jobs[&job_id(31)].pinned_artifacts;
    assert_eq!(
        (pinned[0].tree, pinned[0].path.as_str()),
        (tree(50), "/data/prev")
    );
    let machine = world.schedule()[0].1;
    let mounted = &assign(&world.state, machine).attempts[0].spec.datasets;
    assert_eq!(mounted[0].name, "job:1");
    assert_eq!(
        (mounted[0].tree, mounted[0].path.as_str()),
        (tree(50), "/data/prev")
    );
    assert!(machine_may_fetch(&world.state, machine, tree(50)));
    assert_eq!(world.shown(2).spec.artifacts[0].job.to_string(), "1");

    // Nothing is forgotten under a reader, and everything in time once it has ended.
    world.wait(100 * DAY);
    assert_eq!(world.expire_data(), []);
    invariants::check(&world);
    let state = invariants::load(&invariants::save(&world.state));
    assert_eq!(state.index, world.state.index);
    let attempt = world.live()[0];
    world.succeed(attempt);
    assert_eq!(world.expire_data().len(), 1);
    invariants::check(&world);
    check(&mut world, &Code::NotFound, "are gone since", |world| {
        world.submit(BOB, 32, reading(&["job:1:/data/prev"]))
    });
}

#[test]
fn what_is_not_all_there_is_refused_with_what_to_do() {
    let mut world = World::new();
    world.machine(10, ALICE, "box", report(capacity(8, 16)));
    world.submit(BOB, 30, array(3, Some(1))).unwrap();
    let first = world.schedule()[0].0;
    let before = world.state.clone();
    let refusal = |world: &mut World, mount| refused(world.submit(BOB, 99, reading(&[mount])));
    for (mount, code, why) in [
        ("job:1:/prev", Code::WrongState, "it has not ended"),
        ("job:1.0:/prev", Code::WrongState, "it has not ended"),
        ("job:1.2:/prev", Code::WrongState, "it has not ended"),
        ("job:1.3:/prev", Code::NotFound, "job 1 has tasks 0-2"),
        (
            "job:2:/prev",
            Code::NotFound,
            "the org has none of this number",
        ),
    ] {
        let problem = refusal(&mut world, mount);
        assert_eq!(problem.code, code, "{mount}: {problem}");
        assert!(problem.why.contains(why), "{mount}: {problem}");
        assert!(world.state == before);
    }
    let problem = refusal(&mut world, "job:1:/prev");
    assert!(problem.help.contains("job wait 1"), "{problem}");
    let ended = AttemptReport::Ended {
        at: world.now,
        outcome: outcome(EndReason::Exited, Some(0)),
        artifacts: true,
    };
    world.report(first, ended).unwrap();
    let problem = refusal(&mut world, "job:1.0:/prev");
    assert!(problem.why.contains("on their way"), "{problem}");
    world
        .report(first, AttemptReport::Artifacts { tree: tree(50) })
        .unwrap();
    // One task of it can be read while others run.
    world.submit(BOB, 31, reading(&["job:1.0:/prev"])).unwrap();
    // The next one leaves nothing, the last one something.
    let second = world
        .schedule()
        .iter()
        .find(|(id, _)| id.task == 1)
        .unwrap()
        .0;
    world.succeed(second);
    let problem = refusal(&mut world, "job:1.1:/other");
    assert_eq!(problem.code, Code::NotFound);
    world.run_all(&[51]);
    world.submit(BOB, 32, reading(&["job:1:/all"])).unwrap();
    let pinned = &world.state.jobs[&job_id(32)].pinned_artifacts;
    let paths: Vec<(&str, String)> = pinned
        .iter()
        .map(|one| (one.path.as_str(), one.job.to_string()))
        .collect();
    assert_eq!(
        paths,
        [("/all/0", "1.0".to_owned()), ("/all/2", "1.2".to_owned())]
    );
    invariants::check(&world);
}

#[test]
fn mounts_are_bounded_and_keep_clear_of_each_other() {
    let mut world = world();
    check(&mut world, &Code::BadJobFile, "/data/prev/more", |world| {
        world.submit(
            BOB,
            31,
            reading(&["job:1:/data/prev", "job:1:/data/prev/more"]),
        )
    });
    let mut twice = reading(&["job:1:/data"]);
    twice.datasets = vec!["digits:/data".parse().unwrap()];
    check(&mut world, &Code::BadJobFile, "/data", |world| {
        world.submit(BOB, 31, twice.clone())
    });
    let mounts: Vec<String> = (0..65).map(|n| format!("job:1:/data/{n}")).collect();
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    check(&mut world, &Code::BadJobFile, "64", |world| {
        world.submit(BOB, 31, reading(&mounts))
    });
    world.submit(BOB, 31, array(65, None)).unwrap();
    world.run_all(&[51; 65]);
    check(&mut world, &Code::Limit, "65 tasks", |world| {
        world.submit(BOB, 32, reading(&["job:2:/data"]))
    });
    world.submit(BOB, 32, reading(&["job:2.64:/data"])).unwrap();
}

#[test]
fn who_may_not_fetch_it_does_not_read_it_in_a_job_either() {
    let mut world = world();
    check(&mut world, &Code::NotFound, "it is not yours", |world| {
        world.submit(CAROL, 31, reading(&["job:1:/data"]))
    });
    let shared = JobSpec {
        visibility: Some(Visibility::OrgRead),
        ..spec()
    };
    world.submit(BOB, 31, shared).unwrap();
    world.run_all(&[51]);
    world.submit(CAROL, 32, reading(&["job:2:/data"])).unwrap();

    world.project(BOB, 1, "vision");
    world
        .grant(BOB, "vision", member("carol"), Access::Contribute)
        .unwrap();
    world.submit(BOB, 33, inside("vision")).unwrap();
    world.run_all(&[52, 53]);
    let inner = JobSpec {
        artifacts: reading(&["job:4:/data"]).artifacts,
        ..inside("vision")
    };
    world.submit(CAROL, 34, inner.clone()).unwrap();
    world.submit(CAROL, 35, reading(&["job:4:/data"])).unwrap();
    let closed = common::api::project::SetProject {
        copy_out: Some(CopyOut::None),
        ..setting("vision")
    };
    world.restrict(BOB, closed).unwrap();
    check(&mut world, &Code::Permission, "copy_out is none", |world| {
        world.submit(CAROL, 36, reading(&["job:4:/data"]))
    });
    world.submit(CAROL, 36, inner.clone()).unwrap();
    let closed = common::api::project::SetProject {
        download: Some(DownloadBy::None),
        ..setting("vision")
    };
    world.restrict(BOB, closed).unwrap();
    check(&mut world, &Code::Permission, "", |world| {
        world.submit(CAROL, 37, inner.clone())
    });
    check(&mut world, &Code::NotFound, "", |world| {
        world.submit(user(77), 38, reading(&["job:2:/data"]))
    });
    invariants::check(&world);
}

#[test]
fn every_attempt_has_its_own() {
    let world = world();
    assert_eq!(
        world.pulled(BOB, Some(1)).unwrap(),
        Readable::Tree(tree(50))
    );
    for number in [0, 2, u32::MAX] {
        let problem = world.pulled(BOB, Some(number)).unwrap_err();
        assert_eq!(problem.code, Code::NotFound);
        assert!(problem.why.contains("go from 1 to 1"), "{problem}");
    }
    assert_eq!(
        world.pulled(CAROL, Some(1)).unwrap_err().code,
        Code::NotFound
    );
}
