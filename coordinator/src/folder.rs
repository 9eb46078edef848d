//! What lies where in the data folder.

use std::path::{Path, PathBuf};

pub(crate) fn config(data: &Path) -> PathBuf {
    data.join("coordinator.toml")
}

/// The book.
pub(crate) fn store(data: &Path) -> PathBuf {
    data.join("store.redb")
}

/// The certificate authority's keys and certificates.
pub(crate) fn authority(data: &Path) -> PathBuf {
    data.join("authority")
}

/// Opens what members seal for the coordinator.
pub(crate) fn sealing_key(data: &Path) -> PathBuf {
    data.join("sealing-key.pem")
}

/// See [`crate::listen`].
pub(crate) fn reset_key(data: &Path) -> PathBuf {
    data.join("reset-key")
}

/// See [`crate::kept`].
pub(crate) fn kept(data: &Path) -> PathBuf {
    data.join("kept.json")
}

pub(crate) fn logs(data: &Path) -> PathBuf {
    data.join("logs")
}

/// Chunks and trees of datasets, work folders and artifacts.
pub(crate) fn blobs(data: &Path) -> PathBuf {
    data.join("blobs")
}
