//! What holds after every event, whatever the commands were.

mod whole;

use std::collections::BTreeSet;

use common::{
    id::{AttemptId, JobId, TaskId},
    job::TaskCounts,
    resources::Allocation,
    status::{AfterStatus, JobStatus},
};

use self::whole::{chains_are_whole, gang_is_whole};
use super::world::{ORG, World};
use crate::{
    Actor, Body, State, Table,
    lifecycle::attempt::AttemptState,
    schedule::explain::{Subject, explain},
    state::{
        Volatile,
        index::Index,
        pool::{self, Pool},
        rows,
    },
};

/// Checks all of them.
pub(super) fn check(world: &World) {
    let state = &world.state;
    assert_eq!(
        state.index,
        Index::build(state),
        "the index follows from the rows"
    );
    load_of_save_is_the_same(state);
    let mut anew = state.clone();
    anew.volatile.pool = Pool::default();
    for machine in state.machines.keys() {
        pool::refresh(&mut anew, *machine);
    }
    assert_eq!(
        state.volatile.pool, anew.volatile.pool,
        "the pool follows from machines, reports and connections"
    );
    counts_agree_with_attempts(state);
    for (id, used) in &state.index.machines {
        let held = used
            .live
            .iter()
            .fold(Allocation::default(), |sum, attempt| {
                let allocation = &state.attempts[attempt].allocation;
                sum.checked_add(allocation).expect("no GPU is given twice")
            });
        assert_eq!(
            (held.cpu, held.memory),
            (used.held.cpu, used.held.memory),
            "{id}"
        );
        assert_eq!(
            (held.gpus.iter().collect::<BTreeSet<_>>(), &held.gpu_shares),
            (used.held.gpus.iter().collect(), &used.held.gpu_shares),
            "{id}"
        );
        let alone = |attempt: &AttemptId| state.jobs[&attempt.job].spec.request.exclusive;
        assert!(
            used.live.len() <= 1 || !used.live.iter().any(alone),
            "who is to be alone on {id} is not"
        );
        let living = used.desired.is_empty() || state.machines[id].state.is_approved();
        assert!(
            living,
            "nothing is wanted from a machine that is not approved"
        );
    }
    for (id, job) in &state.jobs {
        let ended = state.progress[id].ended_at.is_some();
        for read in job
            .pinned
            .iter()
            .chain(&job.pinned_image)
            .filter(|_| !ended)
        {
            let row = state.datasets.get(&read.dataset);
            let version = row.and_then(|row| row.version(Some(read.version)));
            assert_eq!(
                version.map(|(_, version)| version.tree),
                Some(read.tree),
                "what a job reads is there until it has ended"
            );
        }
        for read in job.pinned_artifacts.iter().filter(|_| !ended) {
            let row = &state.attempts[&read.attempt];
            assert_eq!(
                row.stored().map(|(tree, ..)| tree),
                Some(read.tree),
                "what a job reads of another is there until it has ended"
            );
        }
        let progress = &state.progress[id];
        assert!(
            !ended || progress.is_let_in(),
            "an ended job waits for another, or is held"
        );
        assert!(
            progress.awaits.is_empty() || progress.counts.running == 0,
            "a job runs that waits for another"
        );
        assert!(
            progress.broken.is_none() || progress.status() == JobStatus::Cancelled,
            "a job goes on that waits for what can never be"
        );
        assert!(
            !ended || job.spec.registry_login.is_none(),
            "an ended job keeps what opened a registry"
        );
    }
    chains_are_whole(state);
    let live: Vec<TaskId> = world.live().iter().map(|id| id.task_id()).collect();
    let tasks: BTreeSet<TaskId> = live.iter().copied().collect();
    assert_eq!(live.len(), tasks.len(), "one live attempt per task");
}

