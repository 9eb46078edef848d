//! Who may fetch or send which bytes.

use common::{
    code::Code,
    dataset::DatasetRef,
    id::{AttemptId, JobId, MachineId, OrgId, TreeId, UserId},
    image::Image,
    job::ArtifactsView,
    name::Name,
    problem::Problem,
    seal::Sealed,
    secret::{SecretName, sealing_context},
    units::Bytes,
    wire::client::DownloadSource,
};

use crate::{
    command::dataset::DiscardedTree,
    decide::{
        artifact::{Left, check_download, left},
        dataset::{find, storage},
        find_job,
        project::name_of,
    },
    event::LogState,
    policy::{self, Action},
    rejection::{Rejection, secret::SecretRejection},
    state::{State, deletion::keeps, job::Job, machine::Machine, secret::Secret},
};

/// What a member who wants a tree gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    Tree(TreeId),
    /// Not there yet: ask again when [`crate::Topic::Job`] wakes.
    Waiting(JobId),
}

/// Returns the tree that a member may fetch.
///
/// # Errors
/// What is not there or may not be seen; a task that left nothing.
pub fn readable_tree(
    state: &State,
    user: UserId,
    org: OrgId,
    source: &DownloadSource,
) -> Result<Readable, Problem> {
    match source {
        DownloadSource::Dataset { name, version } => {
            let (_, _, row) = find(state, user, org, name)?;
            check_download(state, user, row.project)?;
            let found = row.version(*version).ok_or_else(|| {
                let wanted = DatasetRef {
                    name: name.clone(),
                    version: *version,
                };
                Rejection::no_such_version(row, &wanted)
            })?;
            Ok(Readable::Tree(found.1.tree))
        }
        DownloadSource::Artifacts {
            job: number,
            task,
            attempt,
        } => {
            let (id, job) = find_job(state, user, org, *number)?;
            check_download(state, user, job.project)?;
            Ok(match left(state, (id, job), *task, *attempt)? {
                Left::Stored(_, tree, _) => Readable::Tree(tree),
                Left::NotYet => Readable::Waiting(id),
            })
        }
    }
}

/// Checks that a member may have this tree, which was described to them as the source's. Of a dataset whose newest
/// version was asked for it may be any that is there: a newer one ends nobody's download.
///
/// # Errors
/// As for [`readable_tree`]; the source has another tree by now, or none.
pub fn check_readable(
    state: &State,
    user: UserId,
    org: OrgId,
    source: &DownloadSource,
    tree: TreeId,
) -> Result<(), Problem> {
    let found = match source {
        DownloadSource::Dataset {
            name,
            version: None,
        } => {
            let (_, _, row) = find(state, user, org, name)?;
            check_download(state, user, row.project)?;
            row.living().any(|(_, version)| version.tree == tree)
        }
        source => readable_tree(state, user, org, source)? == Readable::Tree(tree),
    };
    if found {
        return Ok(());
    }
    let (what, why) = (
        "The data cannot be fetched",
        "it was deleted or replaced meanwhile",
    );
    Err(Problem::new(Code::NotFound, what, why))
}

/// What may go from the disk.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Trees that nothing of their org needs.
    pub trees: Vec<(OrgId, TreeId)>,
    /// Deleted orgs, all of whose bytes go, and of each the jobs whose logs are there.
    pub orgs: Vec<(OrgId, Vec<JobId>)>,
    /// What was kept for datasets that were deleted, in `trees` or needed by something else.
    pub discarded: Vec<DiscardedTree>,
}

/// Returns what deleted orgs and datasets still have on the disk and nothing needs any more.
pub fn leftovers(state: &State) -> Leftovers {
    let discarded = state
        .discarded
        .iter()
        .map(|((org, tree), row)| DiscardedTree {
            org: *org,
            tree: *tree,
            times: row.times,
        });
    let discarded: Vec<DiscardedTree> = discarded.collect();
    let trees = discarded.iter().map(|one| (one.org, one.tree));
    let orgs = state.deletions.iter();
    Leftovers {
        trees: trees
            .filter(|(org, tree)| !keeps(state, *org, *tree))
            .collect(),
        orgs: orgs.map(|(org, row)| (*org, row.jobs.clone())).collect(),
        discarded,
    }
}

