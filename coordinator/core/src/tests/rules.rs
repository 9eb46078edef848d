//! What machines cannot do and their owners do not allow keeps jobs out, and `job why` says all of it.

mod projects;

use common::{
    api::explain::BlockerCode,
    code::Code,
    image::Image,
    job::JobSpec,
    limits::Limits,
    machine::{Admits, MachineReport},
    status::{IsolationLevel, MinIsolation, Network},
    time::Span,
};

use super::{
    invariants,
    world::{ALICE, BOB, CAROL, World, capacity, job_id, machine_id, name, refused, report, spec},
};
use crate::Body;

/// An image that is pinned.
pub(super) fn pinned_image() -> Image {
    let digest = "0a".repeat(32);
    let text = format!("r.example:5000/lab/train@sha256:{digest}");
    text.parse().unwrap()
}

fn hours(number: u64) -> Span {
    Span::from_secs(number * 3600)
}

fn admitting(admits: Admits) -> MachineReport {
    MachineReport {
        admits,
        ..report(capacity(4, 8))
    }
}

pub(super) fn isolated(level: IsolationLevel, strong: bool) -> MachineReport {
    let mut report = report(capacity(4, 8));
    report.isolation.level = level;
    report.isolation.strong = strong;
    report
}

fn networked(can: &[Network], allowed: &[Network]) -> MachineReport {
    let mut report = admitting(Admits {
        networks: allowed.to_vec(),
        ..Admits::default()
    });
    report.isolation.networks = can.to_vec();
    report
}

/// One machine `box` of bob's and a job of carol's: either it runs, or it is refused at submission with this code
/// and these words; and it waits with them where the machine changes after it was submitted.
#[track_caller]
pub(super) fn check(
    report: MachineReport,
    limits: &Limits,
    spec: JobSpec,
    expect: Option<(BlockerCode, &str, &str)>,
) {
    let mut world = World::new();
    world.limit(limits.clone());
    world.machine(10, BOB, "box", report.clone());
    let submitted = world.submit(CAROL, 30, spec.clone());
    let Some((code, text, change)) = expect else {
        submitted.unwrap();
        assert_eq!(world.schedule().len(), 1, "{spec:?}");
        invariants::check(&world);
        return;
    };
    let problem = refused(submitted);
    assert_eq!(problem.code, Code::NeverFits);
    assert!(problem.why.contains(text), "{problem}");
    assert!(problem.help.contains(change), "{}", problem.help);

    // An org without machines refuses nothing; then this one comes.
    let mut world = World::new();
    world.limit(limits.clone());
    world.submit(CAROL, 30, spec).unwrap();
    world.machine(10, BOB, "box", report);
    assert!(world.schedule().is_empty());
    let explanation = world.why(30);
    let codes: Vec<BlockerCode> = explanation.blockers.iter().map(|b| b.code).collect();
    assert_eq!(codes, [code]);
    assert_eq!(explanation.blockers[0].machines, [name("box")]);
    assert!(explanation.never && explanation.expected_start.is_none());
    let (said, smallest) = (
        &explanation.blockers[0].text,
        explanation.smallest_change.unwrap(),
    );
    assert!(said.contains(text), "{said}");
    assert!(smallest.contains(change), "{smallest}");
    invariants::check_waiting_is_explained(&world);
}

#[test]
fn a_network_is_what_the_machine_can_and_its_owner_allows() {
    use Network::{Full, Internet, None as Nothing};
    let asks = |network| JobSpec { network, ..spec() };
    let all = [Nothing, Internet, Full];
    let limits = &Limits::default();
    check(networked(&all, &all), limits, asks(Full), None);
    check(networked(&[], &[]), limits, asks(Nothing), None);
    check(
        networked(&[Nothing, Internet], &all),
        limits,
        asks(Full),
        Some((
            BlockerCode::NotSupported,
            "asks for network full; box can give none, internet",
            "ask for network none or internet, which box can give",
        )),
    );
    check(
        networked(&all, &[Nothing]),
        limits,
        asks(Internet),
        Some((
            BlockerCode::OwnerForbidsNetwork,
            "asks for network internet, which its owner does not allow; box allows none",
            "ask for network none, or the owner of box allows internet",
        )),
    );
}

