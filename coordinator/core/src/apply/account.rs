//! Accounts: profiles, devices, what shows who a user is.

use common::id::CertificateSerial;

use crate::{
    event::{AccountEvent, account::Used},
    state::{
        State,
        account::{Credentials, Device, Tries, TwoFactor},
    },
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
            token,
            bound,
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
                token: *token,
                bound: *bound,
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
        AccountEvent::ProofTried { user, .. }
        | AccountEvent::ProofAccepted { user, .. }
        | AccountEvent::PasswordSet { user, .. }
        | AccountEvent::TwoFactorBegun { user, .. }
        | AccountEvent::TwoFactorTurnedOn { user, .. }
        | AccountEvent::TwoFactorTurnedOff { user, .. }
        | AccountEvent::RecoveryCodesMade { user, .. }
        | AccountEvent::CredentialsReset { user, .. } => {
            credentials(state.credentials.entry(*user).or_default(), event);
        }
    }
}

fn credentials(row: &mut Credentials, event: &AccountEvent) {
    match event {
        AccountEvent::ProofTried { at, .. } => {
            row.tries.count = row.tries.count.saturating_add(1);
            row.tries.last_at = *at;
        }
        AccountEvent::ProofAccepted { used, .. } => {
            row.tries = Tries::default();
            match (&mut row.two_factor, used) {
                (Some(two_factor), Some(Used::Step(step))) => two_factor.last_step = *step,
                (Some(two_factor), Some(Used::Recovery(code))) => {
                    two_factor.recovery.remove(code);
                }
                _ => {}
            }
        }
        AccountEvent::PasswordSet { hash, .. } => row.password = Some(hash.clone()),
        AccountEvent::TwoFactorBegun { secret, .. } => row.begun = Some(secret.clone()),
        AccountEvent::TwoFactorTurnedOn {
            secret,
            step,
            recovery,
            at,
            ..
        } => {
            row.begun = None;
            row.tries = Tries::default();
            row.two_factor = Some(TwoFactor {
                secret: secret.clone(),
                since: *at,
                last_step: *step,
                recovery: recovery.iter().copied().collect(),
            });
        }
        AccountEvent::TwoFactorTurnedOff { .. } => row.two_factor = None,
        AccountEvent::CredentialsReset { .. } => *row = Credentials::default(),
        AccountEvent::RecoveryCodesMade { recovery, .. } => {
            if let Some(two_factor) = &mut row.two_factor {
                two_factor.recovery = recovery.iter().copied().collect();
            }
        }
        _ => {}
    }
}

fn forget(state: &mut State, certificates: &[CertificateSerial]) {
    for serial in certificates {
        if let Some(row) = state.certificates.remove(serial) {
            state.index.certificate_out(*serial, &row);
        }
    }
}
