//! A blob on its way: nothing of it is to be believed before its end.

use common::{code::Code, image::ImageDigest, problem::Problem};
use reqwest::Response;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::words::Words;
use crate::images::manifest::Descriptor;

/// A blob on its way.
pub(in crate::images) struct Blob {
    response: Response,
    wanted: Descriptor,
    received: u64,
    hash: Sha256,
    deadline: Instant,
    words: Words,
}

impl Blob {
    pub(super) fn new(
        response: Response,
        wanted: Descriptor,
        deadline: Instant,
        words: Words,
    ) -> Self {
        let (received, hash) = (0, Sha256::new());
        Self {
            response,
            wanted,
            received,
            hash,
            deadline,
            words,
        }
    }

    /// Returns the next piece; `None` at the end, once all of it is what was asked for.
    pub(in crate::images) async fn next(&mut self) -> Result<Option<bytes::Bytes>, Problem> {
        let words = &self.words;
        let piece = tokio::time::timeout_at(self.deadline, self.response.chunk()).await;
        let Ok(piece) = piece else {
            let why = format!("{} sends too slowly", words.registry);
            return Err(Problem::new(Code::RegistryUnreachable, &words.what, why));
        };
        let wanted = &self.wanted;
        let Some(piece) = piece.map_err(|error| words.unreachable(&error))? else {
            let digest = ImageDigest(self.hash.clone().finalize().into());
            return match (self.received == wanted.size, digest == wanted.digest) {
                (true, true) => Ok(None),
                (false, _) => {
                    Err(words.other_bytes(wanted.digest, &sizes(self.received, wanted.size)))
                }
                (true, false) => Err(words.other_bytes(wanted.digest, &digest.to_string())),
            };
        };
        self.received += piece.len() as u64;
        if self.received > wanted.size {
            return Err(words.other_bytes(wanted.digest, &sizes(self.received, wanted.size)));
        }
        self.hash.update(&piece);
        Ok(Some(piece))
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({})", self.wanted.digest)
    }
}

pub(super) fn sizes(came: u64, due: u64) -> String {
    format!("{came} bytes came, {due} were due")
}
