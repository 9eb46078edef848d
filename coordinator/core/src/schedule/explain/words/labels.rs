//! The sentences about labels.

use common::label::WantedLabel;

use crate::schedule::{feasible::Ask, view::MachineView};

/// Returns `asks for label ssd (lab-1 and 2 more lack it)`, for each label that is in the way.
pub(super) fn missing(ask: &Ask<'_>, machines: &[&MachineView<'_>]) -> String {
    let parts = ask.labels.iter().filter_map(|label| {
        let unmet = |machine: &&&MachineView<'_>| ask.unmet(machine).contains(&label);
        let unmet: Vec<&&MachineView<'_>> = machines.iter().filter(unmet).collect();
        let name = unmet.first()?.name;
        let (verb, lack) = match (label.is_absent(), unmet.len()) {
            (false, 1) => ("asks for", "lacks it"),
            (false, _) => ("asks for", "lack it"),
            (true, 1) => ("does not want", "has it"),
            (true, _) => ("does not want", "have it"),
        };
        let who = match unmet.len() {
            1 => name.to_string(),
            count => format!("{name} and {} more", count - 1),
        };
        Some(format!("{verb} label {} ({who} {lack})", label.label()))
    });
    parts.collect::<Vec<_>>().join("; ")
}

/// Returns what whoever submits, or an admin, can do.
pub(super) fn change(machine: &MachineView<'_>, ask: &Ask<'_>) -> String {
    let name = machine.name;
    let unmet = ask.unmet(machine);
    let list = |labels: Vec<&&WantedLabel>| {
        let labels = labels.iter().map(|label| label.label().to_string());
        labels.collect::<Vec<_>>().join(" ")
    };
    let (absent, wanted): (Vec<_>, Vec<_>) = unmet.iter().partition(|label| label.is_absent());
    let mut by_admin = String::new();
    if !wanted.is_empty() {
        by_admin += &format!(" {}", list(wanted));
    }
    for label in &absent {
        by_admin += &format!(" --unset {}", label.label().key());
    }
    let asked: Vec<String> = unmet.iter().map(|label| label.to_string()).collect();
    format!(
        "ask without label {}, or an admin says so of it: `compute-share machine label {name}{by_admin}`",
        asked.join(", ")
    )
}
