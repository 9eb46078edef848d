//! Trees of members: work folders and datasets go up, datasets and artifacts come down.

use std::sync::Arc;

use common::{
    id::{OrgId, TreeId, UserId},
    problem::Problem,
    wire::{
        client::{DownloadSource, UploadPurpose},
        data::Announced,
    },
};
use coordinator_core::{
    State, Topic,
    query::access::{self, Readable},
};
use link::frames::{FrameReceiver, FrameSender};

use super::Member;
use crate::{
    blobs::{self, Upload},
    desk::Desk,
    topics::Awaited,
};

/// What a member wants to send.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) org: OrgId,
    pub(super) announced: Announced,
    pub(super) purpose: UploadPurpose,
}

/// Takes a tree, which whoever sends it may name from then on.
pub(super) async fn upload(
    member: &Member,
    user: UserId,
    sending: Sending,
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    let (desk, actor) = (&*member.desk, member.actor);
    let Sending {
        org,
        announced,
        purpose,
    } = sending;
    let (room, beside) = {
        let state = desk.engine.read();
        access::may_upload(&state, user, org)?;
        let room = room(&state, user, org, &purpose, announced);
        (room, beside(&state, user, org, &purpose, announced))
    };
    let (receipts, clock) = (Arc::clone(&desk.receipts), Arc::clone(&desk.clock));
    let stored = move |tree| receipts.give(actor, org, tree, clock.now());
    let store = desk.store(org).await?;
    let upload = Upload::begin(&store, room, stored);
    let beside = match beside {
        Some(beside) => upload.beside(beside).await,
        None => None,
    };
    let upload = member.uploads.take(upload, (announced, beside), tx, rx);
    let tree = upload.await?;
    tracing::debug!(%user, %tree, "a tree was uploaded");
    Ok(())
}

/// Checks that the org may keep what was announced.
fn room(
    state: &State,
    user: UserId,
    org: OrgId,
    purpose: &UploadPurpose,
    announced: Announced,
) -> Result<(), Problem> {
    match purpose {
        UploadPurpose::Dataset { name, project } => {
            let dataset = (name, project.as_ref());
            access::storage_room(state, user, org, dataset, announced.bytes)
        }
        // Work folders go with their jobs and count as nobody's storage.
        UploadPurpose::Workdir { .. } => Ok(()),
    }
}

/// Returns the tree that was named as alike, if it is a version of the same dataset that the sender might fetch: who
/// builds on a tree has it afterwards.
fn beside(
    state: &State,
    user: UserId,
    org: OrgId,
    purpose: &UploadPurpose,
    announced: Announced,
) -> Option<TreeId> {
    let (UploadPurpose::Dataset { name, .. }, Some(tree)) = (purpose, announced.beside) else {
        return None;
    };
    let source = DownloadSource::Dataset {
        name: name.clone(),
        version: None,
    };
    let may = access::check_readable(state, user, org, &source, tree);
    may.is_ok().then_some(tree)
}

/// Describes a tree; waits where it is still on its way from a machine.
pub(super) async fn download(
    desk: &Desk,
    user: UserId,
    org: OrgId,
    source: &DownloadSource,
    tx: &mut FrameSender,
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
    blobs::serve_description(&desk.store(org).await?, tree, tx).await
}

/// Sends chunks of a tree; ends where the right to them is taken away on the way.
pub(super) async fn chunks(
    desk: &Desk,
    user: UserId,
    org: OrgId,
    (source, tree): (DownloadSource, TreeId),
    tx: &mut FrameSender,
    rx: &mut FrameReceiver,
) -> Result<(), Problem> {
    let engine = desk.engine.clone();
    let may = move || access::check_readable(&engine.read(), user, org, &source, tree);
    may()?;
    blobs::serve_chunks(&desk.store(org).await?, tree, may, &desk.pace, tx, rx).await
}
