//! The smallest change that would let a task start on one machine.

use common::{
    machine::PausedBy,
    resources::{Capacity, Gpu, GpuHealth, Shortage},
    status::MinIsolation,
    units::{Bytes, MilliCpu},
};

use super::{allowed_networks, cpus, graphics::gpu_change, labels, owners, pause_reason, words};
use crate::schedule::{
    feasible::{Ask, Obstacle},
    reserve::kept_until,
    view::MachineView,
};

/// Returns what would have to change on this machine: what never passes by itself first, and all of that.
pub(in crate::schedule::explain) fn change_on(
    machine: &MachineView<'_>,
    ask: &Ask<'_>,
    obstacles: &[Obstacle],
) -> String {
    let mut changes: Vec<String> = obstacles
        .iter()
        .filter_map(|obstacle| rule_change(machine, ask, *obstacle))
        .collect();
    let small = shortages(obstacles, |obstacle| match obstacle {
        Obstacle::TooSmall(shortage) => Some(*shortage),
        _ => None,
    });
    if !small.is_empty() {
        let offer = machine.report.map(|report| &report.offer);
        let lent = |gpu: &Gpu| gpu.health != GpuHealth::Withheld;
        let parts = offer.map_or_else(String::new, |offer| at_most(&small, offer, lent));
        changes.push(format!(
            "ask for {parts}, which is what {} lends",
            machine.name
        ));
    }
    if changes.is_empty() {
        passing_change(machine, ask, obstacles)
    } else {
        changes.join("; and ")
    }
}

/// Returns what whoever submits, the machine's owner or an admin can do about a rule.
fn rule_change(machine: &MachineView<'_>, ask: &Ask<'_>, obstacle: Obstacle) -> Option<String> {
    let name = machine.name;
    let report = machine.report?;
    match obstacle {
        Obstacle::Isolation => Some(isolation_change(machine, ask)),
        Obstacle::NoNetwork => Some(format!(
            "ask for network {}, which {name} can give (`compute-share doctor` on it says what it lacks)",
            words(&report.isolation.networks).replace(", ", " or ")
        )),
        Obstacle::StrongGpu => Some(match ask.isolation {
            Some(MinIsolation::Strong) => "ask for no GPU, or not for isolation strong".to_owned(),
            _ => "ask for no GPU, or have an admin lower min_isolation".to_owned(),
        }),
        Obstacle::Label => Some(labels::change(machine, ask)),
        Obstacle::KeptOut => Some(owners::let_in(name, ask, &report.admits)),
        Obstacle::NetworkForbidden => Some(format!(
            "ask for network {}, or the owner of {name} allows {}",
            words(&allowed_networks(report)).replace(", ", " or "),
            ask.network
        )),
        Obstacle::ImageForbidden => Some(format!(
            "use image host, or the owner of {name} allows images"
        )),
        Obstacle::RunTooLong => {
            let most = report.admits.max_runtime?;
            Some(format!(
                "ask to run for at most {most} (max_runtime), or the owner of {name} allows longer runs"
            ))
        }
        Obstacle::CacheTooSmall => Some(format!(
            "mount less data at once, or with `:lazy`, or the owner of {name} lets its cache hold {} (cache_limit in \
             owner.yaml)",
            ask.data
        )),
        Obstacle::ModelLimit => {
            let ever = report
                .offer
                .could_ever_fit_within(ask.request, ask.gpu_room_ever);
            Some(match ever {
                Ok(()) => format!(
                    "tasks end that hold GPUs of the models that {name} has, or an admin raises the limit on them"
                ),
                Err(_) => format!(
                    "ask for fewer GPUs or for others than {name} has, or have an admin raise the limit on their model"
                ),
            })
        }
        Obstacle::Reserved => {
            let before = kept_until(machine, ask.now);
            let shorter = before.map(|span| {
                format!(", or ask to run for at most {span} (max_runtime), which ends before that")
            });
            Some(format!(
                "the job starts for which {name} is kept free{}",
                shorter.unwrap_or_default()
            ))
        }
        Obstacle::SetAside => Some(format!(
            "the owner of {name} or an admin lets jobs onto it again: `compute-share machine readmit {name}`"
        )),
        Obstacle::WholeLimit => Some(format!(
            "ask for a part of {name} (without `exclusive`), or have an admin raise the limits on cpu or memory"
        )),
        Obstacle::InUse
        | Obstacle::Exclusive
        | Obstacle::Offline
        | Obstacle::Paused
        | Obstacle::Full
        | Obstacle::TooSmall(_)
        | Obstacle::Busy(_) => None,
    }
}

