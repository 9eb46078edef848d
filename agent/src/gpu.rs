//! The machine's GPUs: how they are, who is on them, what a job needs to use one, and whether jobs keep to their
//! shares. Asked by the probe with every look and by [`Gpus::watch`] every second while an attempt holds one;
//! what follows from the answers is decided in `agent_core::gpu`.
//!
//! No GPU, no driver and no library are normal answers.

mod driver;
mod events;
mod raw;
mod whose;

mod cdi;
mod files;
mod libraries;

mod hold;
mod state;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use agent_core::{
    gpu::{GpuUse, use_of},
    sandbox_plan::GpuFiles,
};
use common::{
    id::AttemptId,
    resources::{Allocation, Gpu, GpuHealth},
    units::Bytes,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use self::hold::Hold;
use self::{files::Places, state::State};
use crate::clock;

/// Names another library than the driver's, for tests.
const LIBRARY_VARIABLE: &str = "COMPUTE_SHARE_NVML";
/// Names a folder that stands for `/` where device nodes, CDI files and libraries are looked for, for tests.
const ROOT_VARIABLE: &str = "COMPUTE_SHARE_GPU_ROOT";
/// Between two looks while attempts hold GPUs.
const PERIOD: Duration = Duration::from_secs(1);

/// The machine's GPUs; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Gpus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The folder of this agent's attempts.
    attempts: PathBuf,
    places: Places,
    /// Held while the driver is asked, which may take its time.
    state: Mutex<State>,
    holdings: Mutex<BTreeMap<AttemptId, Holding>>,
    /// What the last look found; never held for long.
    told: Mutex<Told>,
    /// The first attempt came to hold a GPU.
    held: Notify,
}

/// What a look found.
#[derive(Debug, Default)]
struct Told {
    gpus: Vec<Gpu>,
    remarks: Vec<String>,
}

/// What an attempt holds of GPUs while it runs.
#[derive(Debug)]
struct Holding {
    allocation: Allocation,
    used: GpuUse,
    peak: Option<Bytes>,
    /// Why it has to be stopped.
    overuse: watch::Sender<Option<String>>,
}

impl Gpus {
    /// Finds the driver's library, if there is one. `attempts` is the folder of this agent's attempts.
    pub(crate) fn open(attempts: PathBuf) -> Self {
        let root = std::env::var_os(ROOT_VARIABLE).map_or_else(|| "/".into(), PathBuf::from);
        let library = std::env::var_os(LIBRARY_VARIABLE);
        Self::open_with(library, Places::under(&root), attempts)
    }

    fn open_with(library: Option<OsString>, places: Places, attempts: PathBuf) -> Self {
        Self {
            inner: Arc::new(Inner {
                attempts,
                places,
                state: Mutex::new(State::new(library)),
                holdings: Mutex::new(BTreeMap::new()),
                told: Mutex::new(Told::default()),
                held: Notify::new(),
            }),
        }
    }

    /// Looks at every GPU. May wait for the driver.
    pub(crate) fn sample(&self) -> Vec<Gpu> {
        self.look(clock::since_boot(), false)
    }

    /// Returns what `attempt` uses of its GPUs, as the last look showed it.
    pub(crate) fn used(&self, attempt: AttemptId) -> GpuUse {
        self.holdings()
            .get(&attempt)
            .map(|holding| holding.used)
            .unwrap_or_default()
    }

    /// Returns the identifiers of the GPUs on which the last look found programs that are no jobs of ours, also
    /// beside jobs of ours.
    pub(crate) fn used_by_others(&self) -> Vec<String> {
        let told = self.told();
        let others = |gpu: &&Gpu| gpu.health == GpuHealth::UsedByOthers;
        let gpus = told.gpus.iter().filter(others);
        gpus.map(|gpu| gpu.uuid.clone()).collect()
    }

