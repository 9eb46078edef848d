//! How a client judges the coordinator's certificate, and what it remembers of a refusal.
//!
//! The handshake itself can only say "bad certificate"; whoever dialled needs to know which of several very
//! different things that was.

use std::sync::{Arc, Mutex, PoisonError};

use common::{id::Fingerprint, time::Timestamp};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{SERVER_NAME, key::fingerprint_of, peer::parse_x509};

/// Most certificates that are looked at in what a server shows.
const MAX_PRESENTED: usize = 8;

/// Why the last handshake was refused by us, if it was.
#[derive(Debug, Default)]
pub struct Verdict(Mutex<Option<Refusal>>);

impl Verdict {
    /// Returns why the coordinator's certificate was refused; `None` if it was not.
    pub fn refusal(&self) -> Option<Refusal> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, refusal: Option<Refusal>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}

/// Why the coordinator's certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It belongs to another authority than the pinned one.
    #[error("its root certificate has the fingerprint {}, not {expected}", shown(*.presented))]
    WrongFingerprint {
        expected: Fingerprint,
        /// Of the last certificate it showed, where that could be read.
        presented: Option<Fingerprint>,
    },
    #[error("its certificate expired at {}; here it is {}", .expired_at.to_second(), .now.to_second())]
    Expired {
        now: Timestamp,
        expired_at: Timestamp,
    },
    #[error("its certificate is good from {} on; here it is {}", .not_before.to_second(), .now.to_second())]
    NotYetValid {
        now: Timestamp,
        not_before: Timestamp,
    },
    /// It has the right root but is not the coordinator's: another name or purpose.
    #[error("its certificate is not the coordinator's")]
    NotTheCoordinator,
    /// It names the right root but was not signed by it, or is malformed.
    #[error("its certificate is not good: {0}")]
    Untrusted(String),
}

fn shown(fingerprint: Option<Fingerprint>) -> String {
    fingerprint.map_or_else(
        || "(none)".to_owned(),
        |fingerprint| fingerprint.to_string(),
    )
}

/// Believes only a chain below the root whose key has the pinned fingerprint.
#[derive(Debug)]
pub(crate) struct PinnedRootVerifier {
    root: Fingerprint,
    provider: Arc<CryptoProvider>,
    verdict: Arc<Verdict>,
}

impl PinnedRootVerifier {
    pub(crate) const fn new(
        root: Fingerprint,
        provider: Arc<CryptoProvider>,
        verdict: Arc<Verdict>,
    ) -> Self {
        Self {
            root,
            provider,
            verdict,
        }
    }

    /// Returns the pinned root among what the server showed.
    fn pinned<'a, 'der>(
        &self,
        shown: &'a [CertificateDer<'der>],
    ) -> Option<&'a CertificateDer<'der>> {
        shown
            .iter()
            .find(|certificate| spki_fingerprint(certificate) == Some(self.root))
    }

    /// Lets webpki verify the chain below `root`, which is not trusted for having been shown but for its key.
    fn verify_below(
        &self,
        root: &CertificateDer<'_>,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        let name =
            ServerName::try_from(SERVER_NAME).map_err(|error| Error::General(error.to_string()))?;
        webpki.verify_server_cert(leaf, others, &name, &[], now)
    }
}

impl ServerCertVerifier for PinnedRootVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let others = &intermediates[..intermediates.len().min(MAX_PRESENTED)];
        let Some(root) = self.pinned(others) else {
            self.verdict.set(Some(Refusal::WrongFingerprint {
                expected: self.root,
                presented: spki_fingerprint(others.last().unwrap_or(end_entity)),
            }));
            return Err(CertificateError::UnknownIssuer.into());
        };
        let verified = self.verify_below(root, end_entity, others, now);
        self.verdict.set(verified.as_ref().err().map(refusal_of));
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn refusal_of(error: &Error) -> Refusal {
    let Error::InvalidCertificate(reason) = error else {
        return Refusal::Untrusted(error.to_string());
    };
    match reason {
        CertificateError::ExpiredContext { time, not_after } => Refusal::Expired {
            now: timestamp(*time),
            expired_at: timestamp(*not_after),
        },
        CertificateError::NotValidYetContext { time, not_before } => Refusal::NotYetValid {
            now: timestamp(*time),
            not_before: timestamp(*not_before),
        },
        CertificateError::NotValidForName
        | CertificateError::NotValidForNameContext { .. }
        | CertificateError::InvalidPurpose
        | CertificateError::InvalidPurposeContext { .. } => Refusal::NotTheCoordinator,
        _ => Refusal::Untrusted(error.to_string()),
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp::from_unix_ms(time.as_secs().saturating_mul(1000))
}

fn spki_fingerprint(certificate: &CertificateDer<'_>) -> Option<Fingerprint> {
    let parsed = parse_x509(certificate).ok()?;
    Some(fingerprint_of(parsed.public_key().raw))
}
