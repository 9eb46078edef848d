//! Writes down what outlives the process besides the book: soon after it changed, and now and then what time it is.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::desk::Desk;

/// Time between two looks: the most that a change waits.
const PERIOD: Duration = Duration::from_secs(1);
/// Looks after which the time is written down, whatever else changed.
const LOOKS: u32 = 60;

/// Runs until `stop`, and writes once more then.
pub(crate) async fn run(desk: Arc<Desk>, stop: CancellationToken) {
    let mut looks = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stop.cancelled() => return desk.keep().await,
        }
        looks += 1;
        if looks >= LOOKS || desk.is_to_keep() {
            looks = 0;
            desk.keep().await;
        }
    }
}