/// Checks that what the schedule leaves waiting has a reason, in the words of the explanation.
pub(super) fn check_waiting_is_explained(world: &World) {
    let state = &world.state;
    assert!(!state.schedule_due());
    for awaited in state
        .progress
        .values()
        .flat_map(|progress| &progress.awaits)
    {
        let stands = state.progress[&awaited.job].stands(awaited.condition);
        assert_eq!(
            stands,
            AfterStatus::Waits,
            "what is decided is not waited for"
        );
    }
    for (id, progress) in state.progress.iter().filter(|(_, p)| p.counts.queued > 0) {
        let subject = Subject::of(*id, &state.jobs[id], progress);
        let explanation = explain(state, world.now, &subject);
        assert!(
            !explanation.blockers.is_empty(),
            "job {} waits for nothing",
            state.jobs[id].number
        );
        assert!(explanation.smallest_change.is_some());
    }
}

/// Returns a job that the explanation says would start at once, if there is one.
pub(super) fn unblocked(world: &World) -> Option<JobId> {
    let state = &world.state;
    let mut waiting = state.progress.iter().filter(|(_, p)| p.counts.queued > 0);
    let found = waiting.find(|(id, progress)| {
        let subject = Subject::of(**id, &state.jobs[id], progress);
        explain(state, world.now, &subject).blockers.is_empty()
    });
    found.map(|(id, _)| *id)
}

pub(super) fn save(state: &State) -> Vec<(rows::RowKey, Vec<u8>)> {
    use rows::RowKey;
    let keys = state
        .orgs
        .keys()
        .map(|id| RowKey::org(*id))
        .chain(state.users.keys().map(|id| RowKey::user(*id)))
        .chain(
            state
                .members
                .keys()
                .map(|(org, user)| RowKey::member(*org, *user)),
        )
        .chain(
            state
                .former
                .keys()
                .map(|(org, user)| RowKey::former(*org, *user)),
        )
        .chain(
            state
                .own_limits
                .keys()
                .map(|(org, user)| RowKey::own_limits(*org, *user)),
        )
        .chain(state.invitations.keys().map(|id| RowKey::invitation(*id)))
        .chain(
            state
                .invitation_uses
                .keys()
                .map(|(id, key)| RowKey::invitation_use(*id, *key)),
        )
        .chain(state.certificates.keys().map(|id| RowKey::certificate(*id)))
        .chain(state.devices.keys().map(|id| RowKey::device(*id)))
        .chain(state.credentials.keys().map(|id| RowKey::credentials(*id)))
        .chain(state.tokens.keys().map(|id| RowKey::token(*id)))
        .chain(state.machines.keys().map(|id| RowKey::machine(*id)))
        .chain(state.reports.keys().map(|id| RowKey::report(*id)))
        .chain(state.datasets.keys().map(|id| RowKey::dataset(*id)))
        .chain(state.jobs.keys().map(|id| RowKey::job(*id)))
        .chain(state.progress.keys().map(|id| RowKey::progress(*id)))
        .chain(state.attempts.keys().map(|id| RowKey::attempt(*id)))
        .chain(state.logos.keys().map(|org| RowKey::logo(*org)))
        .chain(state.approvals.keys().map(|id| RowKey::approval(*id)))
        .chain(state.deletions.keys().map(|id| RowKey::deletion(*id)))
        .chain(
            state
                .discarded
                .keys()
                .map(|(org, tree)| RowKey::discarded(*org, *tree)),
        )
        .chain(
            state
                .past_names
                .keys()
                .map(|(org, name)| RowKey::past_name(*org, name)),
        )
        .chain(
            state
                .standings
                .keys()
                .map(|(org, user)| RowKey::standing(*org, *user)),
        )
        .chain(state.projects.keys().map(|id| RowKey::project(*id)))
        .chain(state.grants.keys().map(|(id, to)| RowKey::grant(*id, *to)))
        .chain(state.secrets.keys().map(|id| RowKey::secret(*id)));
    keys.map(|key| {
        let row = state.encode_row(&key).expect("the row is there");
        (key, row)
    })
    .collect()
}

pub(super) fn load(rows: &[(rows::RowKey, Vec<u8>)]) -> State {
    let mut state = State::new();
    for (key, value) in rows {
        state.decode_row(key.table, &key.key, value).unwrap();
    }
    state.finish_load().unwrap();
    state
}

fn load_of_save_is_the_same(state: &State) {
    let mut expect = state.clone();
    expect.volatile = Volatile::default();
    assert!(
        load(&save(state)) == expect,
        "load(save(state)) is another state"
    );
}