    /// Returns what the owner should know of the GPUs, one line each: which cannot be lent and why, and what else
    /// the driver told.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let told = self.told();
        let kept = told.gpus.iter().filter_map(|gpu| {
            let why = match &gpu.health {
                GpuHealth::UsedByOthers => "another program of this machine uses it".to_owned(),
                GpuHealth::Leftover => {
                    "its memory is still taken by what an earlier job left".to_owned()
                }
                GpuHealth::Faulty(fault) => format!("it is faulty: {fault}"),
                _ => return None,
            };
            Some(format!("{} ({}): {why}", gpu.uuid, gpu.model))
        });
        kept.chain(told.remarks.iter().cloned()).collect()
    }

    /// Returns what a job needs of this machine to use each GPU, as it is now.
    pub(crate) fn files(&self) -> BTreeMap<String, GpuFiles> {
        let nodes = self.state().nodes();
        let (files, refused) = self.inner.places.files(&nodes);
        self.state().set_refused(refused);
        files
    }

    /// Says that `attempt` runs and holds GPUs, until the hold is let go.
    pub(crate) fn hold(&self, attempt: AttemptId, allocation: &Allocation) -> Hold {
        if allocation.gpus.is_empty() {
            return Hold::of_nothing();
        }
        let (overuse, told) = watch::channel(None);
        let holding = Holding {
            allocation: allocation.clone(),
            used: GpuUse::default(),
            peak: None,
            overuse,
        };
        self.holdings().insert(attempt, holding);
        self.inner.held.notify_one();
        Hold::new(self.clone(), attempt, told)
    }

    /// Looks every second while any attempt holds a GPU, until `stopping`.
    pub(crate) async fn watch(self, stopping: CancellationToken) {
        loop {
            let idle = self.holdings().is_empty();
            let wait = async {
                if idle {
                    self.inner.held.notified().await;
                } else {
                    tokio::time::sleep(PERIOD).await;
                }
            };
            tokio::select! {
                () = wait => {}
                () = stopping.cancelled() => return,
            }
            let gpus = self.clone();
            let look = move || gpus.look(clock::since_boot(), true);
            drop(tokio::task::spawn_blocking(look).await);
        }
    }

    /// Looks at every GPU at `now`, the time since boot. `judge` is whether shares are judged, too.
    fn look(&self, now: Duration, judge: bool) -> Vec<Gpu> {
        let mut state = self.state();
        let held: BTreeMap<AttemptId, Allocation> = self
            .holdings()
            .iter()
            .map(|(attempt, holding)| (*attempt, holding.allocation.clone()))
            .collect();
        let looks = state.look(now, &held, &self.inner.attempts);
        let stopped = if judge {
            state.judge_shares(&looks, &held)
        } else {
            Vec::new()
        };
        let mut holdings = self.holdings();
        for (attempt, holding) in holdings.iter_mut() {
            holding.used = use_of(&looks, *attempt, &holding.allocation);
            holding.peak = holding.peak.max(holding.used.memory);
        }
        for overuse in stopped {
            if let Some(holding) = holdings.get(&overuse.attempt) {
                let detail = overuse.detail();
                tracing::warn!(attempt = %overuse.attempt, %detail, "an attempt is stopped");
                holding.overuse.send_replace(Some(detail));
            }
        }
        let gpus = state.gpus();
        *self.told() = Told {
            gpus: gpus.clone(),
            remarks: state.remarks(),
        };
        gpus
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        let locked = self.inner.told.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self, attempt: AttemptId) -> Option<Holding> {
        self.holdings().remove(&attempt)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let locked = self.inner.state.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    fn holdings(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Holding>> {
        let locked = self.inner.holdings.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns why these GPUs cannot be used now, if they cannot.
fn unfit(gpus: &[Gpu], granted: &[String]) -> Option<String> {
    granted.iter().find_map(|uuid| {
        let Some(gpu) = gpus.iter().find(|gpu| gpu.uuid == *uuid) else {
            return Some(format!("{uuid} is not there"));
        };
        match &gpu.health {
            GpuHealth::Faulty(fault) => Some(format!("{uuid} is faulty: {fault}")),
            GpuHealth::Leftover => Some(format!(
                "the memory of {uuid} is still taken by what an earlier job left"
            )),
            _ => None,
        }
    })
}

#[cfg(test)]
mod mock;

#[cfg(test)]
mod tests;
