//! What is lent now: what exists minus what the owner keeps.

use common::{
    resources::{Capacity, GpuHealth},
    units::{Bytes, MilliCpu},
};

use crate::owner::OwnerRules;

/// Least memory that an owner without rules keeps.
const KEPT_MEMORY: Bytes = Bytes::gib(1);
/// What part of the lent disk is the cache's: one in so many.
const CACHE_PART: u64 = 4;

/// Returns what the owner lends of `capacity` to jobs, running ones included. `free_disk` is what the disk would
/// have left without what jobs and the cache hold.
///
/// Without a rule: every processor, all memory but 1 GiB or a tenth (whichever is more), half of the free
/// disk, every GPU. Of the lent disk, the cache has its part; see [`cache_limit`].
pub fn offer(capacity: &Capacity, free_disk: Bytes, rules: &OwnerRules) -> Capacity {
    let memory = capacity.memory;
    let disk = lent_disk(capacity, free_disk, rules);
    Capacity {
        cpu: rules.cpu_limit.map_or(capacity.cpu, |percent| {
            let part = u64::from(capacity.cpu.0) * u64::from(percent.value()) / 100;
            MilliCpu(u32::try_from(part).unwrap_or(capacity.cpu.0))
        }),
        memory: rules.memory_limit.map_or_else(
            || Bytes(memory.0.saturating_sub(KEPT_MEMORY.0.max(memory.0 / 10))),
            |limit| limit.min(memory),
        ),
        disk: Bytes(disk.0 - cache_limit(capacity, free_disk, rules).0),
        gpus: capacity
            .gpus
            .iter()
            .enumerate()
            .filter(|(index, gpu)| rules.gpus.lends(*index, &gpu.uuid))
            .map(|(_, gpu)| gpu.clone())
            .collect(),
    }
}

/// Returns how much of the lent disk the cache may take. Jobs have the rest: nothing is lent twice.
pub fn cache_limit(capacity: &Capacity, free_disk: Bytes, rules: &OwnerRules) -> Bytes {
    let lent = lent_disk(capacity, free_disk, rules);
    let part = Bytes(lent.0 / CACHE_PART);
    rules.cache_limit.unwrap_or(part).min(lent)
}

fn lent_disk(capacity: &Capacity, free_disk: Bytes, rules: &OwnerRules) -> Bytes {
    let disk = rules.disk_limit.unwrap_or(Bytes(free_disk.0 / 2));
    disk.min(free_disk).min(capacity.disk)
}

/// Returns `capacity` with the GPUs that the owner keeps marked as such.
pub fn withhold(mut capacity: Capacity, rules: &OwnerRules) -> Capacity {
    for (index, gpu) in capacity.gpus.iter_mut().enumerate() {
        if !rules.gpus.lends(index, &gpu.uuid) {
            gpu.health = GpuHealth::Withheld;
        }
    }
    capacity
}

/// Returns whether two samples say the same as far as placement goes: temperature, use and the like differ
/// from second to second and are not worth a report of their own.
pub fn equal_for_placement(a: &Capacity, b: &Capacity) -> bool {
    let steady = |capacity: &Capacity| {
        let mut steady = capacity.clone();
        for gpu in &mut steady.gpus {
            gpu.temperature_celsius = None;
            gpu.utilization_percent = None;
            gpu.memory_used = Bytes::ZERO;
        }
        steady
    };
    steady(a) == steady(b)
}

#[cfg(test)]
mod tests {
    use common::resources::Gpu;

    use super::*;

    fn machine() -> Capacity {
        let gpu = |uuid: &str| Gpu {
            uuid: uuid.to_owned(),
            model: "h200".to_owned(),
            memory: Bytes::gib(141),
            driver: "550".to_owned(),
            health: GpuHealth::Usable,
            temperature_celsius: Some(40),
            utilization_percent: Some(3),
            memory_used: Bytes::ZERO,
        };
        Capacity {
            cpu: MilliCpu::cpus(8),
            memory: Bytes::gib(64),
            disk: Bytes::gib(500),
            gpus: vec![gpu("GPU-a"), gpu("GPU-b")],
        }
    }

    fn rules(json: &str) -> OwnerRules {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn without_rules_the_owner_keeps_enough_to_work() {
        let lent = offer(&machine(), Bytes::gib(300), &OwnerRules::default());
        assert_eq!(lent.cpu, MilliCpu::cpus(8));
        assert_eq!(lent.memory, Bytes((64 << 30) - (64 << 30) / 10));
        assert_eq!(lent.disk, Bytes::mib(112 * 1024 + 512));
        assert_eq!(lent.gpus.len(), 2);
        let small = Capacity {
            memory: Bytes::gib(2),
            ..machine()
        };
        assert_eq!(
            offer(&small, Bytes::ZERO, &OwnerRules::default()).memory,
            Bytes::gib(1)
        );
    }

    #[test]
    fn rules_bound_the_offer_and_never_lift_it() {
        let rules = rules(
            r#"{"resources": {"cpu_limit": 75, "memory_limit": "1TiB", "disk_limit": "10GiB", "gpus": [1]}}"#,
        );
        let lent = offer(&machine(), Bytes::gib(300), &rules);
        assert_eq!(lent.cpu, MilliCpu(6000));
        assert_eq!(lent.memory, Bytes::gib(64));
        assert_eq!(lent.disk, Bytes::mib(7680));
        assert_eq!(lent.gpus[0].uuid, "GPU-b");
        let shown = withhold(machine(), &rules);
        assert_eq!(shown.gpus[0].health, GpuHealth::Withheld);
        assert_eq!(shown.gpus[1].health, GpuHealth::Usable);
        assert_eq!(offer(&machine(), Bytes::gib(4), &rules).disk, Bytes::gib(3));
    }

    #[test]
    fn jobs_and_the_cache_together_keep_to_the_disk_that_is_lent() {
        let limited = rules(r#"{"resources": {"disk_limit": "10GiB"}}"#);
        let none = rules(r#"{"resources": {"disk_limit": 0}}"#);
        let kept = r#"{"resources": {"disk_limit": "10GiB"}, "data": {"cache_limit": "7GiB"}}"#;
        let kept = rules(kept);
        for (free, rules, expect) in [
            (Bytes::gib(300), &limited, Bytes::gib(10)),
            (Bytes(4_000_000_007), &limited, Bytes(4_000_000_007)),
            (Bytes::gib(900), &OwnerRules::default(), Bytes::gib(450)),
            (Bytes::gib(300), &none, Bytes::ZERO),
            (Bytes(3), &OwnerRules::default(), Bytes(1)),
            (Bytes::gib(300), &kept, Bytes::gib(10)),
            (Bytes::gib(6), &kept, Bytes::gib(6)),
        ] {
            let jobs = offer(&machine(), free, rules).disk;
            let cache = cache_limit(&machine(), free, rules);
            assert_eq!(Bytes(jobs.0 + cache.0), expect, "{free} free, {rules:?}");
            let part = rules.cache_limit.unwrap_or(Bytes(expect.0 / CACHE_PART));
            assert_eq!(cache, part.min(expect), "{free} free, {rules:?}");
        }
    }

    #[test]
    fn a_warmer_gpu_is_no_news_but_a_faulty_one_is() {
        let mut other = machine();
        other.gpus[0].temperature_celsius = Some(80);
        assert!(equal_for_placement(&machine(), &other));
        other.gpus[0].health = GpuHealth::UsedByOthers;
        assert!(!equal_for_placement(&machine(), &other));
    }
}