fn counts_agree_with_attempts(state: &State) {
    for (id, progress) in &state.progress {
        let job = &state.jobs[id];
        let TaskCounts {
            queued, running, ..
        } = progress.counts;
        assert_eq!(progress.counts.total(), job.task_count());
        let live = state.index.live.get(id).map_or(0, BTreeSet::len);
        assert_eq!(
            running as usize, live,
            "running tasks of job {}",
            job.number
        );
        let waiting = job.tasks().filter(|task| progress.queued.contains(*task));
        let delayed = job.tasks().filter(|task| progress.delayed.contains(*task));
        assert_eq!(delayed.count(), progress.delayed.len());
        assert_eq!(waiting.count(), progress.in_queue() as usize);
        assert_eq!(
            progress.in_queue() as usize
                + progress.delayed.len()
                + progress.following.len() as usize,
            queued as usize
        );
        assert_eq!(progress.is_through(), progress.ended_at.is_some());
        if let Some(nodes) = job.spec.gang() {
            gang_is_whole(state, *id, nodes as usize);
        }
        for attempt in state.index.live.get(id).into_iter().flatten() {
            assert!(!progress.waits(attempt.task), "a task waits and runs");
        }
        let behind = state.index.chains.waiting(*id).count();
        assert_eq!(behind, progress.following.len() as usize);
    }
    for attempt in state.attempts.values() {
        let ended = matches!(attempt.state, AttemptState::Ended(_));
        assert_eq!(ended, attempt.ended_at.is_some());
    }
}

#[test]
fn every_table_is_written_and_damage_is_found() {
    let mut world = World::new();
    world.machine(
        10,
        super::world::BOB,
        "box",
        super::world::report(super::world::capacity(4, 8)),
    );
    world.dataset(super::world::BOB, 20, "digits");
    world
        .submit(super::world::BOB, 30, super::world::spec())
        .unwrap();
    world.schedule();
    world.project(super::world::BOB, 40, "vision");
    let goes = Body::RemoveMember {
        org: ORG,
        handle: super::world::name("carol"),
    };
    world.must(Actor::User(super::world::ALICE), goes);
    world
        .secret(super::world::ALICE, 41, "HF_TOKEN", None)
        .unwrap();
    world.limit_member(super::world::BOB, &[("gpu", 1)]);
    world.weigh(super::world::BOB, "2");
    super::two_factor::turn_on(&mut world, super::world::BOB);
    super::tokens::make(&mut world);
    super::logos::make(&mut world);
    world.dataset(super::world::BOB, 21, "old");
    world.must(Actor::User(super::world::BOB), super::datasets::body("old"));
    super::datasets::purge(&mut world, "old");
    let second = Body::CreateOrg {
        org: common::id::OrgId::from_bytes([2; 16]),
        name: super::world::name("club"),
        owner: super::world::ALICE,
        handle: super::world::name("alice"),
    };
    world.must(Actor::System, second);
    let delete = crate::command::OrgCommand::Delete {
        org: common::id::OrgId::from_bytes([2; 16]),
        typed: "club".to_owned(),
    };
    world.must(Actor::User(super::world::ALICE), Body::Org(delete));
    let rows = save(&world.state);
    let tables: BTreeSet<Table> = rows.iter().map(|(key, _)| key.table).collect();
    assert_eq!(tables.len(), Table::ALL.len());

    for (key, value) in &rows {
        let mut state = State::new();
        let cut = &value[..value.len() / 2];
        assert!(
            state.decode_row(key.table, &key.key, cut).is_err(),
            "{key:?}"
        );
        let short = &key.key[..key.key.len() - 1];
        assert!(
            state.decode_row(key.table, short, value).is_err(),
            "{key:?}"
        );
    }
    let without_orgs = rows.iter().filter(|(key, _)| key.table != Table::Orgs);
    let mut state = State::new();
    for (key, value) in without_orgs {
        state.decode_row(key.table, &key.key, value).unwrap();
    }
    assert!(state.finish_load().is_err());
    assert!(world.state.orgs.contains_key(&ORG));
}
