//! Why a machine gets nothing: what is in its own way, and the very explanation that jobs get, of each kind of job that
//! waits, with this machine alone to go to.

use std::{cmp::Reverse, collections::BTreeMap};

use common::{
    api::{
        explain::{Blocker, BlockerCode},
        machine::{MAX_CLASSES_SHOWN, Obstacle, WaitingClass},
    },
    id::MachineId,
    image::Image,
    machine::MachineReport,
    status::{MinIsolation, Network},
    time::Timestamp,
    units::MilliCpu,
};

use super::{Inquiry, Rooms, Subject, words};
use crate::{
    lifecycle::machine::MachineState,
    schedule::view::MachineView,
    state::{State, job::Job, machine::Machine},
};

/// What waits, seen from one machine.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) tasks: u64,
    pub(crate) classes: Vec<WaitingClass>,
    pub(crate) left_out: u64,
}

/// Returns what is in the way of the machine itself, whatever is asked for.
pub(crate) fn obstacles(state: &State, id: MachineId, row: &Machine) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let mut add = |code, text| obstacles.push(Obstacle { code, text });
    if row.state == MachineState::Pending {
        let text = format!(
            "waits for approval: an admin runs `compute-share machine approve {}`",
            row.name
        );
        add(BlockerCode::MachinePending, text);
        return obstacles;
    }
    let report = state.reports.get(&id);
    if !state.is_connected(id) {
        let text = match row.last_seen {
            Some(at) => format!("not connected since {}", at.to_second()),
            None => "its agent never connected".to_owned(),
        };
        add(BlockerCode::MachineOffline, text);
    }
    if let Some(pause) = report.and_then(|report| report.paused.as_ref()) {
        let reason = words::pause_reason(pause);
        let until = pause
            .until
            .map(|until| format!(" until {}", until.to_second()));
        let until = until.unwrap_or_default();
        add(BlockerCode::MachinePaused, format!("{reason}{until}"));
    }
    if let Some(aside) = &row.set_aside {
        add(BlockerCode::MachineSetAside, aside.words());
    }
    if let Some(report) = report {
        let org = state.orgs.get(&row.org);
        let asked = org.and_then(|org| org.limits.min_isolation);
        obstacles.extend(lends_nothing(report));
        obstacles.extend(isolation(report, asked));
    }
    obstacles
}

fn lends_nothing(report: &MachineReport) -> Option<Obstacle> {
    let (offer, capacity) = (&report.offer, &report.capacity);
    if offer.cpu > MilliCpu::ZERO && offer.memory.0 > 0 {
        return None;
    }
    Some(Obstacle {
        code: BlockerCode::LendsNothing,
        text: format!(
            "its owner lends {} of {} CPUs and {} of {} of memory (cpu_limit and memory_limit in owner.yaml)",
            offer.cpu, capacity.cpu, offer.memory, capacity.memory
        ),
    })
}

fn isolation(report: &MachineReport, asked: Option<MinIsolation>) -> Option<Obstacle> {
    let isolation = &report.isolation;
    let least = asked.unwrap_or(MinIsolation::C);
    if least.is_met_by(isolation.level, isolation.strong) {
        return None;
    }
    let lift = isolation.remedy.as_ref();
    let lift = lift.map_or_else(String::new, |remedy| format!("; to lift it: {remedy}"));
    Some(Obstacle {
        code: BlockerCode::IsolationTooLow,
        text: format!(
            "has isolation {}, and jobs of other members need {least} here{lift}",
            isolation.level
        ),
    })
}

