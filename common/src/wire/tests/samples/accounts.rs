//! Accounts and devices.

use super::super::Sample;
use super::nouns::{AT, ORG, USER, name};
use crate::api::account::{AccountAnswer, AccountRequest, AccountView, DeviceView, MemberRef};
use crate::api::{Answer, Request};
use crate::id::DeviceId;

pub(super) const DEVICE: DeviceId = DeviceId::from_bytes([11; 16]);

pub(super) fn accounts() -> Vec<Sample> {
    let request = |name: &'static str, request| Sample::new(name, &Request::Account(request));
    let answer = |name: &'static str, answer| Sample::new(name, &Answer::Account(answer));
    let of = || {
        Some(MemberRef {
            org: ORG,
            handle: name("bob"),
        })
    };
    vec![
        request("account_show", AccountRequest::Show),
        request(
            "account_profile",
            AccountRequest::ChangeProfile {
                display_name: Some("Ada Lovelace".to_owned()),
                email: None,
            },
        ),
        request("devices_list", AccountRequest::ListDevices { of: of() }),
        request(
            "device_revoke",
            AccountRequest::RevokeDevice {
                of: None,
                device: Some(name("laptop")),
            },
        ),
        answer(
            "account",
            AccountAnswer::Account(AccountView {
                user: USER,
                handle: name("ada"),
                display_name: Some("Ada Lovelace".parse().unwrap()),
                email: Some("ada@lab.example".parse().unwrap()),
            }),
        ),
        answer(
            "devices",
            AccountAnswer::Devices(vec![DeviceView {
                id: DEVICE,
                name: name("laptop"),
                signed_in_at: AT,
                renewed_at: AT,
                expires_at: AT,
                current: true,
            }]),
        ),
    ]
}
