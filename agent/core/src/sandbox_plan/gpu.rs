//! What a job needs of the host to use the GPUs that it was granted: their nodes, the driver's libraries and
//! programs, and what the environment says about them. Nothing of any other GPU.

use std::{collections::BTreeMap, path::PathBuf};

use common::wire::agent::AttemptImage;
use serde::{Deserialize, Serialize};

use super::{Access, Mount, PlanInput, mounts::bind};

/// Where the driver's own files are in a sandbox that is not made of the host's `/usr`. No image has it.
pub const GPU_FOLDER: &str = "/.nvidia";

/// What there is on the host for one GPU. What several of them share is named with each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuFiles {
    /// Device nodes on the host, by their path inside.
    pub nodes: BTreeMap<String, PathBuf>,
    /// The driver's libraries, by the name that programs load.
    pub libraries: BTreeMap<String, PathBuf>,
    /// The driver's programs, by name.
    pub programs: BTreeMap<String, PathBuf>,
    pub env: BTreeMap<String, String>,
}

/// Returns the files of every granted GPU, together.
fn granted(input: &PlanInput<'_>) -> GpuFiles {
    let mut all = GpuFiles::default();
    for gpu in &input.spec.allocation.gpus {
        let Some(files) = input.host.gpus.get(gpu) else {
            continue;
        };
        let GpuFiles {
            nodes,
            libraries,
            programs,
            env,
        } = files.clone();
        all.nodes.extend(nodes);
        all.libraries.extend(libraries);
        all.programs.extend(programs);
        all.env.extend(env);
    }
    // With the host's own programs come those below its folders, at the place where they are looked for.
    let host = input.spec.image == AttemptImage::Host;
    let missing = |source: &PathBuf| {
        let below = |top: &str| source.starts_with(format!("/{top}"));
        !(host && (below("usr") || input.host.top.keys().any(|top| below(top))))
    };
    all.libraries.retain(|_, source| missing(source));
    all.programs.retain(|_, source| missing(source));
    all
}

pub(super) fn gpu_mounts(input: &PlanInput<'_>) -> Vec<Mount> {
    let files = granted(input);
    // A node that is gone is a GPU that fell off the bus: the sandbox is not made without it.
    let nodes = files.nodes.iter();
    let nodes = nodes.map(|(target, source)| bind(target, source, Access::Device, false));
    let folder = |name: &'static str, files: &BTreeMap<String, PathBuf>| -> Vec<Mount> {
        files
            .iter()
            .map(|(file, source)| {
                let target = format!("{GPU_FOLDER}/{name}/{file}");
                bind(&target, source, Access::ReadOnly, false)
            })
            .collect()
    };
    nodes
        .chain(folder("lib", &files.libraries))
        .chain(folder("bin", &files.programs))
        .collect()
}

/// Adds what a job with GPUs is told beside what it says itself. Caches that programs make by themselves belong
/// to nobody's results.
pub(super) fn gpu_defaults(input: &PlanInput<'_>, env: &mut BTreeMap<String, String>) {
    if input.spec.allocation.gpus.is_empty() {
        return;
    }
    env.extend(granted(input).env);
    for (name, folder) in [
        ("CUDA_CACHE_PATH", "/tmp/.cache/cuda"),
        ("TRITON_CACHE_DIR", "/tmp/.cache/triton"),
        ("TORCHINDUCTOR_CACHE_DIR", "/tmp/.cache/inductor"),
        ("XDG_CACHE_HOME", "/tmp/.cache"),
    ] {
        env.insert(name.to_owned(), folder.to_owned());
    }
}

/// Adds what a job cannot change: which GPUs it sees, and where the driver's files are.
pub(super) fn gpu_fixed(input: &PlanInput<'_>, env: &mut BTreeMap<String, String>) {
    let gpus = input.spec.allocation.gpus.join(",");
    let visible = if gpus.is_empty() { "void" } else { &gpus };
    env.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), visible.to_owned());
    let files = granted(input);
    if !files.libraries.is_empty() {
        let folder = format!("{GPU_FOLDER}/lib");
        put_first(env, "LD_LIBRARY_PATH", folder);
    }
    if !files.programs.is_empty() {
        let path = env.entry("PATH".to_owned()).or_default();
        *path = format!("{path}:{GPU_FOLDER}/bin");
    }
    env.insert("CUDA_VISIBLE_DEVICES".to_owned(), gpus);
}

fn put_first(env: &mut BTreeMap<String, String>, name: &str, folder: String) {
    let text = match env.get(name).filter(|text| !text.is_empty()) {
        Some(rest) => format!("{folder}:{rest}"),
        None => folder,
    };
    env.insert(name.to_owned(), text);
}
