//! TLS on both sides: version 1.3 only, our own authority only, nothing resumed.
//!
//! The one place that knows how rustls is configured, so that its next version is one change.

use std::sync::Arc;

use common::{
    id::Fingerprint,
    wire::{ALPN_AGENT, ALPN_CLIENT, ALPN_JOIN},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    version::TLS13,
};

use crate::{Identity, ServerIdentity, Verdict, identity::Credential, verdict::PinnedRootVerifier};

/// Returns what the coordinator listens with.
///
/// A client may come without a certificate, since whoever wants to join has none yet; the doors for agents and
/// members refuse it. One that is shown must come from the same root and be made for clients.
///
/// # Errors
/// The identity's own chain is not usable.
pub fn server_config(identity: &ServerIdentity) -> Result<ServerConfig, ConfigError> {
    server_config_for(identity.credential())
}

pub(crate) fn server_config_for(credential: &Credential) -> Result<ServerConfig, ConfigError> {
    let root = credential.root().ok_or(ConfigError::NoRoot)?;
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).map_err(ConfigError::Tls)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(ConfigError::Verifier)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(ConfigError::Tls)?
        .with_client_cert_verifier(clients)
        .with_single_cert(credential.chain(), credential.key())
        .map_err(ConfigError::Tls)?;
    config.alpn_protocols = [ALPN_AGENT, ALPN_CLIENT, ALPN_JOIN]
        .map(<[u8]>::to_vec)
        .to_vec();
    // A resumed session would skip the look at the certificate, and early data can be replayed.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

/// Returns what to dial the coordinator of the root `root` with, under one ALPN.
///
/// # Errors
/// The identity is not usable.
pub fn client_config(
    root: Fingerprint,
    identity: Option<&Identity>,
    alpn: &[u8],
) -> Result<ClientTls, ConfigError> {
    client_config_for(root, identity.map(Identity::credential), alpn)
}

pub(crate) fn client_config_for(
    root: Fingerprint,
    credential: Option<&Credential>,
    alpn: &[u8],
) -> Result<ClientTls, ConfigError> {
    let provider = provider();
    let verdict = Arc::new(Verdict::default());
    let verifier = PinnedRootVerifier::new(root, Arc::clone(&provider), Arc::clone(&verdict));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(ConfigError::Tls)?
        // "Dangerous" is rustls' word for any verifier of one's own; this one only narrows webpki's.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match credential {
        None => builder.with_no_client_auth(),
        Some(credential) => builder
            .with_client_auth_cert(credential.chain(), credential.key())
            .map_err(ConfigError::Tls)?,
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(ClientTls { config, verdict })
}

/// What a client dials with, and where it learns afterwards why the coordinator was not believed.
#[derive(Debug)]
pub struct ClientTls {
    pub config: ClientConfig,
    pub verdict: Arc<Verdict>,
}

/// Why TLS cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the identity has no root certificate")]
    NoRoot,
    #[error("the certificate or key cannot be used")]
    Tls(#[source] rustls::Error),
    #[error("the root certificate cannot be used")]
    Verifier(#[source] VerifierBuilderError),
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
