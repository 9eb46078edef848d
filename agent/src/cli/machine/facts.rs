//! `machine show`: one machine, in words.

use common::{
    label::Label,
    machine::{Admits, CachedDataset, Isolation, MachineView, SetAsideView, UnseenProjects},
    name::Name,
    resources::{Gpu, GpuHealth},
    status::{MachineStatus, Network},
};

use super::super::{
    amounts::counted,
    moments::{ago, local, now},
    output::Facts,
    pausing::reason_and_end,
};

/// Members that are named before it is only said how many more there are.
const MAX_NAMES: usize = 20;

/// Returns everything that is known of a machine, line by line.
pub(super) fn text(machine: &MachineView) -> String {
    let report = machine.report.as_ref();
    let paused = report
        .and_then(|report| report.paused.as_ref())
        .filter(|_| machine.status == MachineStatus::Paused)
        .map(reason_and_end);
    let detail = paused.as_ref().or(machine.status_detail.as_ref());
    let detail = detail.map(|detail| format!(": {detail}"));
    let mut facts = Facts::default()
        .with("machine", &machine.name)
        .with("id", machine.id)
        .with("owner", &machine.owner)
        .with(
            "status",
            format!("{}{}", machine.status, detail.unwrap_or_default()),
        )
        .with("registered", local(machine.registered_at))
        .with_some("last seen", machine.last_heartbeat.map(|at| ago(at, now())))
        .with("running", machine.running)
        .with("executed", machine.executed)
        .with("lent", machine.lent)
        .with_some("set aside", machine.set_aside.as_ref().map(set_aside));
    if let Some(report) = &machine.report {
        let (held, offer, capacity) = (&machine.allocated, &report.offer, &report.capacity);
        let system = &report.system;
        facts = facts
            .with(
                "cpu",
                format!(
                    "{} used of {} lent, {} there",
                    held.cpu, offer.cpu, capacity.cpu
                ),
            )
            .with(
                "memory",
                format!(
                    "{} used of {} lent, {} there",
                    held.memory, offer.memory, capacity.memory
                ),
            )
            .with(
                "disk",
                format!(
                    "{} used of {} lent, {} there",
                    held.disk, offer.disk, capacity.disk
                ),
            )
            .with(
                "gpus",
                capacity
                    .gpus
                    .iter()
                    .map(gpu_line)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
            .with("labels", labels(&report.labels, &machine.labels))
            .with("isolation", isolation(&report.isolation))
            .with("not enforced", report.isolation.missing.join("\n"))
            .with_some("remedy", report.isolation.remedy.as_ref())
            .with(
                "networks",
                networks(&report.isolation.networks, &report.admits.networks),
            )
            .with("admits", admits(&report.admits, machine.unseen))
            .with(
                "system",
                format!("{}, {} {}", system.os, system.kernel, system.architecture),
            )
            .with("agent", &system.agent_version)
            .with("data there", cached(&machine.cached, report.cached.len()))
            .with_some(
                "keeps data",
                report.cache_limit.map(|most| format!("up to {most}")),
            )
            .with_some(
                "data came at",
                report.fetch_rate.map(|rate| format!("{rate}/s")),
            );
    }
    if let Some(load) = &machine.load {
        facts = facts.with(
            "load",
            format!("{} % cpu, {} memory", load.cpu_percent, load.memory_used),
        );
        let peers = &load.peers;
        let shares = match peers.serves {
            true => "shares data with other machines",
            false => "does not share data with other machines",
        };
        let moved = format!("{} served, {} fetched", peers.served, peers.fetched);
        facts = facts.with("peers", format!("{shares}; {moved}"));
    }
    facts.to_text()
}

/// Returns why the machine gets nothing new, and what can be done.
fn set_aside(aside: &SetAsideView) -> String {
    let jobs: Vec<String> = aside.after.iter().map(|job| job.to_string()).collect();
    let jobs = match jobs.is_empty() {
        true => String::new(),
        false => format!("\njobs {}", jobs.join(", ")),
    };
    let since = local(aside.since);
    format!("since {since}: {}{jobs}", aside.text)
}

/// Returns what is said of the machine, by its owner and by admins.
fn labels(owner: &[Label], admins: &[Label]) -> String {
    let words = |labels: Vec<String>, whose: &str| match labels.is_empty() {
        true => None,
        false => Some(format!("{}{whose}", labels.join(", "))),
    };
    let overruled = |label: &&Label| admins.iter().any(|one| one.key() == label.key());
    let own = owner.iter().filter(|label| !overruled(label));
    let lines = [
        words(own.map(Label::to_string).collect(), ""),
        words(
            admins.iter().map(Label::to_string).collect(),
            ", by an admin",
        ),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// Returns the datasets that the machine has, and how much else.
fn cached(datasets: &[CachedDataset], trees: usize) -> String {
    let named = datasets
        .iter()
        .map(|dataset| format!("{}@{}, {}", dataset.name, dataset.version, dataset.bytes));
    let others = match trees.saturating_sub(datasets.len()) {
        0 => None,
        others => Some(counted(others as u64, "other folder")),
    };
    named.chain(others).collect::<Vec<_>>().join("\n")
}

/// Returns the level, and whether there is a strong backend besides.
pub(in super::super) fn isolation(isolation: &Isolation) -> String {
    if isolation.strong {
        format!("{}, also strong (gVisor)", isolation.level)
    } else {
        isolation.level.to_string()
    }
}

/// Returns what a job can have of networks here, and what its owner or the machine keeps from it.
fn networks(machine: &[Network], owner: &[Network]) -> String {
    let can = |network: &Network| machine.contains(network);
    let may = |network: &Network| owner.contains(network);
    let words = |networks: Vec<&str>, why: &str| match networks.as_slice() {
        [] => None,
        _ => Some(format!("{}{why}", networks.join(", "))),
    };
    let of = |wanted: &dyn Fn(&Network) -> bool| {
        let found = Network::ALL.iter().filter(|network| wanted(network));
        found.map(|network| network.as_str()).collect::<Vec<_>>()
    };
    let lines = [
        words(of(&|one| can(one) && may(one)), ""),
        words(
            of(&|one| can(one) && !may(one)),
            ": its owner does not allow it",
        ),
        words(
            of(&|one| !can(one) && may(one)),
            ": the machine lacks what it takes",
        ),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// Returns whom and what the machine's owner lets in.
fn admits(admits: &Admits, unseen: UnseenProjects) -> String {
    let names = |names: &[Name]| {
        let shown: Vec<&str> = names.iter().map(Name::as_str).take(MAX_NAMES).collect();
        let more = match names.len().saturating_sub(MAX_NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}", shown.join(", "))
    };
    let projects = |list: &[Name], unseen: bool| {
        let others = "projects that you do not see";
        let seen = format!("projects: {}", names(list));
        match (list.is_empty(), unseen) {
            (true, false) => None,
            (true, true) => Some(others.to_owned()),
            (false, false) => Some(seen),
            (false, true) => Some(format!("{seen}; and {others}")),
        }
    };
    let members = |list: &[Name]| (!list.is_empty()).then(|| names(list));
    let joined = |who: Option<String>, what: Option<String>| {
        let both: Vec<String> = who.into_iter().chain(what).collect();
        both.join("; ")
    };
    let mut lines = vec![match (&admits.members, &admits.projects) {
        (None, None) => "every member".to_owned(),
        (who, what) => {
            let who = who.as_deref().and_then(members);
            let what = what.as_deref().unwrap_or_default();
            match joined(who, projects(what, unseen.let_in)).as_str() {
                "" => "only its owner".to_owned(),
                others => format!("only its owner and {others}"),
            }
        }
    }];
    let never = projects(&admits.not_projects, unseen.kept_out);
    let never = joined(members(&admits.not_members), never);
    if !never.is_empty() {
        lines.push(format!("not {never}"));
    }
    if !admits.images {
        lines.push("no images".to_owned());
    }
    if let Some(most) = admits.max_runtime {
        lines.push(format!("jobs of at most {most}"));
    }
    lines.join("\n")
}

fn gpu_line(gpu: &Gpu) -> String {
    let health = match &gpu.health {
        GpuHealth::Usable => "usable".to_owned(),
        GpuHealth::UsedByOthers => "used by others".to_owned(),
        GpuHealth::Faulty(fault) => format!("faulty: {fault}"),
        GpuHealth::Shared => "shared".to_owned(),
        GpuHealth::Leftover => "memory taken by what a job left".to_owned(),
        GpuHealth::Withheld => "withheld by its owner".to_owned(),
    };
    let mut line = format!(
        "{} {} ({health}), driver {}",
        gpu.model, gpu.memory, gpu.driver
    );
    if let Some(percent) = gpu.utilization_percent {
        line += &format!(", {percent} % busy");
    }
    if let Some(celsius) = gpu.temperature_celsius {
        line += &format!(", {celsius} °C");
    }
    line
}

#[cfg(test)]
mod tests {
    use common::time::Span;

    use super::*;

    #[test]
    fn whom_the_owner_lets_in_is_told() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let seen = |list: &Admits| admits(list, UnseenProjects::default());
        assert_eq!(seen(&Admits::default()), "every member");
        let strict = Admits {
            members: Some(vec![name("ann"), name("ben")]),
            not_members: vec![name("eve")],
            images: false,
            max_runtime: Some(Span::from_secs(3600)),
            ..Admits::default()
        };
        assert_eq!(
            seen(&strict),
            "only its owner and ann, ben\nnot eve\nno images\njobs of at most 1h"
        );
        let by_project = Admits {
            projects: Some(vec![name("vision")]),
            not_members: Vec::new(),
            not_projects: vec![name("games")],
            ..Admits::default()
        };
        assert_eq!(
            seen(&by_project),
            "only its owner and projects: vision\nnot projects: games"
        );
        let alone = Admits {
            members: Some(Vec::new()),
            ..Admits::default()
        };
        assert_eq!(seen(&alone), "only its owner");
        let many = Admits {
            members: Some(vec![name("ann"); MAX_NAMES + 3]),
            ..Admits::default()
        };
        assert!(seen(&many).ends_with(" and 3 more"));
        // Names that are withheld are not nothing.
        let unseen = UnseenProjects {
            let_in: true,
            kept_out: true,
        };
        let others = "projects that you do not see";
        let hidden = Admits {
            projects: Some(Vec::new()),
            ..Admits::default()
        };
        assert_eq!(
            admits(&hidden, unseen),
            format!("only its owner and {others}\nnot {others}")
        );
        assert_eq!(
            admits(&by_project, unseen),
            format!(
                "only its owner and projects: vision; and {others}\nnot projects: games; and {others}"
            )
        );
    }

    #[test]
    fn a_network_needs_the_machine_and_its_owner() {
        let said = |can: &[Network], may: &[Network]| networks(can, may);
        let (none, internet, full) = (Network::None, Network::Internet, Network::Full);
        assert_eq!(said(&[none], &[none]), "none");
        assert_eq!(
            said(&[none, internet], &[none, full]),
            "none\ninternet: its owner does not allow it\nfull: the machine lacks what it takes"
        );
        assert_eq!(
            said(&[none, internet, full], &[none, internet, full]),
            "none, internet, full"
        );
    }
}
