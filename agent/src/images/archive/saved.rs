//! The older form of `docker save`, which has no manifest: one is made for its configuration and its layers.

use std::fs;

use common::{image::ImageDigest, problem::Problem};
use link::trees::io_problem;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Found, Part, damaged, to_json};
use crate::images::{
    bad_image,
    manifest::{CONFIG, Config, Descriptor, MANIFEST, MAX_CONFIG_BYTES, Manifest, PLAIN_LAYER},
};

/// Most steps from one name of a file to the next.
const MAX_LINKS: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Returns the manifests of the saved images, which lie among the blobs now with all they name.
pub(super) fn images(found: &mut Found, saved: &[u8]) -> Result<Vec<Descriptor>, Problem> {
    let saved: Vec<Saved> = serde_json::from_slice(saved)
        .map_err(|error| bad_image(format!("its manifest.json cannot be read: {error}")))?;
    saved.iter().map(|image| found.adopt(image)).collect()
}

impl Found {
    fn adopt(&mut self, saved: &Saved) -> Result<Descriptor, Problem> {
        let config = self.adopt_part(&saved.config)?;
        let named = saved
            .config
            .strip_suffix(".json")
            .and_then(|hex| format!("sha256:{hex}").parse().ok());
        if let Some(named) = named.filter(|named: &ImageDigest| *named != config.digest) {
            return Err(damaged(named, config.digest));
        }
        let text = self.read(config.digest, MAX_CONFIG_BYTES)?;
        let expected = Config::read(&text)?.unpacked_layers().to_vec();
        if expected.len() != saved.layers.len() {
            let why = format!(
                "it lists {} layers but has {}",
                expected.len(),
                saved.layers.len()
            );
            return Err(bad_image(why));
        }
        let mut layers = Vec::new();
        for (name, expected) in saved.layers.iter().zip(expected) {
            let layer = self.adopt_part(name)?;
            if layer.digest != expected {
                return Err(damaged(expected, layer.digest));
            }
            layers.push(Descriptor::of(PLAIN_LAYER, layer.digest, layer.size));
        }
        let manifest = Manifest::of(Descriptor::of(CONFIG, config.digest, config.size), layers);
        let json = to_json(&manifest)?;
        let digest = ImageDigest(Sha256::digest(&json).into());
        fs::write(self.blob(digest), &json).map_err(|error| io_problem("", &error))?;
        self.blobs.insert(digest, json.len() as u64);
        let mut descriptor = Descriptor::of(MANIFEST, digest, json.len() as u64);
        if let Some(tag) = saved.repo_tags.as_ref().and_then(|tags| tags.first()) {
            let key = "io.containerd.image.name".to_owned();
            descriptor.annotations.insert(key, tag.clone());
        }
        Ok(descriptor)
    }

    /// Makes a blob of a file, whatever it is called.
    fn adopt_part(&mut self, name: &str) -> Result<Part, Problem> {
        let mut name = name;
        for _ in 0..MAX_LINKS {
            let Some(next) = self.links.get(name) else {
                break;
            };
            name = next;
        }
        let Some(part) = self.parts.get(name).copied() else {
            return Err(bad_image(format!("{name} is missing in it")));
        };
        if !self.blobs.contains_key(&part.digest) {
            let moved = fs::rename(self.part(part.number), self.blob(part.digest));
            moved.map_err(|error| io_problem("", &error))?;
            self.blobs.insert(part.digest, part.size);
        }
        Ok(part)
    }
}
