//! The two questions to the driver's library that its wrapper does not ask, or not with a bound.

#![allow(unsafe_code, reason = "calls through the library's own functions")]

use std::ffi::c_uint;

use nvml_wrapper::{
    Device,
    error::{NvmlError, nvml_sym, nvml_try, nvml_try_count},
};

/// Whether bad rows of a GPU's memory wait to be replaced, or could not be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RemappedRows {
    pub(super) pending: bool,
    pub(super) failed: bool,
}

pub(super) fn remapped_rows(device: &Device<'_>) -> Result<RemappedRows, NvmlError> {
    let function = nvml_sym(device.nvml().lib().nvmlDeviceGetRemappedRows.as_ref())?;
    let [mut corrected, mut uncorrected, mut pending, mut failed]: [c_uint; 4] = [0; 4];
    // SAFETY: the handle is of the same library, and the places outlive the call.
    let code = unsafe {
        function(
            device.handle(),
            &raw mut corrected,
            &raw mut uncorrected,
            &raw mut pending,
            &raw mut failed,
        )
    };
    nvml_try(code)?;
    Ok(RemappedRows {
        pending: pending != 0,
        failed: failed != 0,
    })
}

/// How busy a process kept a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy {
    pub(super) pid: u32,
    /// In the driver's time.
    pub(super) at: u64,
    pub(super) percent: u32,
}

/// Returns the samples since `since`, at most `most` of them.
pub(super) fn process_utilization(
    device: &Device<'_>,
    since: u64,
    most: u32,
) -> Result<Vec<Busy>, NvmlError> {
    let library = device.nvml().lib();
    let function = nvml_sym(library.nvmlDeviceGetProcessUtilization.as_ref())?;
    let mut count: c_uint = 0;
    // SAFETY: the handle is of this library; without a place for samples only their number is written.
    let code = unsafe { function(device.handle(), std::ptr::null_mut(), &raw mut count, since) };
    nvml_try_count(code)?;
    count = count.min(most);
    let mut samples = Vec::new();
    // SAFETY: a sample is plain numbers.
    samples.resize_with(count as usize, || unsafe { std::mem::zeroed() });
    // SAFETY: there is room for `count` samples.
    let code = unsafe { function(device.handle(), samples.as_mut_ptr(), &raw mut count, since) };
    nvml_try(code)?;
    samples.truncate(count as usize);
    let busy = samples.into_iter().map(|sample| Busy {
        pid: sample.pid,
        at: sample.timeStamp,
        percent: sample.smUtil,
    });
    Ok(busy.collect())
}
