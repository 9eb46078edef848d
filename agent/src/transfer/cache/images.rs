//! Unpacked images in the cache. `images/<name>/root/` is an image's root, `images/<name>/about.json` what is
//! known of it, its time when it was used last. An image gets its name once all of it is on the disk, so that
//! whatever has one is whole.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::SystemTime,
};

use agent_core::cache_plan::Item;
use common::{id::TreeId, image::ImageDigest, problem::Problem, time::Timestamp, units::Bytes};
use link::{
    files::{create_private_dir, write_atomic},
    trees::io_problem,
};
use serde::{Deserialize, Serialize};

use super::{
    Cache,
    held::{self, Pin},
    now, sealed,
    shelf::{Kept, Shelf, entries},
    timestamp,
};

const WHAT: &str = "the image cannot be cached";
const ABOUT: &str = "about.json";
const ROOT: &str = "root";
const PRIVATE: u32 = 0o600;
/// Longest description of an image; its environment is bounded where it is read.
const MAX_ABOUT_BYTES: u64 = 1 << 20;

/// What is known of an unpacked image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) bytes: Bytes,
    pub(crate) env: std::collections::BTreeMap<String, String>,
    /// Whether its registry wanted to know who asks: then everybody has to be let in by it anew.
    pub(crate) private: bool,
    /// What it was called by whoever brought it here.
    #[serde(default)]
    pub(crate) reference: String,
}

/// An unpacked image that stays in the cache for as long as this is held.
pub(crate) struct PinnedImage {
    pin: Pin,
    folder: PathBuf,
    about: About,
}

impl PinnedImage {
    /// Returns the folder with the image's files. Nothing may write to it.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join(ROOT)
    }

    pub(crate) fn about(&self) -> &About {
        &self.about
    }
}

impl fmt::Debug for PinnedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedImage({:?})", self.pin.item)
    }
}

/// Room for an image on its way, and a folder of its own; both are given back unless it arrives.
pub(crate) struct ImageRoom {
    pin: Pin,
    folder: PathBuf,
}

impl ImageRoom {
    /// Returns a folder for what is needed on the way.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder that the image is to be unpacked into.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join(ROOT)
    }

    /// Takes room up to `bytes`. Blocks.
    pub(crate) fn grow(&self, bytes: Bytes) -> Result<(), Problem> {
        self.pin.shared.take_room(self.pin.item, bytes)
    }

    /// Gives an image that was unpacked its name, once it is on the disk. Blocks.
    pub(crate) fn arrive(&self, about: About) -> Result<PinnedImage, Problem> {
        let failed = |error: io::Error| io_problem(WHAT, &error);
        let (shared, item) = (&self.pin.shared, self.pin.item);
        let json = serde_json::to_vec(&about).map_err(|error| failed(error.into()))?;
        write_atomic(&self.folder.join(ABOUT), &json, PRIVATE).map_err(failed)?;
        let last = shared.shelf.image(item);
        let placed = || {
            shared.shelf.sync()?;
            fs::rename(&self.folder, &last)?;
            File::open(shared.shelf.images())?.sync_all()
        };
        placed().map_err(failed)?;
        let arrival = Some(shared.next_number.fetch_add(1, Ordering::Relaxed));
        let mut state = shared.state();
        if let Some(held) = state.held.get_mut(&item) {
            (held.alone, held.arrival, held.last_used) = (about.bytes, arrival, now());
            held.pins += 1;
        }
        drop(state);
        let pin = Pin::of(shared, item);
        Ok(PinnedImage {
            pin,
            folder: last,
            about,
        })
    }
}

impl fmt::Debug for ImageRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageRoom({:?})", self.pin.item)
    }
}

impl Drop for ImageRoom {
    fn drop(&mut self) {
        match sealed::remove(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "what was left of an image cannot be removed");
            }
            _ => {}
        }
    }
}

impl Cache {
    /// Returns whether something is there as a whole.
    pub(crate) fn has(&self, item: Item) -> bool {
        let state = self.0.state();
        state.held.get(&item).is_some_and(|held| held.is_whole())
    }

