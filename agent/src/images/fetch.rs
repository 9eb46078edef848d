//! An image on its way into the agent's cache: fetched, checked, unpacked, and only then there.
//!
//! Whoever wants an image that another attempt fetches waits for it. What is cut off leaves nothing.

use std::{
    fs::{self, File},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use agent_core::cache_plan::Item;
use common::{
    code::Code,
    image::{ImageDigest, ImageRef},
    problem::Problem,
    seal::RegistryLogin,
    units::Bytes,
};
use link::trees::{io_problem, on_disk};
use sha2::{Digest as _, Sha256};

use super::{
    archive::{INDEX_FILE, blob_in},
    bad_image,
    beneath::{open_file, open_root},
    manifest::{
        Config, Descriptor, Document, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, Manifest, Packing,
    },
    packed,
    registry::{Reach, Registry},
    unpack::Unpacking,
};
use crate::transfer::{About, Cache, ImageRoom, Pinned, PinnedImage};

/// How deep an index may lead to another.
const MAX_NESTING: usize = 3;
/// Pieces of a blob are gathered up to this before they are written.
const PIECE_BYTES: usize = 1 << 20;

/// What is known of an image before its layers are looked at.
struct Plan {
    manifest: Manifest,
    config: Config,
}

/// A layer that lies on the disk, checked.
struct Layer {
    path: PathBuf,
    packing: Packing,
    size: u64,
}

/// Says that nobody waits any more, when it is dropped.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Returns a registry's image, fetched unless it is there.
///
/// # Errors
/// What the registry refuses; `bad_image`; `disk_full` if it does not fit beside what is in use.
pub(crate) async fn from_registry(
    cache: &Cache,
    reference: &ImageRef,
    login: Option<&RegistryLogin>,
    reach: &Reach,
) -> Result<PinnedImage, Problem> {
    let digest = reference.digest.ok_or_else(|| {
        let why = "it was not pinned to a digest";
        Problem::new(Code::BadRequest, super::WHAT, why)
    })?;
    let item = Item::Image(digest);
    let registry = Registry::new(reference, login, reach)?;
    let turn = cache.image_turn(item).await;
    if let Some(pinned) = cache.pin_image(item) {
        drop(turn);
        if pinned.about().private {
            registry.may_read(digest).await?;
        }
        return Ok(pinned);
    }
    let plan = describe(&registry, digest).await?;
    let compressed = plan.compressed()?;
    let taking = cache.clone();
    let room = on_disk(move || taking.image_room(item, compressed)).await?;
    let room = Arc::new(room);
    let mut layers = Vec::new();
    for (number, layer) in plan.manifest.layers.iter().enumerate() {
        let path = room.folder().join(format!("layer-{number}"));
        let packing = layer.packing()?;
        download(&registry, layer, &path).await?;
        layers.push(Layer {
            path,
            packing,
            size: layer.size,
        });
    }
    let private = login.is_some();
    let called = ImageRef {
        digest: None,
        ..reference.clone()
    };
    let called = called.to_string();
    unpack(room, layers, compressed, plan.config, private, called, None).await
}

/// Returns the image whose layout is the pinned tree, unpacked unless it is there.
///
/// # Errors
/// `bad_image`, `checksum_mismatch`; `disk_full` if it does not fit beside what is in use.
pub(crate) async fn from_tree(
    cache: &Cache,
    name: &str,
    tree: common::id::TreeId,
    layout: impl Future<Output = Result<Pinned, Problem>>,
) -> Result<PinnedImage, Problem> {
    let item = Item::Imported(tree);
    let _turn = cache.image_turn(item).await;
    if let Some(pinned) = cache.pin_image(item) {
        return Ok(pinned);
    }
    let layout = layout.await?;
    let folder = layout.path().to_owned();
    let taking = cache.clone();
    let (plan, layers, room) = on_disk(move || {
        let plan = read_layout(&folder)?;
        let layers = plan.manifest.layers.iter().map(|layer| {
            let path = blob_in(&folder, layer.digest);
            verify(&folder, layer)?;
            Ok(Layer {
                path,
                packing: layer.packing()?,
                size: layer.size,
            })
        });
        let layers: Vec<Layer> = layers.collect::<Result<_, Problem>>()?;
        Ok((plan, layers, taking.image_room(item, Bytes::ZERO)?))
    })
    .await?;
    unpack(
        Arc::new(room),
        layers,
        Bytes::ZERO,
        plan.config,
        false,
        format!("imported:{name}"),
        Some(layout),
    )
    .await
}

impl Plan {
    fn new(manifest: Manifest, config: &[u8]) -> Result<Self, Problem> {
        let config = Config::read(config)?;
        config.must_run_on(std::env::consts::ARCH)?;
        Ok(Self { manifest, config })
    }

    fn compressed(&self) -> Result<Bytes, Problem> {
        let sizes = self.manifest.layers.iter().map(|layer| layer.size);
        let total = sizes.into_iter().try_fold(0_u64, u64::checked_add);
        total
            .map(Bytes)
            .ok_or_else(|| bad_image("its layers are larger than any disk"))
    }
}

/// Fetches manifest and configuration of the image for this machine.
async fn describe(registry: &Registry, digest: ImageDigest) -> Result<Plan, Problem> {
    let mut digest = digest;
    for _ in 0..MAX_NESTING {
        let (_, bytes) = registry.manifest(Some(digest)).await?;
        match Document::read(&bytes)? {
            Document::Index(index) => {
                digest = index.image_for(std::env::consts::ARCH)?.digest;
            }
            Document::Manifest(manifest) => {
                bounded(&manifest.config, MAX_CONFIG_BYTES)?;
                let mut blob = registry.blob(&manifest.config).await?;
                let mut config = Vec::new();
                while let Some(piece) = blob.next().await? {
                    config.extend_from_slice(&piece);
                }
                return Plan::new(manifest, &config);
            }
        }
    }
    Err(bad_image("its indexes lead to each other"))
}

/// Writes a blob to a new file. It is whole and what its digest says, or this fails.
async fn download(registry: &Registry, wanted: &Descriptor, path: &Path) -> Result<(), Problem> {
    let mut blob = registry.blob(wanted).await?;
    let path = path.to_owned();
    let mut file = on_disk(move || File::create_new(path).map_err(|error| failed(&error))).await?;
    let mut gathered = Vec::with_capacity(PIECE_BYTES);
    loop {
        let piece = blob.next().await?;
        let last = piece.is_none();
        gathered.extend_from_slice(piece.as_deref().unwrap_or_default());
        if last || gathered.len() >= PIECE_BYTES {
            let bytes = std::mem::replace(&mut gathered, Vec::with_capacity(PIECE_BYTES));
            file = on_disk(move || {
                file.write_all(&bytes).map_err(|error| failed(&error))?;
                Ok(file)
            })
            .await?;
        }
        if last {
            return Ok(());
        }
    }
}

/// Unpacks layers that were checked, and gives the image its place. `_source` is what they lie in.
async fn unpack(
    room: Arc<ImageRoom>,
    layers: Vec<Layer>,
    compressed: Bytes,
    config: Config,
    private: bool,
    reference: String,
    source: Option<Pinned>,
) -> Result<PinnedImage, Problem> {
    let given_up = Arc::new(AtomicBool::new(false));
    let _waiting = Waiting(Arc::clone(&given_up));
    let own_layers = source.is_none();
    on_disk(move || {
        let root = room.root();
        fs::create_dir(&root).map_err(|error| failed(&error))?;
        let env = config.env()?;
        let mut take = |bytes: Bytes| room.grow(Bytes(compressed.0.saturating_add(bytes.0)));
        let mut unpacking = Unpacking::new(&root, &mut take, &given_up)?;
        for layer in &layers {
            let file = File::open(&layer.path).map_err(|error| failed(&error))?;
            unpacking.add(packed::layer(file, layer.packing, layer.size))?;
        }
        let bytes = unpacking.footprint();
        for layer in layers.iter().filter(|_| own_layers) {
            fs::remove_file(&layer.path).map_err(|error| failed(&error))?;
        }
        let pinned = room.arrive(About {
            bytes,
            env,
            private,
            reference,
        });
        drop(source);
        pinned
    })
    .await
}

/// Reads manifest and configuration of the image for this machine in the layout at `folder`.
fn read_layout(folder: &Path) -> Result<Plan, Problem> {
    let root = open_root(folder).map_err(|error| failed(&error))?;
    let index = open_file(&root, INDEX_FILE.as_bytes());
    let index = index.map_err(|_| bad_image("it has no index.json, so it is no image"))?;
    let mut document = Document::read(&read(index, MAX_MANIFEST_BYTES)?)?;
    for _ in 0..MAX_NESTING {
        match document {
            Document::Index(index) => {
                let next = index.image_for(std::env::consts::ARCH)?;
                document = Document::read(&checked(folder, next, MAX_MANIFEST_BYTES)?)?;
            }
            Document::Manifest(manifest) => {
                let config = checked(folder, &manifest.config, MAX_CONFIG_BYTES)?;
                return Plan::new(manifest, &config);
            }
        }
    }
    Err(bad_image("its indexes lead to each other"))
}

/// Returns a small blob of a layout, checked.
fn checked(folder: &Path, wanted: &Descriptor, most: u64) -> Result<Vec<u8>, Problem> {
    bounded(wanted, most)?;
    let bytes = read(open_blob(folder, wanted)?, most)?;
    let digest = ImageDigest(Sha256::digest(&bytes).into());
    if digest != wanted.digest || bytes.len() as u64 != wanted.size {
        return Err(other_bytes(wanted));
    }
    Ok(bytes)
}

/// Checks a blob of a layout without keeping it.
fn verify(folder: &Path, wanted: &Descriptor) -> Result<(), Problem> {
    let mut file = open_blob(folder, wanted)?;
    if file.metadata().map_err(|error| failed(&error))?.len() != wanted.size {
        return Err(other_bytes(wanted));
    }
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).map_err(|error| failed(&error))?;
    if ImageDigest(hash.finalize().into()) != wanted.digest {
        return Err(other_bytes(wanted));
    }
    Ok(())
}

fn open_blob(folder: &Path, wanted: &Descriptor) -> Result<File, Problem> {
    let root = open_root(folder).map_err(|error| failed(&error))?;
    let path = blob_in(Path::new(""), wanted.digest);
    open_file(&root, path.as_os_str().as_encoded_bytes()).map_err(|error| {
        bad_image(format!(
            "its part {} cannot be read: {error}",
            wanted.digest
        ))
    })
}

fn read(file: File, most: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > most {
        return Err(bad_image(format!(
            "its description is longer than {most} bytes"
        )));
    }
    Ok(bytes)
}

fn bounded(wanted: &Descriptor, most: u64) -> Result<(), Problem> {
    if wanted.size > most {
        let why = format!(
            "its description has {} bytes; at most {most} are read",
            wanted.size
        );
        return Err(bad_image(why));
    }
    Ok(())
}

fn other_bytes(wanted: &Descriptor) -> Problem {
    let why = format!("its part {} holds something else", wanted.digest);
    Problem::new(Code::Checksum, super::WHAT, why).help("Import the image again.")
}

fn failed(error: &io::Error) -> Problem {
    io_problem("the image cannot be cached", error)
}

#[cfg(test)]
mod tests;
