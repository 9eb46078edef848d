//! A GPU driver's library for tests: speaks the few functions of `libnvidia-ml.so.1` that the agent asks,
//! and plays the file `scenario` that lies beside it, read anew with every call.
//!
//! ```text
//! driver 550.90
//! gpu UUID MEMORY_MIB NAME…
//! process INDEX PID          another process computes on it
//! processes INDEX COUNT      as many are claimed
//! ecc INDEX COUNT            uncorrected memory errors
//! fault INDEX|all CODE       every question about it ends with this code
//! count NUMBER               so many GPUs are claimed
//! ```

#![allow(unsafe_code, reason = "a C interface is made of raw pointers")]
#![allow(non_snake_case, reason = "the driver's names")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the driver's own manual is the contract"
)]

use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_uint, c_ulonglong, c_void},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

type Code = c_uint;
const SUCCESS: Code = 0;
const INVALID_ARGUMENT: Code = 2;
const INSUFFICIENT_SIZE: Code = 7;

#[derive(Default)]
struct Scenario {
    driver: String,
    gpus: Vec<Gpu>,
    claimed: Option<u32>,
    broken: Code,
}

#[derive(Default)]
struct Gpu {
    uuid: String,
    name: String,
    memory_mib: u64,
    processes: Vec<u32>,
    claimed_processes: Option<u32>,
    ecc: u64,
    fault: Code,
}

impl Scenario {
    fn read() -> Self {
        let mut scenario = Self::default();
        let Some(text) = beside_library().and_then(|path| std::fs::read_to_string(path).ok())
        else {
            return scenario;
        };
        for line in text.lines() {
            scenario.take(line);
        }
        scenario
    }

    /// Takes one line; what makes no sense is passed over.
    fn take(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (verb, first) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let rest: Vec<&str> = words.collect();
        let number = rest
            .first()
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap_or(0);
        let small = u32::try_from(number).unwrap_or(u32::MAX);
        match verb {
            "driver" => first.clone_into(&mut self.driver),
            "count" => self.claimed = first.parse().ok(),
            "gpu" => self.gpus.push(Gpu {
                uuid: first.to_owned(),
                memory_mib: number,
                name: rest.get(1..).unwrap_or_default().join(" "),
                ..Gpu::default()
            }),
            "fault" if first == "all" => self.broken = small,
            _ => {
                let index = first.parse::<usize>().unwrap_or(usize::MAX);
                let Some(gpu) = self.gpus.get_mut(index) else {
                    return;
                };
                match verb {
                    "process" => gpu.processes.push(small),
                    "processes" => gpu.claimed_processes = Some(small),
                    "ecc" => gpu.ecc = number,
                    "fault" => gpu.fault = small,
                    _ => {}
                }
            }
        }
    }
}

/// Returns the path of the file `scenario` in the folder that this library was loaded from.
fn beside_library() -> Option<std::path::PathBuf> {
    // SAFETY: dladdr fills the structure for an address inside this very library, and the name it points to
    // lives as long as the library is loaded.
    let library = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(nvmlShutdown as *const c_void, &raw mut info) == 0
            || info.dli_fname.is_null()
        {
            return None;
        }
        CStr::from_ptr(info.dli_fname).to_bytes().to_vec()
    };
    Some(
        Path::new(OsStr::from_bytes(&library))
            .parent()?
            .join("scenario"),
    )
}

/// Answers a question about one GPU. Handles are indices plus one.
fn about(device: *mut c_void, answer: impl FnOnce(&Gpu) -> Code) -> Code {
    let scenario = Scenario::read();
    if scenario.broken != SUCCESS {
        return scenario.broken;
    }
    match (device as usize)
        .checked_sub(1)
        .and_then(|index| scenario.gpus.get(index))
    {
        None => INVALID_ARGUMENT,
        Some(gpu) if gpu.fault != SUCCESS => gpu.fault,
        Some(gpu) => answer(gpu),
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
    SUCCESS
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
    if scenario.broken != SUCCESS {
        return scenario.broken;
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
        let used = 300 << 20;
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

#[repr(C)]
#[derive(Debug)]
pub struct Process {
    pid: c_uint,
    used_memory: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: *mut c_void,
    count: *mut c_uint,
    processes: *mut Process,
) -> Code {
    about(device, |gpu| {
        if count.is_null() {
            return INVALID_ARGUMENT;
        }
        let there = u32::try_from(gpu.processes.len()).unwrap_or(u32::MAX);
        let claimed = gpu.claimed_processes.unwrap_or(there);
        // SAFETY: not null, and by the driver's contract a number that says how many fit behind `processes`.
        let room = unsafe { count.replace(claimed) };
        if claimed > room || processes.is_null() {
            return if claimed == 0 {
                SUCCESS
            } else {
                INSUFFICIENT_SIZE
            };
        }
        for (at, pid) in gpu.processes.iter().enumerate() {
            let process = Process {
                pid: *pid,
                used_memory: 1 << 20,
                gpu_instance: u32::MAX,
                compute_instance: u32::MAX,
            };
            // SAFETY: there is room for `room` processes, and there are no more than that.
            unsafe { processes.add(at).write(process) };
        }
        SUCCESS
    })
}
