//! What a job may ask for, whoever submits it and wherever it would run.

use common::{
    image::Image,
    job::{
        InvalidMount, JobSpec, MAX_AFTER, MAX_ARGUMENTS, MAX_BACKOFF, MAX_CHECKPOINT_GRACE,
        MAX_COMMAND_BYTES, MAX_DATASETS, MAX_NODES, MAX_OUTPUTS, MAX_RETRIES, MAX_VARIABLES,
        check_mount_path,
    },
    label::MAX_WANTED_LABELS,
    resources::{GpuRequest, MAX_GPUS_PER_MACHINE, Request},
    secret::MAX_SECRETS_PER_JOB,
    status::EndReason,
    time::Span,
    tree::TreePath,
    units::{Bytes, MilliCpu},
};

use crate::rejection::InvalidJob;

/// Longest name of a job, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Least memory that a process can start in.
const LEAST_MEMORY: Bytes = Bytes::mib(1);
/// A thousand times the largest machines of today.
const MOST_BYTES: Bytes = Bytes(1 << 56);
const MOST_CPU: MilliCpu = MilliCpu(1_000_000_000);
/// Names beginning so are set by the agent.
const OWN_VARIABLES: &str = "COMPUTE_SHARE_";

pub(super) fn check(spec: &JobSpec) -> Result<(), InvalidJob> {
    check_name(&spec.name)?;
    check_command(spec)?;
    check_request(&spec.request)?;
    check_mounts(spec)?;
    check_outputs(&spec.outputs)?;
    check_image(spec)?;
    check_secrets(spec)?;
    if spec.max_runtime == Some(Span::default()) {
        return Err(InvalidJob::TooLittle {
            what: "no run time",
            least: "1ms",
        });
    }
    if spec.retries.max > MAX_RETRIES {
        return Err(InvalidJob::Retries {
            max: spec.retries.max,
            most: MAX_RETRIES,
        });
    }
    if let Some(backoff) = spec.retries.backoff.filter(|asked| *asked > MAX_BACKOFF) {
        return Err(InvalidJob::Backoff {
            backoff,
            most: MAX_BACKOFF,
        });
    }
    if let Some(checkpoint) = spec.checkpoint {
        let grace = checkpoint.grace;
        if grace == Span::default() || grace > MAX_CHECKPOINT_GRACE {
            return Err(InvalidJob::Checkpoint {
                grace,
                most: MAX_CHECKPOINT_GRACE,
            });
        }
    }
    bounded(
        "reasons to retry",
        spec.retries.on.len(),
        EndReason::ALL.len(),
    )?;
    bounded("jobs to wait for", spec.after.len(), MAX_AFTER)?;
    bounded("labels", spec.labels.len(), MAX_WANTED_LABELS)?;
    if let Some(array) = &spec.array {
        array.check()?;
    }
    // How many lines there are is not known here: a task that has none says so.
    if spec.params.is_some() && spec.array.is_none() {
        return Err(InvalidJob::ParamsWithoutArray);
    }
    check_nodes(spec)
}

fn check_nodes(spec: &JobSpec) -> Result<(), InvalidJob> {
    match spec.nodes {
        None | Some(1) => Ok(()),
        Some(nodes) if nodes == 0 || nodes > MAX_NODES => Err(InvalidJob::Nodes { nodes }),
        Some(_) if spec.array.is_some() => Err(InvalidJob::NodesOfArray),
        Some(_) if spec.retries.memory.is_some() => Err(InvalidJob::NodesGrow),
        Some(_) => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), InvalidJob> {
    if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(InvalidJob::Name {
            most: MAX_NAME_BYTES,
        });
    }
    Ok(())
}

fn check_command(spec: &JobSpec) -> Result<(), InvalidJob> {
    if spec.command.first().is_none_or(String::is_empty) {
        return Err(InvalidJob::NoCommand);
    }
    bounded("arguments", spec.command.len(), MAX_ARGUMENTS)?;
    bounded("variables", spec.env.len(), MAX_VARIABLES)?;
    let variables = spec.env.iter().flat_map(|(name, value)| [name, value]);
    let texts = || spec.command.iter().chain(variables.clone());
    let bytes = texts().map(String::len).sum();
    if bytes > MAX_COMMAND_BYTES {
        return Err(InvalidJob::TooLong {
            bytes,
            most: MAX_COMMAND_BYTES,
        });
    }
    if texts().any(|text| text.contains('\0')) {
        return Err(InvalidJob::Nul);
    }
    for name in spec.env.keys() {
        let why = if name.is_empty() {
            "it is empty"
        } else if name.contains('=') {
            "it holds '='"
        } else if name.starts_with(OWN_VARIABLES) {
            "names beginning with COMPUTE_SHARE_ are set by Compute Share itself"
        } else {
            continue;
        };
        return Err(InvalidJob::Variable {
            name: name.chars().take(80).collect(),
            why,
        });
    }
    Ok(())
}

