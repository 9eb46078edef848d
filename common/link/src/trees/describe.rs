//! A tree's description over a stream.

use common::{problem::Problem, wire::data::TreePart};

use super::{
    Manifest,
    manifest::{Gathered, InvalidManifest},
    on_disk, protocol, unless_stalled,
};
use crate::frames::{FrameReceiver, FrameSender};

/// Sends the description of a tree.
///
/// # Errors
/// The stream broke.
pub async fn send_description(manifest: &Manifest, tx: &mut FrameSender) -> Result<(), Problem> {
    for part in manifest.parts() {
        tx.send(&part).await?;
    }
    Ok(())
}

/// Receives the description of a tree.
///
/// # Errors
/// It is not a tree, it is too large, or the stream broke.
pub async fn receive_description(rx: &mut FrameReceiver) -> Result<Manifest, Problem> {
    let mut gathered = Gathered::default();
    // What a job leaves may be on its way for long: there is no telling when the first part comes.
    gathered.add(rx.expect().await?).map_err(invalid)?;
    while !gathered.complete {
        let part: TreePart = unless_stalled(rx.expect()).await?;
        gathered.add(part).map_err(invalid)?;
    }
    on_disk(move || gathered.into_manifest().map_err(invalid)).await
}

pub(super) fn invalid(cause: impl Into<InvalidManifest>) -> Problem {
    protocol(format!("the tree is not valid: {}", cause.into()))
}
