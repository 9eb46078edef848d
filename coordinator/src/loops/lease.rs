//! Machines that were not heard for a lease's length: their attempts have ended by themselves, and the engine
//! may place the tasks again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::id::MachineId;
use coordinator_core::{Actor, Body, query::enrolment};
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;

/// Longest time between two looks.
const MOST: Duration = Duration::from_secs(10);
/// Shortest time between two looks.
const LEAST: Duration = Duration::from_secs(1);
/// Besides the lease: for messages on their way, clocks that drift, and the time a machine needs to end a job.
/// A short lease, as tests have, gets as much again.
const MARGIN: Duration = Duration::from_secs(60);

/// Runs until `stop`. Spans are measured by the monotonic clock; after a start, from the start on.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let lease = desk.lease.as_duration();
    let patience = lease + MARGIN.min(lease);
    let period = (lease / 4).clamp(LEAST, MOST);
    let mut expired = BTreeSet::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            () = stop.cancelled() => return,
        }
        look(&desk, patience, &mut expired).await;
    }
}

/// Expires each machine once until it is heard again.
async fn look(desk: &Desk, patience: Duration, expired: &mut BTreeSet<MachineId>) {
    let machines = enrolment::approved_machines(&desk.engine.read());
    let silent: BTreeSet<MachineId> = machines
        .into_iter()
        .filter(|machine| desk.wires.machines.silent_for(*machine) >= patience)
        .collect();
    for machine in silent.difference(expired) {
        let body = Body::ExpireLease { machine: *machine };
        match desk.engine.post(Actor::System, body).await {
            Ok(pending) => match pending.done().await {
                Ok(events) if !events.is_empty() => {
                    tracing::warn!(%machine, "a machine is lost: nothing was heard for its lease");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%machine, %error, "a lease was not expired");
                }
            },
            Err(_) => return,
        }
    }
    *expired = silent;
}
