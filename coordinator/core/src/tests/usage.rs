//! What attempts consumed is settled once, and every sum is that over the attempts.

mod sums;

use std::collections::BTreeMap;

use common::{
    api::usage::{ShowUsage, UsageReport},
    code::Code,
    id::{AttemptId, UserId},
    job::{AttemptUsage, JobSpec, Outcome},
    machine::MachineReport,
    resources::{Capacity, Gpu, GpuHealth, GpuRequest},
    status::{EndReason, UsageBy},
    time::{Span, Timestamp},
    units::Bytes,
    usage::{MilliSeconds, UsageRow, UsageSums},
    wire::agent::AttemptReport,
};

use super::{
    invariants,
    world::{
        ALICE, BOB, CAROL, ORG, World, asking, capacity, machine_id, name, outcome, report, tree,
    },
};
use crate::{Actor, Body, query::usage::Tally};

const DAY_MS: u64 = 86_400_000;

fn gpu(uuid: &str, model: &str) -> Gpu {
    Gpu {
        uuid: uuid.to_owned(),
        model: model.to_owned(),
        memory: Bytes::gib(24),
        driver: "550".to_owned(),
        health: GpuHealth::Usable,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    }
}

fn lending() -> MachineReport {
    report(Capacity {
        gpus: vec![gpu("a", "h200"), gpu("b", "rtx-4090")],
        ..capacity(16, 64)
    })
}

/// Bob's box with two GPUs, and carol's without; a project that everybody may use.
fn world() -> World {
    let mut world = World::new();
    world.machine(10, BOB, "box", lending());
    world.machine(11, CAROL, "plain", report(capacity(16, 64)));
    world
}

fn show(world: &World, user: UserId, by: UsageBy, since: Option<Timestamp>) -> UsageReport {
    let mut request = ShowUsage {
        org: ORG,
        by,
        since,
        after: None,
        limit: 2,
    };
    let mut whole: Option<UsageReport> = None;
    loop {
        let mut tally = Tally::begin(&world.state, user, &request).unwrap();
        while tally.take_day(&world.state) {}
        let mut page = tally.finish(&world.state);
        assert!(page.rows.len() <= 2);
        request.after = page.after.take();
        match &mut whole {
            None => whole = Some(page),
            Some(whole) => {
                assert_eq!(
                    (&whole.billed, &whole.unbilled),
                    (&page.billed, &page.unbilled)
                );
                whole.rows.append(&mut page.rows);
            }
        }
        if request.after.is_none() {
            return whole.unwrap();
        }
    }
}

fn row<'a>(report: &'a UsageReport, called: &str) -> &'a UsageRow {
    let mut rows = report.rows.iter();
    rows.find(|row| row.name.as_deref() == Some(called))
        .unwrap_or_else(|| panic!("no row {called} in {report:?}"))
}

fn spent(reason: EndReason, wall_ms: u64, frozen_ms: u64) -> Outcome {
    let mut outcome = outcome(reason, (reason == EndReason::Exited).then_some(0));
    outcome.usage = AttemptUsage {
        wall: Span::from_millis(wall_ms),
        frozen: Span::from_millis(frozen_ms),
        cpu: Span::from_millis(wall_ms / 2),
        sent: Bytes(10),
        received: Bytes(5),
        ..AttemptUsage::default()
    };
    outcome
}

/// Runs one job of a user's to its end, with files, and returns its attempt.
fn run(world: &mut World, owner: UserId, number: u8, spec: JobSpec, outcome: Outcome) -> AttemptId {
    world.submit(owner, number, spec).unwrap();
    let placed = world.schedule();
    let (attempt, _) = placed[0];
    world.start(attempt);
    world.wait(100);
    let ended = AttemptReport::Ended {
        at: world.now,
        outcome,
        artifacts: true,
    };
    world.report(attempt, ended).unwrap();
    world
        .report(attempt, AttemptReport::Artifacts { tree: tree(1) })
        .unwrap();
    attempt
}

fn with_gpu(spec: JobSpec, model: &str, share: Option<u64>) -> JobSpec {
    let mut spec = spec;
    spec.request.gpu = Some(GpuRequest {
        count: 1,
        model: Some(model.to_owned()),
        memory: share.map(Bytes::gib),
        share: share.is_some(),
        memory_most: None,
    });
    spec
}

