//! TLS between two machines: both show the certificate that the coordinator gave them, and each is known by the machine
//! that it names.
//!
//! Machines' certificates are made for clients alone, so that none can pass for the coordinator. Here one side listens
//! all the same: who dials checks what it is shown as a client's certificate, of just the machine that was dialled.

use std::sync::Arc;

use common::{id::MachineId, wire::ALPN_PEER};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};

use crate::{
    Identity, PeerCertificate, Subject,
    identity::Credential,
    tls::{ConfigError, provider},
};

/// The name that is dialled; nobody's certificate has it.
pub const PEER_NAME: &str = "machine.compute-share.internal";

/// Returns what a machine listens for others with. Whoever comes has to show a certificate of the same root.
///
/// # Errors
/// The identity is not usable.
pub fn peer_server_config(identity: &Identity) -> Result<ServerConfig, ConfigError> {
    let credential = identity.credential();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(ConfigError::Tls)?
        .with_client_cert_verifier(of_our_root(credential)?)
        .with_single_cert(credential.chain(), credential.key())
        .map_err(ConfigError::Tls)?;
    config.alpn_protocols = vec![ALPN_PEER.to_vec()];
    // As for the coordinator: a resumed session would skip the look at the certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

/// Returns what to dial the machine `expected` with.
///
/// # Errors
/// The identity is not usable.
pub fn peer_client_config(
    identity: &Identity,
    expected: MachineId,
) -> Result<ClientConfig, ConfigError> {
    let credential = identity.credential();
    let clients = of_our_root(credential)?;
    let verifier = MachineVerifier { expected, clients };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(ConfigError::Tls)?
        // "Dangerous" is rustls' word for any verifier of one's own; this one only narrows webpki's.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(credential.chain(), credential.key())
        .map_err(ConfigError::Tls)?;
    config.alpn_protocols = vec![ALPN_PEER.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn of_our_root(credential: &Credential) -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
    let root = credential.root().ok_or(ConfigError::NoRoot)?;
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).map_err(ConfigError::Tls)?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(ConfigError::Verifier)
}

/// Believes only the certificate of one machine.
#[derive(Debug)]
struct MachineVerifier {
    expected: MachineId,
    clients: Arc<dyn ClientCertVerifier>,
}

impl ServerCertVerifier for MachineVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.clients
            .verify_client_cert(end_entity, intermediates, now)?;
        let peer = PeerCertificate::parse(end_entity).ok();
        if peer.is_none_or(|peer| peer.subject != Subject::Machine(self.expected)) {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
