//! Processes on a GPU: what they hold, and how busy they keep it.

use std::ffi::{c_uint, c_ulonglong, c_void};

use super::{Code, INSUFFICIENT_SIZE, INVALID_ARGUMENT, SUCCESS, about_in};

const NOT_FOUND: Code = 6;
/// Stands for the memory of a process that is not told.
const NOT_TOLD: c_ulonglong = c_ulonglong::MAX;

#[repr(C)]
#[derive(Debug)]
pub(crate) struct Process {
    pid: c_uint,
    used_memory: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: *mut c_void,
    count: *mut c_uint,
    list: *mut Process,
) -> Code {
    processes(device, false, count, list)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: *mut c_void,
    count: *mut c_uint,
    list: *mut Process,
) -> Code {
    processes(device, true, count, list)
}

/// Writes the processes that compute, or those that only draw.
fn processes(device: *mut c_void, draw: bool, count: *mut c_uint, list: *mut Process) -> Code {
    about_in(device, |scenario, gpu| {
        if count.is_null() {
            return INVALID_ARGUMENT;
        }
        let mut running = gpu.processes();
        running.retain(|process| process.draws == draw);
        let there = u32::try_from(running.len()).unwrap_or(u32::MAX);
        let claimed = gpu
            .claimed_processes
            .filter(|_| !draw)
            .map_or(there, |claimed| claimed.max(there));
        // SAFETY: not null, and by the driver's contract a number that says how many fit behind `list`.
        let room = unsafe { count.replace(claimed) };
        if claimed == 0 {
            return SUCCESS;
        }
        if claimed > room || list.is_null() {
            return INSUFFICIENT_SIZE;
        }
        for (at, process) in running.iter().enumerate() {
            let process = Process {
                pid: process.pid,
                used_memory: if scenario.untold {
                    NOT_TOLD
                } else {
                    process.mib << 20
                },
                gpu_instance: u32::MAX,
                compute_instance: u32::MAX,
            };
            // SAFETY: there is room for `room` processes, and there are no more than that.
            unsafe { list.add(at).write(process) };
        }
        SUCCESS
    })
}

#[repr(C)]
#[derive(Debug)]
pub(crate) struct ProcessUtilization {
    pid: c_uint,
    time_stamp: c_ulonglong,
    sm: c_uint,
    memory: c_uint,
    encoder: c_uint,
    decoder: c_uint,
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetProcessUtilization(
    device: *mut c_void,
    samples: *mut ProcessUtilization,
    count: *mut c_uint,
    last_seen: c_ulonglong,
) -> Code {
    about_in(device, |scenario, gpu| {
        if count.is_null() {
            return INVALID_ARGUMENT;
        }
        let running = gpu.processes();
        let busy: Vec<(u32, u32)> = running
            .iter()
            .filter_map(|process| Some((process.pid, scenario.percent(process.pid)?)))
            .collect();
        let there = u32::try_from(busy.len()).unwrap_or(u32::MAX);
        // SAFETY: as above.
        let room = unsafe { count.replace(there) };
        if there == 0 {
            return NOT_FOUND;
        }
        if there > room || samples.is_null() {
            return INSUFFICIENT_SIZE;
        }
        for (at, (pid, sm)) in busy.into_iter().enumerate() {
            let sample = ProcessUtilization {
                pid,
                time_stamp: last_seen.saturating_add(1),
                sm,
                memory: 0,
                encoder: 0,
                decoder: 0,
            };
            // SAFETY: as above.
            unsafe { samples.add(at).write(sample) };
        }
        SUCCESS
    })
}