/// Returns what waits in the machine's org, by what it asks for and what is in the way on this machine.
pub(crate) fn waiting(state: &State, now: Timestamp, id: MachineId, row: &Machine) -> Waiting {
    let mut waiting = Waiting::default();
    let Some(queue) = state.index.queues.get(&row.org) else {
        return waiting;
    };
    let mut classes: BTreeMap<(String, Vec<BlockerCode>), WaitingClass> = BTreeMap::new();
    let lines = queue.levels.values().flat_map(|level| level.lines.values());
    for (_, jobs) in lines.flat_map(|line| line.classes()) {
        let progress = jobs.iter().filter_map(|(_, id)| state.progress.get(id));
        let tasks: u64 = progress
            .map(|progress| u64::from(progress.in_queue()))
            .sum();
        waiting.tasks += tasks;
        let first = jobs.first().and_then(|(_, job)| {
            let (row, progress) = (state.jobs.get(job)?, state.progress.get(job)?);
            Some((row, Subject::of(*job, row, progress)))
        });
        // One that is not approved is in the way by itself.
        let (Some((job, subject)), Some(machine)) = (first, MachineView::of(state, id)) else {
            continue;
        };
        let obstacles = in_the_way(state, now, &subject, machine);
        let asks = asks(job);
        let codes = obstacles.iter().map(|one| one.code).collect();
        let class = classes.entry((asks.clone(), codes));
        let class = class.or_insert(WaitingClass {
            tasks: 0,
            asks,
            obstacles,
        });
        class.tasks += tasks;
    }
    let mut classes: Vec<WaitingClass> = classes.into_values().collect();
    classes.sort_by_key(|class| (!class.obstacles.is_empty(), Reverse(class.tasks)));
    waiting.left_out = classes.len().saturating_sub(MAX_CLASSES_SHOWN) as u64;
    classes.truncate(MAX_CLASSES_SHOWN);
    waiting.classes = classes;
    waiting
}

/// Returns all that keeps the job's next task from this machine.
fn in_the_way(
    state: &State,
    now: Timestamp,
    subject: &Subject<'_>,
    machine: MachineView<'_>,
) -> Vec<Obstacle> {
    let rooms = Rooms::of(state, subject);
    let mut inquiry = Inquiry::on(state, subject, &rooms, vec![machine]);
    inquiry.ask.now = now;
    let blockers = inquiry.blockers(0).into_iter();
    // Those of its tasks that wait for a moment, or behind others, are not asked about.
    let others = [BlockerCode::BackingOff, BlockerCode::WaitsBehind];
    let blockers = blockers.filter(|one| !others.contains(&one.code));
    let told = blockers.map(|Blocker { code, text, .. }| Obstacle {
        code,
        text: about_others(code).map_or(text, str::to_owned),
    });
    told.collect()
}

/// Returns what is said instead where the words of `job why` name whose the job is, its project, or what its submitter
/// may hold: a machine's owner need not know that.
const fn about_others(code: BlockerCode) -> Option<&'static str> {
    Some(match code {
        BlockerCode::OwnerKeepsOut => "the rules of its owner do not let them in",
        BlockerCode::ProjectArchived => "their project is archived",
        BlockerCode::MemberConcurrentLimit | BlockerCode::MemberResourceLimit => {
            "limits let whoever submitted them have no more at once"
        }
        BlockerCode::GpuModelLimit => "has only GPUs of which they may hold no more",
        _ => return None,
    })
}

/// Returns what each task of a job asks for: `2 CPUs, 4 GiB, network internet`.
fn asks(job: &Job) -> String {
    let spec = &job.spec;
    let request = &spec.request;
    let mut parts = vec![words::cpus(request.cpu), request.memory.to_string()];
    if request.gpu.is_some() {
        parts.push(words::gpus(request));
    }
    if spec.network != Network::None {
        parts.push(format!("network {}", spec.network));
    }
    if spec.image != Image::Host {
        parts.push("an image".to_owned());
    }
    if let Some(nodes) = spec.gang() {
        parts.push(format!("{nodes} machines at once"));
    }
    if request.exclusive {
        parts.push("a machine to itself".to_owned());
    }
    let labels = spec.labels.iter();
    parts.extend(labels.map(|label| format!("label {label}")));
    parts.extend(spec.isolation.map(|asked| format!("isolation {asked}")));
    parts.extend(spec.max_runtime.map(|most| format!("up to {most}")));
    if job.data.0 > 0 {
        parts.push(format!("{} of data", job.data));
    }
    parts.join(", ")
}
