//! A GPU driver's library for tests: speaks the few functions of `libnvidia-ml.so.1` that the agent asks,
//! and plays the file `scenario` that lies beside it, read anew with every call.
//!
//! ```text
//! driver 550.90
//! gpu UUID MEMORY_MIB NAME…
//! process INDEX PID [MIB [draws]]   a process computes (or only draws) on it
//! command INDEX MIB WORDS…          so does every process with exactly this command line
//! percent PID PERCENT               so busy does that process keep its GPU
//! idle INDEX MIB                    taken of its memory besides what processes have
//! untold                            the memory of processes is not told
//! processes INDEX COUNT             as many are claimed
//! ecc INDEX COUNT                   uncorrected memory errors
//! remap INDEX pending|failed        rows of its memory to be replaced
//! retiring INDEX                    pages of its memory to be taken out
//! mig INDEX                         it is cut into parts
//! xid NUMBER INDEX CODE             an event; each number is delivered once
//! fault INDEX|all CODE              every question about it ends with this code
//! count NUMBER                      so many GPUs are claimed
//! loaded NUMBER                     the driver was loaded anew: who asks has to begin anew
//! ```

#![allow(unsafe_code, reason = "a C interface is made of raw pointers")]
#![allow(non_snake_case, reason = "the driver's names")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the driver's own manual is the contract"
)]

use std::{
    ffi::{c_char, c_int, c_uint, c_ulonglong, c_void},
    sync::atomic::{AtomicU64, Ordering},
};

use self::scenario::{Gpu, Scenario};

mod events;
mod processes;
mod scenario;

type Code = c_uint;
const SUCCESS: Code = 0;
const UNINITIALIZED: Code = 1;
const INVALID_ARGUMENT: Code = 2;
const INSUFFICIENT_SIZE: Code = 7;

/// The loading of the driver that this library was initialised at.
static LOADED: AtomicU64 = AtomicU64::new(0);

/// Answers a question about one GPU. Handles are indices plus one.
fn about(device: *mut c_void, answer: impl FnOnce(&Gpu) -> Code) -> Code {
    about_in(device, |_, gpu| answer(gpu))
}

fn about_in(device: *mut c_void, answer: impl FnOnce(&Scenario, &Gpu) -> Code) -> Code {
    let scenario = Scenario::read();
    let broken = broken(&scenario);
    if broken != SUCCESS {
        return broken;
    }
    match (device as usize)
        .checked_sub(1)
        .and_then(|index| scenario.gpus.get(index))
    {
        None => INVALID_ARGUMENT,
        Some(gpu) if gpu.fault != SUCCESS => gpu.fault,
        Some(gpu) => answer(&scenario, gpu),
    }
}

fn broken(scenario: &Scenario) -> Code {
    if scenario.loaded == LOADED.load(Ordering::Relaxed) {
        scenario.broken
    } else {
        UNINITIALIZED
    }
}

/// Writes a text and its NUL.
fn write(text: &str, buffer: *mut c_char, length: c_uint) -> Code {
    if buffer.is_null() || text.len() >= length as usize {
        return INSUFFICIENT_SIZE;
    }
    // SAFETY: the caller gives a buffer of `length` bytes, and text and NUL were just seen to fit.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        buffer.add(text.len()).write(0);
    }
    SUCCESS
}

fn put<T>(place: *mut T, value: T) -> Code {
    if place.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, and by the driver's contract a place for a T.
    unsafe { place.write(value) };
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> Code {
    let scenario = Scenario::read();
    LOADED.store(scenario.loaded, Ordering::Relaxed);
    scenario.broken
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> Code {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> Code {
    write(&Scenario::read().driver, version, length)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> Code {
    let scenario = Scenario::read();
    let broken = broken(&scenario);
    if broken != SUCCESS {
        return broken;
    }
    let there = u32::try_from(scenario.gpus.len()).unwrap_or(u32::MAX);
    put(count, scenario.claimed.unwrap_or(there))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut *mut c_void) -> Code {
    let handle = (index as usize + 1) as *mut c_void;
    about(handle, |_| put(device, handle))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetName(
    device: *mut c_void,
    name: *mut c_char,
    length: c_uint,
) -> Code {
    about(device, |gpu| write(&gpu.name, name, length))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUUID(
    device: *mut c_void,
    uuid: *mut c_char,
    length: c_uint,
) -> Code {
    about(device, |gpu| write(&gpu.uuid, uuid, length))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMinorNumber(device: *mut c_void, minor: *mut c_uint) -> Code {
    let index = u32::try_from((device as usize).saturating_sub(1)).unwrap_or(u32::MAX);
    about(device, |_| put(minor, index))
}

#[repr(C)]
#[derive(Debug)]
pub struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: *mut c_void, memory: *mut Memory) -> Code {
    about(device, |gpu| {
        let used = gpu.used_mib() << 20;
        let total = gpu.memory_mib << 20;
        put(
            memory,
            Memory {
                version: 2,
                total,
                reserved: 0,
                free: total.saturating_sub(used),
                used,
            },
        )
    })
}

#[repr(C)]
#[derive(Debug)]
pub struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUtilizationRates(
    device: *mut c_void,
    rates: *mut Utilization,
) -> Code {
    about(device, |_| put(rates, Utilization { gpu: 7, memory: 2 }))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetTemperature(
    device: *mut c_void,
    _sensor: c_int,
    celsius: *mut c_uint,
) -> Code {
    about(device, |_| put(celsius, 41))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetTotalEccErrors(
    device: *mut c_void,
    _error: c_int,
    _counter: c_int,
    count: *mut c_ulonglong,
) -> Code {
    about(device, |gpu| put(count, gpu.ecc))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetRemappedRows(
    device: *mut c_void,
    corrected: *mut c_uint,
    uncorrected: *mut c_uint,
    pending: *mut c_uint,
    failed: *mut c_uint,
) -> Code {
    about(device, |gpu| {
        put(corrected, 0);
        put(uncorrected, 0);
        put(pending, u32::from(gpu.remap_pending));
        put(failed, u32::from(gpu.remap_failed))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetRetiredPagesPendingStatus(
    device: *mut c_void,
    pending: *mut c_uint,
) -> Code {
    about(device, |gpu| put(pending, u32::from(gpu.retiring)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigMode(
    device: *mut c_void,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> Code {
    about(device, |gpu| {
        put(pending, u32::from(gpu.mig));
        put(current, u32::from(gpu.mig))
    })
}
