//! An image in a file, as `docker save`, `podman save` and `skopeo` write it: taken apart into the folder of an
//! OCI image layout, every digest checked. Works on the submitter's computer, for `image import`.

mod saved;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use common::{code::Code, image::ImageDigest, problem::Problem, units::Bytes};
use flate2::read::MultiGzDecoder;
use link::trees::io_problem;
use sha2::{Digest as _, Sha256};

use super::{
    bad_image,
    manifest::{
        Config, Descriptor, Document, Index, MANIFEST, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES,
    },
    packed::Zstd,
    tarball::{Item, Kind, each, unreadable},
};

/// Most entries of an archive of layers; two for each layer is usual.
const MAX_ENTRIES: usize = 10_000;
/// How deep an index may name another.
const MAX_NESTING: usize = 3;
/// Where blobs are.
pub(super) const BLOBS: &str = "blobs/sha256";
pub(super) const INDEX_FILE: &str = "index.json";
const LAYOUT_FILE: &str = "oci-layout";
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Where files lie until it is known what they are.
const PARTS: &str = "parts";

/// What was in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// What the archive calls the image, if anything: `lab/train:v1`.
    pub name: Option<String>,
    /// `linux/amd64`, sorted; never empty.
    pub platforms: Vec<String>,
    /// Size of the layout, which is what has to be sent.
    pub bytes: Bytes,
}

/// Takes the archive at `path` apart into the folder `into`, which must be empty or not there yet: a tar file
/// with an OCI image layout or from `docker save`, packed with gzip or zstd or not at all. Blocks.
///
/// # Errors
/// `bad_image` if it holds no image, several, or one with parts missing; `checksum_mismatch` if a part is not
/// what its name says; `io_error`, `disk_full`. `into` is to be thrown away then.
pub fn open_archive(path: &Path, into: &Path) -> Result<ArchiveSummary, Problem> {
    let what = format!("{} cannot be imported", path.display());
    opened(path, into).map_err(|problem| Problem { what, ..problem })
}

fn opened(path: &Path, into: &Path) -> Result<ArchiveSummary, Problem> {
    let failed = |error: io::Error| io_problem("", &error);
    let reader = unpacked(File::open(path).map_err(failed)?)?;
    fs::create_dir_all(into.join(BLOBS)).map_err(failed)?;
    fs::create_dir_all(into.join(PARTS)).map_err(failed)?;
    let mut found = Found {
        into: into.to_owned(),
        ..Found::default()
    };
    each(reader, MAX_ENTRIES, |item, content| {
        found.take(&item, content)
    })?;
    let roots = match (
        found.documents.remove(INDEX_FILE),
        found.documents.remove("manifest.json"),
    ) {
        (Some(index), _) => match Document::read(&index)? {
            Document::Index(index) => index.manifests,
            Document::Manifest(_) => return Err(bad_image("its index.json is no index")),
        },
        (None, Some(saved)) => saved::images(&mut found, &saved)?,
        (None, None) => {
            let why = "it is neither an OCI image layout nor from `docker save` (no index.json, no manifest.json)";
            return Err(
                bad_image(why).help("Make it with `docker save NAME -o FILE` or `podman save`.")
            );
        }
    };
    let summary = found.finish(&roots)?;
    fs::remove_dir_all(into.join(PARTS)).map_err(failed)?;
    Ok(summary)
}

/// Returns what is in a file that may be packed, by its first bytes.
fn unpacked(file: File) -> Result<Box<dyn Read>, Problem> {
    let mut reader = BufReader::new(file);
    let mut start = Vec::new();
    let failed = |error: io::Error| io_problem("", &error);
    Read::by_ref(&mut reader)
        .take(4)
        .read_to_end(&mut start)
        .map_err(failed)?;
    let reader = io::Cursor::new(start.clone()).chain(reader);
    Ok(match start.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(Zstd::new(BufReader::new(reader))),
        _ => Box::new(reader),
    })
}

