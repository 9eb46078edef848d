//! The sentences of an explanation: what is in the way. What would change it is in `change`.

mod change;
mod graphics;
mod labels;
mod owners;

use std::collections::BTreeMap;

use common::{
    api::explain::BlockerCode,
    id::OrgId,
    machine::{MachineReport, Pause, PausedBy},
    resources::{Capacity, GpuHealth},
    status::{MinIsolation, Network},
    units::MilliCpu,
};

use self::graphics::gpu_use;
pub(super) use self::{change::change_on, graphics::gpus};
use crate::{
    lifecycle::machine::MachineState,
    schedule::{feasible::Ask, view::MachineView},
    state::State,
};

/// Most reasons why machines are paused that one sentence gives.
const MAX_REASONS: usize = 3;

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
        BlockerCode::MachinePaused => pauses(machines),
        BlockerCode::MachineSetAside => owners::set_aside(machines),
        BlockerCode::IsolationTooLow => isolation(ask, machines),
        BlockerCode::NotSupported => not_supported(ask, machines),
        BlockerCode::LabelMissing => labels::missing(ask, machines),
        BlockerCode::OwnerKeepsOut => owners::kept_out(ask, machines),
        BlockerCode::OwnerForbidsNetwork => {
            let allowed = best(machines, |report| allowed_networks(report).len());
            let allowed = allowed.map_or_else(String::new, |(machine, report)| {
                format!(
                    "; {} allows {}",
                    machine.name,
                    words(&allowed_networks(report))
                )
            });
            format!(
                "asks for network {}, which its owner does not allow{allowed}",
                ask.network
            )
        }
        BlockerCode::OwnerForbidsImages => {
            "brings an image, and its owner lets jobs use the machine's own programs only"
                .to_owned()
        }
        BlockerCode::OwnerLimitsRuntime => {
            let asked = ask.max_runtime.map_or_else(
                || "may run without end".to_owned(),
                |asked| format!("may run for {asked}"),
            );
            let longest = best(machines, |report| report.admits.max_runtime);
            let longest = longest.and_then(|(machine, report)| {
                let most = report.admits.max_runtime?;
                Some(format!(
                    "; the longest that an owner allows is {most} ({})",
                    machine.name
                ))
            });
            asked + &longest.unwrap_or_default()
        }
        BlockerCode::TooSmallCache => {
            let most = best(machines, |report| report.cache_limit);
            let most = most.and_then(|(machine, report)| Some((machine.name, report.cache_limit?)));
            let most = most.map_or_else(String::new, |(name, most)| {
                format!("; the most that a machine keeps is {most} ({name})")
            });
            format!(
                "reads {} of data, which has to be there at once{most}",
                ask.data
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
        BlockerCode::MachineReserved => {
            "kept free for a job that comes first and needs the room".to_owned()
        }
        BlockerCode::MachineInUse => {
            "is to have the machine to itself, and something runs there".to_owned()
        }
        BlockerCode::HeldExclusively => "a job has the machine to itself".to_owned(),
        BlockerCode::WholeMachineLimit => {
            "would hold all of the machine, which is more than limits on cpu or memory leave"
                .to_owned()
        }
        BlockerCode::BusyGpu => format!("asks for {}{}", gpus(request), gpu_use(request, machines)),
        // Not of machines.
        _ => String::new(),
    }
}

/// Returns why a machine takes nothing, as read after a colon.
pub(crate) fn pause_reason(pause: &Pause) -> &str {
    match pause.by {
        _ if !pause.reason.is_empty() => &pause.reason,
        PausedBy::Command => "its owner has paused it",
        PausedBy::Rule => "a rule of its owner",
        PausedBy::Draining => "its agent is about to stop",
    }
}

