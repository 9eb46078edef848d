//! A sign-in with a token for one command.

use common::{code::Code, join_link::LinkPurpose, problem::Problem};

use super::{
    links::{check_token, parse_link, wrong_purpose},
    tell_logout,
};
use crate::client::{
    credentials::Store,
    enrol::{Newcomer, enrol},
};

/// Nothing of it stays on this computer.
#[derive(Debug)]
pub(in crate::cli) struct Visit {
    folder: tempfile::TempDir,
}

impl Visit {
    pub(in crate::cli) async fn with_token(link: &str) -> Result<Self, Problem> {
        let link = parse_link(link)?;
        if link.purpose != LinkPurpose::Token {
            return Err(wrong_purpose(
                "this is no token",
                "Use the link that `compute-share token create --scope admin` prints.",
            ));
        }
        check_token(&link)?;
        let folder = tempfile::tempdir().map_err(|error| {
            let why = error.to_string();
            Problem::new(Code::Io, "a temporary folder cannot be made", why)
        })?;
        let visit = Self { folder };
        enrol(&visit.store(), &link, Newcomer::default()).await?;
        Ok(visit)
    }

    pub(in crate::cli) fn store(&self) -> Store {
        Store::new(self.folder.path())
    }

    /// Signs out. Should that fail, the certificate ends by itself, and its key is gone.
    pub(in crate::cli) async fn leave(self) {
        let _ = tell_logout(&self.store()).await;
    }
}
