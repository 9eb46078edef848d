//! A certificate with its key, as whoever holds it keeps it.

use std::{fmt, io, path::Path, sync::Arc};

use common::time::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::{
    key::{KeyError, PrivateKey, fingerprint_of},
    peer::{InvalidCertificate, PeerCertificate, parse_x509},
    pem_file::{Block, PemFile},
};

/// Leaf, issuing and root, and room for one more.
const MAX_CHAIN: usize = 4;

/// The identity of a member's device or of a machine. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    credential: Credential,
    peer: PeerCertificate,
}

impl Identity {
    /// Joins a chain (leaf first, DER), as it came from the coordinator, with the key it was asked for.
    ///
    /// # Errors
    /// The chain is not one for a member or machine, or was issued for another key.
    pub fn new(chain: Vec<Vec<u8>>, key: &PrivateKey) -> Result<Self, IdentityError> {
        let leaf = match &chain[..] {
            [] => return Err(IdentityError::Empty),
            longer if longer.len() > MAX_CHAIN => return Err(IdentityError::TooLong),
            [leaf, ..] => leaf,
        };
        let peer = PeerCertificate::parse(leaf).map_err(IdentityError::Certificate)?;
        let parsed = parse_x509(leaf).map_err(IdentityError::Certificate)?;
        if fingerprint_of(parsed.public_key().raw) != key.fingerprint() {
            return Err(IdentityError::OtherKey);
        }
        Ok(Self {
            credential: Credential::new(chain, key),
            peer,
        })
    }

    /// Writes key and chain to one private file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written; an older one is untouched then.
    pub fn save(&self, path: &Path) -> Result<(), IdentityError> {
        let key = PrivateKey::from_pkcs8(&self.credential.key).map_err(IdentityError::Key)?;
        let chain = self.credential.chain.iter();
        chain
            .fold(PemFile::default().with_key(&key), |file, der| {
                file.with_certificate(der)
            })
            .write(path)
            .map_err(IdentityError::Write)
    }

    /// Reads what [`Identity::save`] wrote.
    ///
    /// # Errors
    /// The file cannot be read or is not an identity.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let file = PemFile::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => IdentityError::NotAnIdentity,
            _ => IdentityError::Read(error),
        })?;
        let blocks = file.blocks();
        let Some((Block::Key(pkcs8), chain)) = blocks.split_first() else {
            return Err(IdentityError::NotAnIdentity);
        };
        let key = PrivateKey::from_pkcs8(pkcs8).map_err(|_| IdentityError::NotAnIdentity)?;
        let chain: Option<Vec<Vec<u8>>> = chain
            .iter()
            .map(|block| match block {
                Block::Certificate(der) => Some(der.to_vec()),
                Block::Key(_) | Block::Sealing(_) => None,
            })
            .collect();
        Self::new(chain.ok_or(IdentityError::NotAnIdentity)?, &key)
    }

    /// Returns what the certificate says about its holder.
    pub const fn peer(&self) -> &PeerCertificate {
        &self.peer
    }

    /// Returns when to ask for a new certificate: at two thirds of this one's life.
    pub fn renew_at(&self) -> Timestamp {
        two_thirds(self.peer.not_before, self.peer.expires_at)
    }

    pub(crate) const fn credential(&self) -> &Credential {
        &self.credential
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// The coordinator's own identity: made anew at every start and every renewal, never written down.
#[derive(Clone)]
pub struct ServerIdentity {
    credential: Credential,
    not_before: Timestamp,
    expires_at: Timestamp,
}

impl ServerIdentity {
    pub(crate) fn new(
        chain: Vec<Vec<u8>>,
        key: &PrivateKey,
        not_before: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            credential: Credential::new(chain, key),
            not_before,
            expires_at,
        }
    }

    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Tells whether to make a new one: from two thirds of this one's life on, and where it has not begun yet,
    /// which happens when it was made by a clock that was ahead.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now < self.not_before || now >= two_thirds(self.not_before, self.expires_at)
    }

    pub(crate) const fn credential(&self) -> &Credential {
        &self.credential
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A chain and its key, in the form in which TLS wants them.
#[derive(Clone)]
pub(crate) struct Credential {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<Zeroizing<Vec<u8>>>,
}

impl Credential {
    pub(crate) fn new(chain: Vec<Vec<u8>>, key: &PrivateKey) -> Self {
        Self {
            chain: chain.into_iter().map(CertificateDer::from).collect(),
            key: Arc::new(key.pkcs8()),
        }
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(crate) fn root(&self) -> Option<&CertificateDer<'static>> {
        self.chain.last()
    }

    /// Shows another root behind the same leaf and issuing certificate.
    #[cfg(test)]
    pub(crate) fn with_root(mut self, root: CertificateDer<'static>) -> Self {
        self.chain.pop();
        self.chain.push(root);
        self
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec()).into()
    }
}

/// Why an identity cannot be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the certificate chain is empty")]
    Empty,
    #[error("the certificate chain is longer than {MAX_CHAIN}")]
    TooLong,
    #[error("the certificate cannot be used")]
    Certificate(#[source] InvalidCertificate),
    #[error("the certificate was issued for another key")]
    OtherKey,
    #[error("the identity's key cannot be used")]
    Key(#[source] KeyError),
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
    #[error("the file cannot be written")]
    Write(#[source] io::Error),
    #[error("the file does not hold a key and its certificates")]
    NotAnIdentity,
}

fn two_thirds(from: Timestamp, to: Timestamp) -> Timestamp {
    from.saturating_add(to.since(from) * 2 / 3)
}

#[cfg(test)]
mod tests;
