//! What the org is made of: machines of ten kinds.

use common::{
    machine::{Isolation, MachineReport, SystemInfo},
    resources::{Capacity, Gpu, GpuHealth},
    status::IsolationLevel,
    units::{Bytes, MilliCpu},
};
use coordinator_core::Body;

pub(super) const MEMBERS: usize = 200;
/// Processors, GiB, GPUs and their model; machines are of these kinds in turn.
const KINDS: [(u32, u64, usize, &str); 10] = [
    (4, 16, 0, ""),
    (8, 16, 0, ""),
    (8, 32, 0, ""),
    (16, 64, 0, ""),
    (12, 32, 1, "rtx-4070"),
    (16, 64, 1, "rtx-4090"),
    (16, 128, 2, "rtx-4090"),
    (32, 128, 0, ""),
    (64, 256, 0, ""),
    (64, 512, 8, "h200"),
];

pub(super) fn kind(number: u64) -> (u32, u64, usize, &'static str) {
    let place = usize::try_from(number).expect("some thousands");
    KINDS[place % KINDS.len()]
}

pub(super) fn connect(number: u64) -> Body {
    let (processors, gib, gpus, model) = kind(number);
    let gpu = |place| Gpu {
        uuid: format!("GPU-{number}-{place}"),
        model: model.to_owned(),
        memory: Bytes::gib(24),
        driver: String::new(),
        health: GpuHealth::Usable,
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    };
    let capacity = Capacity {
        cpu: MilliCpu::cpus(processors),
        memory: Bytes::gib(gib),
        disk: Bytes::gib(500),
        gpus: (0..gpus).map(gpu).collect(),
    };
    let report = MachineReport::lending_all(
        capacity,
        Isolation::of(IsolationLevel::A),
        SystemInfo::default(),
    );
    Body::ConnectMachine {
        report,
        attempts: Vec::new(),
    }
}
