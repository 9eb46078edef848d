//! Secrets that only the coordinator can open: sealed by a member's program, opened where they are needed.
//!
//! HPKE (RFC 9180) in base mode with X25519, HKDF-SHA256 and AES-256-GCM. The context a secret is sealed for (a
//! registry's name) is authenticated with it: opened for another one, it does not open. This says nothing about
//! who sealed it; the connection it came over does. The coordinator keeps the [`SealingKey`], whose public half
//! members are told; `common::seal` has the shapes that travel.

use std::{fmt, io, path::Path};

use common::seal::{MAX_SEALED_BYTES, RegistryLogin, Sealed};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE,
    hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey},
};
use zeroize::Zeroizing;

use crate::pem_file::{Block, PemFile};

/// What these secrets are, so that the key's use for anything else is never taken for them.
const INFO: &[u8] = b"compute-share sealed secret 1";
/// Of either half of the key.
const HALF_BYTES: usize = 32;
/// What the cipher adds to a secret.
const TAG_BYTES: usize = 16;
/// Opened once after reading a key, to see that its halves belong together.
const PROBE: &[u8] = b"do the halves belong together";

/// Seals a secret for whoever has the other half of `key`, for use in `context` alone. Twice the same secret is
/// never twice the same bytes.
///
/// # Errors
/// The key is none, or the secret is too long to be kept.
pub fn seal(key: &[u8], context: &[u8], secret: &[u8]) -> Result<Sealed, SealError> {
    if secret.len() + TAG_BYTES > MAX_SEALED_BYTES {
        return Err(SealError::TooLong);
    }
    if key.len() != HALF_BYTES {
        return Err(SealError::NotAKey);
    }
    let key = HpkePublicKey(key.to_vec());
    let sealed = SUITE.seal(INFO, context, secret, &key);
    let (EncapsulatedSecret(encapsulated), ciphertext) = sealed.map_err(|_| SealError::NotAKey)?;
    Ok(Sealed {
        encapsulated,
        ciphertext,
    })
}

/// Seals what opens a registry, for that registry alone.
///
/// # Errors
/// The key is none, or the login is too long to be kept.
pub fn seal_login(key: &[u8], login: &RegistryLogin) -> Result<Sealed, SealError> {
    let secret = serde_json::to_vec(login).map_err(|_| SealError::TooLong)?;
    seal(key, login.registry.as_bytes(), &Zeroizing::new(secret))
}

/// The coordinator's key for sealed secrets. Wiped from memory when it is dropped.
pub struct SealingKey {
    private: HpkePrivateKey,
    public: Vec<u8>,
}

impl SealingKey {
    /// Makes a new key and writes it to a file that only its owner can read.
    ///
    /// # Errors
    /// The system gives no randomness, or the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, SealError> {
        let pair = SUITE.generate_key_pair().map_err(|_| SealError::Generate)?;
        let (HpkePublicKey(public), private) = pair;
        let halves = Zeroizing::new([private.secret_bytes(), &public].concat());
        let file = PemFile::default().with_sealing_key(&halves);
        file.write(path).map_err(SealError::Write)?;
        Ok(Self { private, public })
    }

    /// Reads the key from its file.
    ///
    /// # Errors
    /// The file cannot be read or holds no such key.
    pub fn open(path: &Path) -> Result<Self, SealError> {
        let file = PemFile::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => SealError::NotAKey,
            _ => SealError::Read(error),
        })?;
        let [Block::Sealing(halves)] = file.blocks()[..] else {
            return Err(SealError::NotAKey);
        };
        if halves.len() != 2 * HALF_BYTES {
            return Err(SealError::NotAKey);
        }
        let (private, public) = halves.split_at(HALF_BYTES);
        let key = Self {
            private: HpkePrivateKey::from(private.to_vec()),
            public: public.to_vec(),
        };
        let probe = seal(key.public(), PROBE, PROBE)?;
        match key.unseal(PROBE, &probe) {
            Ok(opened) if *opened == PROBE => Ok(key),
            _ => Err(SealError::NotAKey),
        }
    }

    /// Returns the half that members seal with.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Opens a secret that was sealed for this key and context.
    ///
    /// # Errors
    /// It was sealed for another key or context, or altered.
    pub fn unseal(&self, context: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if !sealed.is_bounded() {
            return Err(SealError::TooLong);
        }
        let encapsulated = EncapsulatedSecret(sealed.encapsulated.clone());
        let ciphertext = &sealed.ciphertext;
        let opened = SUITE.open(&encapsulated, INFO, context, ciphertext, &self.private);
        opened.map(Zeroizing::new).map_err(|_| SealError::NotForUs)
    }

    /// Opens what opens this registry: sealed by [`seal_login`], whose context is the registry's name, or as a
    /// secret of an org, which has a context of its own.
    ///
    /// # Errors
    /// It was sealed for another key, context or registry, altered, or is no login.
    pub fn unseal_login(
        &self,
        context: &[u8],
        registry: &str,
        sealed: &Sealed,
    ) -> Result<RegistryLogin, SealError> {
        let secret = self.unseal(context, sealed)?;
        // The cause would quote the secret.
        let login: RegistryLogin =
            serde_json::from_slice(&secret).map_err(|_| SealError::NotALogin)?;
        if login.registry == registry {
            Ok(login)
        } else {
            Err(SealError::NotForUs)
        }
    }
}

/// Says nothing of either half.
impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").finish_non_exhaustive()
    }
}

/// Why something cannot be sealed or opened. Says nothing of any secret.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("no key could be made")]
    Generate,
    #[error("the key's file cannot be written")]
    Write(#[source] io::Error),
    #[error("the key's file cannot be read")]
    Read(#[source] io::Error),
    #[error("it is no sealing key")]
    NotAKey,
    #[error("the secret is longer than {MAX_SEALED_BYTES} bytes")]
    TooLong,
    #[error("it was sealed for another coordinator or purpose, or altered on the way")]
    NotForUs,
    #[error("what was sealed is no login to a registry")]
    NotALogin,
}

#[cfg(test)]
mod tests;
