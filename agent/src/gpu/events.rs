//! Hears of what goes wrong on GPUs, in a thread of its own: the driver's way to tell is to let somebody wait.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use agent_core::gpu::Xid;
use common::resources::MAX_GPUS_PER_MACHINE;
use nvml_wrapper::{
    Nvml,
    bitmasks::event::EventTypes,
    enums::event::XidError,
    error::{NvmlError, NvmlErrorWithSource},
};

use super::driver::plain;

/// Longest wait for an event; also how long the thread outlives its end.
const WAIT_MS: u32 = 500;
/// Before waiting is tried again where the driver refused.
const AGAIN: Duration = Duration::from_secs(5);
/// Events that are kept until somebody asks for them; more are dropped.
const MAX_HEARD: usize = 256;
/// Stands for an event whose number the driver does not know either.
const UNKNOWN: u64 = 999;

/// An event and the GPU that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) gpu: String,
    pub(super) xid: Xid,
}

/// Listens until it is dropped, which takes until the thread has ended.
#[derive(Debug)]
pub(super) struct Events {
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Events {
    /// Listens to this library's events.
    pub(super) fn listen(library: Arc<Nvml>) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let ear = Ear {
            library,
            heard: Arc::clone(&heard),
            stop: Arc::clone(&stop),
        };
        let started: std::io::Result<JoinHandle<()>> = std::thread::Builder::new()
            .name("gpu-events".to_owned())
            .spawn(move || ear.listen());
        if let Err(error) = &started {
            tracing::warn!(%error, "nobody listens to what the GPU driver tells");
        }
        Self {
            heard,
            stop,
            thread: started.ok(),
        }
    }

    /// Returns what was heard since it was last asked for.
    pub(super) fn take(&self) -> Vec<Heard> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut heard)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A library must not be unloaded under a thread that used it.
            drop(thread.join());
        }
    }
}

struct Ear {
    library: Arc<Nvml>,
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Arc<AtomicBool>,
}

impl Ear {
    fn listen(&self) {
        while !self.stopped() {
            match self.hear() {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(%error, "the GPU driver's events cannot be heard now");
                    std::thread::park_timeout(AGAIN);
                }
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for events; ends well where it was told to end or no GPU tells any.
    fn hear(&self) -> Result<(), NvmlErrorWithSource> {
        let mut set = self.library.create_event_set()?;
        let count = self.library.device_count()?;
        let most = u32::try_from(MAX_GPUS_PER_MACHINE).unwrap_or(u32::MAX);
        let mut any = false;
        for index in 0..count.min(most) {
            let device = self.library.device_by_index(index)?;
            let tells = device.supported_event_types()?;
            if tells.contains(EventTypes::CRITICAL_XID_ERROR) {
                set = device.register_events(EventTypes::CRITICAL_XID_ERROR, set)?;
                any = true;
            }
        }
        while any && !self.stopped() {
            match set.wait(WAIT_MS) {
                Ok(event) => {
                    let xid = Xid(match event.event_data {
                        Some(XidError::Value(number)) => number,
                        Some(XidError::Unknown) => UNKNOWN,
                        None => continue,
                    });
                    self.note(plain(&event.device.uuid()?), xid);
                }
                Err(NvmlError::Timeout) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn note(&self, gpu: String, xid: Xid) {
        tracing::warn!(%gpu, %xid, "the GPU driver reports an event");
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < MAX_HEARD {
            heard.push(Heard { gpu, xid });
        }
    }
}
