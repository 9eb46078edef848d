//! The uploads of one connection: each has a first stream, and further ones that name it by its number.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use common::{code::Code, id::TreeId, problem::Problem, wire::data::Announced};
use link::{
    frames::{FrameReceiver, FrameSender},
    trees::{Manifest, Taking},
};

use crate::blobs::Upload;

/// See the module. There are never more than the connection has streams.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<HashMap<u64, Arc<Taking<Upload>>>>);

impl Uploads {
    /// Takes a tree by a stream whose first frame was read; `beside` is one that is alike, is here and was announced.
    /// Returns once it is durable and the receipt is sent.
    ///
    /// # Errors
    /// The caller refuses the stream with the problem. No tree is stored then; pieces that came are kept for a while,
    /// so that another try need not send them.
    pub(super) async fn take(
        &self,
        upload: Arc<Upload>,
        (announced, beside): (Announced, Option<Manifest>),
        tx: &mut FrameSender,
        rx: &mut FrameReceiver,
    ) -> Result<TreeId, Problem> {
        let number = tx.number();
        let taking = Taking::new(upload, announced, beside.as_ref());
        let listed = Listed { all: self, number };
        self.all().insert(number, Arc::clone(&taking));
        let taken = taking.serve(tx, rx).await;
        drop(listed);
        let tree = taken?.id();
        tracing::debug!(%tree, bytes = announced.bytes.0, "tree stored");
        Ok(tree)
    }

    /// Takes pieces of an upload by another stream of the connection.
    ///
    /// # Errors
    /// The caller refuses the stream with the problem; the upload fails too.
    pub(super) async fn pieces(&self, upload: u64, rx: &mut FrameReceiver) -> Result<(), Problem> {
        let taking = self.all().get(&upload).cloned();
        let taking = taking.ok_or_else(|| {
            let why = "it has ended, or none began on that stream";
            Problem::new(Code::NotFound, "There is no such upload", why)
        })?;
        taking.serve_pieces(rx).await
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u64, Arc<Taking<Upload>>>> {
        // The table is whole whatever a thread that held it did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload for as long as its first stream is served.
struct Listed<'a> {
    all: &'a Uploads,
    number: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.all.all().remove(&self.number);
    }
}