fn check_secrets(spec: &JobSpec) -> Result<(), InvalidJob> {
    bounded("secrets", spec.secrets.len(), MAX_SECRETS_PER_JOB)?;
    for (place, secret) in spec.secrets.iter().enumerate() {
        let why = if spec.env.contains_key(secret.as_str()) {
            "it is a secret of the job, too"
        } else if spec.secrets[..place].contains(secret) {
            "two secrets of the job have it"
        } else {
            continue;
        };
        return Err(InvalidJob::Variable {
            name: secret.to_string(),
            why,
        });
    }
    Ok(())
}

/// A tag can mean another image tomorrow, and on another machine today.
fn check_image(spec: &JobSpec) -> Result<(), InvalidJob> {
    let reference = match &spec.image {
        Image::Registry(reference) => Some(reference),
        Image::Host | Image::Imported(_) => None,
    };
    match (&spec.registry_login, reference) {
        (_, Some(reference)) if reference.digest.is_none() => Err(InvalidJob::NotPinned {
            image: reference.to_string(),
        }),
        (Some(login), _) if !login.is_bounded() => Err(InvalidJob::LoginTooLong),
        (Some(_), None) => Err(InvalidJob::LoginWithoutRegistry),
        _ => Ok(()),
    }
}

fn check_request(request: &Request) -> Result<(), InvalidJob> {
    let too_little = |what, least| Err(InvalidJob::TooLittle { what, least });
    let too_much = |what| Err(InvalidJob::TooMuch { what });
    if request.cpu == MilliCpu::ZERO {
        return too_little("no processor", "0.001 CPUs");
    }
    if request.memory < LEAST_MEMORY {
        return too_little("too little memory", "1 MiB");
    }
    if request.cpu > MOST_CPU {
        return too_much("processors");
    }
    if request.memory > MOST_BYTES {
        return too_much("memory");
    }
    if request.disk > MOST_BYTES {
        return too_much("disk");
    }
    let gpus = request.gpu.as_ref().map_or(0, |gpu| gpu.count);
    if usize::try_from(gpus).is_ok_and(|gpus| gpus > MAX_GPUS_PER_MACHINE) {
        return too_much("GPUs");
    }
    let shared = request.gpu.as_ref().filter(|gpu| gpu.share);
    let enough = |gpu: &GpuRequest| gpu.memory.is_some_and(|memory| memory >= LEAST_MEMORY);
    if shared.is_some_and(|gpu| !enough(gpu)) {
        return too_little("a share of a GPU without its memory", "1 MiB");
    }
    if let Some(gpu) = &request.gpu {
        check_gpu_memory(gpu)?;
    }
    let model = request.gpu.as_ref().and_then(|gpu| gpu.model.as_deref());
    if model
        .is_some_and(|model| model.len() > MAX_NAME_BYTES || model.chars().any(char::is_control))
    {
        return Err(InvalidJob::Name {
            most: MAX_NAME_BYTES,
        });
    }
    Ok(())
}

fn check_gpu_memory(gpu: &GpuRequest) -> Result<(), InvalidJob> {
    match (gpu.memory, gpu.memory_most) {
        (_, Some(_)) if gpu.share => Err(InvalidJob::ShareRange),
        (Some(least), Some(most)) if most < least => Err(InvalidJob::GpuMemory { least, most }),
        _ => Ok(()),
    }
}

fn check_mounts(spec: &JobSpec) -> Result<(), InvalidJob> {
    check_count(spec.datasets.len() + spec.artifacts.len())?;
    let mut paths: Vec<String> = Vec::new();
    let datasets = spec.datasets.iter().map(|mount| &mount.path);
    for written in datasets.chain(spec.artifacts.iter().map(|mount| &mount.path)) {
        let path = written.trim_end_matches('/');
        check_mount_path(path).map_err(|source: InvalidMount| InvalidJob::Mount {
            path: written.chars().take(200).collect(),
            source,
        })?;
        paths.push(format!("{path}/"));
    }
    paths.sort();
    // Sorted, a path is directly before the first one inside it.
    match paths.windows(2).find(|two| two[1].starts_with(&two[0])) {
        None => Ok(()),
        Some(two) => Err(InvalidJob::MountTwice {
            path: two[1].trim_end_matches('/').to_owned(),
        }),
    }
}

/// Checks how much is mounted, each task of an array that is read counted.
pub(super) fn check_count(mounts: usize) -> Result<(), InvalidJob> {
    bounded("datasets", mounts, MAX_DATASETS)
}

fn check_outputs(outputs: &[String]) -> Result<(), InvalidJob> {
    bounded("outputs", outputs.len(), MAX_OUTPUTS)?;
    let bad = |path: &&String| path.trim_end_matches('/').parse::<TreePath>().is_err();
    match outputs.iter().find(bad) {
        None => Ok(()),
        Some(path) => Err(InvalidJob::Output {
            path: path.chars().take(200).collect(),
        }),
    }
}

fn bounded(what: &'static str, count: usize, most: usize) -> Result<(), InvalidJob> {
    if count > most {
        Err(InvalidJob::TooMany { what, count, most })
    } else {
        Ok(())
    }
}
