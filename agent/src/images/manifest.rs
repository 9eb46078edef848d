//! The documents of an image: index, manifest, configuration; both families of media types, OCI's and Docker's.
//!
//! Reads what strangers wrote, within bounds; fetches and unpacks nothing.

use std::collections::BTreeMap;

use common::{code::Code, image::ImageDigest, problem::Problem};
use serde::{Deserialize, Serialize};

use super::bad_image;

/// Longest index or manifest.
pub(super) const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// Longest configuration.
pub(super) const MAX_CONFIG_BYTES: u64 = 8 << 20;
/// Most layers of an image.
pub(super) const MAX_LAYERS: usize = 256;
/// Most images that one index names.
const MAX_INDEXED: usize = 256;
/// Most bytes of an image's environment, names and values together.
const MAX_ENV_BYTES: usize = 128 << 10;

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const PLAIN_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What a registry is asked for, best first.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// A blob or manifest, as others name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: ImageDigest,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
}

/// One image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u32,
    media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// Images of several platforms under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    media_type: String,
    pub(super) manifests: Vec<Descriptor>,
}

/// Either of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Document {
    Index(Index),
    Manifest(Manifest),
}

/// What is used of an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<RunConfig>,
    #[serde(default)]
    rootfs: RootFs,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig {
    env: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<ImageDigest>,
}

/// How a layer is packed. What is inside is always a tar archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// What any document says of itself, as far as it does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    schema_version: Option<u32>,
    #[serde(default)]
    media_type: String,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads an index or manifest.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let kind: Kind = serde_json::from_slice(bytes)
            .map_err(|error| bad_image(format!("its manifest cannot be read: {error}")))?;
        if kind.schema_version != Some(2) {
            return Err(bad_image(
                "its manifest is of a version that is not known; images of Docker 1.9 and older have to be built anew",
            ));
        }
        let media_type = kind.media_type;
        match (kind.manifests, kind.config, kind.layers) {
            (Some(manifests), None, None) if ["", INDEX, DOCKER_INDEX].contains(&&*media_type) => {
                if manifests.len() > MAX_INDEXED {
                    return Err(bad_image(format!(
                        "its index names {} images; at most {MAX_INDEXED} are read",
                        manifests.len()
                    )));
                }
                Ok(Self::Index(Index::of(manifests)))
            }
            (None, Some(config), Some(layers))
                if ["", MANIFEST, DOCKER_MANIFEST].contains(&&*media_type) =>
            {
                if layers.len() > MAX_LAYERS {
                    return Err(bad_image(format!(
                        "it has {} layers; at most {MAX_LAYERS} are unpacked",
                        layers.len()
                    )));
                }
                Ok(Self::Manifest(Manifest {
                    media_type,
                    ..Manifest::of(config, layers)
                }))
            }
            _ => Err(bad_image("what the name leads to is no image")),
        }
    }
}

impl Index {
    pub(super) fn of(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests,
        }
    }

    /// Returns the image for an architecture, by Rust's name of it.
    ///
    /// # Errors
    /// There is none; the text says which there are.
    pub(super) fn image_for(&self, architecture: &str) -> Result<&Descriptor, Problem> {
        let wanted = image_architecture(architecture);
        let fits = |entry: &&Descriptor| {
            let platform = entry.platform.as_ref();
            platform
                .is_some_and(|platform| platform.os == "linux" && platform.architecture == wanted)
        };
        // Whoever builds for one platform alone need not name it.
        let nameless = |entry: &&Descriptor| entry.platform.is_none() && self.manifests.len() == 1;
        let mut entries = self.manifests.iter();
        entries
            .find(|entry| fits(entry) || nameless(entry))
            .ok_or_else(|| {
                let known = self
                    .manifests
                    .iter()
                    .filter_map(|entry| entry.platform.as_ref());
                let known = known.filter(|platform| platform.os != "unknown");
                let known: Vec<String> = known
                    .map(|platform| format!("{}/{}", platform.os, platform.architecture))
                    .collect();
                foreign(wanted, &known)
            })
    }
}

impl Manifest {
    pub(super) fn of(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config,
            layers,
        }
    }
}

impl Config {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(bytes)
            .map_err(|error| bad_image(format!("its configuration cannot be read: {error}")))
    }

    /// Refuses an image of another architecture than this one, by Rust's name of it.
    pub(super) fn must_run_on(&self, architecture: &str) -> Result<(), Problem> {
        let wanted = image_architecture(architecture);
        let linux = ["", "linux"].contains(&&*self.os);
        if linux && ["", wanted].contains(&&*self.architecture) {
            return Ok(());
        }
        Err(foreign(wanted, &[self.platform().to_string()]))
    }

    pub(super) fn platform(&self) -> Platform {
        let or = |text: &str, otherwise: &str| match text {
            "" => otherwise.to_owned(),
            text => text.to_owned(),
        };
        Platform {
            architecture: or(
                &self.architecture,
                image_architecture(std::env::consts::ARCH),
            ),
            os: or(&self.os, "linux"),
        }
    }

    /// Returns the environment that the image sets, without what is no variable.
    pub(super) fn env(&self) -> Result<BTreeMap<String, String>, Problem> {
        let listed = self.config.as_ref().and_then(|config| config.env.as_ref());
        let listed = listed.map_or(&[][..], Vec::as_slice);
        let total: usize = listed.iter().map(String::len).sum();
        if total > MAX_ENV_BYTES {
            return Err(bad_image(format!(
                "its environment has {total} bytes; at most {MAX_ENV_BYTES} are taken"
            )));
        }
        let pairs = listed.iter().filter_map(|pair| pair.split_once('='));
        let plain = pairs.filter(|(name, value)| {
            !name.is_empty() && !name.contains('\0') && !value.contains('\0')
        });
        Ok(plain
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// Returns the digests of the layers as they are unpacked.
    pub(super) fn unpacked_layers(&self) -> &[ImageDigest] {
        &self.rootfs.diff_ids
    }
}

impl Descriptor {
    pub(super) fn of(media_type: &str, digest: ImageDigest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Returns how a layer is packed.
    pub(super) fn packing(&self) -> Result<Packing, Problem> {
        let known = [
            "application/vnd.oci.image.layer.",
            "application/vnd.docker.image.rootfs.",
        ];
        let media_type = self.media_type.as_str();
        let packed = || media_type.rsplit_once("tar").map(|(_, packed)| packed);
        match known
            .iter()
            .any(|known| media_type.starts_with(known))
            .then(packed)
            .flatten()
        {
            Some("") => Ok(Packing::Plain),
            Some("+gzip" | ".gzip") => Ok(Packing::Gzip),
            Some("+zstd" | ".zstd") => Ok(Packing::Zstd),
            _ => Err(bad_image(format!(
                "it has a layer of a kind that is not known: {media_type:?}"
            ))),
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

fn foreign(wanted: &str, known: &[String]) -> Problem {
    let there = match known {
        [] => "nothing that says what it is for".to_owned(),
        known => known.join(", "),
    };
    let why = format!("the image is for {there}; this machine is linux/{wanted}");
    Problem::new(Code::BadImage, super::WHAT, why)
        .help("Ask for an image that is also built for this kind of machine.")
}

/// Returns what images call an architecture.
fn image_architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests;
