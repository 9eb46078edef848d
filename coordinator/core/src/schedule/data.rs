//! What data a task needs, what of it a machine lacks, and how long that takes to come.

use std::collections::{BTreeMap, BTreeSet};

use common::{
    api::explain::{MAX_NAMED_MACHINES, MachineData},
    dataset::DatasetRef,
    id::{DatasetId, OrgId, TreeId},
    image::Image,
    job::JobNumber,
    machine::MachineReport,
    time::Span,
    units::Bytes,
};

use super::{explain::Subject, view::MachineView};
use crate::{
    decide::artifact,
    state::{State, job::Job},
};

/// How fast data comes to a machine that has not said so: a line of about 100 Mbit/s.
pub(super) const GUESSED_RATE: Bytes = Bytes::mib(10);
/// What a work folder counts, and parameters, whose size nobody says: they are small.
const SENT_ALONG: Bytes = Bytes::mib(1);

/// The trees that a task needs, each with its size.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs(Vec<(TreeId, Bytes)>);

impl Needs {
    /// Returns everything that a machine fetches before the job's task starts.
    pub(super) fn of(state: &State, job: &Job) -> Self {
        Self::new(state, job.org, job.spec.sent(), before_start(job))
    }

    /// Returns the data that people named: of a job as it was pinned, else as it would be now.
    fn named(state: &State, subject: &Subject<'_>) -> Self {
        if let Some((_, job, _)) = subject.job {
            return Self::new(state, job.org, None.into_iter(), before_start(job));
        }
        let (datasets, left) = (datasets_now(state, subject), artifacts_now(state, subject));
        let left = left.map(|(_, tree)| tree);
        let trees = datasets.map(|(_, tree)| tree).chain(left);
        Self::new(state, subject.org, None.into_iter(), trees)
    }

    fn new(
        state: &State,
        org: OrgId,
        sent: impl Iterator<Item = TreeId>,
        named: impl Iterator<Item = TreeId>,
    ) -> Self {
        let used = state.index.orgs.get(&org);
        let size = |tree| {
            let kept = used.and_then(|used| used.datasets.size(tree).or(used.artifacts.size(tree)));
            (tree, kept.unwrap_or_default())
        };
        let sent = sent.map(|tree| (tree, SENT_ALONG));
        let mut trees: Vec<(TreeId, Bytes)> = sent.chain(named.map(size)).collect();
        trees.sort_unstable();
        trees.dedup_by_key(|(tree, _)| *tree);
        Self(trees)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn trees(&self) -> impl Iterator<Item = TreeId> {
        self.0.iter().map(|(tree, _)| *tree)
    }

    fn total(&self) -> Bytes {
        sum(self.0.iter())
    }

    /// Returns what of it a machine does not have.
    fn missing(&self, report: Option<&MachineReport>) -> Bytes {
        // Reports keep their trees in order.
        let cached = report.map_or(&[][..], |report| &report.cached);
        let lacks = |tree: &TreeId| cached.binary_search(tree).is_err();
        let lacking = self.0.iter().filter(|(tree, _)| lacks(tree));
        sum(lacking)
    }

    /// Returns the whole seconds, rounded up, until a machine has all of it.
    pub(super) fn fetch_seconds(&self, report: Option<&MachineReport>) -> u64 {
        seconds(self.missing(report), report)
    }
}

/// Returns the datasets of a job that could be submitted now, with their trees, but not those mounted lazily.
fn datasets_now<'a>(
    state: &'a State,
    subject: &Subject<'a>,
) -> impl Iterator<Item = (DatasetId, TreeId)> + use<'a> {
    let names = state.index.dataset_names.get(&subject.org);
    let image = match &subject.spec.image {
        Image::Imported(wanted) => Some(wanted),
        Image::Host | Image::Registry(_) => None,
    };
    let whole = subject.spec.datasets.iter().filter(|mount| !mount.lazy);
    let mounts = whole.map(|mount| &mount.dataset);
    mounts.chain(image).filter_map(move |wanted: &DatasetRef| {
        let id = names?.get(&wanted.name)?;
        let dataset = state.datasets.get(id)?;
        Some((*id, dataset.version(wanted.version)?.1.tree))
    })
}

fn artifacts_now<'a>(
    state: &'a State,
    subject: &Subject<'a>,
) -> impl Iterator<Item = (JobNumber, TreeId)> + use<'a> {
    let org = subject.org;
    let left = subject.spec.artifacts.iter();
    left.flat_map(move |mount| {
        let trees = artifact::trees(state, org, mount.job);
        trees.into_iter().map(|tree| (mount.job.number, tree))
    })
}

/// Returns what a job's data takes of a machine's cache, all at once: as much as that at least.
pub(crate) fn cached_by(state: &State, job: &Job) -> Bytes {
    let whole = job.pinned.iter().filter(|pinned| !pinned.lazy);
    let datasets = whole.chain(&job.pinned_image);
    let datasets = datasets.map(|pinned| (pinned.dataset, pinned.tree));
    let left = job.pinned_artifacts.iter();
    let left = left.map(|pinned| (pinned.job.number, pinned.tree));
    cached(state, job.org, datasets, left)
}