#[test]
fn an_attempt_is_settled_with_what_it_reserved_and_where() {
    let mut world = world();
    let spec = with_gpu(asking(4, 2), "h200", None);
    run(
        &mut world,
        CAROL,
        30,
        spec,
        spent(EndReason::Exited, 10_000, 4_000),
    );
    let by_member = show(&world, ALICE, UsageBy::Member, None);
    let expected = UsageSums {
        attempts: 1,
        wall_seconds: MilliSeconds(10_000),
        cpu_seconds: MilliSeconds(24_000),
        cpu_used_seconds: MilliSeconds(5_000),
        memory_mib_seconds: MilliSeconds(2048 * 10_000),
        gpu_seconds: BTreeMap::from([("h200".to_owned(), MilliSeconds(6_000))]),
        stored: Bytes::kib(1),
        moved: Bytes(15),
    };
    let carol = row(&by_member, "carol");
    assert_eq!(carol.billed, expected);
    assert_eq!(carol.unbilled, UsageSums::default());
    assert_eq!(
        (&carol.own, &carol.lent),
        (&UsageSums::default(), &UsageSums::default())
    );
    let bob = row(&by_member, "bob");
    assert_eq!((&bob.billed, &bob.lent), (&UsageSums::default(), &expected));
    assert_eq!(by_member.billed, expected);

    // On one's own machine it is lent to nobody.
    run(
        &mut world,
        BOB,
        31,
        with_gpu(asking(1, 1), "rtx-4090", None),
        spent(EndReason::Exited, 1_000, 0),
    );
    let by_machine = show(&world, ALICE, UsageBy::Machine, None);
    let bobs = row(&by_machine, "box");
    assert_eq!(
        (bobs.billed.attempts, bobs.own.attempts, bobs.lent.attempts),
        (2, 1, 1)
    );
    assert_eq!(bobs.lent, expected);
    let by_gpu = show(&world, ALICE, UsageBy::Gpu, None);
    assert_eq!(
        row(&by_gpu, "h200").billed.gpu_seconds["h200"],
        MilliSeconds(6_000)
    );
    assert_eq!(
        row(&by_gpu, "rtx-4090").own.gpu_seconds["rtx-4090"],
        MilliSeconds(1_000)
    );
    invariants::check(&world);
}

#[test]
fn what_was_done_to_a_job_is_counted_apart() {
    let mut world = world();
    run(
        &mut world,
        CAROL,
        30,
        asking(1, 1),
        spent(EndReason::MachineOwner, 5_000, 0),
    );
    let all = show(&world, ALICE, UsageBy::Member, None);
    assert_eq!((all.billed.attempts, all.unbilled.attempts), (0, 1));
    assert_eq!(row(&all, "carol").unbilled.cpu_seconds, MilliSeconds(5_000));
    for reason in EndReason::ALL {
        let charge = crate::event::Charge::of(*reason);
        assert_eq!(charge == crate::event::Charge::Billed, reason.billed());
    }
}

#[test]
fn a_share_of_a_gpu_counts_by_its_memory_and_by_the_model_it_had() {
    let mut world = world();
    let spec = with_gpu(asking(1, 1), "h200", Some(6));
    world.submit(CAROL, 30, spec).unwrap();
    let (attempt, _) = world.schedule()[0];
    world.start(attempt);
    let mut renamed = lending();
    for gpu in renamed
        .capacity
        .gpus
        .iter_mut()
        .chain(&mut renamed.offer.gpus)
    {
        gpu.model = "other".to_owned();
    }
    let body = Body::ReportMachine { report: renamed };
    world.must(Actor::Machine(machine_id(10)), body);
    world.wait(100);
    world.end(attempt, spent(EndReason::Exited, 8_000, 0));
    let by_gpu = show(&world, ALICE, UsageBy::Gpu, None);
    assert_eq!(by_gpu.rows.len(), 1);
    assert_eq!(
        row(&by_gpu, "h200").billed.gpu_seconds["h200"],
        MilliSeconds(2_000)
    );
}

