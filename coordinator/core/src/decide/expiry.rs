//! What goes by itself once it has been kept for as long as was said: deleted datasets, and what tasks left.

use std::collections::BTreeSet;

use common::{
    id::{AttemptId, DatasetId, OrgId, TreeId},
    time::Timestamp,
    units::Bytes,
};

use super::dataset::deletion::Target;
use crate::{
    event::{Event, artifact::ArtifactEvent},
    state::State,
};

/// Takes away what is due, of every org, at most `most` things. What a job reads that has not ended is never due.
pub(super) fn expire(state: &State, at: Timestamp, most: u32) -> Vec<Event> {
    let mut left = usize::try_from(most).unwrap_or(usize::MAX);
    let mut events = Vec::new();
    for org in state.index.ends.keys() {
        let purged = purge(state, at, *org, left);
        left -= purged.len();
        events.extend(purged);
    }
    for org in state.index.artifacts.keys() {
        if left == 0 {
            break;
        }
        if let Some((count, forgotten)) = forget(state, at, *org, left) {
            left -= count;
            events.push(Event::Artifact(forgotten));
        }
    }
    events
}

fn purge(state: &State, at: Timestamp, org: OrgId, most: usize) -> Vec<Event> {
    let ends = state.index.ends.get(&org).into_iter().flatten();
    let due = ends.take_while(|(until, ..)| *until <= at).take(most);
    let due: Vec<(DatasetId, u32)> = due.map(|(_, id, version)| (*id, *version)).collect();
    let whole: BTreeSet<DatasetId> = due
        .iter()
        .filter(|(_, v)| *v == 0)
        .map(|(id, _)| *id)
        .collect();
    // A version goes with its dataset where that goes now.
    let singly = due
        .into_iter()
        .filter(|(id, version)| *version == 0 || !whole.contains(id));
    let targets = singly.filter_map(|(id, version)| Target::due(state, id, version));
    targets
        .map(|target| Event::Dataset(target.purged(at, None)))
        .collect()
}

fn forget(state: &State, at: Timestamp, org: OrgId, most: usize) -> Option<(usize, ArtifactEvent)> {
    let kept = state.orgs.get(&org)?.settings.artifacts_kept;
    let artifacts = state.index.artifacts.get(&org)?.iter();
    let due = artifacts.take_while(|(came, _)| kept.until(*came).is_some_and(|until| until <= at));
    let mut bytes = Bytes::ZERO;
    let attempts = due.take(most).filter_map(|(_, id)| {
        let (tree, size, _) = state.attempts.get(id)?.stored()?;
        bytes = Bytes(bytes.0.saturating_add(size.0));
        Some((*id, tree))
    });
    let attempts: Vec<(AttemptId, TreeId)> = attempts.collect();
    let count = attempts.len();
    (count > 0).then_some((
        count,
        ArtifactEvent::ArtifactsForgotten {
            org,
            count: count as u64,
            bytes,
            attempts,
            at,
        },
    ))
}
