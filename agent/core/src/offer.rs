//! What is lent now: what exists minus what the owner keeps.

use common::{
    resources::{Capacity, GpuHealth},
    units::{Bytes, MilliCpu},
};

use crate::owner::OwnerRules;

/// Least memory that an owner without rules keeps.
const KEPT_MEMORY: Bytes = Bytes::gib(1);

/// Returns what the owner lends of `capacity`, running jobs included. `free_disk` is what the disk has left
/// besides what jobs already hold.
///
/// Without a rule: every processor, all memory but 1 GiB or a tenth (whichever is more), half of the free
/// disk, every GPU.
pub fn offer(capacity: &Capacity, free_disk: Bytes, rules: &OwnerRules) -> Capacity {
    let memory = capacity.memory;
    let disk = rules.disk_limit.unwrap_or(Bytes(free_disk.0 / 2));
    Capacity {
        cpu: rules.cpu_limit.map_or(capacity.cpu, |percent| {
            let part = u64::from(capacity.cpu.0) * u64::from(percent.value()) / 100;
            MilliCpu(u32::try_from(part).unwrap_or(capacity.cpu.0))
        }),
        memory: rules.memory_limit.map_or_else(
            || Bytes(memory.0.saturating_sub(KEPT_MEMORY.0.max(memory.0 / 10))),
            |limit| limit.min(memory),
        ),
        disk: disk.min(free_disk).min(capacity.disk),
        gpus: capacity
            .gpus
            .iter()
            .enumerate()
            .filter(|(index, gpu)| rules.gpus.lends(*index, &gpu.uuid))
            .map(|(_, gpu)| gpu.clone())
            .collect(),
    }
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
        assert_eq!(lent.disk, Bytes::gib(150));
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
        assert_eq!(lent.disk, Bytes::gib(10));
        assert_eq!(lent.gpus[0].uuid, "GPU-b");
        let shown = withhold(machine(), &rules);
        assert_eq!(shown.gpus[0].health, GpuHealth::Withheld);
        assert_eq!(shown.gpus[1].health, GpuHealth::Usable);
        assert_eq!(offer(&machine(), Bytes::gib(4), &rules).disk, Bytes::gib(4));
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
