//! What a job's network keeps clear of besides every private address: the coordinator.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use agent_core::sandbox_plan::ProxyRules;
use common::status::Network;

use super::Work;

/// Longest wait for the addresses behind the coordinator's name; the one that answered is known without.
const RESOLVE: Duration = Duration::from_secs(5);
/// Most addresses of one name that are kept clear of.
const MAX_ADDRESSES: usize = 64;

/// Returns the rules for an attempt's network. Waits for a connection: only then is it known where the coordinator
/// is.
pub(super) async fn rules(work: &Work) -> ProxyRules {
    if work.spec.network == Network::None {
        return ProxyRules::default();
    }
    let live = work.uplink.clone().live(None).await;
    let mut denied = BTreeSet::from([live.connection.remote_address().ip().to_canonical()]);
    let address = &work.machine.registration.address;
    match tokio::time::timeout(RESOLVE, tokio::net::lookup_host(address)).await {
        Ok(Ok(found)) => {
            let addresses = found.map(|found| found.ip().to_canonical());
            denied.extend(addresses.take(MAX_ADDRESSES));
        }
        Ok(Err(error)) => tracing::warn!(%address, %error, "the coordinator's name is unknown now"),
        Err(_) => tracing::warn!(%address, "the coordinator's name was not resolved in time"),
    }
    ProxyRules {
        denied: denied.into_iter().collect::<Vec<IpAddr>>(),
        most_bytes: None,
    }
}
