//! Machines and jobs of random histories with rules and needs of all kinds, and who may run what.

use common::{
    id::{AttemptId, MachineId},
    image::Image,
    job::{JobSpec, Retries},
    label::{Label, WantedLabel},
    machine::{Admits, MachineReport},
    name::Name,
    resources::{Capacity, Gpu, GpuHealth},
    seal::Sealed,
    status::{EndReason, MinIsolation, Network},
    time::Span,
    units::Bytes,
};

use super::jobs::LABELS;
use crate::tests::{
    rules::pinned_image,
    world::{ORG, World, asking, capacity, name, report},
};

/// In which some of the jobs are.
pub(super) const PROJECT: &str = "vision";

/// Returns the report of a machine with two GPUs; most bits that are set let in.
pub(super) fn ruled(cpus: u32, rules: u8) -> MachineReport {
    let bit = |number: u32| rules >> number & 1 == 1;
    let gpu = |uuid: &str, usable| Gpu {
        uuid: uuid.to_owned(),
        model: "h200".to_owned(),
        memory: Bytes::gib(24),
        driver: "550".to_owned(),
        health: match usable {
            true => GpuHealth::Usable,
            false => GpuHealth::UsedByOthers,
        },
        temperature_celsius: None,
        utilization_percent: None,
        memory_used: Bytes::ZERO,
    };
    let mut report = report(Capacity {
        gpus: vec![gpu("a", true), gpu("b", bit(0))],
        ..capacity(cpus, 8)
    });
    report.labels = match bit(5) {
        true => vec![LABELS[0].parse().unwrap(), LABELS[1].parse().unwrap()],
        false => Vec::new(),
    };
    report.isolation.strong = bit(1);
    if bit(2) {
        report.isolation.networks.push(Network::Internet);
    }
    report.admits = Admits {
        members: rules
            .is_multiple_of(7)
            .then(|| vec![name("carol"), name("bob")]),
        not_members: if rules.is_multiple_of(5) {
            vec![name("carol")]
        } else {
            Vec::new()
        },
        networks: if bit(3) {
            vec![Network::None, Network::Internet]
        } else {
            Vec::new()
        },
        images: bit(4),
        max_runtime: rules.is_multiple_of(3).then(|| Span::from_secs(3600)),
        projects: rules.is_multiple_of(4).then(|| vec![name(PROJECT)]),
        not_projects: if rules.is_multiple_of(11) {
            vec![name(PROJECT)]
        } else {
            Vec::new()
        },
    };
    report
}

/// Returns after what a task is tried again.
pub(super) fn retrying(bits: u8) -> Retries {
    let bit = |number: u32| bits >> number & 1 == 1;
    let mut retries = Retries::default();
    let more = [
        EndReason::Exited,
        EndReason::PrepareFailed,
        EndReason::Signalled,
    ];
    let more = (0..).zip(more).filter(|(number, _)| bit(*number));
    retries.on.extend(more.map(|(_, reason)| reason));
    retries.memory = bit(3).then(|| "2x".parse().unwrap());
    retries.backoff = bit(4).then(|| Span::from_secs(u64::from(bits >> 5)));
    retries
}

/// Returns a job that needs what the bits say.
pub(super) fn needing(cpus: u32, needs: u8) -> JobSpec {
    // Most jobs ask for little.
    let bits = |number: u32| needs >> number & 3 == 3;
    let plain = asking(cpus, 1);
    JobSpec {
        network: if bits(0) {
            Network::Internet
        } else {
            Network::None
        },
        image: if bits(2) {
            pinned_image()
        } else {
            plain.image.clone()
        },
        isolation: bits(4).then(|| MinIsolation::ALL[usize::from(needs % 4)]),
        max_runtime: (!needs.is_multiple_of(3))
            .then(|| Span::from_secs(1800 * u64::from(needs % 3))),
        registry_login: bits(2).then(|| Sealed {
            encapsulated: Vec::new(),
            ciphertext: vec![needs],
        }),
        datasets: if needs.is_multiple_of(2) {
            vec![format!("{}:/data", super::data::READ).parse().unwrap()]
        } else {
            Vec::new()
        },
        project: needs.is_multiple_of(3).then(|| name(PROJECT)),
        ..plain
    }
}

/// Checks that the machine may run what was placed there, by rules written down a second time.
pub(super) fn check_rules(before: &World, after: &World, attempt: AttemptId, machine: MachineId) {
    let (job, row) = (
        &after.state.jobs[&attempt.job],
        &after.state.machines[&machine],
    );
    let report = &after.state.reports[&machine];
    let (isolation, admits) = (&report.isolation, &report.admits);
    let said = |label: &WantedLabel| {
        let told = |one: &&Label| one.key() == label.label().key();
        let by_admin = row.labels.iter().find(told);
        let label_there = by_admin.or_else(|| report.labels.iter().find(told));
        let alone = label.label().key() == label.label().to_string();
        label_there.is_some_and(|one| alone || one == label.label()) != label.is_absent()
    };
    assert!(job.spec.labels.iter().all(said), "a label is missing");
    let own = row.owner == job.owner;
    let limits = &before.state.orgs[&ORG].limits;
    let least = limits.min_isolation.unwrap_or(MinIsolation::C);
    assert!(own || least.is_met_by(isolation.level, isolation.strong));
    assert!(
        job.spec
            .isolation
            .is_none_or(|asked| asked.is_met_by(isolation.level, isolation.strong))
    );
    let network = job.spec.network;
    let allowed = own || admits.networks.contains(&network);
    assert!(network == Network::None || (isolation.networks.contains(&network) && allowed));
    assert!(own || job.spec.image == Image::Host || admits.images);
    let placed = &after.state.attempts[&attempt];
    let short = |most| placed.max_runtime.is_some_and(|given| given <= most);
    assert!(own || admits.max_runtime.is_none_or(short));
    let handle = &after.state.users[&job.owner].handle;
    let project = job.spec.project.as_ref();
    let named = |names: &Vec<Name>| names.contains(handle);
    let of_it = |names: &Vec<Name>| project.is_some_and(|project| names.contains(project));
    let everybody = admits.members.is_none() && admits.projects.is_none();
    let listed =
        admits.members.as_ref().is_some_and(named) || admits.projects.as_ref().is_some_and(of_it);
    let never = named(&admits.not_members) || of_it(&admits.not_projects);
    assert!(own || ((everybody || listed) && !never));
    let strong =
        job.spec.isolation == Some(MinIsolation::Strong) || (!own && least == MinIsolation::Strong);
    assert_eq!(placed.strong, strong);
    assert!(!strong || job.spec.request.gpu.is_none());
    let held = &after.state.index.machines[&machine].held;
    for gpu in &placed.allocation.gpus {
        let offered = report
            .offer
            .gpus
            .iter()
            .find(|offered| offered.uuid == *gpu);
        let offered = offered.expect("only what is lent is given");
        assert!(
            held.gpu_shares
                .get(gpu)
                .is_none_or(|share| *share <= offered.memory),
            "more than there is"
        );
    }
}
