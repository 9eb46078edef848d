//! What an attempt needs before it can be launched: its folders, its data, its plan.

use std::{collections::BTreeMap, os::fd::OwnedFd, path::Path, sync::Arc};

use agent_core::{
    attempt::Step,
    cache_plan::Item,
    sandbox_plan::{
        DiskBound, Folders, GpuFiles, Host, ImageRoot, PlanInput, SandboxPlan, folders_to_list,
        plan,
    },
};
use common::{
    id::{AttemptId, TreeId},
    job::Outcome,
    problem::Problem,
    status::EndReason,
    units::Bytes,
    wire::agent::MountedTree,
};
use link::{
    files::create_private_dir,
    trees::{io_problem, on_disk},
};
use tokio::sync::watch;

use super::{Work, image, lazy, network, never_ran, params, secrets};
use crate::{
    images,
    lazy::PinnedLazy,
    machine::Machine,
    rooms::Furnished,
    scrap,
    scratch::{IMAGE, MOUNTED},
    supervise::{Given, Staying},
    transfer::{Pinned, PinnedImage, copy_into, output_path},
};

/// What did not work, where the attempt's folders cannot be made.
const UNMADE: &str = "the attempt's folders cannot be made";
/// What owners read of a job's own folder.
const WORK_FOLDER: &str = "(work folder)";
/// And of what an earlier attempt left.
const CHECKPOINT: &str = "(checkpoint)";

/// A sandbox that can be launched.
pub(super) struct Prepared {
    pub(super) plan: SandboxPlan,
    /// For the attempt's supervisor: its own disk and its job's secrets, where it has such.
    pub(super) given: Given,
    /// One that may have the sandbox of another task of the job.
    pub(super) supervisor: Option<Staying>,
    /// Held until the end.
    pub(super) pins: Pins,
}

/// What has to stay in the cache for as long as this is held.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    trees: Vec<Pinned>,
    lazy: Vec<PinnedLazy>,
    image: Option<PinnedImage>,
}

/// Makes everything ready.
///
/// # Errors
/// How the attempt ended instead.
pub(super) async fn prepare(
    work: &Work,
    written: watch::Receiver<bool>,
) -> Result<Prepared, Box<Outcome>> {
    let gpus = work.machine.gpus.ready(&work.spec.allocation).await;
    let gpus = gpus.map_err(|why| {
        tracing::warn!(attempt = %work.attempt, why, "an attempt's GPUs cannot be used");
        never_ran(EndReason::RefusedByMachine, &why)
    })?;
    match make_ready(work, gpus, written).await {
        Ok(prepared) => Ok(prepared),
        Err(problem) => {
            tracing::warn!(attempt = %work.attempt, %problem, "an attempt could not be prepared");
            let detail = format!("{}: {}", problem.what, problem.why);
            Err(never_ran(EndReason::PrepareFailed, &detail))
        }
    }
}