/// Returns `its owner is at the keyboard (box and 2 more); its owner has paused it until 12:00 (lab-1)`.
fn pauses(machines: &[&MachineView<'_>]) -> String {
    let mut by_reason: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    for machine in machines {
        let Some(pause) = machine.report.and_then(|report| report.paused.as_ref()) else {
            continue;
        };
        let mut reason = pause_reason(pause).to_owned();
        if let Some(until) = pause.until {
            reason += &format!(" until {}", until.to_second());
        }
        by_reason
            .entry(reason)
            .or_insert((machine.name.as_str(), 0))
            .1 += 1;
    }
    let reasons = by_reason.len();
    let mut parts: Vec<String> = by_reason
        .into_iter()
        .take(MAX_REASONS)
        .map(|(reason, (name, count))| match count {
            1 => format!("{reason} ({name})"),
            _ => format!("{reason} ({name} and {} more)", count - 1),
        })
        .collect();
    if reasons > MAX_REASONS {
        parts.push(format!("{} more reasons", reasons - MAX_REASONS));
    }
    format!("lends nothing at the moment: {}", parts.join("; "))
}

fn isolation(ask: &Ask<'_>, machines: &[&MachineView<'_>]) -> String {
    let mut parts = Vec::new();
    if let Some(asked) = ask.isolation {
        parts.push(format!("asks for isolation {asked}"));
    }
    if machines.iter().any(|machine| machine.owner != ask.owner) {
        parts.push(match ask.org_isolation {
            Some(asked) => format!(
                "the org asks for isolation {asked} on machines of other members (min_isolation)"
            ),
            None => "jobs of other members need isolation c at least".to_owned(),
        });
    }
    // The best level is the first in their order.
    let strongest = best(machines, |report| {
        let isolation = &report.isolation;
        (std::cmp::Reverse(isolation.level), isolation.strong)
    });
    if let Some((machine, report)) = strongest {
        let strong = [ask.isolation, ask.org_isolation].contains(&Some(MinIsolation::Strong));
        let without = if strong && !report.isolation.strong {
            " without gVisor"
        } else {
            ""
        };
        parts.push(format!(
            "the best is {}{without} ({})",
            report.isolation.level, machine.name
        ));
        if let Some(remedy) = &report.isolation.remedy {
            parts.push(format!("to lift it: {remedy}"));
        }
    }
    parts.join("; ")
}

fn not_supported(ask: &Ask<'_>, machines: &[&MachineView<'_>]) -> String {
    let can = |report: &MachineReport| report.isolation.networks.contains(&ask.network);
    let unable = |machine: &&&MachineView<'_>| {
        let unable = machine.report.is_some_and(|report| !can(report));
        ask.network != Network::None && unable
    };
    let mut parts = Vec::new();
    let unable: Vec<&MachineView<'_>> = machines.iter().filter(unable).copied().collect();
    let widest = best(&unable, |report| report.isolation.networks.len());
    if let Some((machine, report)) = widest {
        parts.push(format!(
            "asks for network {}; {} can give {}",
            ask.network,
            machine.name,
            words(&report.isolation.networks)
        ));
    }
    let gpus = ask.request.gpu.as_ref().is_some_and(|gpu| gpu.count > 0);
    if gpus && machines.iter().any(|machine| ask.is_strong_on(machine)) {
        parts.push("asks for a GPU, which isolation strong cannot give".to_owned());
    }
    parts.join("; ")
}

/// Returns the networks that the machine can give and its owner allows.
fn allowed_networks(report: &MachineReport) -> Vec<Network> {
    let all = Network::ALL.iter().copied();
    all.filter(|network| {
        let given = report.isolation.networks.contains(network);
        *network == Network::None || (given && report.admits.networks.contains(network))
    })
    .collect()
}

fn words(networks: &[Network]) -> String {
    if networks.is_empty() {
        return Network::None.to_string();
    }
    let words: Vec<&str> = networks.iter().map(|network| network.as_str()).collect();
    words.join(", ")
}

/// Returns the machine that is best by `key`, the first by name of those alike.
fn best<'a, 'b, K: Ord>(
    machines: &'b [&'b MachineView<'a>],
    key: impl Fn(&MachineReport) -> K,
) -> Option<(&'b MachineView<'a>, &'a MachineReport)> {
    let reported = machines
        .iter()
        .filter_map(|machine| Some((*machine, machine.report?)));
    reported.rev().max_by_key(|(_, report)| key(report))
}

pub(super) fn cpus(cpu: MilliCpu) -> String {
    if cpu == MilliCpu::cpus(1) {
        "1 CPU".to_owned()
    } else {
        format!("{cpu} CPUs")
    }
}
