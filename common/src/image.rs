//! What a job's root file system is made of: the machine's own programs, or an OCI image.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::dataset::{DatasetRef, InvalidDatasetRef};

/// Longest reference, in bytes.
pub const MAX_REFERENCE_BYTES: usize = 512;
/// Where a reference without a registry leads.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// What an image that was brought in by hand begins with.
const IMPORTED: &str = "imported:";

/// What a job's root file system is made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// The machine's own programs, read-only.
    Host,
    /// From a registry; pinned to a digest before it reaches the coordinator.
    Registry(ImageRef),
    /// Brought in by `compute-share image import`; kept as a dataset whose files are an OCI image layout.
    Imported(DatasetRef),
}

/// An image in a registry, as in `python:3.12` or `ghcr.io/lab/train@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    /// `HOST` or `HOST:PORT`, in lower case.
    pub registry: String,
    /// `library/python`.
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<ImageDigest>,
}

/// A SHA-256 that names a manifest, a configuration or a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageDigest(pub [u8; 32]);

/// Why a text is not an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    #[error("{0:?} is not an image; write host, NAME:TAG, REGISTRY/NAME:TAG, or imported:NAME")]
    Syntax(String),
    #[error("{0:?} is not a digest; write sha256: and 64 hexadecimal digits")]
    Digest(String),
    #[error(transparent)]
    Imported(#[from] InvalidDatasetRef),
}

impl FromStr for Image {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        if text == "host" {
            return Ok(Self::Host);
        }
        if let Some(name) = text.strip_prefix(IMPORTED) {
            return Ok(Self::Imported(name.parse()?));
        }
        text.parse().map(Self::Registry)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Registry(reference) => reference.fmt(f),
            Self::Imported(dataset) => write!(f, "{IMPORTED}{dataset}"),
        }
    }
}

impl FromStr for ImageRef {
    type Err = InvalidImage;

    /// Reads a reference as `docker` does: the part before the first slash is a registry if it has a dot or a
    /// colon or is `localhost`; without one the image is Docker Hub's, and a plain name there is in `library`.
    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let invalid = || InvalidImage::Syntax(text.chars().take(80).collect());
        if text.len() > MAX_REFERENCE_BYTES {
            return Err(invalid());
        }
        let (name, digest) = match text.split_once('@') {
            None => (text, None),
            Some((name, digest)) => (name, Some(digest.parse()?)),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first.to_ascii_lowercase(), rest)
            }
            _ => (DEFAULT_REGISTRY.to_owned(), name),
        };
        let (path, tag) = match path.rsplit_once(':') {
            None => (path, None),
            Some((path, tag)) => (path, Some(tag.to_owned())),
        };
        if !is_registry(&registry)
            || !path.split('/').all(is_component)
            || !tag.as_deref().is_none_or(is_tag)
        {
            return Err(invalid());
        }
        let official = registry == DEFAULT_REGISTRY && !path.contains('/');
        Ok(Self {
            registry,
            repository: if official {
                format!("library/{path}")
            } else {
                path.to_owned()
            },
            tag: tag.or_else(|| digest.is_none().then(|| "latest".to_owned())),
            digest,
        })
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        None => (text, None),
        Some((host, port)) => (host, Some(port)),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_component(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes()
        .all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
        && text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain)
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl TryFrom<String> for ImageRef {
    type Error = InvalidImage;

    fn try_from(text: String) -> Result<Self, InvalidImage> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(reference: ImageRef) -> Self {
        reference.to_string()
    }
}

impl FromStr for ImageDigest {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let invalid = || InvalidImage::Digest(text.chars().take(80).collect());
        let hex = text.strip_prefix("sha256:").ok_or_else(invalid)?;
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TryFrom<String> for ImageDigest {
    type Error = InvalidImage;

    fn try_from(text: String) -> Result<Self, InvalidImage> {
        text.parse()
    }
}

impl From<ImageDigest> for String {
    fn from(digest: ImageDigest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, expect) in [
            ("host", "host"),
            ("python:3.12", "docker.io/library/python:3.12"),
            ("python", "docker.io/library/python:latest"),
            ("lab/train", "docker.io/lab/train:latest"),
            ("ghcr.io/lab/train:v1", "ghcr.io/lab/train:v1"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("GHCR.io/lab/train:V1", "ghcr.io/lab/train:V1"),
            ("imported:mine@2", "imported:mine@2"),
        ] {
            let image: Image = text.parse().unwrap();
            assert_eq!(image.to_string(), expect);
            assert_eq!(image.to_string().parse::<Image>(), Ok(image), "{text}");
        }
        let pinned = format!("r.example/x@{digest}");
        assert_eq!(pinned.parse::<Image>().unwrap().to_string(), pinned);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = "a".repeat(MAX_REFERENCE_BYTES + 1);
        for bad in [
            "",
            "/",
            "Python",
            "python:",
            "python:a b",
            "a//b",
            "../x",
            "a/../b",
            "-x.example/a",
            "x.example:99999/a",
            "python@sha256:12",
            "python@md5:00",
            "imported:a/b",
            "a\u{1b}[0m",
            &long,
        ] {
            assert!(bad.parse::<Image>().is_err(), "{bad}");
        }
    }
}