async fn make_ready(
    work: &Work,
    gpus: BTreeMap<String, GpuFiles>,
    mut written: watch::Receiver<bool>,
) -> Result<Prepared, Problem> {
    let spec = &work.spec;
    let cache = &work.machine.cache;
    let has = |tree| cache.has(Item::Tree(tree));
    let ready = |dataset: &MountedTree| match lazy::device(work, dataset) {
        Some(_) => work.machine.lazy.kept(dataset.tree).is_some(),
        None => has(dataset.tree),
    };
    let image_there = image::item(&spec.image).is_none_or(|item| cache.has(item));
    let sent = [spec.workdir, spec.params, spec.restore];
    let sent_there = sent.into_iter().flatten().all(has);
    if !(image_there && sent_there && spec.datasets.iter().all(ready)) {
        // A machine that comes back without what it said to prepare has lost it.
        if written.wait_for(|written| *written).await.is_ok() {
            work.happened(Step::Prepare).await;
        }
    }
    let workdir = match spec.workdir {
        Some(tree) => Some(fetch(work, tree, WORK_FOLDER).await?),
        None => None,
    };
    let restored = match spec.restore {
        Some(tree) => Some(fetch(work, tree, CHECKPOINT).await?),
        None => None,
    };
    let mut pins = Pins::default();
    let mut datasets = Vec::new();
    for dataset in &spec.datasets {
        datasets.push(match lazy::device(work, dataset) {
            Some(device) => {
                let pinned = lazy::describe(work, dataset.tree).await?;
                let folder = lazy::folder(work, dataset, device, &pinned);
                pins.lazy.push(pinned);
                folder
            }
            None => {
                let pinned = fetch(work, dataset.tree, &dataset.name).await?;
                let folder = pinned.path().to_owned();
                pins.trees.push(pinned);
                folder.into()
            }
        });
    }
    let image = image::fetch(work).await?;
    let filled = params::fetch(work).await?;
    let folder = work.machine.folder.attempt(work.attempt);
    let (place, machine) = (folder.clone(), Arc::clone(&work.machine));
    let (attempt, size) = (work.attempt, spec.allocation.disk);
    let outputs = spec.outputs.clone();
    let shares = may_share(work);
    let made = on_disk(move || {
        make_anew(&place)?;
        let room = if shares {
            follow(&machine, attempt, &place)
        } else {
            None
        };
        let (disk, room) = match room {
            Some(mut room) => (room.disk.take(), Some(room)),
            None => {
                let disk = own_disk(&machine, attempt, size);
                make_folders(&machine.files_of(attempt))?;
                (disk, None)
            }
        };
        let files = machine.files_of(attempt);
        workdir.map_or(Ok(()), |sent| {
            copy_into(&sent, &files.join("work"), None, &[])
        })?;
        restored.map_or(Ok(()), |left| restore(&left, &files, &outputs))?;
        Ok((disk, room))
    });
    let (disk, room) = made.await?;
    let files = match &disk {
        Some(_) => folder.join(MOUNTED),
        None => folder,
    };
    let folders = Folders {
        work: files.join("work"),
        output: files.join("output"),
        datasets,
    };
    let rules = network::rules(work).await;
    let host = Host {
        gpus,
        ..work.machine.host.clone()
    };
    let input = PlanInput {
        attempt: work.attempt,
        spec,
        machine: &work.machine.registration.name,
        host: &host,
        image: None,
        folders: &folders,
        rules: &rules,
        params: filled.as_ref(),
    };
    let root = match &image {
        None => None,
        Some(image) => Some(list(image, &input).await?),
    };
    let image_root = root.as_ref();
    let mut plan = plan(&PlanInput {
        image: image_root,
        ..input
    });
    plan.lease = Some(work.machine.folder.lease());
    pins.image = image;
    if shares && plan.could_be_shared() {
        plan.share(
            room.as_ref()
                .map_or(work.attempt, |room| room.sandbox.first),
        );
    }
    if disk.is_some() {
        plan.disk = DiskBound::Own;
    }
    // Last of all, so that the job gets them as they are when it starts.
    let given = Given {
        disk,
        network: None,
        secrets: secrets::fetch(work).await?,
    };
    let supervisor = room.map(|room| {
        // The attempt holds the same by now.
        drop(room.sandbox.pins);
        room.sandbox.supervisor
    });
    Ok(Prepared {
        plan,
        given,
        supervisor,
        pins,
    })
}

/// Returns whether the attempt may have a sandbox with others of its job. What is in memory of secrets goes with the
/// process that had them, and what is to be kept of the work folder has to stay until it is sent.
fn may_share(work: &Work) -> bool {
    let spec = &work.spec;
    spec.shares && spec.secrets.is_empty() && spec.outputs.is_empty()
}

/// Moves into the sandbox of another task of the job, where one is vacant.
fn follow(machine: &Machine, attempt: AttemptId, folder: &Path) -> Option<Furnished> {
    let room = machine.rooms.take(attempt.job)?;
    let furnished = machine.rooms.furnish(room, attempt, folder);
    furnished
        .inspect_err(|error| tracing::debug!(%attempt, %error, "a sandbox is not used again"))
        .ok()
}

