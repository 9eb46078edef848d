//! Accounts and devices.

use common::id::CertificateSerial;

use crate::{
    event::AccountEvent,
    state::{State, account::Device},
};

pub(super) fn apply(state: &mut State, event: &AccountEvent) {
    match event {
        AccountEvent::ProfileChanged { user, after, .. } => {
            if let Some(row) = state.users.get_mut(user) {
                row.profile = after.clone();
            }
        }
        AccountEvent::DeviceSignedIn {
            device,
            user,
            name,
            key,
            at,
        } => {
            let devices = state.index.devices.entry(*user).or_default();
            devices.entry(*device).or_default();
            let row = Device {
                user: *user,
                name: name.clone(),
                key: *key,
                signed_in_at: *at,
                renewed_at: *at,
                expires_at: *at,
                revoked_at: None,
            };
            state.devices.insert(*device, row);
        }
        AccountEvent::DeviceRevoked { device, at, .. } => {
            if let Some(row) = state.devices.get_mut(device) {
                row.revoked_at = Some(*at);
            }
        }
        AccountEvent::DeviceForgotten {
            device,
            user,
            certificates,
        } => {
            forget(state, certificates);
            state.devices.remove(device);
            if let Some(devices) = state.index.devices.get_mut(user) {
                devices.remove(device);
                if devices.is_empty() {
                    state.index.devices.remove(user);
                }
            }
        }
        AccountEvent::CertificatesForgotten { certificates, .. } => forget(state, certificates),
    }
}

fn forget(state: &mut State, certificates: &[CertificateSerial]) {
    for serial in certificates {
        if let Some(row) = state.certificates.remove(serial) {
            state.index.certificate_out(*serial, &row);
        }
    }
}
