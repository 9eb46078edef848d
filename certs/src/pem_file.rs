//! The private files that keys and certificates are kept in: a few PEM blocks, wiped from memory after use.

use std::{fs::File, io, io::Read as _, path::Path};

use pem::Pem;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    files::{PRIVATE_FILE_MODE, write_atomic},
    key::PrivateKey,
};

const CERTIFICATE_TAG: &str = "CERTIFICATE";
const KEY_TAG: &str = "PRIVATE KEY";
const SEALING_TAG: &str = "COMPUTE SHARE SEALING KEY";
/// Far more than any key with its chain; a file beyond it is not one of ours.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// What such a file holds.
#[derive(Default)]
pub(crate) struct PemFile(Vec<Pem>);

/// One block of it.
#[derive(Clone, Copy)]
pub(crate) enum Block<'a> {
    Certificate(&'a [u8]),
    /// PKCS #8.
    Key(&'a [u8]),
    /// See [`crate::SealingKey`].
    Sealing(&'a [u8]),
}

impl PemFile {
    pub(crate) fn with_certificate(mut self, der: &[u8]) -> Self {
        self.0.push(Pem::new(CERTIFICATE_TAG, der));
        self
    }

    pub(crate) fn with_key(mut self, key: &PrivateKey) -> Self {
        self.0.push(Pem::new(KEY_TAG, key.pkcs8().as_slice()));
        self
    }

    pub(crate) fn with_sealing_key(mut self, bytes: &[u8]) -> Self {
        self.0.push(Pem::new(SEALING_TAG, bytes));
        self
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = Zeroizing::new(pem::encode_many(&self.0));
        write_atomic(path, text.as_bytes(), PRIVATE_FILE_MODE)
    }

    /// Reads a file. One that is something else has the error kind `InvalidData`.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let no_pem = || io::Error::new(io::ErrorKind::InvalidData, "not keys or certificates");
        let file = File::open(path)?;
        // Allocated at once, so that no half-filled copy of a key stays behind on the way.
        let room = usize::try_from(MAX_FILE_BYTES + 1).map_err(|_| no_pem())?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() == room {
            return Err(no_pem());
        }
        let blocks = Self(pem::parse_many(&*bytes).map_err(|_| no_pem())?);
        let known = |block: &Pem| [CERTIFICATE_TAG, KEY_TAG, SEALING_TAG].contains(&block.tag());
        if blocks.0.is_empty() || !blocks.0.iter().all(known) {
            return Err(no_pem());
        }
        Ok(blocks)
    }

    pub(crate) fn blocks(&self) -> Vec<Block<'_>> {
        let blocks = self.0.iter().map(|pem| match pem.tag() {
            KEY_TAG => Block::Key(pem.contents()),
            SEALING_TAG => Block::Sealing(pem.contents()),
            _ => Block::Certificate(pem.contents()),
        });
        blocks.collect()
    }
}

impl Drop for PemFile {
    fn drop(&mut self) {
        for block in self.0.drain(..) {
            block.into_contents().zeroize();
        }
    }
}
