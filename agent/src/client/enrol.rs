//! Getting in: a link or code becomes credentials on this computer.

use certs::PrivateKey;
use common::{
    api::invitation::ShownInvitation,
    code::Code,
    join_link::{JoinLink, LinkPurpose},
    name::{MAX_NAME_BYTES, Name},
    problem::Problem,
    status::Role,
    wire::{
        ALPN_JOIN, close,
        join::{JoinAnswer, JoinRequest},
    },
};
use link::frames;

use super::{
    credentials::{Credentials, Store},
    dialer, new_key,
};

/// A new sign-in.
#[derive(Debug)]
pub(crate) struct Enrolled {
    pub(crate) credentials: Credentials,
    pub(crate) role: Role,
}

/// What somebody says of themselves who comes in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Newcomer {
    /// For somebody new.
    pub(crate) handle: Option<Name>,
    /// Of two-factor.
    pub(crate) code: Option<String>,
}

/// Uses `link` and keeps what it gives.
///
/// # Errors
/// The coordinator is not there, is not the link's, or refuses the code; or nothing can be kept here.
pub(crate) async fn enrol(
    store: &Store,
    link: &JoinLink,
    newcomer: Newcomer,
) -> Result<Enrolled, Problem> {
    let key = key_towards(store, link)?;
    let answer = ask(link, &key, newcomer).await?;
    let JoinAnswer::Enrolled {
        user,
        handle,
        org,
        org_name,
        role,
        chain,
    } = answer
    else {
        return Err(senseless("it is not about a member"));
    };
    let credentials = Credentials {
        address: link.address.clone(),
        fingerprint: link.fingerprint,
        user,
        handle,
        org,
        org_name,
    };
    store.save_identity(chain, &key)?;
    store.save(&credentials)?;
    Ok(Enrolled { credentials, role })
}

/// Returns the key that this computer has towards the link's coordinator, or a new one. The same key tells the
/// coordinator that it is the same person, or the same request sent again.
fn key_towards(store: &Store, link: &JoinLink) -> Result<PrivateKey, Problem> {
    let elsewhere = store
        .find()?
        .is_some_and(|known| known.fingerprint != link.fingerprint);
    if store.has_key() && !elsewhere {
        return store.key();
    }
    let key = new_key()?;
    store.save_key(&key)?;
    Ok(key)
}

/// Looks at an invitation without taking it.
///
/// # Errors
/// The coordinator is not there, is not the link's, or the invitation lets nobody in.
pub(crate) async fn show_invitation(link: &JoinLink) -> Result<ShownInvitation, Problem> {
    let secret = link.secret.clone();
    match tell(link, &JoinRequest::ShowInvitation { secret }).await? {
        JoinAnswer::Invitation(shown) => Ok(shown),
        _ => Err(senseless("it is not about an invitation")),
    }
}

/// Turns an invitation for an address down, and returns the org that it was to.
///
/// # Errors
/// As for [`show_invitation`]; or it is for whoever has it.
pub(crate) async fn decline_invitation(link: &JoinLink) -> Result<Name, Problem> {
    let secret = link.secret.clone();
    match tell(link, &JoinRequest::DeclineInvitation { secret }).await? {
        JoinAnswer::Declined { org_name } => Ok(org_name),
        _ => Err(senseless("it is not about an invitation")),
    }
}

fn senseless(why: &str) -> Problem {
    Problem::new(
        Code::Protocol,
        "the coordinator's answer makes no sense",
        why,
    )
}

async fn ask(link: &JoinLink, key: &PrivateKey, newcomer: Newcomer) -> Result<JoinAnswer, Problem> {
    let csr = key.request().map_err(|error| {
        let why = error.to_string();
        Problem::new(Code::Internal, "cannot ask for a certificate", why)
    })?;
    let device = this_computer();
    let request = match link.purpose {
        LinkPurpose::Token => JoinRequest::ExchangeToken {
            token: link.secret.clone(),
            csr,
            device,
        },
        LinkPurpose::Join | LinkPurpose::Login => JoinRequest::Enrol {
            secret: link.secret.clone(),
            purpose: link.purpose,
            handle: newcomer
                .handle
                .filter(|_| link.purpose == LinkPurpose::Join),
            csr,
            device,
            code: newcomer.code,
        },
    };
    tell(link, &request).await
}

/// Asks the link's coordinator at its door for strangers.
async fn tell(link: &JoinLink, request: &JoinRequest) -> Result<JoinAnswer, Problem> {
    certs::install_crypto();
    let tls = certs::client_config(link.fingerprint, None, ALPN_JOIN).map_err(|error| {
        let why = error.to_string();
        Problem::new(Code::Internal, "cannot call the coordinator", why)
    })?;
    let dialer = dialer()?;
    let connection = dialer.dial(&link.address, tls).await?;
    let stream = connection.open_bi().await;
    let (mut sender, mut receiver) =
        frames::split(stream.map_err(|error| link::close_problem(&error))?);
    sender.send(request).await?;
    sender.finish();
    let answer = receiver.expect().await;
    connection.close(close::DONE.into(), b"");
    tokio::task::yield_now().await;
    Ok(answer?)
}

/// Returns what this computer is called, as far as that can be a name.
fn this_computer() -> Name {
    let system = rustix::system::uname();
    device_name(&system.nodename().to_string_lossy())
}

/// Makes a name of whatever a computer is called.
fn device_name(host: &str) -> Name {
    let first = host.split('.').next().unwrap_or_default().to_lowercase();
    let plain: String = first
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .take(MAX_NAME_BYTES)
        .collect();
    let name = plain.trim_matches(['-', '_']).parse();
    name.unwrap_or_else(|_| "computer".parse().expect("the word is a name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computer_is_called_by_what_can_be_a_name() {
        #[track_caller]
        fn check(host: &str, expect: &str) {
            assert_eq!(device_name(host).as_str(), expect, "{host:?}");
        }
        check("Ada's Laptop.local", "ada-s-laptop");
        check("box", "box");
        check("", "computer");
        check("--", "computer");
        check("\u{202e}x\u{1b}[31m", "x--31m");
        check(&"a".repeat(100), &"a".repeat(63));
    }
}
