//! The whole desired set of one machine, derived from the state.

use std::collections::BTreeSet;

use common::{
    id::{AttemptId, MachineId},
    image::Image,
    name::Name,
    status::SandboxScope,
    time::Span,
    wire::agent::{
        Assigned, Assignment, AssignmentUpdate, AttemptImage, AttemptSpec, Goal, KnownAttempt,
        MAX_WANTED_TREES, MountedTree, WantedTree,
    },
};

use crate::{
    decide::project::name_of,
    lifecycle::attempt::AttemptState,
    query::access::login_of,
    state::{State, attempt::Attempt, job::Job, machine::Machine},
};

/// Between SIGTERM and SIGKILL.
pub const GRACE: Span = Span::from_secs(30);

/// Returns everything that should be on the machine, with its generation. Empty for a machine that is
/// unknown.
pub fn assign(state: &State, machine: MachineId) -> Assignment {
    let Some(row) = state.machines.get(&machine) else {
        return Assignment::default();
    };
    Assignment {
        generation: row.generation,
        trees: wanted(row),
        attempts: desired(state, machine)
            .filter_map(|(id, attempt)| assigned(state, id, attempt))
            .collect(),
    }
}

/// Returns the same as [`assign`] to an agent that was told of the attempts in `told` what they are, which stays the same
/// as long as they may run.
pub fn assign_update(
    state: &State,
    machine: MachineId,
    told: &BTreeSet<AttemptId>,
) -> AssignmentUpdate {
    let Some(row) = state.machines.get(&machine) else {
        return AssignmentUpdate::default();
    };
    let mut update = AssignmentUpdate {
        generation: row.generation,
        trees: wanted(row),
        ..AssignmentUpdate::default()
    };
    for (id, attempt) in desired(state, machine) {
        if told.contains(&id) {
            update.known.push(KnownAttempt {
                attempt: id,
                goal: goal(attempt),
                after: attempt.waits_behind(),
            });
        } else {
            update.new.extend(assigned(state, id, attempt));
        }
    }
    update
}

fn wanted(row: &Machine) -> Vec<WantedTree> {
    let wanted = row.wanted().take(MAX_WANTED_TREES).map(|warm| WantedTree {
        tree: warm.tree,
        name: warm.dataset.to_string(),
    });
    wanted.collect()
}

fn desired(state: &State, machine: MachineId) -> impl Iterator<Item = (AttemptId, &Attempt)> {
    let desired = state.index.machines.get(&machine);
    let desired = desired.into_iter().flat_map(|on| &on.desired);
    desired.filter_map(|id| Some((*id, state.attempts.get(id)?)))
}

fn goal(attempt: &Attempt) -> Goal {
    match attempt.state {
        AttemptState::Placed
        | AttemptState::Next
        | AttemptState::Preparing
        | AttemptState::Running => Goal::Run,
        AttemptState::Returning => Goal::Return,
        AttemptState::Stopping { reason } => Goal::Stop { reason },
        AttemptState::Ended(_) => Goal::Collect,
    }
}

fn assigned(state: &State, id: AttemptId, attempt: &Attempt) -> Option<Assigned> {
    let job = state.jobs.get(&id.job)?;
    let machine = state.machines.get(&attempt.machine)?;
    let spec = &job.spec;
    let mounted = job.pinned.iter().map(|pinned| MountedTree {
        name: pinned.reference().to_string(),
        tree: pinned.tree,
        path: pinned.path.clone(),
        lazy: pinned.lazy,
    });
    let left = job.pinned_artifacts.iter().map(|pinned| MountedTree {
        name: pinned.reference(),
        tree: pinned.tree,
        path: pinned.path.clone(),
        lazy: false,
    });
    Some(Assigned {
        attempt: id,
        goal: goal(attempt),
        after: attempt.waits_behind(),
        spec: AttemptSpec {
            org: state.orgs.get(&attempt.org)?.name.clone(),
            job_number: job.number,
            job_name: spec.name().to_owned(),
            submitter: state.users.get(&job.owner)?.handle.clone(),
            own_machine: machine.owner == job.owner,
            task_count: job.told_count(),
            command: spec.command(),
            env: spec.env.clone(),
            image: match &spec.image {
                Image::Host => AttemptImage::Host,
                Image::Registry(reference) => AttemptImage::Registry(reference.clone()),
                Image::Imported(_) => {
                    let pinned = job.pinned_image.as_ref()?;
                    AttemptImage::Imported {
                        name: pinned.reference().to_string(),
                        tree: pinned.tree,
                    }
                }
            },
            // Who only ends or sends what is left has no use for it, and it is forgotten with the job.
            registry_login: attempt.is_live() && login_of(state, job).is_some(),
            secrets: spec.secrets.clone(),
            strong: attempt.strong,
            workdir: spec.workdir,
            allocation: attempt.allocation.clone(),
            datasets: mounted.chain(left).collect(),
            outputs: spec.outputs.clone(),
            network: spec.network,
            max_runtime: attempt.max_runtime,
            grace: GRACE,
            project: name_of(state, job.project),
            nodes: nodes(state, id, job),
            checkpoint: spec.checkpoint,
            restore: attempt.restore,
            params: spec.params,
            shares: shares(job),
        },
    })
}

/// Returns whether tasks of the job may follow one another in a sandbox: those of an array, unless it asks otherwise.
fn shares(job: &Job) -> bool {
    job.spec.array.is_some() && job.spec.sandbox != Some(SandboxScope::Task)
}

/// Returns the machines of an attempt's gang, in the order of their tasks.
fn nodes(state: &State, id: AttemptId, job: &Job) -> Vec<Name> {
    let tasks = job.spec.gang().map(|_| job.tasks());
    let peers = tasks.into_iter().flatten();
    let machines = peers.filter_map(|task| {
        let peer = state.attempts.get(&AttemptId { task, ..id })?;
        state.machines.get(&peer.machine)
    });
    machines.map(|machine| machine.name.clone()).collect()
}
