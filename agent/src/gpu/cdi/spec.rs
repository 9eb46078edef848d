//! What is in a CDI file, and what of it is taken.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use agent_core::sandbox_plan::GpuFiles;
use serde::Deserialize;

use super::{Refused, is_gpu};
use crate::gpu::{files::Places, libraries::trusted};

/// The kind of device that is a GPU. Files about others say nothing to us.
const KIND: &str = "nvidia.com/gpu";
/// Most devices of a file, and entries of one kind with a device.
const MAX_DEVICES: usize = 512;
const MAX_ENTRIES: usize = 512;
/// Nodes that are a GPU's besides its own number's. What moves the picture on its owner's screen is left out.
const NODES: [&str; 3] = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"];
const NODE_BEGINNINGS: [&str; 2] = ["/dev/nvidia-caps/", "/dev/dri/renderD"];
const LEFT_OUT_NODES: [&str; 3] = ["/dev/nvidia-modeset", "/dev/dri/card", "/dev/nvidia-fs"];
/// Where files for programs may come from. Nothing else of the host is mounted because such a file says so.
const SOURCES: [&str; 6] = ["/usr/", "/lib/", "/lib64/", "/opt/", "/etc/", "/bin/"];
/// Where links to them may end.
const BEHIND: [&str; 5] = ["/usr", "/lib", "/lib64", "/opt", "/bin"];
/// What toolkits name, too, and no job gets: sockets of the host's daemons, and firmware.
const LEFT_OUT: [&str; 3] = ["/run/", "/var/run/", "/lib/firmware/"];
/// What variables that are taken begin with.
const VARIABLES: [&str; 2] = ["NVIDIA_", "CUDA_"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: String,
    #[serde(default)]
    container_edits: Edits,
}

/// Hooks are not even read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Edits {
    env: Vec<String>,
    device_nodes: Vec<DeviceNode>,
    mounts: Vec<Bound>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeviceNode {
    path: String,
    #[serde(default)]
    host_path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bound {
    host_path: String,
}

impl Spec {
    /// Returns what each device needs, what the file says of all of them included.
    pub(super) fn devices(self, places: &Places) -> Result<BTreeMap<String, GpuFiles>, Refused> {
        if self.kind != KIND {
            return Ok(BTreeMap::new());
        }
        if self.devices.len() > MAX_DEVICES {
            return Err(Refused::TooMany);
        }
        let common = self.container_edits.files(places)?;
        if let Some(path) = common.nodes.keys().find(|path| is_gpu(path)) {
            return Err(Refused::Everybodys(path.clone()));
        }
        let mut all = BTreeMap::new();
        for device in self.devices {
            let mut files = device.container_edits.files(places)?;
            files.nodes.extend(common.nodes.clone());
            files.libraries.extend(common.libraries.clone());
            files.programs.extend(common.programs.clone());
            for (name, value) in &common.env {
                files.env.entry(name.clone()).or_insert(value.clone());
            }
            all.insert(device.name, files);
        }
        Ok(all)
    }
}

impl Edits {
    fn files(self, places: &Places) -> Result<GpuFiles, Refused> {
        let most = self.env.len().max(self.device_nodes.len());
        if most.max(self.mounts.len()) > MAX_ENTRIES {
            return Err(Refused::TooMany);
        }
        let mut files = GpuFiles::default();
        for node in self.device_nodes {
            let source = node.host_path.as_ref().unwrap_or(&node.path);
            let [inside, source] = [plain(&node.path)?, plain(source)?];
            let left_out = |path: &&str| LEFT_OUT_NODES.iter().any(|begin| path.starts_with(begin));
            if [inside, source].iter().any(left_out) {
                continue;
            }
            if let Some(odd) = [inside, source].into_iter().find(|path| !is_node(path)) {
                return Err(Refused::Place(odd.to_owned()));
            }
            files.nodes.insert(inside.to_owned(), places.real(source));
        }
        for mount in self.mounts {
            let source = plain(&mount.host_path)?;
            if LEFT_OUT.iter().any(|begin| source.starts_with(begin)) {
                continue;
            }
            if !SOURCES.iter().any(|begin| source.starts_with(begin)) {
                return Err(Refused::Place(source.to_owned()));
            }
            take(&mut files, places, &places.real(source));
        }
        for line in self.env {
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            let known = VARIABLES.iter().any(|begin| name.starts_with(begin));
            if known && !line.contains('\0') {
                files.env.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(files)
    }
}

/// Takes a library under every name that links beside it give it, or a program. What else a toolkit mounts is
/// for drawing on screens, and is left out.
fn take(files: &mut GpuFiles, places: &Places, source: &Path) {
    let name = source.file_name().and_then(|name| name.to_str());
    let there = |file: &PathBuf| places.holds(&BEHIND, file);
    let (Some(name), Some(file)) = (name, trusted(source).filter(there)) else {
        return;
    };
    if name.contains(".so.") || name.ends_with(".so") {
        for other in names_beside(source, &file) {
            files.libraries.insert(other, file.clone());
        }
        files.libraries.insert(name.to_owned(), file);
    } else if source
        .parent()
        .is_some_and(|folder| folder.ends_with("bin"))
    {
        files.programs.insert(name.to_owned(), file);
    }
}

/// Returns the links beside a library that lead to it: making them is what the hooks are for.
fn names_beside(source: &Path, file: &Path) -> Vec<String> {
    let stem = |name: &str| name.split(".so").next().map(str::to_owned);
    let name = source.file_name().and_then(|name| name.to_str());
    let own = name.and_then(stem);
    let entries = source.parent().map(std::fs::read_dir);
    let entries = entries.into_iter().flatten().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| stem(name) == own)
        .filter(|name| {
            let path: Option<PathBuf> = source.parent().map(|folder| folder.join(name));
            path.and_then(|path| path.canonicalize().ok()).as_deref() == Some(file)
        })
        .collect()
}

fn is_node(path: &str) -> bool {
    let below = |begin: &&str| {
        let rest = path.strip_prefix(*begin);
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
    };
    is_gpu(path) || NODES.contains(&path) || NODE_BEGINNINGS.iter().any(below)
}

/// Returns the path if it is absolute and leads nowhere but where it says.
fn plain(text: &str) -> Result<&str, Refused> {
    let path = Path::new(text);
    let mut parts = path.components();
    let plain = parts.next() == Some(Component::RootDir)
        && parts.all(|part| matches!(part, Component::Normal(_)))
        && !text.contains("//")
        && !text.contains("/./")
        && !text.ends_with('/')
        && !text.ends_with("/.")
        && !text.chars().any(char::is_control);
    if plain {
        Ok(text)
    } else {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
        Err(Refused::Path(shown))
    }
}
