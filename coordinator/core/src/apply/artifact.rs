//! What tasks left.

use common::job::ArtifactsView;

use super::{attempt::change, dataset::discard};
use crate::{event::artifact::ArtifactEvent, state::State};

pub(super) fn apply(state: &mut State, event: &ArtifactEvent) {
    let ArtifactEvent::ArtifactsForgotten {
        org, attempts, at, ..
    } = event;
    for (attempt, tree) in attempts {
        change(state, *attempt, |row| {
            if let ArtifactsView::Stored { bytes, files, .. } = row.artifacts {
                row.artifacts = ArtifactsView::Forgotten {
                    at: *at,
                    bytes,
                    files,
                };
            }
        });
        discard(state, *org, *tree);
    }
}
