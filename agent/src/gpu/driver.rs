//! The driver's own library: which GPUs there are, how they are, who is on them. No library, no driver and no GPU
//! are normal answers; a driver that talks nonsense is a machine without GPUs, and a GPU that fails says so.

mod ask;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    sync::Arc,
    time::Duration,
};

use common::{
    machine::MAX_REPORT_TEXT_BYTES,
    resources::{Gpu, GpuHealth, MAX_GPUS_PER_MACHINE},
    units::Bytes,
};
use nvml_wrapper::{Nvml, error::NvmlError};

use self::ask::{ask, told_busy};

/// Between two tries to find a driver that is not there or went away.
pub(super) const REOPEN: Duration = Duration::from_secs(10);

/// What one GPU answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) gpu: Gpu,
    pub(super) index: u32,
    /// Of its device node.
    pub(super) minor: Option<u32>,
    /// `None` where it does not answer.
    pub(super) processes: Option<Vec<OnGpu>>,
    /// Whether it answers again after it did not.
    pub(super) back: bool,
}

/// A process that the driver names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OnGpu {
    pub(super) pid: u32,
    pub(super) draws_only: bool,
    pub(super) memory: Option<Bytes>,
    pub(super) percent: Option<u32>,
}

/// See the module.
pub(super) struct Driver {
    path: Option<OsString>,
    library: Option<Arc<Nvml>>,
    /// Whether it answered that its driver is not there any more.
    gone: bool,
    tried: Option<Duration>,
    /// How often it was opened.
    opened: u32,
    /// What each index was when it could last be asked, so that a GPU that falls off the bus is named.
    known: BTreeMap<u32, Seen>,
    /// Up to when the use of each GPU by its processes was told, in the driver's time.
    told: BTreeMap<u32, u64>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

impl Driver {
    /// Prepares to use the library at `path`; `None` is the system's own.
    pub(super) const fn new(path: Option<OsString>) -> Self {
        Self {
            path,
            library: None,
            gone: false,
            tried: None,
            opened: 0,
            known: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Opens the library where it is not and it is time to try. Returns it where it was opened just now.
    pub(super) fn open(&mut self, now: Duration) -> Option<Arc<Nvml>> {
        let waits = |tried: Duration| now.saturating_sub(tried) < REOPEN;
        if self.library.is_some() || self.tried.is_some_and(waits) {
            return None;
        }
        self.tried = Some(now);
        let mut builder = Nvml::builder();
        if let Some(path) = &self.path {
            builder.lib_path(path);
        }
        match builder.init() {
            Ok(library) => {
                self.opened += 1;
                self.known.clear();
                self.told.clear();
                self.library = Some(Arc::new(library));
                self.library.clone()
            }
            Err(error) => {
                tracing::debug!(%error, "no GPU driver");
                None
            }
        }
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Lets go of the library of a driver that is gone: when it is loaded the next time, everything begins anew.
    /// Nobody else holds the library.
    pub(super) fn close(&mut self) {
        self.library = None;
        self.gone = false;
    }

    /// Returns whether the driver was ever loaded anew under this agent.
    pub(super) const fn was_reloaded(&self) -> bool {
        self.opened > 1
    }

    /// Asks the driver about every GPU. Of those in `shared` it is asked, too, which process keeps them how busy.
    pub(super) fn ask(&mut self, shared: &BTreeSet<String>) -> Vec<Seen> {
        if let Some(library) = self.library.clone() {
            self.ask_library(&library, shared);
        }
        self.known.values().cloned().collect()
    }

    fn ask_library(&mut self, library: &Nvml, shared: &BTreeSet<String>) {
        let count = match library.device_count() {
            Ok(count) if count as usize <= MAX_GPUS_PER_MACHINE => count,
            Ok(count) => {
                tracing::warn!(count, "the GPU driver claims an impossible number of GPUs");
                0
            }
            Err(error) => {
                tracing::warn!(%error, "the GPU driver went away");
                for seen in self.known.values_mut() {
                    seen.fail(&error);
                }
                self.gone = true;
                return;
            }
        };
        let driver = library
            .sys_driver_version()
            .map_or_else(|_| "unknown".to_owned(), |version| plain(&version));
        for index in 0..count {
            let answer = library.device_by_index(index).and_then(|device| {
                let mut seen = ask(&device, index, &driver)?;
                if shared.contains(&seen.gpu.uuid) {
                    told_busy(&mut seen, &device, self.told.entry(index).or_default());
                }
                Ok(seen)
            });
            let before = self.known.get_mut(&index);
            match (answer, before) {
                (Ok(mut seen), before) => {
                    seen.back = before.is_some_and(|before| before.processes.is_none());
                    self.known.insert(index, seen);
                }
                (Err(error), Some(before)) => before.fail(&error),
                // Never seen well: there is no identifier by which it could be lent.
                (Err(error), None) => tracing::warn!(index, %error, "a GPU cannot be asked"),
            }
        }
    }
}

impl Seen {
    fn fail(&mut self, error: &NvmlError) {
        self.gpu.health = GpuHealth::Faulty(plain(&error.to_string()));
        self.processes = None;
        self.back = false;
    }
}

/// Takes out of a driver's text what does not belong in a report.
pub(super) fn plain(text: &str) -> String {
    let mut plain: String = text.chars().filter(|c| !c.is_control()).collect();
    while plain.len() > MAX_REPORT_TEXT_BYTES {
        plain.pop();
    }
    plain
}