#[test]
fn images_and_long_runs_are_the_owners_to_allow() {
    let image = JobSpec {
        image: pinned_image(),
        ..spec()
    };
    let no_images = admitting(Admits {
        images: false,
        ..Admits::default()
    });
    let limits = &Limits::default();
    check(admitting(Admits::default()), limits, image.clone(), None);
    check(no_images.clone(), limits, spec(), None);
    check(
        no_images,
        limits,
        image,
        Some((
            BlockerCode::OwnerForbidsImages,
            "brings an image",
            "use image host, or the owner of box allows images",
        )),
    );

    let short = admitting(Admits {
        max_runtime: Some(hours(2)),
        ..Admits::default()
    });
    let runs = |max_runtime| JobSpec {
        max_runtime,
        ..spec()
    };
    let long = |text| {
        Some((
            BlockerCode::OwnerLimitsRuntime,
            text,
            "ask to run for at most 2h (max_runtime), or the owner of box",
        ))
    };
    check(short.clone(), limits, runs(Some(hours(2))), None);
    check(
        short.clone(),
        limits,
        runs(Some(hours(3))),
        long("may run for 3h; the longest that an owner allows is 2h (box)"),
    );
    check(
        short.clone(),
        limits,
        runs(None),
        long("may run without end"),
    );
    // The org's limit comes first: an attempt gets no more than that.
    let hour = Limits {
        max_job_runtime: Some(hours(1)),
        ..Limits::default()
    };
    check(short, &hour, runs(None), None);
}

#[test]
fn owners_keep_members_out() {
    let only = |members: Option<&[&str]>, not: &[&str]| {
        admitting(Admits {
            members: members.map(|names| names.iter().map(|text| name(text)).collect()),
            not_members: not.iter().map(|text| name(text)).collect(),
            ..Admits::default()
        })
    };
    let out = Some((
        BlockerCode::OwnerKeepsOut,
        "its owner does not let carol in",
        "the owner of box lets carol in",
    ));
    let limits = &Limits::default();
    // In whatever order the owner wrote them.
    check(
        only(Some(&["zoe", "carol", "alice"]), &[]),
        limits,
        spec(),
        None,
    );
    check(only(Some(&[]), &[]), limits, spec(), out);
    let never = |change| {
        let text = "its owner never lets carol in";
        Some((BlockerCode::OwnerKeepsOut, text, change))
    };
    let off = "the owner of box takes carol off `not`";
    let both = "the owner of box takes carol off `not` and lets carol in";
    let listed = only(None, &["zoe", "carol", "alice"]);
    check(listed, limits, spec(), never(off));
    let listed = only(Some(&["carol"]), &["carol"]);
    check(listed, limits, spec(), never(off));
    check(only(Some(&[]), &["carol"]), limits, spec(), never(both));
}

#[test]
fn an_owners_rules_are_about_others() {
    let mut closed = networked(Network::ALL, &[]);
    closed.admits = Admits {
        members: Some(Vec::new()),
        not_members: vec![name("bob")],
        networks: Vec::new(),
        images: false,
        max_runtime: Some(hours(1)),
        projects: None,
        not_projects: vec![name("vision")],
    };
    let wants = JobSpec {
        network: Network::Full,
        image: pinned_image(),
        ..spec()
    };
    let mut world = World::new();
    world.machine(10, BOB, "box", closed);
    world.submit(BOB, 30, wants.clone()).unwrap();
    assert_eq!(world.schedule().len(), 1);
    let problem = refused(world.submit(CAROL, 31, wants));
    assert_eq!(problem.code, Code::NeverFits);
}

