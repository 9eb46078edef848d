//! A private key: made where it is used, never sent anywhere.

use std::{fmt, io, path::Path};

use common::id::Fingerprint;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::pem_file::{Block, PemFile};

/// An Ed25519 private key. Its bytes are wiped from memory when it is dropped.
pub struct PrivateKey(KeyPair);

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ED25519)
            .map(Self)
            .map_err(KeyError::Generate)
    }

    /// Writes the key to a file that only its owner can read.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let file = PemFile::default().with_key(self);
        file.write(path).map_err(KeyError::Write)
    }

    /// Reads the key from a file.
    ///
    /// # Errors
    /// The file cannot be read or holds no key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let file = PemFile::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => KeyError::NotAKey,
            _ => KeyError::Read(error),
        })?;
        match file.blocks()[..] {
            [Block::Key(pkcs8)] => Self::from_pkcs8(pkcs8),
            _ => Err(KeyError::NotAKey),
        }
    }

    /// Returns the SHA-256 of the public key (its SubjectPublicKeyInfo).
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint_of(&self.0.subject_public_key_info())
    }

    /// Returns a certificate request (PKCS #10, DER) that names nothing but the key.
    ///
    /// # Errors
    /// Signing failed.
    pub fn request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params.serialize_request(self).map_err(KeyError::Sign)?;
        Ok(request.der().to_vec())
    }

    pub(crate) fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        KeyPair::try_from(&PrivatePkcs8KeyDer::from(bytes))
            .map(Self)
            .map_err(|_| KeyError::NotAKey)
    }

    pub(crate) fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialized_der().to_vec())
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Only the fingerprint.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivateKey")
            .field(&self.fingerprint())
            .finish()
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(&self.0)
    }
}

impl SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

/// Why a key cannot be made, kept or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("no key could be made")]
    Generate(#[source] rcgen::Error),
    #[error("the key cannot sign")]
    Sign(#[source] rcgen::Error),
    #[error("the key's file cannot be written")]
    Write(#[source] io::Error),
    #[error("the key's file cannot be read")]
    Read(#[source] io::Error),
    #[error("the file holds no private key")]
    NotAKey,
}

pub(crate) fn fingerprint_of(spki: &[u8]) -> Fingerprint {
    Fingerprint::new(Sha256::digest(spki).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_comes_back_from_its_private_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let key = PrivateKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            PrivateKey::load(&path).unwrap().fingerprint(),
            key.fingerprint()
        );
        assert_ne!(
            PrivateKey::generate().unwrap().fingerprint(),
            key.fingerprint()
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        assert!(matches!(PrivateKey::load(&path), Err(KeyError::Read(_))));
        let other = pem::encode(&pem::Pem::new("CERTIFICATE", vec![1, 2, 3]));
        let garbled = pem::encode(&pem::Pem::new("PRIVATE KEY", vec![1, 2, 3]));
        for text in ["", "hello", other.as_str(), garbled.as_str()] {
            std::fs::write(&path, text).unwrap();
            assert!(
                matches!(PrivateKey::load(&path), Err(KeyError::NotAKey)),
                "{text}"
            );
        }
        std::fs::write(&path, "-".repeat(100_000)).unwrap();
        assert!(matches!(PrivateKey::load(&path), Err(KeyError::NotAKey)));
    }

    #[test]
    fn a_key_never_shows_itself() {
        let key = PrivateKey::generate().unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("PrivateKey(Fingerprint({}))", key.fingerprint())
        );
    }
}
