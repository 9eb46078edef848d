//! GPUs, as the driver's own library tells them. No library, no driver and no GPU are normal answers; a
//! driver that talks nonsense is a machine without GPUs, and a GPU that fails is taken out and says so.

use std::{collections::BTreeMap, ffi::OsStr, path::PathBuf};

use agent_core::gpu_model::short_model;
use common::{
    machine::MAX_REPORT_TEXT_BYTES,
    resources::{Gpu, GpuHealth, MAX_GPUS_PER_MACHINE},
    units::Bytes,
};
use nvml_wrapper::{
    Device, Nvml,
    enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor},
    error::NvmlError,
};

/// Names another library than the driver's, for tests.
const LIBRARY_VARIABLE: &str = "COMPUTE_SHARE_NVML";
/// Most processes on one GPU that are believed; memory for the list is set aside before it is read.
const MAX_PROCESSES: u32 = 4096;

/// The machine's GPUs.
pub(super) struct Gpus {
    library: Option<Nvml>,
    /// What each index was when it could last be asked, so that a GPU that falls off the bus is named.
    known: BTreeMap<u32, (Gpu, Option<PathBuf>)>,
}

impl std::fmt::Debug for Gpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpus")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

impl Gpus {
    /// Loads the driver's library, if there is one.
    pub(super) fn open() -> Self {
        Self::open_library(std::env::var_os(LIBRARY_VARIABLE).as_deref())
    }

    pub(super) fn open_library(path: Option<&OsStr>) -> Self {
        let mut builder = Nvml::builder();
        if let Some(path) = path {
            builder.lib_path(path);
        }
        let library = match builder.init() {
            Ok(library) => Some(library),
            Err(error) => {
                tracing::debug!(%error, "no GPU driver");
                None
            }
        };
        Self {
            library,
            known: BTreeMap::new(),
        }
    }

    /// Asks the driver about every GPU. Those in `held` are used by attempts of ours.
    pub(super) fn sample(&mut self, held: &[String]) -> Vec<Gpu> {
        let Some(library) = &self.library else {
            return Vec::new();
        };
        let count = match library.device_count() {
            Ok(count) if count as usize <= MAX_GPUS_PER_MACHINE => count,
            Ok(count) => {
                tracing::warn!(count, "the GPU driver claims an impossible number of GPUs");
                0
            }
            Err(error) => {
                for (gpu, _) in self.known.values_mut() {
                    gpu.health = faulty(&error);
                }
                0
            }
        };
        let driver = library
            .sys_driver_version()
            .map_or_else(|_| "unknown".to_owned(), |version| plain(&version));
        for index in 0..count {
            match library
                .device_by_index(index)
                .and_then(|device| ask(&device, &driver, held))
            {
                Ok(seen) => {
                    self.known.insert(index, seen);
                }
                Err(error) => match self.known.get_mut(&index) {
                    Some((gpu, _)) => gpu.health = faulty(&error),
                    // Never seen well: there is no identifier by which it could be lent.
                    None => tracing::warn!(index, %error, "a GPU cannot be asked"),
                },
            }
        }
        self.known.values().map(|(gpu, _)| gpu.clone()).collect()
    }

    /// Returns the device node of every GPU that was seen.
    pub(super) fn devices(&self) -> BTreeMap<String, PathBuf> {
        self.known
            .values()
            .filter_map(|(gpu, node)| Some((gpu.uuid.clone(), node.clone()?)))
            .collect()
    }
}

/// Asks for everything; only what tells a GPU from another has to be answered.
fn ask(
    device: &Device<'_>,
    driver: &str,
    held: &[String],
) -> Result<(Gpu, Option<PathBuf>), NvmlError> {
    let uuid = plain(&device.uuid()?);
    let memory = device.memory_info()?;
    let gpu = Gpu {
        model: plain(&short_model(&device.name()?)),
        memory: Bytes(memory.total),
        driver: driver.to_owned(),
        health: health(device, held.contains(&uuid))?,
        temperature_celsius: optional(device.temperature(TemperatureSensor::Gpu))?,
        utilization_percent: optional(device.utilization_rates())?.map(|rates| rates.gpu.min(100)),
        memory_used: Bytes(memory.used),
        uuid,
    };
    let node = optional(device.minor_number())?.map(|minor| format!("/dev/nvidia{minor}").into());
    Ok((gpu, node))
}

fn health(device: &Device<'_>, ours: bool) -> Result<GpuHealth, NvmlError> {
    let corrupted =
        optional(device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile))?;
    if let Some(count @ 1..) = corrupted {
        return Ok(GpuHealth::Faulty(format!(
            "{count} uncorrected memory errors"
        )));
    }
    let processes = optional(device.running_compute_processes_count())?;
    Ok(match processes {
        Some(count) if count > MAX_PROCESSES => {
            GpuHealth::Faulty(format!("the driver claims {count} processes"))
        }
        Some(1..) if !ours => GpuHealth::UsedByOthers,
        _ => GpuHealth::Usable,
    })
}

/// Returns `None` for what this driver or GPU does not tell.
fn optional<T>(answer: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(
            NvmlError::NotSupported
            | NvmlError::NoPermission
            | NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound,
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

fn faulty(error: &NvmlError) -> GpuHealth {
    GpuHealth::Faulty(plain(&error.to_string()))
}

/// Takes out of a driver's text what does not belong in a report.
fn plain(text: &str) -> String {
    let mut plain: String = text.chars().filter(|c| !c.is_control()).collect();
    while plain.len() > MAX_REPORT_TEXT_BYTES {
        plain.pop();
    }
    plain
}
