//! Accounts, devices and tokens.

use super::super::Sample;
use super::nouns::{AT, KEY, ORG, USER, last, name};
use crate::api::account::{
    AccountAnswer, AccountRequest, AccountView, DeviceView, MemberRef, Proof, TwoFactorView,
};
use crate::api::token::{CreateToken, CreatedToken, TokenAnswer, TokenRequest};
use crate::api::{Answer, Request};
use crate::id::{DeviceId, TokenId};
use crate::status::TokenScope;
use crate::token::{TOKEN_TTL, TokenStatus, TokenView};

pub(super) const DEVICE: DeviceId = DeviceId::from_bytes([11; 16]);

const TOKEN: TokenId = TokenId::from_bytes([12; 16]);

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
        request(
            "password_set",
            AccountRequest::SetPassword {
                password: "correct horse".to_owned(),
                proof: Some(Proof::Password("SECRET".to_owned())),
            },
        ),
        request("links_revoke", AccountRequest::RevokeLinks { of: of() }),
        request("two_factor_begin", AccountRequest::BeginTwoFactor),
        request(
            "two_factor_confirm",
            AccountRequest::ConfirmTwoFactor {
                code: "123456".to_owned(),
            },
        ),
        request(
            "two_factor_stop",
            AccountRequest::StopTwoFactor { proof: None },
        ),
        request(
            "recovery_codes_new",
            AccountRequest::NewRecoveryCodes {
                proof: Some(Proof::Code("123456".to_owned())),
            },
        ),
        answer(
            "two_factor_begun",
            AccountAnswer::TwoFactorBegun {
                uri: "otpauth://totp/x".to_owned(),
                secret: "SECRET".to_owned(),
            },
        ),
        answer(
            "recovery_codes",
            AccountAnswer::RecoveryCodes(vec!["AAAA-BBBB-CCCC".to_owned()]),
        ),
        Sample::new(
            "token_create",
            &Request::Token(TokenRequest::Create(CreateToken {
                org: ORG,
                name: name("ci"),
                scope: TokenScope::Submit,
                ttl: TOKEN_TTL,
                code: None,
            })),
        ),
        Sample::new(
            "token_list",
            &Request::Token(TokenRequest::List {
                org: ORG,
                after: None,
            }),
        ),
        Sample::new(
            "token_revoke",
            &Request::Token(TokenRequest::Revoke {
                org: ORG,
                token: name("ci"),
            }),
        ),
        Sample::new(
            "token_created",
            &Answer::Token(TokenAnswer::Created(CreatedToken {
                id: TOKEN,
                secret: "cs_SECRET".to_owned(),
                expires_at: AT,
                fingerprint: KEY,
            })),
        ),
        Sample::new(
            "tokens",
            &Answer::Token(TokenAnswer::Tokens(last(TokenView {
                id: TOKEN,
                name: name("ci"),
                org: ORG,
                scope: TokenScope::Read,
                status: TokenStatus::Revoked,
                created_at: AT,
                expires_at: AT,
                last_used_at: Some(AT),
            }))),
        ),
        answer(
            "account",
            AccountAnswer::Account(AccountView {
                user: USER,
                handle: name("ada"),
                display_name: Some("Ada Lovelace".parse().unwrap()),
                email: Some("ada@lab.example".parse().unwrap()),
                has_password: true,
                two_factor: Some(TwoFactorView {
                    since: AT,
                    recovery_codes_left: 9,
                }),
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
