//! The connection of the moment. Whoever needs the coordinator waits here for one, and for the next one when
//! it breaks; whoever opens and loses connections says so here.

use tokio::sync::watch;

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
