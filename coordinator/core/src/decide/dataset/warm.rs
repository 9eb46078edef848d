//! Data that is to be on a machine before a job wants it: asked for by whoever may run a job with it there, for a
//! bounded time and a bounded number on each machine.

use common::{
    api::data::WarmDataset,
    id::{MachineId, OrgId, TreeId, UserId},
    job::{DatasetMount, JobSpec},
    time::{Span, Timestamp},
    wire::agent::MAX_WANTED_TREES,
};

use crate::{
    decide::{find_machine, job::acceptable, machine::plain},
    event::{
        Event,
        dataset::{DatasetEvent, WarmEnd},
    },
    rejection::{DatasetRejection, Rejection},
    schedule::explain::{Subject, kept_from},
    state::{
        State,
        job::PinnedDataset,
        machine::{Machine, Warm, WarmFailure},
    },
};

/// How long a machine tries.
const WANTED_FOR: Span = Span::from_secs(24 * 3600);

/// What somebody wants, and where.
pub(crate) struct Wish<'a> {
    pub(crate) machine: MachineId,
    pub(crate) row: &'a Machine,
    pub(crate) pinned: PinnedDataset,
}

/// Returns what is wanted, if the user may run jobs with it on that machine.
pub(crate) fn wish<'a>(
    state: &'a State,
    user: UserId,
    request: &WarmDataset,
) -> Result<Wish<'a>, Rejection> {
    let WarmDataset {
        org,
        dataset,
        machine,
    } = request;
    let home = state.index.dataset_names.get(org);
    let home = home.and_then(|names| state.datasets.get(names.get(&dataset.name)?)?.project);
    let spec = JobSpec {
        datasets: vec![DatasetMount {
            dataset: dataset.clone(),
            path: "/data".to_owned(),
            lazy: false,
        }],
        // What belongs to a project is used in it.
        project: home.and_then(|id| Some(state.projects.get(&id)?.name.clone())),
        ..JobSpec::of(vec!["true".to_owned()])
    };
    // Whoever does not see the dataset hears nothing of its project.
    super::find(state, user, *org, &dataset.name)?;
    let pinned = acceptable(state, user, *org, &spec)?.into_datasets();
    let pinned = pinned
        .into_iter()
        .next()
        .ok_or_else(|| Rejection::NoSuchDataset {
            name: dataset.name.clone(),
        })?;
    let (id, row) = find_machine(state, *org, machine)?;
    let subject = Subject {
        org: *org,
        owner: user,
        spec: &spec.into(),
        job: None,
    };
    if let Some(why) = kept_from(state, &subject, id) {
        let machine = machine.clone();
        return Err(DatasetRejection::NotThere { machine, why }.into());
    }
    Ok(Wish {
        machine: id,
        row,
        pinned,
    })
}

pub(super) fn begin(
    state: &State,
    at: Timestamp,
    user: UserId,
    request: &WarmDataset,
) -> Result<Vec<Event>, Rejection> {
    let Wish {
        machine,
        row,
        pinned,
    } = wish(state, user, request)?;
    let report = state.reports.get(&machine);
    let there = report.is_some_and(|report| report.cached.binary_search(&pinned.tree).is_ok());
    let running = |warm: &&Warm| warm.until > at && warm.tree != pinned.tree;
    if there
        || row
            .wanted()
            .any(|warm| warm.tree == pinned.tree && warm.until > at)
    {
        return Ok(Vec::new());
    }
    if row.warm.iter().filter(running).count() >= MAX_WANTED_TREES {
        let machine = request.machine.clone();
        return Err(DatasetRejection::TooManyWanted { machine }.into());
    }
    // What is over makes room, so that no more are ever kept.
    let mut events: Vec<Event> = over(machine, row, at).collect();
    events.push(Event::Dataset(DatasetEvent::DatasetWarmed {
        machine,
        org: request.org,
        dataset: pinned.reference(),
        tree: pinned.tree,
        by: user,
        until: at.saturating_add(WANTED_FOR.as_duration()),
        at,
    }));
    Ok(events)
}

/// Takes a machine's word.
pub(in crate::decide) fn fetched(
    state: &State,
    machine: MachineId,
    tree: TreeId,
    failed: Option<&WarmFailure>,
) -> Result<Vec<Event>, Rejection> {
    let row = state.machines.get(&machine);
    let row = row.ok_or(Rejection::NoSuchMachine { name: None })?;
    let end = failed.map_or(WarmEnd::There, |failed| {
        WarmEnd::Failed(WarmFailure {
            kind: failed.kind.clone(),
            why: plain(&failed.why),
        })
    });
    let warm = row.wanted().find(|warm| warm.tree == tree);
    let ended = warm.map(|warm| ended(machine, row.org, warm, end));
    Ok(ended.into_iter().collect())
}

/// Gives up what was wanted for long enough.
pub(in crate::decide) fn expire(state: &State, at: Timestamp) -> Vec<Event> {
    let machines = state.machines.iter();
    machines.flat_map(|(id, row)| over(*id, row, at)).collect()
}

fn over(machine: MachineId, row: &Machine, at: Timestamp) -> impl Iterator<Item = Event> {
    let over = row.warm.iter().filter(move |warm| warm.until <= at);
    over.map(move |warm| ended(machine, row.org, warm, WarmEnd::GivenUp))
}

fn ended(machine: MachineId, org: OrgId, warm: &Warm, end: WarmEnd) -> Event {
    Event::Dataset(DatasetEvent::DatasetWarmEnded {
        machine,
        org,
        dataset: warm.dataset.clone(),
        tree: warm.tree,
        end,
    })
}