fn isolation_change(machine: &MachineView<'_>, ask: &Ask<'_>) -> String {
    let name = machine.name;
    let Some(report) = machine.report else {
        return format!("{name} comes back");
    };
    let isolation = &report.isolation;
    let mut unmet = ask
        .isolations(machine)
        .filter(|(asked, _)| !asked.is_met_by(isolation.level, isolation.strong));
    let (asked, by_job) = unmet.next().unwrap_or((MinIsolation::C, false));
    let lift = match &isolation.remedy {
        _ if asked == MinIsolation::Strong && !isolation.strong => {
            "install gVisor (`runsc`)".to_owned()
        }
        Some(remedy) => remedy.clone(),
        None => "lift its isolation level".to_owned(),
    };
    if by_job {
        format!("on {name}: {lift}; or ask for less than isolation {asked}")
    } else if ask.org_isolation.is_some() {
        format!("on {name}: {lift}; or have an admin lower min_isolation")
    } else {
        format!("on {name}: {lift}")
    }
}

/// Returns what passes by itself, or with a word of the machine's owner.
fn passing_change(machine: &MachineView<'_>, ask: &Ask<'_>, obstacles: &[Obstacle]) -> String {
    let name = machine.name;
    let busy = shortages(obstacles, |obstacle| match obstacle {
        Obstacle::Busy(shortage) => Some(*shortage),
        _ => None,
    });
    let pause = machine.report.and_then(|report| report.paused.as_ref());
    let pause = pause.filter(|_| obstacles.contains(&Obstacle::Paused));
    if obstacles.contains(&Obstacle::Offline) {
        return format!("{name} comes back (`compute-share start` on it)");
    }
    if let Some(pause) = pause {
        return match pause.by {
            PausedBy::Command => {
                format!("{name} is resumed by its owner (`compute-share resume` on it)")
            }
            PausedBy::Rule => format!(
                "{name} is lent again, once this has passed: {}",
                pause_reason(pause)
            ),
            PausedBy::Draining => format!("{name} comes back (`compute-share start` on it)"),
        };
    }
    if obstacles.contains(&Obstacle::InUse) {
        return format!("all that runs on {name} ends");
    }
    if busy == [Shortage::Gpu]
        && let Some(change) = gpu_change(machine, ask.request)
    {
        return change;
    }
    let gone = |shortage: &Shortage| none_is_left(*shortage, &machine.free);
    if busy.is_empty() || busy.iter().any(gone) {
        return format!("a task on {name} ends");
    }
    let free = |gpu: &Gpu| gpu.health == GpuHealth::Usable;
    let parts = at_most(&busy, &machine.free, free);
    format!("a task on {name} ends, or ask for {parts}, which is free there")
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
        Shortage::Whole => true,
        Shortage::Gpu => !free.gpus.iter().any(|gpu| gpu.health == GpuHealth::Usable),
    }
}

fn at_most(shortages: &[Shortage], there: &Capacity, counts: fn(&Gpu) -> bool) -> String {
    let part = |shortage: &Shortage| match shortage {
        Shortage::Cpu => format!("at most {}", cpus(there.cpu)),
        Shortage::Memory => format!("at most {} of memory", there.memory),
        Shortage::Disk => format!("at most {} of disk", there.disk),
        Shortage::Whole => "less than all of it".to_owned(),
        Shortage::Gpu => {
            let gpus = there.gpus.iter().filter(|gpu| counts(gpu));
            let gpus: Vec<String> = gpus
                .map(|gpu| format!("{} ({})", gpu.model, gpu.memory))
                .collect();
            if gpus.is_empty() {
                "no GPU".to_owned()
            } else {
                format!("GPU {}", gpus.join(" + "))
            }
        }
    };
    let parts: Vec<String> = shortages.iter().map(part).collect();
    parts.join(" and ")
}