/// Returns whether a member may send a folder of so many bytes, to be a version of the dataset `name`: asked before
/// anything of it moves.
///
/// # Errors
/// They may not, or the org has no room for it; says which limit, how much is kept and how much was asked for.
pub fn storage_room(
    state: &State,
    user: UserId,
    org: OrgId,
    dataset: (&Name, Option<&Name>),
    bytes: Bytes,
) -> Result<(), Problem> {
    Ok(storage::room(state, user, org, dataset, bytes)?)
}

/// Returns whether a member may send trees to the org.
///
/// # Errors
/// No member of the org.
pub fn may_upload(state: &State, user: UserId, org: OrgId) -> Result<(), Problem> {
    policy::member(state, org, user)?;
    Ok(())
}

/// Returns whether a member may see, and have swept, what the org has stored.
///
/// # Errors
/// No member of the org, or no admin.
pub fn may_see_storage(state: &State, user: UserId, org: OrgId) -> Result<(), Problem> {
    policy::permit(state, org, user, Action::ManageStorage)?;
    Ok(())
}

/// Returns whether the tree is in the machine's desired set.
pub fn machine_may_fetch(state: &State, machine: MachineId, tree: TreeId) -> bool {
    let row = state.machines.get(&machine);
    let kept = |row: &Machine| {
        let used = state.index.orgs.get(&row.org);
        used.is_some_and(|used| used.datasets.holds(tree))
    };
    if row.is_some_and(|row| row.wanted().any(|warm| warm.tree == tree) && kept(row)) {
        return true;
    }
    let used = state.index.machines.get(&machine);
    let mut desired = used.into_iter().flat_map(|used| &used.desired);
    desired.any(|id| {
        let attempt = state.attempts.get(id).filter(|row| row.is_live());
        attempt
            .zip(state.jobs.get(&id.job))
            .is_some_and(|(row, job)| {
                let mut trees = job.trees().chain(row.restore);
                trees.any(|needed| needed == tree)
            })
    })
}

/// Returns which of the trees that were named is most like a tree: the version of the same dataset with the nearest
/// number. What two trees have in common is no secret from a machine that may have one and names the other.
pub fn alike(state: &State, org: OrgId, tree: TreeId, named: &[TreeId]) -> Option<TreeId> {
    let names = state.index.dataset_names.get(&org)?;
    let rows = names.values().filter_map(|id| state.datasets.get(id));
    let near = rows.flat_map(|row| {
        let wanted = row
            .living()
            .filter(move |(_, version)| version.tree == tree);
        wanted.flat_map(move |(wanted, _)| {
            let others = row
                .living()
                .filter(move |(_, other)| other.tree != tree && named.contains(&other.tree));
            others.map(move |(number, other)| (number.abs_diff(wanted), other.tree))
        })
    });
    near.min().map(|(_, tree)| tree)
}

/// Returns machines of the org that have said that they hold the whole tree, of those that `open` lets pass.
pub fn machines_with(
    state: &State,
    org: OrgId,
    tree: TreeId,
    open: impl Fn(MachineId) -> bool,
    most: usize,
) -> Vec<MachineId> {
    let machines = state.index.machine_names.get(&org).into_iter().flatten();
    let machines = machines.map(|(_, machine)| *machine).filter(|id| open(*id));
    let has = |id: &MachineId| {
        let report = state.reports.get(id);
        report.is_some_and(|report| report.cached.contains(&tree))
    };
    machines.filter(has).take(most).collect()
}

/// Returns whether the attempt has not ended and is this machine's.
pub fn runs_on(state: &State, machine: MachineId, attempt: AttemptId) -> bool {
    let row = state.attempts.get(&attempt);
    row.is_some_and(|row| row.machine == machine && row.is_live())
}

/// What opens a registry, as it was sealed, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedLogin<'a> {
    pub registry: &'a str,
    pub context: String,
    pub sealed: &'a Sealed,
}

