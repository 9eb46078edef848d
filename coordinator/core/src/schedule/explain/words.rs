//! The sentences of an explanation.

use common::{
    api::explain::BlockerCode,
    id::OrgId,
    resources::{Capacity, GpuHealth, GpuRequest, Request, Shortage},
    units::{Bytes, MilliCpu},
};

use crate::{
    lifecycle::machine::MachineState,
    schedule::{
        feasible::{Ask, Obstacle},
        view::MachineView,
    },
    state::State,
};

/// Returns `8 CPUs, 16 GiB, 2 GPUs`.
pub(super) fn amounts(capacity: &Capacity) -> String {
    let mut text = format!("{}, {}", cpus(capacity.cpu), capacity.memory);
    let gpus = capacity.gpus.iter();
    let models: Vec<&str> = gpus
        .filter(|gpu| gpu.health != GpuHealth::Withheld)
        .map(|gpu| gpu.model.as_str())
        .collect();
    if !models.is_empty() {
        text += &format!(", GPU {}", models.join(" + "));
    }
    text
}

pub(super) fn no_machine(state: &State, org: OrgId) -> String {
    let machines = state.machines.values();
    let waiting = machines
        .filter(|machine| machine.org == org && machine.state == MachineState::Pending)
        .count();
    match waiting {
        0 => "the org has no machine".to_owned(),
        1 => "the org has no approved machine (1 waits for approval)".to_owned(),
        _ => format!("the org has no approved machine ({waiting} wait for approval)"),
    }
}

