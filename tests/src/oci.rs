//! Images, made by the test itself: layers of any entries, also ones that no honest program writes.

use std::{fs, path::Path};

use serde_json::json;
use sha2::{Digest as _, Sha256};

const BLOCK: usize = 512;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// How a layer is packed by default: not at all.
const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

/// A tar archive that grows.
#[derive(Debug, Clone, Default)]
pub struct Layer(Vec<u8>);

impl Layer {
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(b'0', path, "", mode, content)
    }

    #[must_use]
    pub fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(b'5', path, "", mode, b"")
    }

    #[must_use]
    pub fn symlink(self, path: &str, to: &str) -> Self {
        self.entry(b'2', path, to, 0o777, b"")
    }

    #[must_use]
    pub fn hard_link(self, path: &str, to: &str) -> Self {
        self.entry(b'1', path, to, 0o644, b"")
    }

    /// Adds an entry of any kind; `path` and `link` as they are, up to 100 bytes.
    #[must_use]
    pub fn entry(self, kind: u8, path: &str, link: &str, mode: u32, content: &[u8]) -> Self {
        let size = content.len() as u64;
        self.claiming(size, kind, path, link, mode, content)
    }

    /// Adds an entry that says that it has `size` bytes.
    #[must_use]
    pub fn claiming(
        mut self,
        size: u64,
        kind: u8,
        path: &str,
        link: &str,
        mode: u32,
        content: &[u8],
    ) -> Self {
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, path.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{size:011o}").as_bytes());
        put(136, b"14000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// Returns the archive with its end.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }
}

/// A document or layer, and what it is called.
#[derive(Debug, Clone)]
pub struct Blob {
    pub media_type: String,
    pub digest: String,
    pub bytes: Vec<u8>,
}

impl Blob {
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        let digest = digest(&bytes);
        Self {
            media_type: media_type.to_owned(),
            digest,
            bytes,
        }
    }

    pub fn descriptor(&self) -> serde_json::Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// Returns the SHA-256 as images write it.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// An image or an index of images, with everything that it is made of.
#[derive(Debug, Clone)]
pub struct Image {
    pub manifest: Blob,
    /// Everything besides the manifest.
    pub blobs: Vec<Blob>,
    /// What an index leads to.
    pub members: Vec<Image>,
}

impl Image {
    /// Makes an image for this machine.
    pub fn of(layers: &[Layer], env: &[&str]) -> Self {
        let layers = layers
            .iter()
            .map(|layer| Blob::new(PLAIN, layer.bytes()))
            .collect();
        Self::packed(layers, env, architecture())
    }

    /// Makes an image of layers that are packed already.
    pub fn packed(layers: Vec<Blob>, env: &[&str], architecture: &str) -> Self {
        let ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": {"Env": env},
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        let config = Blob::new(CONFIG, config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        let manifest = Blob::new(MANIFEST, manifest.to_string().into_bytes());
        let blobs = std::iter::once(config).chain(layers).collect();
        Self {
            manifest,
            blobs,
            members: Vec::new(),
        }
    }

    /// Makes an index of images by architecture.
    pub fn index(members: &[(&str, Self)]) -> Self {
        let entries = members.iter().map(|(architecture, image)| {
            let mut entry = image.manifest.descriptor();
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entry
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries.collect::<Vec<_>>()});
        Self {
            manifest: Blob::new(INDEX, index.to_string().into_bytes()),
            blobs: Vec::new(),
            members: members.iter().map(|(_, image)| image.clone()).collect(),
        }
    }

    /// Returns every blob, manifests included, those of members first.
    pub fn everything(&self) -> Vec<&Blob> {
        let members = self.members.iter().flat_map(Self::everything);
        members.chain(&self.blobs).chain([&self.manifest]).collect()
    }

    /// Returns an OCI image layout in a tar archive.
    pub fn archive(&self) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "manifests": [self.manifest.descriptor()]});
        let layer = Layer::default()
            .file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)
            .file("index.json", 0o644, index.to_string().as_bytes());
        let add = |layer: Layer, blob: &&Blob| {
            layer.file(
                &format!("blobs/{}", blob.digest.replace(':', "/")),
                0o644,
                &blob.bytes,
            )
        };
        self.everything().iter().fold(layer, add).bytes()
    }

    /// Writes the layout as a folder.
    pub fn write_layout(&self, folder: &Path) {
        let index = json!({"schemaVersion": 2, "manifests": [self.manifest.descriptor()]});
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a temporary folder can be written");
        let write = |path: &Path, bytes: &[u8]| {
            fs::write(path, bytes).expect("a temporary folder can be written");
        };
        write(
            &folder.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        );
        write(&folder.join("index.json"), index.to_string().as_bytes());
        for blob in self.everything() {
            write(
                &blobs.join(blob.digest.trim_start_matches("sha256:")),
                &blob.bytes,
            );
        }
    }
}

/// Returns what images call the architecture of this machine.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Returns a layer with a shell and its tools in `/bin`: Debian's busybox, which needs nothing else.
///
/// # Panics
/// It is not installed.
pub fn shell_layer() -> Layer {
    let program = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find_map(|path| fs::read(path).ok());
    let program = program.expect("the Debian package busybox-static is installed");
    let tools = [
        "sh", "cat", "ls", "env", "echo", "id", "readlink", "test", "true", "sleep", "wc",
    ];
    let layer = Layer::default()
        .folder("bin/", 0o755)
        .file("bin/busybox", 0o755, &program);
    tools.iter().fold(layer, |layer, tool| {
        layer.symlink(&format!("bin/{tool}"), "busybox")
    })
}