/// What an archive has shown so far.
#[derive(Debug, Default)]
struct Found {
    into: PathBuf,
    /// Small files by name.
    documents: BTreeMap<String, Vec<u8>>,
    /// In [`BLOBS`], with their sizes.
    blobs: BTreeMap<ImageDigest, u64>,
    /// In [`PARTS`]: digest, size and number by name.
    parts: BTreeMap<String, Part>,
    /// Files that are the same as others.
    links: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    digest: ImageDigest,
    size: u64,
    number: usize,
}

impl Found {
    fn take(&mut self, item: &Item, content: &mut dyn Read) -> Result<(), Problem> {
        let Some(name) = plain_name(&item.path) else {
            return Err(bad_image(
                "it has a file whose name leads out of the archive",
            ));
        };
        match &item.kind {
            Kind::Folder | Kind::Special => Ok(()),
            Kind::Symlink(target) | Kind::HardLink(target) => {
                let target = String::from_utf8_lossy(target).into_owned();
                // `docker save` names a layer that was there before as `../ID/layer.tar`.
                let target = target.strip_prefix("../").unwrap_or(&target).to_owned();
                self.links.insert(name, target);
                Ok(())
            }
            Kind::File => self.take_file(name, content),
        }
    }

    fn take_file(&mut self, name: String, content: &mut dyn Read) -> Result<(), Problem> {
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            let named: ImageDigest = format!("sha256:{hex}")
                .parse()
                .map_err(|_| bad_image(format!("a file of it is called {name:?}")))?;
            let path = self.blob(named);
            let (digest, size) = copy(content, &path)?;
            if digest != named {
                return Err(damaged(named, digest));
            }
            self.blobs.insert(named, size);
        } else if [INDEX_FILE, "manifest.json"].contains(&&*name) {
            self.documents
                .insert(name, read_small(content, MAX_MANIFEST_BYTES)?);
        } else if name.ends_with(".tar") || name.ends_with(".json") {
            let number = self.parts.len();
            let (digest, size) = copy(content, &self.part(number))?;
            self.parts.insert(
                name,
                Part {
                    digest,
                    size,
                    number,
                },
            );
        }
        Ok(())
    }

    fn blob(&self, digest: ImageDigest) -> PathBuf {
        blob_in(&self.into, digest)
    }

    fn part(&self, number: usize) -> PathBuf {
        self.into.join(PARTS).join(number.to_string())
    }

    /// Leaves the layout of the images that `roots` lead to, with nothing else in it.
    fn finish(&self, roots: &[Descriptor]) -> Result<ArchiveSummary, Problem> {
        let mut images = Vec::new();
        for root in roots {
            self.collect(root, 0, &mut images)?;
        }
        let [first, ..] = images.as_slice() else {
            return Err(bad_image("no image in it is complete"));
        };
        let named = |image: &Image| {
            let keys = [
                "io.containerd.image.name",
                "org.opencontainers.image.ref.name",
            ];
            keys.iter()
                .find_map(|key| image.root.annotations.get(*key))
                .cloned()
        };
        let name = named(first);
        let platforms: BTreeSet<String> = images.iter().map(Image::platform).collect();
        if platforms.len() != images.len() {
            let names: BTreeSet<String> = images.iter().filter_map(named).collect();
            let names: Vec<String> = names.into_iter().collect();
            let why = format!("it holds {} images {}", images.len(), names.join(", "));
            return Err(bad_image(why.trim_end()).help("Save one image at a time."));
        }
        let kept: BTreeMap<ImageDigest, u64> = images
            .iter()
            .flat_map(|image| image.blobs.iter().copied())
            .collect();
        let failed = |error: io::Error| io_problem("", &error);
        for digest in self
            .blobs
            .keys()
            .filter(|digest| !kept.contains_key(digest))
        {
            fs::remove_file(self.blob(*digest)).map_err(failed)?;
        }
        let index = Index::of(images.iter().map(|image| image.entry.clone()).collect());
        let index = to_json(&index)?;
        fs::write(self.into.join(INDEX_FILE), &index).map_err(failed)?;
        fs::write(self.into.join(LAYOUT_FILE), LAYOUT).map_err(failed)?;
        let bytes = kept.values().sum::<u64>() + index.len() as u64 + LAYOUT.len() as u64;
        Ok(ArchiveSummary {
            name,
            platforms: platforms.into_iter().collect(),
            bytes: Bytes(bytes),
        })
    }

    /// Adds every image that `root` leads to and that is here as a whole.
    fn collect(
        &self,
        root: &Descriptor,
        depth: usize,
        images: &mut Vec<Image>,
    ) -> Result<(), Problem> {
        if !self.has(root) || depth == MAX_NESTING {
            return Ok(());
        }
        match Document::read(&self.read(root.digest, MAX_MANIFEST_BYTES)?)? {
            Document::Index(index) => {
                for entry in &index.manifests {
                    let first = images.len();
                    self.collect(entry, depth + 1, images)?;
                    for image in &mut images[first..] {
                        image.root = root.clone();
                    }
                }
                Ok(())
            }
            Document::Manifest(manifest) => {
                // What only describes an image has no layers that are archives.
                let whole = self.has(&manifest.config)
                    && manifest
                        .layers
                        .iter()
                        .all(|layer| self.has(layer) && layer.packing().is_ok());
                let described = root.annotations.contains_key("vnd.docker.reference.type");
                if whole && !described {
                    let config =
                        Config::read(&self.read(manifest.config.digest, MAX_CONFIG_BYTES)?)?;
                    let mut entry = Descriptor::of(MANIFEST, root.digest, root.size);
                    entry.platform = Some(config.platform());
                    let parts = [root, &manifest.config].into_iter().chain(&manifest.layers);
                    let blobs = parts.map(|part| (part.digest, part.size)).collect();
                    images.push(Image {
                        root: root.clone(),
                        entry,
                        blobs,
                    });
                }
                Ok(())
            }
        }
    }

    fn has(&self, wanted: &Descriptor) -> bool {
        self.blobs.get(&wanted.digest) == Some(&wanted.size)
    }

    fn read(&self, digest: ImageDigest, most: u64) -> Result<Vec<u8>, Problem> {
        let file = File::open(self.blob(digest)).map_err(|error| io_problem("", &error))?;
        read_small(&mut BufReader::new(file), most)
    }
}

