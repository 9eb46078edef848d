//! What a job needs of the host to use a GPU: by the CDI file that the owner's toolkit wrote, or else the device
//! nodes that the driver makes and the libraries where the system has them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use agent_core::sandbox_plan::GpuFiles;

use super::{
    cdi,
    driver::Seen,
    libraries::{libraries, programs},
};

/// Where CDI files are; what a later folder says counts more.
const CDI_FOLDERS: [&str; 2] = ["etc/cdi", "var/run/cdi"];
/// Devices that every job with a GPU has besides the GPU's own, where they are there.
const COMMON_NODES: [&str; 3] = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"];

/// What tells one GPU's files from another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) uuid: String,
    pub(super) index: u32,
    pub(super) minor: Option<u32>,
}

impl Node {
    pub(super) fn of(seen: &Seen) -> Self {
        Self {
            uuid: seen.gpu.uuid.clone(),
            index: seen.index,
            minor: seen.minor,
        }
    }

    /// Returns the path of its device node inside a sandbox.
    pub(super) fn device(&self) -> Option<String> {
        self.minor.map(|minor| format!("/dev/nvidia{minor}"))
    }
}

/// Where things are looked for on the host.
#[derive(Debug, Clone)]
pub(super) struct Places {
    root: PathBuf,
    cdi: Vec<PathBuf>,
}

impl Places {
    /// Returns the usual places below `root`.
    pub(super) fn under(root: &Path) -> Self {
        let root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        Self {
            cdi: CDI_FOLDERS.map(|folder| root.join(folder)).to_vec(),
            root,
        }
    }

    /// Returns whether a file that is behind no link is in one of these folders of the host.
    pub(super) fn holds(&self, folders: &[&str], file: &Path) -> bool {
        let mut folders = folders.iter();
        folders.any(|folder| file.starts_with(self.real(folder)))
    }

    /// Returns where a path of the host is.
    pub(super) fn real(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Returns the files of each GPU, and which CDI files are not used and why.
    pub(super) fn files(&self, nodes: &[Node]) -> (BTreeMap<String, GpuFiles>, Vec<String>) {
        let found = cdi::read(&self.cdi, self);
        let mut all = BTreeMap::new();
        let mut common = None;
        for node in nodes {
            let by_cdi = found.of(node);
            let files = by_cdi.or_else(|| {
                let common = common.get_or_insert_with(|| self.common());
                self.plain(node, common)
            });
            all.extend(files.map(|files| (node.uuid.clone(), files)));
        }
        (all, found.refused)
    }

    /// Returns a GPU's own node together with what all have; `None` where its node is not known.
    fn plain(&self, node: &Node, common: &GpuFiles) -> Option<GpuFiles> {
        let path = node.device()?;
        let source = self.real(&path);
        let mut files = common.clone();
        files.nodes.insert(path, source);
        Some(files)
    }

    fn common(&self) -> GpuFiles {
        let nodes = COMMON_NODES.iter().filter_map(|name| {
            let path = format!("/dev/{name}");
            let source = self.real(&path);
            source.exists().then_some((path, source))
        });
        GpuFiles {
            nodes: nodes.collect(),
            libraries: libraries(self),
            programs: programs(self),
            env: BTreeMap::new(),
        }
    }
}