#[test]
fn a_rule_that_changes_lets_what_waits_start() {
    let mut world = World::new();
    let open = networked(Network::ALL, Network::ALL);
    let closed = networked(Network::ALL, &[Network::None]);
    world.machine(10, BOB, "box", open.clone());
    let full = JobSpec {
        network: Network::Full,
        ..spec()
    };
    world.submit(CAROL, 30, full.clone()).unwrap();
    let (first, _) = world.schedule()[0];
    let says = |world: &mut World, report| {
        let actor = crate::Actor::Machine(machine_id(10));
        world.must(actor, Body::ReportMachine { report });
    };
    says(&mut world, closed);
    assert_eq!(world.live(), [first], "what runs is the machine's to end");
    world.submit(CAROL, 31, spec()).unwrap();
    assert_eq!(
        refused(world.submit(CAROL, 32, full.clone())).code,
        Code::NeverFits
    );
    assert_eq!(world.schedule().len(), 1, "another class is not held up");
    says(&mut world, open);
    world.submit(CAROL, 33, full).unwrap();
    assert_eq!(world.schedule().len(), 1);
    invariants::check(&world);
}

#[test]
fn everything_in_the_way_is_said_at_once() {
    let mut world = World::new();
    let wants = JobSpec {
        network: Network::Internet,
        image: pinned_image(),
        isolation: Some(MinIsolation::A),
        ..super::world::asking(16, 4)
    };
    world.submit(CAROL, 30, wants).unwrap();
    let mut hostile = isolated(IsolationLevel::B, false);
    hostile.admits = Admits {
        members: Some(Vec::new()),
        not_members: Vec::new(),
        networks: Vec::new(),
        images: false,
        max_runtime: Some(hours(1)),
        ..Admits::default()
    };
    world.machine(10, BOB, "box", hostile);
    world.machine(
        11,
        ALICE,
        "near",
        networked(&[Network::Internet], &[Network::Internet]),
    );
    let explanation = world.why(30);
    let codes: Vec<(BlockerCode, u32)> = explanation
        .blockers
        .iter()
        .map(|blocker| (blocker.code, blocker.machine_count))
        .collect();
    assert_eq!(
        codes,
        [
            (BlockerCode::IsolationTooLow, 1),
            (BlockerCode::NotSupported, 1),
            (BlockerCode::TooSmallCpu, 2),
            (BlockerCode::OwnerKeepsOut, 1),
            (BlockerCode::OwnerForbidsNetwork, 1),
            (BlockerCode::OwnerForbidsImages, 1),
            (BlockerCode::OwnerLimitsRuntime, 1),
        ]
    );
    for blocker in &explanation.blockers {
        assert!(!blocker.text.is_empty(), "{:?}", blocker.code);
    }
    let change = explanation.smallest_change.unwrap();
    assert_eq!(change, "ask for at most 4 CPUs, which is what near lends");
}

#[test]
fn a_job_that_fits_nowhere_holds_up_none_that_does() {
    let plain = JobSpec {
        max_runtime: Some(hours(1)),
        ..spec()
    };
    for change in [
        (|s| s.network = Network::Internet) as fn(&mut JobSpec),
        |s| s.image = pinned_image(),
        |s| s.isolation = Some(MinIsolation::A),
        |s| s.max_runtime = Some(hours(2)),
        |s| s.request.memory = common::units::Bytes::gib(64),
    ] {
        let mut world = World::new();
        let mut wants = plain.clone();
        change(&mut wants);
        world.submit(CAROL, 30, wants).unwrap();
        world.submit(CAROL, 31, plain.clone()).unwrap();
        let mut closed = isolated(IsolationLevel::B, false);
        closed.admits.images = false;
        closed.admits.max_runtime = Some(hours(1));
        world.machine(10, BOB, "box", closed);
        let placed: Vec<_> = world.schedule().iter().map(|(id, _)| id.job).collect();
        assert_eq!(placed, [job_id(31)]);
        invariants::check_waiting_is_explained(&world);
    }
}