/// Returns what opens the registry of the attempt's image: what its submitter sent along, or a secret of the org
/// that their jobs may use. Only for the machine that the attempt is on, and only while it is to run.
///
/// # Errors
/// It is not this machine's to run, or its image needs no login.
pub fn registry_login(
    state: &State,
    machine: MachineId,
    attempt: AttemptId,
) -> Result<SealedLogin<'_>, Problem> {
    let job = job_to_run(state, machine, attempt);
    job.and_then(|job| login_of(state, job))
        .ok_or_else(|| Rejection::NoLogin.into())
}

/// Returns what opens the registry of the job's image, as things are now.
pub(crate) fn login_of<'a>(state: &'a State, job: &'a Job) -> Option<SealedLogin<'a>> {
    let Image::Registry(reference) = &job.spec.image else {
        return None;
    };
    let registry = reference.registry.as_str();
    if let Some(sealed) = &job.spec.registry_login {
        return Some(SealedLogin {
            registry,
            context: registry.to_owned(),
            sealed,
        });
    }
    let secret = policy::secret::registry_of_job(state, job, registry)?;
    Some(SealedLogin {
        registry,
        context: context_of(state, secret),
        sealed: &secret.value,
    })
}

/// A secret of a job, as it was sealed, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret<'a> {
    pub name: &'a SecretName,
    pub context: String,
    pub sealed: &'a Sealed,
}

/// Returns the secrets that the attempt's job uses, as they are now: only for the machine that the attempt is
/// on, only while it is to run, and only while its submitter may use them.
///
/// # Errors
/// It is not this machine's to run; a secret is gone or was taken away.
pub fn secrets(
    state: &State,
    machine: MachineId,
    attempt: AttemptId,
) -> Result<Vec<SealedSecret<'_>>, Problem> {
    let job = job_to_run(state, machine, attempt).ok_or(Rejection::NoLogin)?;
    let found = job.spec.secrets.iter().map(|name| {
        let secret = policy::secret::of_job(state, job, name);
        let secret = secret.ok_or_else(|| SecretRejection::NoSuch { name: name.clone() })?;
        Ok(sealed(state, secret))
    });
    found
        .collect::<Result<_, SecretRejection>>()
        .map_err(|rejection| Rejection::from(rejection).into())
}

pub(super) fn sealed<'a>(state: &State, secret: &'a Secret) -> SealedSecret<'a> {
    SealedSecret {
        name: &secret.name,
        context: context_of(state, secret),
        sealed: &secret.value,
    }
}

fn context_of(state: &State, secret: &Secret) -> String {
    let project = name_of(state, secret.project);
    sealing_context(secret.org, project.as_ref(), &secret.name)
}

fn job_to_run(state: &State, machine: MachineId, attempt: AttemptId) -> Option<&Job> {
    let row = state.attempts.get(&attempt);
    row.filter(|row| row.machine == machine && row.is_to_run())
        .and_then(|_| state.jobs.get(&attempt.job))
}

/// Returns whether the tree is anybody's in the org: of a dataset, an artifact or a job, or of one that is being deleted.
pub fn is_named(state: &State, org: OrgId, tree: TreeId) -> bool {
    state.discarded.contains_key(&(org, tree)) || keeps(state, org, tree)
}

/// Returns whether there is such an org, or files of it that are being deleted.
pub fn knows_org(state: &State, org: OrgId) -> bool {
    state.orgs.contains_key(&org) || state.deletions.contains_key(&org)
}

/// Returns the org that the machine is registered in.
pub fn org_of_machine(state: &State, machine: MachineId) -> Option<OrgId> {
    state.machines.get(&machine).map(|row| row.org)
}

/// Returns whether artifacts of the attempt are awaited from this machine.
pub fn machine_may_upload(state: &State, machine: MachineId, attempt: AttemptId) -> bool {
    let row = state.attempts.get(&attempt);
    row.is_some_and(|row| {
        // The files may be on their way before the end is committed.
        let awaited = row.is_live() || row.artifacts == ArtifactsView::Pending;
        row.machine == machine && awaited
    })
}

/// Returns how the log of the attempt stands, if this machine may send it: `Growing` or `Awaited`, and
/// `Complete` where all of it is here.
pub fn machine_log(state: &State, machine: MachineId, attempt: AttemptId) -> Option<LogState> {
    let row = state.attempts.get(&attempt);
    let row = row.filter(|row| row.machine == machine && row.log != LogState::Lost)?;
    Some(row.log)
}
