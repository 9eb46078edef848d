//! The agent daemon: takes its folder, starts the parts, and ends them. Called by the command line
//! (`compute-share agent`) and by scenario tests, which run several in one process.

use std::path::PathBuf;

use common::problem::Problem;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::control::ConnectionState;

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Where everything of it lies; see [`crate::registration::AgentFolder`].
    pub folder: PathBuf,
}

/// A running agent. Dropping it lets the agent run on.
#[derive(Debug)]
pub struct Running {
    stopping: CancellationToken,
    connection: watch::Receiver<ConnectionState>,
    ended: JoinHandle<Result<(), Problem>>,
}

impl Running {
    /// Asks the agent to end. Jobs go on under their supervisors.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Returns how the agent stands with its coordinator, now and as it changes.
    pub fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.clone()
    }

    /// Waits for the agent's end.
    ///
    /// # Errors
    /// Why it ended by itself: rejected, removed, or an own failure.
    pub async fn wait(self) -> Result<(), Problem> {
        self.ended.await.unwrap_or_else(|error| {
            Err(Problem::new(
                common::code::Code::Internal,
                "the agent ended",
                error.to_string(),
            ))
        })
    }
}
