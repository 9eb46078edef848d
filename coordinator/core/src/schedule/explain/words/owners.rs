//! What is said of the lists by which machines' owners keep jobs out: which of them is in the way.

use common::{
    machine::{Admits, KeptOut},
    name::Name,
};

use crate::schedule::{feasible::Ask, view::MachineView};

/// Returns why the job is kept out of these machines.
pub(super) fn kept_out(ask: &Ask<'_>, machines: &[&MachineView<'_>]) -> String {
    let reports = machines.iter().filter_map(|machine| machine.report);
    let ways = reports.map(|report| ask.kept_out(&report.admits));
    let ways: Vec<KeptOut> = ways.filter(|way| *way != KeptOut::default()).collect();
    let all = |is: fn(&KeptOut) -> bool| !ways.is_empty() && ways.iter().all(is);
    let (member, project) = (member(ask), project(ask));
    // What keeps it out everywhere is more than what is only not listed.
    match (all(|way| way.not_member), all(|way| way.not_project)) {
        (true, true) => format!("its owner never lets {member} or {project} in"),
        (true, false) => format!("its owner never lets {member} in"),
        (false, true) => format!("its owner never lets {project} in"),
        (false, false) => format!("its owner does not let {} in", whose(ask)),
    }
}

/// Returns what the owner of the machine would have to change, by the names that `owner.yaml` has for the lists.
pub(super) fn let_in(machine: &Name, ask: &Ask<'_>, admits: &Admits) -> String {
    let KeptOut {
        unlisted,
        not_member,
        not_project,
    } = ask.kept_out(admits);
    let steps = [
        not_member.then(|| format!("takes {} off `not`", member(ask))),
        not_project.then(|| format!("takes {} off `not_projects`", project(ask))),
        unlisted.then(|| format!("lets {} in", whose(ask))),
    ];
    let steps: Vec<String> = steps.into_iter().flatten().collect();
    format!("the owner of {machine} {}", steps.join(" and "))
}

/// Returns by whom the job could come in: its submitter, or the project that it is of.
fn whose(ask: &Ask<'_>) -> String {
    match ask.project {
        None => member(ask).to_owned(),
        Some(_) => format!("{} or {}", member(ask), project(ask)),
    }
}

fn member<'a>(ask: &Ask<'a>) -> &'a str {
    ask.handle.map_or("this member", |handle| handle.as_str())
}

fn project(ask: &Ask<'_>) -> String {
    let named = |project| format!("project {project}");
    ask.project.map_or_else(String::new, named)
}

/// Returns why machines are set aside: the first of them as the example.
pub(super) fn set_aside(machines: &[&MachineView<'_>]) -> String {
    let told = machines.iter().find_map(|machine| {
        let words = machine.set_aside?.words();
        Some(format!("{words} ({})", machine.name))
    });
    let more = match machines.len() {
        0 | 1 => String::new(),
        count => format!("; {} more", count - 1),
    };
    format!("set aside: {}{more}", told.unwrap_or_default())
}
