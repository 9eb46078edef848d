//! Whatever is run in whatever order, every sum is that over the attempts.

use common::{
    job::ArtifactsView,
    project::Grantee,
    status::{Access, EndReason, UsageBy},
    time::{Span, Timestamp},
    usage::{UsageRow, UsageSums},
    wire::agent::AttemptReport,
};
use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        invariants,
        world::{ALICE, BOB, CAROL, World, asking, name, tree},
    },
    DAY_MS, show, spent, with_gpu, world,
};
use crate::lifecycle::attempt::AttemptState;

/// One job and how it ends.
#[derive(Debug, Clone)]
struct Try {
    owner: usize,
    cpus: u32,
    gib: u64,
    gpu: Option<(usize, Option<u64>)>,
    in_project: bool,
    reason: usize,
    wall_ms: u64,
    frozen_ms: u64,
    files: bool,
    pause_s: u64,
}

fn tries() -> impl Strategy<Value = Try> {
    let what = (
        0..3usize,
        1..5u32,
        1..5u64,
        prop::option::of((0..2usize, prop::option::of(1..24u64))),
        any::<bool>(),
    );
    let how = (
        0..EndReason::ALL.len(),
        0..100_000u64,
        0..120_000u64,
        any::<bool>(),
        0..100_000u64,
    );
    (what, how).prop_map(
        |((owner, cpus, gib, gpu, in_project), (reason, wall_ms, frozen_ms, files, pause_s))| Try {
            owner,
            cpus,
            gib,
            gpu,
            in_project,
            reason,
            wall_ms,
            frozen_ms,
            files,
            pause_s,
        },
    )
}

/// Sums over the attempts of the state, made from what each held and how it ended, and not from what it was settled with.
fn over_attempts(world: &World, since: Timestamp, billed: bool) -> UsageSums {
    let first = since.unix_ms() / DAY_MS * DAY_MS;
    let mut sums = UsageSums::default();
    for attempt in world.state.attempts.values() {
        let AttemptState::Ended(outcome) = &attempt.state else {
            continue;
        };
        let ended_at = attempt.ended_at.unwrap();
        if ended_at.unix_ms() < first || outcome.reason.billed() != billed {
            continue;
        }
        let ms = |span: Span| u64::try_from(span.as_duration().as_millis()).unwrap();
        let wall = ms(outcome.usage.wall);
        let ran = wall.saturating_sub(ms(outcome.usage.frozen));
        sums.attempts += 1;
        sums.wall_seconds.0 += wall;
        sums.cpu_seconds.0 += ran * u64::from(attempt.allocation.cpu.0) / 1000;
        sums.cpu_used_seconds.0 += ms(outcome.usage.cpu);
        sums.memory_mib_seconds.0 += wall * (attempt.allocation.memory.0 >> 20);
        sums.moved.0 += outcome.usage.sent.0 + outcome.usage.received.0;
        for (uuid, model) in attempt.allocation.gpus.iter().zip(&attempt.gpu_models) {
            let share = attempt.allocation.gpu_shares.get(uuid);
            let part = share.map_or(24, |share| share.0 >> 30);
            let time = ran * part / 24;
            if time > 0 {
                sums.gpu_seconds.entry(model.clone()).or_default().0 += time;
            }
        }
        if let ArtifactsView::Stored { bytes, .. } = attempt.artifacts {
            sums.stored.0 += bytes.0;
        }
    }
    sums
}

fn add(sum: &mut UsageSums, more: &UsageSums) {
    sum.attempts += more.attempts;
    sum.wall_seconds.0 += more.wall_seconds.0;
    sum.cpu_seconds.0 += more.cpu_seconds.0;
    sum.cpu_used_seconds.0 += more.cpu_used_seconds.0;
    sum.memory_mib_seconds.0 += more.memory_mib_seconds.0;
    sum.stored.0 += more.stored.0;
    sum.moved.0 += more.moved.0;
    for (model, ms) in &more.gpu_seconds {
        sum.gpu_seconds.entry(model.clone()).or_default().0 += ms.0;
    }
}

fn check_sums(world: &World, since: Option<Timestamp>) {
    let moment = since.unwrap_or_default();
    let [billed, unbilled] = [true, false].map(|billed| over_attempts(world, moment, billed));
    let mut all = billed.clone();
    add(&mut all, &unbilled);
    for by in UsageBy::ALL {
        let report = show(world, ALICE, *by, since);
        assert_eq!(
            (&report.billed, &report.unbilled),
            (&billed, &unbilled),
            "{by}"
        );
        let total = |part: fn(&UsageRow) -> &UsageSums| {
            let mut sum = UsageSums::default();
            report.rows.iter().for_each(|row| add(&mut sum, part(row)));
            sum
        };
        let (rows, not_billed) = (total(|row| &row.billed), total(|row| &row.unbilled));
        if *by == UsageBy::Gpu {
            assert_eq!(rows.gpu_seconds, billed.gpu_seconds);
            assert_eq!(not_billed.gpu_seconds, unbilled.gpu_seconds);
            continue;
        }
        assert_eq!((&rows, &not_billed), (&billed, &unbilled), "{by}");
        if matches!(by, UsageBy::Member | UsageBy::Machine) {
            // Whatever was used was one's own or lent by somebody.
            let mut given = total(|row| &row.own);
            add(&mut given, &total(|row| &row.lent));
            assert_eq!(given, all, "{by}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn totals_are_the_sums_over_attempts(tries in vec(tries(), 1..12)) {
        let mut world = world();
        world.project(ALICE, 50, "vision");
        world.grant(ALICE, "vision", Grantee::Everyone, Access::Contribute).unwrap();
        let mut moments = vec![world.now];
        for (number, one) in (60..).zip(&tries) {
            let owner = [ALICE, BOB, CAROL][one.owner];
            let mut spec = asking(one.cpus, one.gib);
            if let Some((model, share)) = one.gpu {
                spec = with_gpu(spec, ["h200", "rtx-4090"][model], share);
            }
            spec.project = one.in_project.then(|| name("vision"));
            world.submit(owner, number, spec).unwrap();
            for (attempt, _) in world.schedule() {
                world.start(attempt);
            }
            world.wait(one.pause_s);
            moments.push(world.now);
            // The newest of those that run ends; others go on past it.
            let Some(attempt) = world.live().pop() else { continue };
            let mut outcome = spent(EndReason::ALL[one.reason], one.wall_ms, one.frozen_ms);
            outcome.usage.cpu = Span::from_millis(one.wall_ms.min(one.pause_s * 1000) / 2);
            let at = world.now;
            let ended = AttemptReport::Ended { at, outcome, artifacts: one.files };
            world.report(attempt, ended).unwrap();
            check_sums(&world, None);
            if one.files {
                world.report(attempt, AttemptReport::Artifacts { tree: tree(1) }).unwrap();
            }
            invariants::check(&world);
        }
        world.disconnect(10);
        world.wait(1000);
        world.expire(10);
        invariants::check(&world);
        for since in moments.into_iter().map(Some).chain([None]) {
            check_sums(&world, since);
        }
    }
}
