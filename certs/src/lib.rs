//! The org's certificate authority and everything that is decided with its certificates.
//!
//! A root signs one issuing certificate; the issuing key signs leaves for the coordinator, for members'
//! devices and for machines. A role is never asked for: it is fixed by which of these was issued.
//! `README.md` beside this crate explains the chain.
//!
//! This is not the registry: whether a certificate was revoked is the coordinator's to know, by its serial
//! number. It opens no connections either; `link` does, with the configurations made here.
//!
//! The coordinator creates and opens the [`Authority`] and listens with [`server_config`]; agents and the
//! command line make a [`PrivateKey`], ask with its request, keep an [`Identity`] and dial with
//! [`client_config`].

mod authority;
pub mod files;
mod grant;
mod identity;
mod key;
mod peer;
mod peer_tls;
mod pem_file;
mod request;
mod seal;
mod tls;
mod verdict;

#[cfg(test)]
mod handshake_tests;

pub use authority::{Authority, AuthorityError, IssueError, Issued};
pub use grant::InvalidGrant;
pub use identity::{Identity, IdentityError, ServerIdentity};
pub use key::{KeyError, PrivateKey};
pub use peer::{InvalidCertificate, PeerCertificate, Subject};
pub use peer_tls::{PEER_NAME, peer_client_config, peer_server_config};
pub use request::{CertificateRequest, InvalidRequest};
pub use seal::{SealError, SealingKey, seal, seal_login};
pub use tls::{ClientTls, ConfigError, client_config, server_config};
pub use verdict::{Refusal, Verdict};

use common::time::Span;

/// The name in the coordinator's certificate. Clients check it whatever address they dialled: the pinned
/// root says which org it is, and addresses come and go.
pub const SERVER_NAME: &str = "coordinator.compute-share.internal";

/// Life of the certificate of a member's device.
pub const MEMBER_LIFE: Span = Span::from_secs(7 * 86_400);
/// Life of a machine's certificate.
pub const MACHINE_LIFE: Span = Span::from_secs(7 * 86_400);
/// Life of the coordinator's own certificate.
pub const SERVER_LIFE: Span = Span::from_secs(7 * 86_400);

/// Makes aws-lc-rs the process's cryptography, for whatever does not name its own. May be called again.
pub fn install_crypto() {
    // The only error is that one is installed already, which is what we want.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
