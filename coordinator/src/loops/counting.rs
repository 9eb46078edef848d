//! What was uploaded of late is counted, so that nobody who takes away what nothing needs waits for it.

use std::{sync::Arc, time::Duration};

use common::id::OrgId;
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, blocking};

/// Time between two looks: whoever uploads mostly has it fetched next, and counting can wait.
const PERIOD: Duration = Duration::from_secs(30);

const NOT_COUNTED: &str = "what was uploaded is not counted yet";

/// Runs until `stop`. What it does not come to, a collection does.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stop.cancelled() => return,
        }
        // A store that nobody has opened has nothing new.
        for org in desk.blobs.open_orgs() {
            count(&desk, org).await;
        }
    }
}

async fn count(desk: &Desk, org: OrgId) {
    let counted = match desk.store(org).await {
        Ok(store) => {
            blocking(move || store.count().map_err(|error| error.problem(NOT_COUNTED))).await
        }
        Err(problem) => Err(problem),
    };
    if let Err(problem) = counted {
        tracing::warn!(%org, %problem);
    }
}