/// An image that is here as a whole.
struct Image {
    /// What in the archive's own index leads to it.
    root: Descriptor,
    entry: Descriptor,
    blobs: Vec<(ImageDigest, u64)>,
}

impl Image {
    fn platform(&self) -> String {
        self.entry
            .platform
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

/// Returns where a layout in `folder` has a blob.
pub(super) fn blob_in(folder: &Path, digest: ImageDigest) -> PathBuf {
    let text = digest.to_string();
    folder.join(BLOBS).join(text.trim_start_matches("sha256:"))
}

fn plain_name(path: &[u8]) -> Option<String> {
    let text = str::from_utf8(path).ok()?;
    let parts = text.split('/').filter(|part| !["", "."].contains(part));
    let parts: Vec<&str> = parts.collect();
    (!parts.contains(&"..") && !text.starts_with('/')).then(|| parts.join("/"))
}

fn read_small(content: &mut dyn Read, most: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    content
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > most {
        return Err(bad_image(format!(
            "its description is longer than {most} bytes"
        )));
    }
    Ok(bytes)
}

/// Writes a new file; returns its digest and size.
fn copy(content: &mut dyn Read, to: &Path) -> Result<(ImageDigest, u64), Problem> {
    let mut file = File::create(to).map_err(|error| io_problem("", &error))?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = content
            .read(&mut buffer)
            .map_err(|error| unreadable(&error))?;
        if count == 0 {
            return Ok((ImageDigest(hash.finalize().into()), size));
        }
        hash.update(&buffer[..count]);
        file.write_all(&buffer[..count])
            .map_err(|error| io_problem("", &error))?;
        size += count as u64;
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value)
        .map_err(|error| Problem::new(Code::Internal, super::WHAT, error.to_string()))
}

fn damaged(named: ImageDigest, is: ImageDigest) -> Problem {
    let why = format!("a part of it that is called {named} is {is}");
    Problem::new(Code::Checksum, super::WHAT, why).help("Make the archive anew.")
}

#[cfg(test)]
mod tests;
