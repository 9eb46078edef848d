//! What a person is told of a registry, and answers that are too long for what they are.

use common::{
    code::Code,
    image::{ImageDigest, ImageRef},
    problem::Problem,
    seal::RegistryLogin,
};
use reqwest::Response;

use super::reach::Closed;

/// Names the image in problems.
#[derive(Debug, Clone)]
pub(super) struct Words {
    pub(super) what: String,
    pub(super) registry: String,
}

impl Words {
    pub(super) fn of(reference: &ImageRef) -> Self {
        let what = format!("the image {reference} cannot be fetched");
        Self {
            what,
            registry: reference.registry.clone(),
        }
    }

    /// Where somebody else's job must not lead.
    pub(super) fn closed(&self, closed: &Closed) -> Problem {
        let why = format!("{closed}, and the machine's owner has not named it");
        Problem::new(Code::RegistryForbidden, &self.what, why)
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> Problem {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            if let Some(closed) = error.downcast_ref() {
                return self.closed(closed);
            }
            cause = error.source();
        }
        let why = format!("{} cannot be reached: {}", self.registry, cause_of(error));
        Problem::new(Code::RegistryUnreachable, &self.what, why)
    }

    pub(super) fn denied(&self, login: Option<&RegistryLogin>) -> Problem {
        let registry = &self.registry;
        let why = match login {
            None => format!("{registry} does not show it without a login, or does not have it"),
            Some(login) => format!(
                "{registry} does not show it to {}, or the password is wrong",
                login.user
            ),
        };
        Problem::new(Code::RegistryRefused, &self.what, why)
    }

    pub(super) fn other_bytes(&self, wanted: ImageDigest, came: &str) -> Problem {
        let why = format!("{} sent something else for {wanted}: {came}", self.registry);
        Problem::new(Code::Checksum, &self.what, why)
            .help("Try again; if it stays, the registry's copy of the image is damaged.")
    }

    /// Reads a small answer.
    pub(super) async fn bounded(
        &self,
        mut response: Response,
        most: u64,
    ) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            if bytes.len() as u64 + piece.len() as u64 > most {
                let why = format!(
                    "{} sends more than {most} bytes where a few are due",
                    self.registry
                );
                return Err(Problem::new(Code::BadImage, &self.what, why));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

/// Returns what went wrong at the bottom of it: the errors around it only say who asked.
pub(super) fn cause_of(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}