    /// Pins an unpacked image if it is there.
    pub(crate) fn pin_image(&self, item: Item) -> Option<PinnedImage> {
        let pin = self.0.pin(item)?;
        let folder = self.0.shelf.image(item);
        let used =
            File::open(folder.join(ABOUT)).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = used {
            tracing::warn!(?item, %error, "an image's use is not noted");
        }
        let about = read_about(&folder)?;
        Some(PinnedImage { pin, folder, about })
    }

    /// Returns the images that are here as a whole, with what each is called and when it was used last. The one that
    /// was used last comes first. Blocks.
    pub(crate) fn images(&self) -> Vec<(Item, About, Timestamp)> {
        let whole = |(item, held): (&Item, &held::Held)| {
            let is_image = !matches!(item, Item::Tree(_)) && held.arrival.is_some();
            is_image.then_some((*item, held.last_used))
        };
        let there: Vec<_> = self.0.state().held.iter().filter_map(whole).collect();
        let known = |(item, used)| Some((item, read_about(&self.0.shelf.image(item))?, used));
        let mut images: Vec<_> = there.into_iter().filter_map(known).collect();
        images.sort_by_key(|(item, _, used)| (std::cmp::Reverse(*used), *item));
        images
    }

    /// Waits until nobody else fetches this image.
    pub(crate) async fn image_turn(&self, item: Item) -> tokio::sync::OwnedMutexGuard<()> {
        self.0.turn(item).lock_owned().await
    }

    /// Takes room for an image that is about to come; whoever asks has its turn. Blocks.
    pub(crate) fn image_room(&self, item: Item, bytes: Bytes) -> Result<ImageRoom, Problem> {
        let shared = &self.0;
        let pin = shared.reserve(item, bytes)?;
        let number = shared.next_number.fetch_add(1, Ordering::Relaxed);
        let folder = shared
            .shelf
            .root()
            .join("temps")
            .join(format!("image-{number}"));
        let made = create_private_dir(&folder);
        made.map_err(|error| io_problem(WHAT, &error))?;
        Ok(ImageRoom { pin, folder })
    }
}

impl Shelf {
    fn images(&self) -> PathBuf {
        self.root().join("images")
    }

    pub(super) fn image(&self, item: Item) -> PathBuf {
        self.images().join(match item {
            Item::Image(digest) => digest.to_string().replace(':', "-"),
            Item::Imported(tree) | Item::Tree(tree) => format!("tree-{tree}"),
        })
    }

    /// Returns the images that earlier processes unpacked; what is none is removed.
    pub(super) fn whole_images(&self) -> io::Result<Vec<Kept>> {
        let mut found = Vec::new();
        for folder in entries(&self.images())? {
            let name = folder.file_name().and_then(|name| name.to_str());
            let item = name.and_then(item_called);
            match item.and_then(|item| Some((item, read_about(&folder)?))) {
                Some((item, about)) => {
                    let used = fs::metadata(folder.join(ABOUT)).and_then(|file| file.modified());
                    let last_used = timestamp(used.unwrap_or(SystemTime::UNIX_EPOCH));
                    found.push(Kept {
                        item,
                        alone: about.bytes,
                        shared: Vec::new(),
                        last_used,
                        whole: true,
                        name: String::new(),
                    });
                }
                None => sealed::remove(&folder)?,
            }
        }
        Ok(found)
    }

    /// Takes an image's name away. Returns the folder, to be removed.
    pub(super) fn take_out_image(&self, item: Item, number: u64) -> io::Result<PathBuf> {
        let gone = self.root().join("temps").join(format!("evicted-{number}"));
        fs::rename(self.image(item), &gone)?;
        Ok(gone)
    }
}

fn item_called(name: &str) -> Option<Item> {
    if let Some(tree) = name.strip_prefix("tree-") {
        return tree.parse::<TreeId>().ok().map(Item::Imported);
    }
    let digest = name.strip_prefix("sha256-")?;
    format!("sha256:{digest}")
        .parse::<ImageDigest>()
        .ok()
        .map(Item::Image)
}

pub(super) fn read_about(folder: &Path) -> Option<About> {
    let path = folder.join(ABOUT);
    let size = fs::metadata(&path).ok()?.len();
    let bytes = (size <= MAX_ABOUT_BYTES)
        .then(|| fs::read(&path).ok())
        .flatten()?;
    serde_json::from_slice(&bytes).ok()
}