#[test]
fn a_machine_cannot_say_what_cannot_be() {
    let mut world = world();
    let mut lie = spent(EndReason::Exited, 0, 0);
    let longest = Span::from(common::time::MAX_SPAN);
    (lie.usage.wall, lie.usage.frozen) = (longest, longest);
    lie.usage.cpu = longest;
    lie.usage.sent = Bytes(u64::MAX);
    lie.usage.received = Bytes(u64::MAX);
    for number in 30..33 {
        let spec = with_gpu(asking(2, 1), "h200", None);
        run(&mut world, CAROL, number, spec, lie.clone());
    }
    let all = show(&world, ALICE, UsageBy::Member, None).billed;
    // Three times a hundred seconds, all of them frozen, on a machine of sixteen processors.
    assert_eq!(all.wall_seconds, MilliSeconds(300_000));
    assert_eq!(all.cpu_seconds, MilliSeconds(0));
    assert_eq!(all.cpu_used_seconds, MilliSeconds(16 * 300_000));
    assert_eq!(all.moved, Bytes(u64::MAX));
    invariants::check(&world);
}

#[test]
fn members_see_their_own_and_what_their_machines_lent() {
    let mut world = world();
    let asks = |cpus| with_gpu(asking(cpus, 1), "h200", None);
    run(
        &mut world,
        CAROL,
        30,
        asks(1),
        spent(EndReason::Exited, 1_000, 0),
    );
    run(
        &mut world,
        ALICE,
        31,
        asks(2),
        spent(EndReason::Exited, 1_000, 0),
    );
    let bobs = show(&world, BOB, UsageBy::Member, None);
    assert_eq!(bobs.rows.len(), 1, "{bobs:?}");
    assert_eq!(row(&bobs, "bob").lent.cpu_seconds, MilliSeconds(3_000));
    assert_eq!(bobs.billed, UsageSums::default());
    let carols = show(&world, CAROL, UsageBy::Machine, None);
    assert_eq!(carols.rows.len(), 1);
    let the_box = row(&carols, "box");
    assert_eq!(the_box.billed.cpu_seconds, MilliSeconds(1_000));
    assert_eq!(the_box.lent, UsageSums::default(), "what bob lent is bob's");
    let bobs = show(&world, BOB, UsageBy::Machine, None);
    assert_eq!(row(&bobs, "box").lent.cpu_seconds, MilliSeconds(3_000));
    assert!(show(&world, BOB, UsageBy::Gpu, None).rows.is_empty());
    let stranger = UserId::from_bytes([99; 16]);
    let request = ShowUsage {
        org: ORG,
        by: UsageBy::Member,
        since: None,
        after: None,
        limit: 10,
    };
    let refused = Tally::begin(&world.state, stranger, &request).unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
}

#[test]
fn who_left_keeps_the_name_in_what_they_used() {
    let mut world = world();
    run(
        &mut world,
        CAROL,
        30,
        asking(1, 1),
        spent(EndReason::Exited, 1_000, 0),
    );
    let before = show(&world, ALICE, UsageBy::Member, None);
    let body = Body::RemoveMember {
        org: ORG,
        handle: name("carol"),
    };
    world.user_does(ALICE, body).unwrap();
    assert_eq!(show(&world, ALICE, UsageBy::Member, None), before);
    assert_eq!(row(&before, "carol").billed.attempts, 1);
    invariants::check(&world);
}

#[test]
fn the_days_of_utc_are_told_apart() {
    let mut world = world();
    let midnight = Timestamp::from_unix_ms((world.now.unix_ms() / DAY_MS + 1) * DAY_MS);
    run(
        &mut world,
        CAROL,
        30,
        asking(1, 1),
        spent(EndReason::Exited, 1_000, 0),
    );
    world.now = midnight;
    run(
        &mut world,
        CAROL,
        31,
        asking(1, 1),
        spent(EndReason::Exited, 2_000, 0),
    );
    let wall = |since| {
        show(&world, ALICE, UsageBy::Member, since)
            .billed
            .wall_seconds
    };
    assert_eq!(wall(None), MilliSeconds(3_000));
    let late = midnight.saturating_add(std::time::Duration::from_secs(3600));
    assert_eq!(
        wall(Some(late)),
        MilliSeconds(2_000),
        "the whole day counts"
    );
    let next = midnight.saturating_add(std::time::Duration::from_millis(DAY_MS));
    assert_eq!(wall(Some(next)), MilliSeconds(0));
    let report = show(&world, ALICE, UsageBy::Member, Some(late));
    assert_eq!(report.since, Some(midnight));
}