/// Looks at what the image has in the folders that it shares with the sandbox's own things.
async fn list(image: &PinnedImage, input: &PlanInput<'_>) -> Result<ImageRoot, Problem> {
    let shared = folders_to_list(input);
    let (root, env) = (image.root(), image.about().env.clone());
    on_disk(move || images::image_root(&root, env, &shared)).await
}

/// Gives the attempt a disk of its own, where the machine has such; returns it for the supervisor. Where one cannot
/// be had just now, what the attempt takes is counted.
fn own_disk(machine: &Machine, attempt: AttemptId, size: Bytes) -> Option<OwnedFd> {
    let disks = machine.disks.as_ref()?;
    let folder = machine.folder.attempt(attempt);
    let take = || {
        let disk = disks.take(size)?.moved(&folder.join(IMAGE))?;
        create_private_dir(&folder.join(MOUNTED))?;
        let mounted = disk.mount_again()?;
        disks.hold(attempt, disk);
        std::io::Result::Ok(mounted)
    };
    take()
        .inspect_err(|error| tracing::warn!(%attempt, %error, "an attempt has no disk of its own"))
        .ok()
}

/// Reaches the disk of an attempt that an earlier daemon launched, where it has one.
pub(super) async fn reach_disk(work: &Work) {
    let Some(disks) = work.machine.disks.clone() else {
        return;
    };
    let (attempt, folder) = (work.attempt, work.machine.folder.attempt(work.attempt));
    let reached = tokio::task::spawn_blocking(move || disks.adopt(attempt, &folder));
    if let Err(error) = reached.await.unwrap_or_else(|error| Err(error.into())) {
        tracing::warn!(%attempt, %error, "the files of an attempt cannot be reached");
    }
}

/// Makes the attempt's folder anew: whatever an interrupted try left there never ran.
fn make_anew(folder: &Path) -> Result<(), Problem> {
    let made = scrap::remove(folder).and_then(|()| create_private_dir(folder));
    made.map_err(|error| io_problem(UNMADE, &error))
}

/// Makes the folders of the attempt's files.
fn make_folders(folder: &Path) -> Result<(), Problem> {
    let failed = |error: std::io::Error| io_problem(UNMADE, &error);
    for name in ["work", "output"] {
        create_private_dir(&folder.join(name)).map_err(failed)?;
    }
    Ok(())
}

/// Gives the attempt what an earlier one left under `/output`. Files that it left elsewhere came to lie beside that; here
/// they would hide the newer ones of the same name.
fn restore(left: &Pinned, folder: &Path, outputs: &[String]) -> Result<(), Problem> {
    let elsewhere = outputs.iter().filter_map(|path| output_path(path).ok());
    let elsewhere: Vec<_> = elsewhere.collect();
    copy_into(left, &folder.join("output"), None, &elsewhere)
}

/// Fetches one tree, over as many connections as that takes.
pub(super) async fn fetch(work: &Work, tree: TreeId, name: &str) -> Result<Pinned, Problem> {
    let cache = &work.machine.cache;
    let fetched = over_uplink(work, |connection| async move {
        cache.fetch(&connection, tree, &()).await
    });
    let pinned = fetched.await?;
    let (cache, name) = (cache.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || cache.call(tree, &name));
    Ok(pinned)
}

/// Asks the coordinator for something, over as many connections as that takes.
pub(super) async fn over_uplink<T, F: Future<Output = Result<T, Problem>>>(
    work: &Work,
    ask: impl FnMut(quinn::Connection) -> F,
) -> Result<T, Problem> {
    let asked = work.uplink.clone().ask(ask).await;
    asked.inspect_err(
        |problem| tracing::info!(attempt = %work.attempt, %problem, "data cannot be had"),
    )
}

/// Keeps the datasets and the image of an attempt that runs already where they are.
pub(super) fn pin_again(work: &Work) -> Pins {
    let cache = &work.machine.cache;
    let trees = || work.spec.datasets.iter().map(|dataset| dataset.tree);
    let image = image::item(&work.spec.image);
    Pins {
        trees: trees().filter_map(|tree| cache.pin(tree)).collect(),
        lazy: trees()
            .filter_map(|tree| work.machine.lazy.pin(tree))
            .collect(),
        image: image.and_then(|item| cache.pin_image(item)),
    }
}
