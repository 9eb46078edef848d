//! A registry that a machine's owner lets jobs ask, wherever it is.

use std::str::FromStr;

use common::image::ImageRef;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Most registries that an owner names.
const MAX_REGISTRIES: usize = 64;

/// `HOST[:PORT]` as it stands before the first slash of an image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryHost {
    host: String,
    port: Option<u16>,
}

/// What is no registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no registry: write HOST or HOST:PORT, as in the names of its images")]
pub struct InvalidRegistry(String);

impl RegistryHost {
    pub fn host(&self) -> &str {
        &self.host
    }

    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for RegistryHost {
    type Err = InvalidRegistry;

    fn from_str(text: &str) -> Result<Self, InvalidRegistry> {
        let invalid = || InvalidRegistry(text.chars().take(80).collect());
        let image: ImageRef = format!("{text}/image").parse().map_err(|_| invalid())?;
        if image.registry != text.to_ascii_lowercase() {
            return Err(invalid());
        }
        let (host, port) = match image.registry.split_once(':') {
            None => (image.registry.as_str(), None),
            Some((host, port)) => (host, Some(port.parse().map_err(|_| invalid())?)),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Those that an owner names.
#[derive(Debug)]
pub(super) struct Registries(pub(super) Vec<RegistryHost>);

impl<'de> Deserialize<'de> for Registries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Vec::<String>::deserialize(deserializer)?;
        if written.len() > MAX_REGISTRIES {
            return Err(D::Error::custom(format_args!(
                "more than {MAX_REGISTRIES} registries are named"
            )));
        }
        let parsed = written.iter().map(|text| text.parse());
        parsed
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(D::Error::custom)
    }
}
