//! Live connections by the certificate they were opened with, so that a revoked one loses its connections at
//! once and not only its next one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use certs::PeerCertificate;
use common::{code::Code, id::CertificateSerial, problem::Problem, time::Timestamp, wire::close};

/// All connections that were opened with a certificate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    live: Arc<Mutex<HashMap<CertificateSerial, Vec<quinn::Connection>>>>,
}

impl Sessions {
    /// Lists a connection until the returned session is dropped. Whoever does so checks the certificate
    /// afterwards: a revocation before is seen then, a later one closes the connection.
    pub(crate) fn register(
        &self,
        peer: &PeerCertificate,
        connection: quinn::Connection,
    ) -> Session {
        let session = Session {
            sessions: self.clone(),
            connection,
            certificates: Mutex::new(Vec::new()),
        };
        session.renewed(peer.serial, peer.expires_at);
        session
    }

    /// Closes every connection of a certificate.
    pub(crate) fn close(&self, serial: CertificateSerial) {
        let why = "this device or machine was removed";
        let problem = Problem::new(Code::CertificateRevoked, "The connection was closed", why);
        for connection in self.lock().get(&serial).into_iter().flatten() {
            link::refuse(connection, close::UNAUTHORISED, &problem);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CertificateSerial, Vec<quinn::Connection>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listed connection.
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Sessions,
    connection: quinn::Connection,
    /// The one it was opened with and those that replaced it, newest last.
    certificates: Mutex<Vec<(CertificateSerial, Timestamp)>>,
}

impl Session {
    pub(crate) const fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    /// Returns the certificate that speaks for the connection now.
    pub(crate) fn serial(&self) -> CertificateSerial {
        self.newest().0
    }

    pub(crate) fn expires_at(&self) -> Timestamp {
        self.newest().1
    }

    fn newest(&self) -> (CertificateSerial, Timestamp) {
        let certificates = self.certificates.lock();
        let certificates = certificates.unwrap_or_else(PoisonError::into_inner);
        *certificates
            .last()
            .expect("a session is registered with one")
    }

    /// From now on this certificate, obtained over the connection, speaks for it.
    pub(crate) fn renewed(&self, serial: CertificateSerial, expires_at: Timestamp) {
        let mut live = self.sessions.lock();
        live.entry(serial)
            .or_default()
            .push(self.connection.clone());
        self.certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((serial, expires_at));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut live = self.sessions.lock();
        let certificates = self.certificates.lock();
        let certificates = certificates.unwrap_or_else(PoisonError::into_inner);
        for (serial, _) in certificates.iter() {
            if let Some(connections) = live.get_mut(serial) {
                let id = self.connection.stable_id();
                connections.retain(|connection| connection.stable_id() != id);
                if connections.is_empty() {
                    live.remove(serial);
                }
            }
        }
    }
}
