//! OCI images: what a job's root can be made of besides the machine's own programs.
//!
//! The command line asks registries which image a tag means now ([`resolve`]), finds logins ([`stored_login`])
//! and takes archives apart ([`open_archive`]). The agent fetches what was pinned and unpacks it, once, into
//! its cache. Nothing of an image is ever run here, and its links are never followed.

mod manifest;
mod packed;
mod tarball;

mod registry;

mod logins;

mod archive;

mod beneath;
mod unpack;

mod fetch;
mod listing;

pub use self::{
    archive::{ArchiveSummary, open_archive},
    listing::image_root,
    logins::stored_login,
};

pub(crate) use self::fetch::{from_registry, from_tree};

use common::{code::Code, image::ImageRef, problem::Problem, seal::RegistryLogin};

pub(crate) use self::registry::Reach;

use self::{manifest::Document, registry::Registry};

/// What could not be done, where nobody knows better.
const WHAT: &str = "the image cannot be used";

/// Returns `reference` with the digest that its tag has in the registry now; one that has a digest is returned
/// as it is, without asking.
///
/// # Errors
/// `image_not_found`, `registry_refused`, `registry_unreachable`; `bad_image` where the name leads to no image.
pub async fn resolve(
    reference: &ImageRef,
    login: Option<&RegistryLogin>,
) -> Result<ImageRef, Problem> {
    if reference.digest.is_some() {
        return Ok(reference.clone());
    }
    let (digest, bytes) = Registry::new(reference, login, &Reach::Anywhere)?
        .manifest(None)
        .await?;
    Document::read(&bytes)?;
    Ok(ImageRef {
        digest: Some(digest),
        ..reference.clone()
    })
}

fn bad_image(why: impl Into<String>) -> Problem {
    Problem::new(Code::BadImage, WHAT, why)
}
