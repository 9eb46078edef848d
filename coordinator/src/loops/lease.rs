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

/// Expires each machine once until it is heard again. One that is still connected without having said anything
/// for so long is cut off first, and expired at the next look.
async fn look(desk: &Desk, patience: Duration, expired: &mut BTreeSet<MachineId>) {
    let machines = enrolment::approved_machines(&desk.engine.read());
    let silent: BTreeSet<MachineId> = machines
        .into_iter()
        .filter(|machine| desk.wires.machines.silent_for(*machine) >= patience)
        .collect();
    expired.retain(|machine| silent.contains(machine));
    for machine in silent {
        if expired.contains(&machine) || desk.wires.machines.cut_off(machine) {
            continue;
        }
        let body = Body::ExpireLease { machine };
        let Ok(pending) = desk.engine.post(Actor::System, body).await else {
            return;
        };
        match pending.done().await {
            // Its connection has ended, but the engine has not heard so yet.
            Ok(events) if events.is_empty() => {}
            Ok(_) => {
                expired.insert(machine);
                tracing::warn!(%machine, "a machine is lost: nothing was heard for its lease");
            }
            Err(error) => tracing::debug!(%machine, %error, "a lease was not expired"),
        }
    }
}
