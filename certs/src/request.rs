//! A certificate request from outside. Whoever asks proves that they hold the key; nothing else that they ask for
//! counts.

use std::fmt;

use common::id::Fingerprint;
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _, SubjectPublicKeyInfo};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

use crate::key::fingerprint_of;

/// Longest request, in bytes; ours have about 150.
const MAX_REQUEST_BYTES: usize = 8 << 10;

const ED25519_KEY_BYTES: usize = 32;
/// An uncompressed point: a byte of form and two coordinates.
const P256_KEY_BYTES: usize = 65;

/// A request whose own signature was checked.
pub struct CertificateRequest {
    pub(crate) public_key: SubjectPublicKeyInfo,
}

impl CertificateRequest {
    /// Reads a request (PKCS #10, DER).
    ///
    /// Names, extensions and attributes in it are not even looked at.
    ///
    /// # Errors
    /// It is not a request, not signed by its own key, or its key is of a kind that is not accepted:
    /// Ed25519 and ECDSA on P-256 are.
    pub fn parse(der: &[u8]) -> Result<Self, InvalidRequest> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(InvalidRequest::TooLong);
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| InvalidRequest::Malformed)?;
        if !rest.is_empty() {
            return Err(InvalidRequest::Malformed);
        }
        let spki = &request.certification_request_info.subject_pki;
        let public_key =
            SubjectPublicKeyInfo::from_der(spki.raw).map_err(|_| InvalidRequest::WeakKey)?;
        let algorithm = public_key.algorithm();
        let accepted = (algorithm == &PKCS_ED25519
            && public_key.der_bytes().len() == ED25519_KEY_BYTES)
            || (algorithm == &PKCS_ECDSA_P256_SHA256
                && public_key.der_bytes().len() == P256_KEY_BYTES);
        if !accepted {
            return Err(InvalidRequest::WeakKey);
        }
        request
            .verify_signature()
            .map_err(|_| InvalidRequest::Signature)?;
        Ok(Self { public_key })
    }

    /// Returns the SHA-256 of the public key, as [`crate::PrivateKey::fingerprint`] does.
    pub fn key(&self) -> Fingerprint {
        fingerprint_of(&self.public_key.subject_public_key_info())
    }
}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRequest")
            .field("key", &self.key())
            .finish()
    }
}

/// Why a certificate request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    #[error("the certificate request is longer than {MAX_REQUEST_BYTES} bytes")]
    TooLong,
    #[error("it is not a certificate request (PKCS #10)")]
    Malformed,
    #[error("the certificate request's key is not one that is accepted: Ed25519 or ECDSA P-256")]
    WeakKey,
    #[error("the certificate request is not signed by its own key")]
    Signature,
}

#[cfg(test)]
mod tests;