/// Returns what is in the way, with the best of these machines as the measure.
pub(super) fn on_machines(
    code: BlockerCode,
    ask: &Ask<'_>,
    machines: &[&MachineView<'_>],
) -> String {
    let request = ask.request;
    let lends = |key: fn(&Capacity) -> u64, show: &dyn Fn(&Capacity) -> String| {
        let offers = machines
            .iter()
            .filter_map(|machine| machine.report.map(|r| (machine, &r.offer)));
        let best = offers.max_by_key(|(_, offer)| key(offer));
        best.map_or_else(String::new, |(machine, offer)| {
            format!(
                "; the most that is lent is {} ({})",
                show(offer),
                machine.name
            )
        })
    };
    let free = |key: fn(&Capacity) -> u64, show: &dyn Fn(&Capacity) -> String| {
        let best = machines.iter().max_by_key(|machine| key(&machine.free));
        best.map_or_else(String::new, |machine| {
            format!(
                "; the most that is free is {} ({})",
                show(&machine.free),
                machine.name
            )
        })
    };
    let cpu = |capacity: &Capacity| u64::from(capacity.cpu.0);
    match code {
        BlockerCode::MachineOffline => "not connected".to_owned(),
        BlockerCode::MachinePaused => "its owner lends nothing at the moment".to_owned(),
        BlockerCode::IsolationTooLow => {
            let remedies = machines
                .iter()
                .filter_map(|machine| machine.report?.isolation.remedy.as_deref());
            let remedy = remedies
                .map(|remedy| format!("; to lift it: {remedy}"))
                .next();
            format!(
                "cannot hold in jobs of other members (isolation d){}",
                remedy.unwrap_or_default()
            )
        }
        BlockerCode::TooSmallCpu => {
            format!(
                "asks for {}{}",
                cpus(request.cpu),
                lends(cpu, &|c| cpus(c.cpu))
            )
        }
        BlockerCode::TooSmallMemory => format!(
            "asks for {} of memory{}",
            request.memory,
            lends(|c| c.memory.0, &|c| c.memory.to_string())
        ),
        BlockerCode::TooSmallDisk => format!(
            "asks for {} of disk{}",
            request.disk,
            lends(|c| c.disk.0, &|c| c.disk.to_string())
        ),
        BlockerCode::NoSuchGpu => format!("asks for {}, which is not lent there", gpus(request)),
        BlockerCode::BusyCpu if machines.iter().all(|machine| machine.is_full()) => {
            "holds as many tasks as a machine can".to_owned()
        }
        BlockerCode::BusyCpu => {
            format!(
                "asks for {}{}",
                cpus(request.cpu),
                free(cpu, &|c| cpus(c.cpu))
            )
        }
        BlockerCode::BusyMemory => format!(
            "asks for {} of memory{}",
            request.memory,
            free(|c| c.memory.0, &|c| c.memory.to_string())
        ),
        BlockerCode::BusyDisk => format!(
            "asks for {} of disk{}",
            request.disk,
            free(|c| c.disk.0, &|c| c.disk.to_string())
        ),
        BlockerCode::BusyGpu => format!(
            "asks for {}; jobs, other processes or a fault keep them",
            gpus(request)
        ),
        // Not of machines.
        _ => String::new(),
    }
}

/// Returns what would have to change on this machine.
pub(super) fn change_on(machine: &MachineView<'_>, obstacles: &[Obstacle]) -> String {
    let name = machine.name;
    let small: Vec<Shortage> = shortages(obstacles, |obstacle| match obstacle {
        Obstacle::TooSmall(shortage) => Some(*shortage),
        _ => None,
    });
    let busy: Vec<Shortage> = shortages(obstacles, |obstacle| match obstacle {
        Obstacle::Busy(shortage) => Some(*shortage),
        _ => None,
    });
    if obstacles.contains(&Obstacle::Isolation) {
        let remedy = machine
            .report
            .and_then(|report| report.isolation.remedy.as_deref());
        let remedy = remedy.unwrap_or("lift its isolation level");
        format!("on {name}: {remedy}")
    } else if !small.is_empty() {
        let offer = machine.report.map(|report| &report.offer);
        let parts = offer.map_or_else(String::new, |offer| at_most(&small, offer));
        format!("ask for {parts}, which is what {name} lends")
    } else if obstacles.contains(&Obstacle::Offline) {
        format!("{name} comes back (`compute-share start` on it)")
    } else if obstacles.contains(&Obstacle::Paused) {
        format!("{name} is resumed by its owner (`compute-share resume` on it)")
    } else if busy.is_empty()
        || busy
            .iter()
            .any(|shortage| none_is_left(*shortage, &machine.free))
    {
        format!("a task on {name} ends")
    } else {
        let parts = at_most(&busy, &machine.free);
        format!("a task on {name} ends, or ask for {parts}, which is free there")
    }
}

fn shortages(obstacles: &[Obstacle], pick: fn(&Obstacle) -> Option<Shortage>) -> Vec<Shortage> {
    obstacles.iter().filter_map(pick).collect()
}

/// Returns whether there is nothing at all of it, so that asking for less would not help.
fn none_is_left(shortage: Shortage, free: &Capacity) -> bool {
    match shortage {
        Shortage::Cpu => free.cpu == MilliCpu::ZERO,
        Shortage::Memory => free.memory == Bytes::ZERO,
        Shortage::Disk => free.disk == Bytes::ZERO,
        Shortage::Gpu => !free.gpus.iter().any(|gpu| gpu.health == GpuHealth::Usable),
    }
}

fn at_most(shortages: &[Shortage], there: &Capacity) -> String {
    let part = |shortage: &Shortage| match shortage {
        Shortage::Cpu => format!("at most {}", cpus(there.cpu)),
        Shortage::Memory => format!("at most {} of memory", there.memory),
        Shortage::Disk => format!("at most {} of disk", there.disk),
        Shortage::Gpu => {
            let usable = there
                .gpus
                .iter()
                .filter(|gpu| gpu.health == GpuHealth::Usable);
            let models: Vec<&str> = usable.map(|gpu| gpu.model.as_str()).collect();
            if models.is_empty() {
                "no GPU".to_owned()
            } else {
                format!("GPU {}", models.join(" + "))
            }
        }
    };
    let parts: Vec<String> = shortages.iter().map(part).collect();
    parts.join(" and ")
}

fn cpus(cpu: MilliCpu) -> String {
    if cpu == MilliCpu::cpus(1) {
        "1 CPU".to_owned()
    } else {
        format!("{cpu} CPUs")
    }
}

fn gpus(request: &Request) -> String {
    let Some(GpuRequest {
        count,
        model,
        memory,
        share,
    }) = &request.gpu
    else {
        return "no GPU".to_owned();
    };
    let mut text = format!("{count} GPU{}", if *count == 1 { "" } else { "s" });
    if let Some(model) = model {
        text += &format!(" {model}");
    }
    if let Some(memory) = memory {
        text += &format!(
            " with {memory}{}",
            if *share { " of its memory" } else { "" }
        );
    }
    text
}
