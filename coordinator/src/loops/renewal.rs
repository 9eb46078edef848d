//! The coordinator's own certificate: a new one at two thirds of the old one's life, and where the system's clock was
//! set back behind the old one's beginning. Connections that are open stay as they are.

use std::{sync::Arc, time::Duration};

use certs::ServerIdentity;
use common::{code::Code, problem::Problem};
use tokio_util::sync::CancellationToken;

use crate::{desk::Desk, store::chain};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(60);

/// Runs until `stop`.
pub(crate) async fn run(
    desk: Arc<Desk>,
    endpoint: quinn::Endpoint,
    mut identity: ServerIdentity,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stop.cancelled() => return,
        }
        if !identity.is_due(desk.clock.system()) {
            continue;
        }
        match renew(&desk, &endpoint) {
            Ok(renewed) => identity = renewed,
            // Looked at again after the period; there are days left.
            Err(problem) => tracing::error!(%problem, "the certificate was not renewed"),
        }
    }
}

fn renew(desk: &Desk, endpoint: &quinn::Endpoint) -> Result<ServerIdentity, Problem> {
    let identity = desk.authority.server_identity(desk.clock.system());
    let identity = identity.map_err(|error| problem(&error))?;
    let tls = certs::server_config(&identity).map_err(|error| problem(&error))?;
    endpoint.set_server_config(Some(link::endpoint::server_tls(tls)));
    tracing::info!(expires_at = %identity.expires_at(), "the certificate was renewed");
    Ok(identity)
}

pub(crate) fn problem(error: &dyn std::error::Error) -> Problem {
    let what = "The coordinator's own certificate could not be made";
    Problem::new(Code::Internal, what, chain(error))
}