/// Does as [`cached_by`] for what is asked about.
pub(super) fn cached_for(state: &State, subject: &Subject<'_>) -> Bytes {
    match subject.job {
        Some((_, job, _)) => job.data,
        None => cached(
            state,
            subject.org,
            datasets_now(state, subject),
            artifacts_now(state, subject),
        ),
    }
}

/// Of several versions of one dataset the largest counts, and of what one job's tasks left: they may have most of their
/// files in common. What is asked for too little is noticed on the machine; too much would refuse what fits.
fn cached(
    state: &State,
    org: OrgId,
    datasets: impl Iterator<Item = (DatasetId, TreeId)>,
    artifacts: impl Iterator<Item = (JobNumber, TreeId)>,
) -> Bytes {
    let Some(used) = state.index.orgs.get(&org) else {
        return Bytes::ZERO;
    };
    let sized = |kept: Option<Bytes>, tree| (kept.unwrap_or_default(), tree);
    let datasets = datasets.map(|(id, tree)| (id, sized(used.datasets.size(tree), tree)));
    let artifacts =
        artifacts.map(|(number, tree)| (number, sized(used.artifacts.size(tree), tree)));
    // The same tree takes its room once, whatever it is called.
    let trees: BTreeSet<(Bytes, TreeId)> = largest(datasets).chain(largest(artifacts)).collect();
    let all = trees.into_iter().map(|(bytes, _)| bytes);
    Bytes(all.fold(0, |sum: u64, bytes| sum.saturating_add(bytes.0)))
}

/// Returns the largest value of each key.
fn largest<K: Ord, V: Ord>(all: impl Iterator<Item = (K, V)>) -> impl Iterator<Item = V> {
    let mut largest: BTreeMap<K, V> = BTreeMap::new();
    for (key, value) in all {
        if largest.get(&key).is_none_or(|most| *most < value) {
            largest.insert(key, value);
        }
    }
    largest.into_values()
}

/// Returns what of a job's data a machine needs before it can start: of what is mounted lazily nothing.
fn before_start(job: &Job) -> impl Iterator<Item = TreeId> {
    let whole = job.pinned.iter().filter(|pinned| !pinned.lazy);
    let pinned = whole.chain(&job.pinned_image).map(|pinned| pinned.tree);
    pinned.chain(job.pinned_artifacts.iter().map(|pinned| pinned.tree))
}

fn sum<'a>(trees: impl Iterator<Item = &'a (TreeId, Bytes)>) -> Bytes {
    Bytes(trees.fold(0, |sum: u64, (_, bytes)| sum.saturating_add(bytes.0)))
}

fn seconds(missing: Bytes, report: Option<&MachineReport>) -> u64 {
    let rate = report.and_then(|report| report.fetch_rate);
    missing.0.div_ceil(rate.unwrap_or(GUESSED_RATE).0.max(1))
}

/// Returns about how long so much takes to come to a machine.
pub(crate) fn fetch_time(missing: Bytes, report: Option<&MachineReport>) -> Span {
    Span::from_secs(seconds(missing, report))
}

/// Returns what these machines have of the subject's data, those first that have it soonest; nothing for a subject
/// without data.
pub(super) fn on_machines<'a>(
    state: &State,
    subject: &Subject<'_>,
    machines: impl Iterator<Item = &'a MachineView<'a>>,
) -> Vec<MachineData> {
    let needs = Needs::named(state, subject);
    let total = needs.total();
    if total == Bytes::ZERO {
        return Vec::new();
    }
    let mut known: Vec<MachineData> = machines
        .map(|machine| {
            let missing = needs.missing(machine.report);
            let there = Bytes(total.0 - missing.0);
            let takes = fetch_time(missing, machine.report);
            let guessed = machine
                .report
                .is_none_or(|report| report.fetch_rate.is_none());
            MachineData {
                machine: machine.name.clone(),
                there,
                missing,
                fetch_time: takes,
                text: words(there, missing, takes, guessed),
            }
        })
        .collect();
    known.sort_by(|a, b| (a.fetch_time, &a.machine).cmp(&(b.fetch_time, &b.machine)));
    known.truncate(MAX_NAMED_MACHINES);
    known
}

fn words(there: Bytes, missing: Bytes, takes: Span, guessed: bool) -> String {
    if missing == Bytes::ZERO {
        return format!("{there} already there");
    }
    let rate = match guessed {
        true => format!(", if it comes at {GUESSED_RATE}/s"),
        false => String::new(),
    };
    let to_fetch = format!("{missing} to fetch (about {takes}{rate})");
    match there {
        Bytes::ZERO => to_fetch,
        _ => format!("{there} already there, {to_fetch}"),
    }
}
