//! Trees of members: work folders and datasets go up, datasets and artifacts come down.

use std::sync::Arc;

use common::{
    id::{OrgId, UserId},
    problem::Problem,
    wire::client::DownloadSource,
};
use coordinator_core::{
    Actor, Topic,
    query::access::{self, Readable},
};
use link::frames::{FrameReceiver, FrameSender};

use crate::{blobs, desk::Desk, topics::Awaited};

/// Takes a tree, which whoever sends it may name from then on.
pub(super) async fn upload(
    desk: &Desk,
    actor: Actor,
    user: UserId,
    org: OrgId,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    access::may_upload(&desk.engine.read(), user, org)?;
    let (receipts, clock) = (Arc::clone(&desk.receipts), Arc::clone(&desk.clock));
    let stored = move |tree| receipts.give(actor, org, tree, clock.now());
    let store = desk.store(org).await?;
    let tree = blobs::serve_upload(&store, tx, rx, stored).await?;
    tracing::debug!(%user, %tree, "a tree was uploaded");
    Ok(())
}

/// Waits where the tree is still on its way from a machine; ends where the right to it is taken away on the way.
pub(super) async fn download(
    desk: &Desk,
    user: UserId,
    org: OrgId,
    source: &DownloadSource,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    let look = || access::readable_tree(&desk.engine.read(), user, org, source);
    let mut waiting = None;
    let tree = loop {
        match look()? {
            Readable::Tree(tree) => break tree,
            Readable::Waiting(job) => {
                let topic = Awaited::Topic(Topic::Job(job));
                let Some(changes) = &mut waiting else {
                    // What changed since the look is seen by the next one.
                    waiting = Some(desk.wires.topics.subscribe(topic));
                    continue;
                };
                tokio::select! {
                    () = changes.woken() => {}
                    gone = tx.delivered() => return Ok(gone?),
                }
            }
        }
    };
    let (engine, source) = (desk.engine.clone(), source.clone());
    let may = move || access::readable_tree(&engine.read(), user, org, &source).map(drop);
    let store = desk.store(org).await?;
    blobs::serve_download(&store, tree, may, tx, rx).await
}
