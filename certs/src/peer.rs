//! What a checked certificate says about who is on the other side.

use common::{
    id::{CertificateSerial, MachineId, UserId},
    time::Timestamp,
};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, time::ASN1Time,
};

const USER_PREFIX: &str = "compute-share://user/";
const MACHINE_PREFIX: &str = "compute-share://machine/";

/// Whom a certificate was issued to. The role is fixed by which of the two it is: no member's certificate
/// can act as a machine, nor the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    User(UserId),
    Machine(MachineId),
}

impl Subject {
    pub(crate) fn uri(self) -> String {
        match self {
            Self::User(user) => format!("{USER_PREFIX}{user}"),
            Self::Machine(machine) => format!("{MACHINE_PREFIX}{machine}"),
        }
    }

    fn from_uri(uri: &str) -> Option<Self> {
        if let Some(user) = uri.strip_prefix(USER_PREFIX) {
            return user.parse().ok().map(Self::User);
        }
        let machine = uri.strip_prefix(MACHINE_PREFIX)?;
        machine.parse().ok().map(Self::Machine)
    }
}

/// A member's or machine's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCertificate {
    pub subject: Subject,
    pub serial: CertificateSerial,
    pub not_before: Timestamp,
    pub expires_at: Timestamp,
}

impl PeerCertificate {
    /// Reads a certificate. It checks no signature and no time: the handshake did, or the file is our own.
    ///
    /// # Errors
    /// It is no certificate, or not one that was issued to a user or a machine.
    pub fn parse(der: &[u8]) -> Result<Self, InvalidCertificate> {
        let certificate = parse_x509(der)?;
        let purposes = certificate
            .extended_key_usage()
            .map_err(|_| InvalidCertificate::Malformed)?
            .ok_or(InvalidCertificate::Purpose)?
            .value;
        if !purposes.client_auth || purposes.server_auth || purposes.any {
            return Err(InvalidCertificate::Purpose);
        }
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| InvalidCertificate::Malformed)?
            .ok_or(InvalidCertificate::Subject)?
            .value;
        let [GeneralName::URI(uri)] = names.general_names[..] else {
            return Err(InvalidCertificate::Subject);
        };
        let validity = certificate.validity();
        Ok(Self {
            subject: Subject::from_uri(uri).ok_or(InvalidCertificate::Subject)?,
            serial: serial(certificate.raw_serial())?,
            not_before: timestamp(validity.not_before),
            expires_at: timestamp(validity.not_after),
        })
    }
}

/// Why a certificate is not a [`PeerCertificate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    #[error("it is not a certificate")]
    Malformed,
    #[error("the certificate was not issued for members or machines")]
    Purpose,
    #[error("the certificate names neither a member nor a machine")]
    Subject,
    #[error("the certificate's serial number is not one of ours")]
    Serial,
}

pub(crate) fn parse_x509(der: &[u8]) -> Result<X509Certificate<'_>, InvalidCertificate> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(InvalidCertificate::Malformed),
    }
}

/// Returns a whole number of seconds; what lies before 1970 is 1970.
pub(crate) fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_unix_ms(
        u64::try_from(time.timestamp()).map_or(0, |secs| secs.saturating_mul(1000)),
    )
}

/// DER drops leading zeros, and adds one where the number would look negative.
fn serial(bytes: &[u8]) -> Result<CertificateSerial, InvalidCertificate> {
    let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
    let mut serial = [0; 16];
    let start = serial
        .len()
        .checked_sub(bytes.len())
        .ok_or(InvalidCertificate::Serial)?;
    serial[start..].copy_from_slice(bytes);
    Ok(CertificateSerial::new(serial))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn subjects_come_back_from_their_uri() {
        for subject in [
            Subject::User(UserId::from_bytes([1; 16])),
            Subject::Machine(MachineId::from_bytes([2; 16])),
        ] {
            assert_eq!(Subject::from_uri(&subject.uri()), Some(subject));
        }
        for bad in [
            "",
            "compute-share://user/",
            "compute-share://user/x",
            "https://example.org",
        ] {
            assert_eq!(Subject::from_uri(bad), None, "{bad}");
        }
    }

    #[test]
    fn serials_come_back_from_der() {
        let mut expect = [0; 16];
        expect[15] = 7;
        assert_eq!(serial(&[7]), Ok(CertificateSerial::new(expect)));
        let mut padded = vec![0];
        padded.extend([0xff; 16]);
        assert_eq!(serial(&padded), Ok(CertificateSerial::new([0xff; 16])));
        assert_eq!(serial(&[1; 17]), Err(InvalidCertificate::Serial));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error(bytes: Vec<u8>) {
            prop_assert!(PeerCertificate::parse(&bytes).is_err());
        }
    }
}
