//! The sentences about GPUs.

use std::collections::BTreeMap;

use common::resources::{Gpu, GpuHealth, GpuRequest, Request};

use crate::schedule::view::MachineView;

/// Longest words of a driver about a fault that are repeated, in characters.
const MAX_FAULT_CHARS: usize = 80;

/// Returns `2 GPUs rtx-4090 with 20 GiB`.
pub(in crate::schedule::explain) fn gpus(request: &Request) -> String {
    let Some(gpu) = &request.gpu else {
        return "no GPU".to_owned();
    };
    let GpuRequest { count, model, .. } = gpu;
    let mut text = format!("{count} GPU{}", if *count == 1 { "" } else { "s" });
    if let Some(model) = model {
        text += &format!(" {model}");
    }
    if let Some(memory) = gpu.memory_words() {
        text += &format!(
            " with {memory}{}",
            if gpu.share { " of its memory" } else { "" }
        );
    }
    text
}

/// Returns what keeps the GPUs of the machine that has most of the kind asked for.
pub(super) fn gpu_use(request: &Request, machines: &[&MachineView<'_>]) -> String {
    let Some(wanted) = &request.gpu else {
        return String::new();
    };
    let count = |machine: &&&MachineView<'_>| of_kind(machine, wanted).count();
    let Some(machine) = machines.iter().rev().max_by_key(count) else {
        return String::new();
    };
    let mut states: BTreeMap<String, u32> = BTreeMap::new();
    for gpu in of_kind(machine, wanted) {
        *states.entry(state(machine, gpu, wanted)).or_default() += 1;
    }
    let states = states
        .into_iter()
        .map(|(state, count)| format!("{count} {state}"));
    let states: Vec<String> = states.collect();
    format!("; on {}: {}", machine.name, states.join(", "))
}

/// Returns who or what would have to let a GPU of this machine go.
pub(super) fn gpu_change(machine: &MachineView<'_>, request: &Request) -> Option<String> {
    let wanted = request.gpu.as_ref()?;
    let health = |gpu: &Gpu| free(machine, gpu).map(|free| &free.health);
    let any = |picked: fn(Option<&GpuHealth>) -> bool| {
        of_kind(machine, wanted).any(|gpu| picked(health(gpu)))
    };
    let name = machine.name;
    if any(|health| matches!(health, None | Some(GpuHealth::Shared))) {
        // A task of ours ends, as with everything else.
        None
    } else if any(|health| health == Some(&GpuHealth::Leftover)) {
        Some(format!(
            "what an ended job left on a GPU of {name} is cleared"
        ))
    } else if any(|health| health == Some(&GpuHealth::UsedByOthers)) {
        Some(format!("other processes leave a GPU of {name}"))
    } else if any(|health| matches!(health, Some(GpuHealth::Faulty(_)))) {
        Some(format!("a faulty GPU of {name} is mended"))
    } else {
        None
    }
}

/// Returns the GPUs that are lent there of the model asked for.
fn of_kind<'a>(
    machine: &MachineView<'a>,
    wanted: &'a GpuRequest,
) -> impl Iterator<Item = &'a Gpu> + use<'a> {
    let offered = machine
        .report
        .into_iter()
        .flat_map(|report| &report.offer.gpus);
    offered.filter(move |gpu| gpu.health != GpuHealth::Withheld && wanted.accepts(gpu))
}

/// Returns what is left of it; `None` where a job holds it whole.
fn free<'a>(machine: &'a MachineView<'_>, gpu: &Gpu) -> Option<&'a Gpu> {
    machine.free.gpus.iter().find(|free| free.uuid == gpu.uuid)
}

fn state(machine: &MachineView<'_>, gpu: &Gpu, wanted: &GpuRequest) -> String {
    let Some(free) = free(machine, gpu) else {
        return "held by a job".to_owned();
    };
    match &free.health {
        GpuHealth::Usable => "free".to_owned(),
        GpuHealth::Shared if wanted.share => {
            format!("with {} of {} left", free.memory, gpu.memory)
        }
        GpuHealth::Shared => "shared by jobs".to_owned(),
        GpuHealth::UsedByOthers => "used by other processes".to_owned(),
        GpuHealth::Leftover => "holding memory that an ended job left behind".to_owned(),
        GpuHealth::Withheld => "not lent".to_owned(),
        GpuHealth::Faulty(words) => {
            let words: String = words.chars().take(MAX_FAULT_CHARS).collect();
            format!("faulty ({words})")
        }
    }
}
