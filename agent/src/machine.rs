//! What every part of a running agent shares: who it is, where its things are, and how to reach the parts
//! that change.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use agent_core::{
    offer::equal_for_placement,
    owner::{Circumstances, OwnerRules},
    sandbox_plan::Host,
};
use common::{
    id::AttemptId,
    machine::{Isolation, MAX_CACHED_TREES, MachineReport, Pause, SystemInfo},
    problem::Problem,
    resources::{Allocation, GpuHealth},
    units::Bytes,
    usage::{AttemptSample, UsageSample},
};
use tokio::sync::watch;

use crate::{
    clock,
    gpu::Gpus,
    lazy::Store,
    peers::Peers,
    probe::{OwnerFile, Probe, Ruled, Sample, surroundings},
    registration::{AgentFolder, Registration},
    rooms::Rooms,
    sandbox::SpareNetworks,
    scratch::Disks,
    supervise::Supervisors,
    transfer::Cache,
};

/// The unchanging part of an agent.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) folder: AgentFolder,
    pub(crate) registration: Registration,
    pub(crate) host: Host,
    pub(crate) isolation: Isolation,
    pub(crate) system: SystemInfo,
    pub(crate) cache: Cache,
    pub(crate) peers: Peers,
    pub(crate) lazy: Store,
    /// Attempts' own, where the machine can have such.
    pub(crate) disks: Option<Disks>,
    pub(crate) networks: Option<SpareNetworks>,
    /// Sandboxes that wait for another task of their job.
    pub(crate) rooms: Rooms,
    pub(crate) supervisors: Supervisors,
    pub(crate) gpus: Gpus,
    probe: Arc<Mutex<Probe>>,
    /// What the last look found.
    seen: watch::Sender<Sample>,
    /// What each running attempt used when it was looked at last.
    samples: watch::Sender<BTreeMap<AttemptId, UsageSample>>,
    owner_file: Mutex<OwnerFile>,
    rules: watch::Sender<Ruled>,
    circumstances: watch::Sender<Circumstances>,
}

/// What the keeper says of itself to whoever talks to the coordinator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) generation: u64,
    pub(crate) pause: Option<Pause>,
    /// What attempts hold, all together.
    pub(crate) held: Allocation,
    /// Attempts of which anything is here.
    pub(crate) attempts: Vec<AttemptId>,
    /// GPUs that are kept back now, by the driver's identifiers.
    pub(crate) withheld: BTreeSet<String>,
    /// The rules that this follows from.
    pub(crate) rules: Arc<OwnerRules>,
}

impl Standing {
    /// Returns whether the coordinator should hear at once how this differs from what it was told.
    pub(crate) fn is_urgent_after(&self, told: &Self) -> bool {
        self.pause != told.pause || self.withheld != told.withheld || self.rules != told.rules
    }
}

/// What a machine is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) folder: AgentFolder,
    pub(crate) registration: Registration,
    pub(crate) host: Host,
    pub(crate) isolation: Isolation,
    pub(crate) cache: Cache,
    pub(crate) lazy: Store,
    pub(crate) disks: Option<Disks>,
    /// The program that supervises attempts; `None` is this one.
    pub(crate) supervisor: Option<PathBuf>,
    pub(crate) probe: Probe,
    pub(crate) first: Sample,
    pub(crate) owner_file: OwnerFile,
}

impl Machine {
    pub(crate) fn new(parts: Parts) -> Self {
        let peers = Peers::new(parts.registration.machine);
        parts.cache.fetch_with(&peers);
        Self {
            peers,
            supervisors: Supervisors::new(parts.supervisor, parts.folder.attempts()),
            rooms: Rooms::new(parts.folder.rooms(), parts.disks.clone()),
            folder: parts.folder,
            registration: parts.registration,
            isolation: parts.isolation,
            system: crate::probe::system_info(),
            cache: parts.cache,
            lazy: parts.lazy,
            disks: parts.disks,
            networks: SpareNetworks::begin(&parts.host),
            host: parts.host,
            gpus: parts.probe.gpus().clone(),
            probe: Arc::new(Mutex::new(parts.probe)),
            seen: watch::Sender::new(parts.first),
            samples: watch::Sender::default(),
            rules: watch::Sender::new(parts.owner_file.ruled()),
            owner_file: Mutex::new(parts.owner_file),
            circumstances: watch::Sender::new(surroundings::unknown()),
        }
    }

    /// Returns where the folders of an attempt's files are, as this process reaches them.
    pub(crate) fn files_of(&self, attempt: AttemptId) -> PathBuf {
        let folder = self.folder.attempt(attempt);
        match &self.disks {
            Some(disks) => disks.files_of(attempt, &folder),
            None => folder,
        }
    }

    /// Makes ready what the next attempt would wait for; the same disk as the last one's, as it mostly is. Blocks.
    pub(crate) fn make_ahead(&self, disk: Bytes) {
        self.supervisors.refill();
        if let Some(disks) = &self.disks {
            disks.refill(disk);
        }
    }

