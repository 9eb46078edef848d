//! The UDP port, and what lets those who were connected to an earlier process learn at once that it is gone.
//!
//! A packet of a connection that this process does not know is answered with a stateless reset (RFC 9000, section
//! 10.3), which only whoever has the earlier process's key can make. So the key lies in the data folder: after a
//! crash, agents connect again with their next packet and do not wait for the connection to time out.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use link::{endpoint::ListenError, files};
use quinn::{
    ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, TokioRuntime,
    crypto::{CryptoError, HmacKey},
};
use rand::RngCore;

const KEY_BYTES: usize = 32;
/// As in QUIC's examples: enough that nobody hits another's by chance.
const CONNECTION_ID_BYTES: usize = 8;
/// Shortest time between two resets: a thousand agents learn of a restart within two seconds.
const RESET_INTERVAL: Duration = Duration::from_millis(2);

/// What the tokens of stateless resets are made with.
#[derive(Clone)]
pub(crate) struct ResetKey([u8; KEY_BYTES]);

impl ResetKey {
    /// Reads the key, or makes one where there is none.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) if bytes.len() == KEY_BYTES => {
                let mut key = [0; KEY_BYTES];
                key.copy_from_slice(&bytes);
                return Ok(Self(key));
            }
            // One of another length is of no use to anybody.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut key = [0; KEY_BYTES];
        rand::rng().fill_bytes(&mut key);
        files::write_atomic(path, &key, files::PRIVATE_FILE_MODE)?;
        Ok(Self(key))
    }

    fn mac(&self, data: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, data)
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(self.mac(data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        // Compared in constant time.
        if self.mac(data) == *signature {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}

/// Plain random connection ids. Those that are made by default carry a secret of their process, and packets with
/// another's are not answered at all.
#[derive(Debug)]
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_BYTES];
        rand::rng().fill_bytes(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Listens at `addr`; port 0 is any free one.
///
/// # Errors
/// The address cannot be used.
pub(crate) fn listen(
    addr: SocketAddr,
    tls: rustls::ServerConfig,
    key: &ResetKey,
) -> Result<Endpoint, ListenError> {
    let mut config = EndpointConfig::new(Arc::new(key.clone()));
    config
        .cid_generator(|| Box::new(RandomIds))
        .min_reset_interval(RESET_INTERVAL);
    let server = link::endpoint::server_tls(tls);
    let config = link::endpoint::endpoint_config(config);
    link::endpoint::socket(addr)
        .and_then(|socket| Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime)))
        .map_err(|source| ListenError { addr, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_same_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reset-key");
        let key = ResetKey::open(&path).unwrap();
        let again = ResetKey::open(&path).unwrap();
        let mut token = [0; blake3::OUT_LEN];
        key.sign(b"id", &mut token);
        assert!(again.verify(b"id", &token).is_ok());
        assert!(again.verify(b"other", &token).is_err());
        fs::write(&path, b"cut").unwrap();
        let fresh = ResetKey::open(&path).unwrap();
        assert!(fresh.verify(b"id", &token).is_err());
    }
}
