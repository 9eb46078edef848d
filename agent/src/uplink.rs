//! The connection of the moment. Whoever needs the coordinator waits here for one, and for the next one when
//! it breaks; whoever opens and loses connections says so here.

use std::time::Duration;

use common::{code::Code, problem::Problem};
use link::backoff::Backoff;
use tokio::sync::watch;

/// Waits before something is asked for again on a connection that lives.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const MOST_WAIT: Duration = Duration::from_secs(10);
/// Tries for one thing on connections that live; a lost connection does not count.
const MAX_TRIES: u32 = 5;

/// A connection that the coordinator has greeted.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) connection: quinn::Connection,
    /// Tells one connection from the next.
    pub(crate) serial: u64,
}

/// The end that waits.
#[derive(Debug, Clone)]
pub(crate) struct Uplink(watch::Receiver<Option<Live>>);

/// The end that says.
#[derive(Debug)]
pub(crate) struct UplinkSource(watch::Sender<Option<Live>>);

pub(crate) fn uplink() -> (UplinkSource, Uplink) {
    let (sender, receiver) = watch::channel(None);
    (UplinkSource(sender), Uplink(receiver))
}

impl UplinkSource {
    pub(crate) fn connected(&self, live: Live) {
        self.0.send_replace(Some(live));
    }

    pub(crate) fn lost(&self) {
        self.0.send_replace(None);
    }
}

impl Uplink {
    /// Asks the coordinator for something, over as many connections as that takes.
    ///
    /// # Errors
    /// What the coordinator says to it for good, or again and again.
    pub(crate) async fn ask<T, F: Future<Output = Result<T, Problem>>>(
        mut self,
        mut ask: impl FnMut(quinn::Connection) -> F,
    ) -> Result<T, Problem> {
        let mut backoff = Backoff::new(FIRST_WAIT, MOST_WAIT);
        let mut broken = None;
        let mut tries = 0;
        loop {
            let live = self.live(broken).await;
            let problem = match ask(live.connection.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(problem) => problem,
            };
            if live.connection.close_reason().is_some() {
                broken = Some(live.serial);
                continue;
            }
            tries += 1;
            let passing = matches!(
                problem.code,
                Code::Busy | Code::Protocol | Code::Unreachable
            );
            if !passing || tries == MAX_TRIES {
                return Err(problem);
            }
            tracing::info!(%problem, "data has to be fetched again");
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Waits for a connection other than the one with the serial `broken`. Waits forever once the daemon
    /// ends, whose end then ends the caller.
    pub(crate) async fn live(&mut self, broken: Option<u64>) -> Live {
        let fresh = |live: &Option<Live>| {
            live.as_ref()
                .is_some_and(|live| Some(live.serial) != broken)
        };
        let live = match self.0.wait_for(fresh).await {
            Ok(live) => live.clone(),
            Err(_) => None,
        };
        match live {
            Some(live) => live,
            None => std::future::pending().await,
        }
    }
}