    /// Reads the owner's file again where it was changed. Blocks.
    pub(crate) fn refresh_rules(&self) {
        let mut file = self
            .owner_file
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let ruled = file.refresh();
        self.rules.send_if_modified(|before| {
            let changed = *before != ruled;
            *before = ruled;
            changed
        });
    }

    /// Returns the owner's rules, now and as they change.
    pub(crate) fn rules(&self) -> watch::Receiver<Ruled> {
        self.rules.subscribe()
    }

    /// Takes note of the surroundings, which are news where more than the time has changed.
    pub(crate) fn note_circumstances(&self, seen: Circumstances) {
        self.circumstances.send_if_modified(|before| {
            let changed = !before.same_but_later(&seen);
            *before = seen;
            changed
        });
    }

    /// Returns what was seen last of the surroundings, now and as it changes.
    pub(crate) fn circumstances(&self) -> watch::Receiver<Circumstances> {
        self.circumstances.subscribe()
    }

    /// Returns what was seen last of the surroundings, at this moment.
    pub(crate) fn surroundings(&self) -> Circumstances {
        let (now, at) = (clock::since_boot(), clock::now());
        let seen = self.circumstances.borrow();
        seen.at(now, at, surroundings::local_time())
    }

    /// Takes note of what an attempt uses; `None` once it has ended.
    pub(crate) fn note_usage(&self, attempt: AttemptId, sample: Option<UsageSample>) {
        self.samples.send_if_modified(|samples| match sample {
            Some(sample) => {
                samples.insert(attempt, sample);
                true
            }
            None => {
                samples.remove(&attempt);
                // Nothing new for who waits for samples.
                false
            }
        });
    }

    /// Returns what the running attempts use.
    pub(crate) fn usage(&self) -> Vec<AttemptSample> {
        let samples = self.samples.borrow();
        let samples = samples.iter().map(|(&attempt, &sample)| {
            let used = self.gpus.used(attempt);
            let sample = UsageSample {
                gpu_memory: used.memory,
                gpu_percent: used.percent,
                ..sample
            };
            AttemptSample { attempt, sample }
        });
        samples.collect()
    }

    /// Returns what changes whenever [`Self::usage`] has something new.
    pub(crate) fn usage_news(&self) -> watch::Receiver<BTreeMap<AttemptId, UsageSample>> {
        self.samples.subscribe()
    }

    /// Looks at the machine, away from the runtime's threads: a driver may take its time. `None` while an
    /// earlier look has not come back.
    pub(crate) async fn look(&self, held: Allocation) -> Option<Sample> {
        let (probe, cache) = (Arc::clone(&self.probe), self.cache.clone());
        let earlier = self.seen.borrow().cache_limit;
        let rules = Arc::clone(&self.rules.borrow().rules);
        let look = tokio::task::spawn_blocking(move || {
            let mut probe = probe.try_lock().ok()?;
            let sample = probe.sample(&held, cache.used(), &rules);
            if sample.cache_limit != earlier {
                // What goes may be large: nobody waits for that.
                let limit = sample.cache_limit;
                tokio::task::spawn_blocking(move || cache.set_limit(limit));
            }
            Some(sample)
        });
        let sample = look.await.ok().flatten()?;
        self.seen.send_replace(sample.clone());
        Some(sample)
    }

    /// Returns what the last look found.
    pub(crate) fn seen(&self) -> Sample {
        self.seen.borrow().clone()
    }

    /// Returns what the coordinator is told.
    pub(crate) fn report(&self, sample: &Sample, standing: &Standing) -> MachineReport {
        let mut cached = self.cache.ids();
        cached.truncate(MAX_CACHED_TREES);
        let (mut capacity, mut offer) = (sample.capacity.clone(), sample.offer.clone());
        let withheld = &standing.withheld;
        offer.gpus.retain(|gpu| !withheld.contains(&gpu.uuid));
        for gpu in &mut capacity.gpus {
            if gpu.health == GpuHealth::Usable && withheld.contains(&gpu.uuid) {
                gpu.health = GpuHealth::Withheld;
            }
        }
        MachineReport {
            capacity,
            offer,
            paused: standing.pause.clone(),
            admits: standing.rules.admits.clone(),
            isolation: self.isolation.clone(),
            system: self.system.clone(),
            cached,
            fetch_rate: self.cache.fetch_rate(),
            cache_limit: Some(sample.cache_limit),
            labels: standing.rules.labels.clone(),
        }
    }
}

/// Returns whether a report says anything that matters beyond an earlier one.
pub(crate) fn is_news(earlier: &MachineReport, report: &MachineReport) -> bool {
    !equal_for_placement(&earlier.capacity, &report.capacity)
        || !equal_for_placement(&earlier.offer, &report.offer)
        || earlier.paused != report.paused
        || earlier.admits != report.admits
        || earlier.isolation != report.isolation
        || earlier.cached != report.cached
        || earlier.cache_limit != report.cache_limit
        || earlier.labels != report.labels
}

/// Makes the problem of something that this computer did not let us do.
pub(crate) fn local_problem(what: impl Into<String>, error: &dyn std::error::Error) -> Problem {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        why += ": ";
        why += &error.to_string();
        cause = error.source();
    }
    Problem::new(common::code::Code::Io, what, why)
}
