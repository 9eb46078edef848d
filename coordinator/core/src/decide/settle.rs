//! What an attempt that ends is settled with: what it reserved, times how long, and what it is said to have taken.

use std::{collections::BTreeMap, time::Duration};

use common::{job::Outcome, resources::Gpu, units::Bytes};

use crate::state::{
    State,
    attempt::Attempt,
    job::Job,
    usage::{Charge, Settled},
};

/// What stands for a model that the machine did not name.
const UNKNOWN_MODEL: &str = "unknown";

/// Returns what the attempt consumed. Nothing here overflows: what is beyond a number is the largest one.
pub(super) fn settle(state: &State, attempt: &Attempt, job: &Job, outcome: &Outcome) -> Settled {
    let usage = &outcome.usage;
    let wall_ms = milliseconds(usage.wall.as_duration());
    let frozen_ms = milliseconds(usage.frozen.as_duration()).min(wall_ms);
    let running_ms = wall_ms - frozen_ms;
    let reserved = &attempt.allocation;
    let report = state.reports.get(&attempt.machine);
    let processors = report.map_or(reserved.cpu, |report| report.capacity.cpu.max(reserved.cpu));
    Settled {
        member: job.owner,
        project: job.project,
        charge: Charge::of(outcome.reason),
        wall_ms,
        cpu_ms: times(running_ms, u64::from(reserved.cpu.0), 1000),
        // A machine can have been busy with all that it has, and no more.
        cpu_used_ms: milliseconds(usage.cpu.as_duration()).min(times(
            wall_ms,
            u64::from(processors.0),
            1000,
        )),
        memory_mib_ms: times(wall_ms, reserved.memory.0, Bytes::mib(1).0),
        gpu_ms: gpus(
            attempt,
            report.map_or(&[], |report| &report.capacity.gpus),
            running_ms,
        ),
        moved: Bytes(usage.sent.0.saturating_add(usage.received.0)),
    }
}

/// Returns the time of each model of GPU. Who held a share of one held that part of its time.
fn gpus(attempt: &Attempt, known: &[Gpu], running_ms: u64) -> BTreeMap<String, u64> {
    let mut by_model: BTreeMap<String, u64> = BTreeMap::new();
    for (place, uuid) in attempt.allocation.gpus.iter().enumerate() {
        let model = attempt.gpu_models.get(place).map(String::as_str);
        let model = model.filter(|model| !model.is_empty());
        let gpu = known.iter().find(|gpu| gpu.uuid == *uuid);
        let part = attempt
            .allocation
            .gpu_shares
            .get(uuid)
            .zip(gpu)
            .filter(|(share, gpu)| **share < gpu.memory);
        let ms = part.map_or(running_ms, |(share, gpu)| {
            times(running_ms, share.0, gpu.memory.0)
        });
        let sum = by_model
            .entry(model.unwrap_or(UNKNOWN_MODEL).to_owned())
            .or_default();
        *sum = sum.saturating_add(ms);
    }
    by_model.retain(|_, ms| *ms > 0);
    by_model
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Returns `ms` times `amount`, in `unit`s of it.
fn times(ms: u64, amount: u64, unit: u64) -> u64 {
    let product = u128::from(ms) * u128::from(amount) / u128::from(unit.max(1));
    u64::try_from(product).unwrap_or(u64::MAX)
}
