//! Events: one is delivered when its line appears in the scenario.

use std::{
    ffi::{c_uint, c_ulonglong, c_void},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{Code, SUCCESS, about, broken, put, scenario::Scenario};

const TIMEOUT: Code = 10;
/// The kind of event that carries an Xid.
const XID_EVENT: c_ulonglong = 8;
/// Between two looks for an event.
const LOOK: Duration = Duration::from_millis(10);

/// The last event that was delivered.
static DELIVERED: AtomicU64 = AtomicU64::new(0);

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetSupportedEventTypes(
    device: *mut c_void,
    types: *mut c_ulonglong,
) -> Code {
    about(device, |_| put(types, XID_EVENT))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlEventSetCreate(set: *mut *mut c_void) -> Code {
    put(set, std::ptr::dangling_mut())
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlEventSetFree(_set: *mut c_void) -> Code {
    SUCCESS
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceRegisterEvents(
    device: *mut c_void,
    _types: c_ulonglong,
    _set: *mut c_void,
) -> Code {
    about(device, |_| SUCCESS)
}

#[repr(C)]
#[derive(Debug)]
pub(crate) struct EventData {
    device: *mut c_void,
    event_type: c_ulonglong,
    event_data: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlEventSetWait_v2(
    _set: *mut c_void,
    data: *mut EventData,
    timeout_ms: c_uint,
) -> Code {
    let begun = Instant::now();
    loop {
        let scenario = Scenario::read();
        let broken = broken(&scenario);
        if broken != SUCCESS {
            return broken;
        }
        let delivered = DELIVERED.load(Ordering::Relaxed);
        let mut events = scenario.events.iter();
        if let Some(event) = events.find(|event| event.number > delivered) {
            DELIVERED.store(event.number, Ordering::Relaxed);
            return put(
                data,
                EventData {
                    device: (event.gpu + 1) as *mut c_void,
                    event_type: XID_EVENT,
                    event_data: event.xid,
                    gpu_instance: u32::MAX,
                    compute_instance: u32::MAX,
                },
            );
        }
        if begun.elapsed() >= Duration::from_millis(u64::from(timeout_ms)) {
            return TIMEOUT;
        }
        std::thread::park_timeout(LOOK);
    }
}
