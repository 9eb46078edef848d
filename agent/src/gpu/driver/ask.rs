//! The questions to the driver's library about one GPU.

use std::collections::BTreeMap;

use agent_core::gpu_model::short_model;
use common::{
    resources::{Gpu, GpuHealth},
    units::Bytes,
};
use nvml_wrapper::{
    Device,
    enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor},
    enums::device::UsedGpuMemory,
    error::NvmlError,
    struct_wrappers::device::ProcessInfo,
};

use super::{OnGpu, Seen, plain};
use crate::gpu::raw;

/// Most processes on one GPU that are believed; memory for the list is set aside before it is read.
const MAX_PROCESSES: u32 = 4096;

/// Asks for everything; only what tells a GPU from another has to be answered.
pub(super) fn ask(device: &Device<'_>, index: u32, driver: &str) -> Result<Seen, NvmlError> {
    let uuid = plain(&device.uuid()?);
    let memory = device.memory_info()?;
    let processes = processes(device)?;
    let fault = match &processes {
        Ok(_) => fault(device)?,
        Err(count) => Some(format!("the driver claims {count} processes")),
    };
    let gpu = Gpu {
        model: plain(&short_model(&device.name()?)),
        memory: Bytes(memory.total),
        driver: driver.to_owned(),
        health: fault.map_or(GpuHealth::Usable, GpuHealth::Faulty),
        temperature_celsius: optional(device.temperature(TemperatureSensor::Gpu))?,
        utilization_percent: optional(device.utilization_rates())?.map(|rates| rates.gpu.min(100)),
        memory_used: Bytes(memory.used),
        uuid,
    };
    Ok(Seen {
        gpu,
        index,
        minor: optional(device.minor_number())?,
        processes: Some(processes.unwrap_or_default()),
        back: false,
    })
}

/// Returns what keeps the GPU from being lent until somebody has seen to it.
fn fault(device: &Device<'_>) -> Result<Option<String>, NvmlError> {
    let lost = optional(device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile))?;
    if let Some(count @ 1..) = lost {
        return Ok(Some(format!("{count} uncorrected memory errors")));
    }
    let rows = optional(raw::remapped_rows(device))?.unwrap_or_default();
    Ok(if rows.failed {
        Some("a bad part of its memory could not be replaced".to_owned())
    } else if rows.pending {
        Some("bad parts of its memory are replaced when it is reset".to_owned())
    } else if optional(device.are_pages_pending_retired())? == Some(true) {
        Some("bad pages of its memory are taken out when it is reset".to_owned())
    } else if optional(device.mig_mode())?.is_some_and(|mode| mode.current == 1) {
        Some("it is cut into parts (MIG), which cannot be lent yet".to_owned())
    } else {
        None
    })
}

/// Returns every process once, or how many are claimed where nobody could believe it.
fn processes(device: &Device<'_>) -> Result<Result<Vec<OnGpu>, u32>, NvmlError> {
    let mut all: BTreeMap<u32, OnGpu> = BTreeMap::new();
    for draws_only in [true, false] {
        let count = optional(if draws_only {
            device.running_graphics_processes_count()
        } else {
            device.running_compute_processes_count()
        })?;
        match count {
            None | Some(0) => continue,
            Some(count) if count > MAX_PROCESSES => return Ok(Err(count)),
            Some(_) => {}
        }
        let list = if draws_only {
            device.running_graphics_processes()
        } else {
            device.running_compute_processes()
        };
        for info in list? {
            let mut one = on_gpu(&info, draws_only);
            if let Some(earlier) = all.get(&one.pid) {
                // One that computes and draws is named twice, with the same memory.
                one.memory = one.memory.max(earlier.memory);
            }
            all.insert(one.pid, one);
        }
    }
    Ok(Ok(all.into_values().collect()))
}

fn on_gpu(info: &ProcessInfo, draws_only: bool) -> OnGpu {
    OnGpu {
        pid: info.pid,
        draws_only,
        memory: match info.used_gpu_memory {
            UsedGpuMemory::Used(bytes) if bytes != u64::MAX => Some(Bytes(bytes)),
            _ => None,
        },
        percent: None,
    }
}

/// Fills in how busy each process keeps the GPU since `since`, as far as the driver tells.
pub(super) fn told_busy(seen: &mut Seen, device: &Device<'_>, since: &mut u64) {
    let samples = match raw::process_utilization(device, *since, MAX_PROCESSES) {
        Ok(samples) => samples,
        Err(NvmlError::NotFound) => Vec::new(),
        Err(_) => return,
    };
    let newest = samples.iter().map(|sample| sample.at).max();
    *since = newest.unwrap_or(*since);
    for process in seen.processes.iter_mut().flatten() {
        let its = samples.iter().filter(|sample| sample.pid == process.pid);
        let last = its.max_by_key(|sample| sample.at);
        process.percent = Some(last.map_or(0, |sample| sample.percent.min(100)));
    }
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
