//! What the end of a connection means to a person.
//!
//! A connection that we close ourselves carries a close code for programs and, as its reason, a stable code and a
//! sentence for people: `certificate_revoked: this device was removed`.

use common::{code::Code, problem::Problem, wire::close};
use quinn::{Connection, ConnectionError, VarInt};

const WHAT: &str = "cannot talk to the coordinator";
/// Longest reason, in bytes; the rest of a sentence is cut off. It has to fit into one packet.
const MAX_REASON_BYTES: usize = 512;
/// QUIC puts a TLS alert into its own error space from here on.
const CRYPTO_ERROR_BASE: u64 = 0x100;

/// Closes a connection and says why. `close_code` is one of [`common::wire::close`].
pub fn refuse(connection: &Connection, close_code: u32, problem: &Problem) {
    let text = format!("{}: {}", problem.code, problem.why);
    let cut = (0..=MAX_REASON_BYTES.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    connection.close(VarInt::from_u32(close_code), &text.as_bytes()[..cut]);
}

/// Returns what to tell whoever used the connection.
pub fn close_problem(error: &ConnectionError) -> Problem {
    match error {
        ConnectionError::ApplicationClosed(closed) => {
            application_problem(closed.error_code.into_inner(), &closed.reason)
        }
        ConnectionError::ConnectionClosed(closed) => {
            alert_problem(u64::from(closed.error_code), &closed.reason)
        }
        ConnectionError::TransportError(error) => Problem::new(
            Code::Protocol,
            WHAT,
            format!("the connection broke: {error}"),
        ),
        ConnectionError::VersionMismatch => {
            Problem::new(Code::Version, WHAT, "it speaks another version of QUIC")
        }
        ConnectionError::Reset => Problem::new(
            Code::Unreachable,
            WHAT,
            "it does not know this connection any more; it was probably restarted",
        ),
        ConnectionError::TimedOut => Problem::new(Code::Unreachable, WHAT, "it does not answer"),
        ConnectionError::LocallyClosed => {
            Problem::new(Code::Cancelled, WHAT, "the connection was closed here")
        }
        ConnectionError::CidsExhausted => Problem::new(
            Code::Internal,
            WHAT,
            "there are too many connections in this process",
        ),
    }
}

fn application_problem(close_code: u64, reason: &[u8]) -> Problem {
    let reason = plain(reason);
    if let Some((code, why)) = reason.split_once(": ") {
        let code = Code::from(code.to_owned());
        if !matches!(code, Code::Other(_)) {
            return Problem::new(code, WHAT, why);
        }
    }
    let (code, usual) = match u32::try_from(close_code) {
        Ok(close::DONE | close::SHUTDOWN) => (Code::Unreachable, "the coordinator is stopping"),
        Ok(close::PROTOCOL) => (Code::Protocol, "it did not understand what was sent"),
        Ok(close::UNAUTHORISED) => (
            Code::NotSignedIn,
            "the certificate is not, or no longer, good for this",
        ),
        Ok(close::SUPERSEDED) => (
            Code::WrongState,
            "the same machine has connected again from elsewhere",
        ),
        Ok(close::TOO_MUCH) => (Code::Busy, "it was asked for too much at once"),
        _ => (Code::Protocol, "it closed the connection"),
    };
    let why = if reason.is_empty() { usual } else { &reason };
    Problem::new(code, WHAT, why)
}

/// The other side refused us during, or right after, the handshake.
fn alert_problem(error_code: u64, reason: &[u8]) -> Problem {
    const BAD_CERTIFICATE: u64 = 42;
    const UNSUPPORTED_CERTIFICATE: u64 = 43;
    const CERTIFICATE_REVOKED: u64 = 44;
    const CERTIFICATE_EXPIRED: u64 = 45;
    const CERTIFICATE_UNKNOWN: u64 = 46;
    const UNKNOWN_CA: u64 = 48;
    const ACCESS_DENIED: u64 = 49;
    /// Also: the issuer has our coordinator's name but not its key.
    const DECRYPT_ERROR: u64 = 51;
    const CERTIFICATE_REQUIRED: u64 = 116;
    const NO_APPLICATION_PROTOCOL: u64 = 120;
    /// QUIC's own code for "not now" (RFC 9000, section 20.1).
    const CONNECTION_REFUSED: u64 = 2;

    if error_code == CONNECTION_REFUSED {
        return Problem::new(
            Code::Busy,
            WHAT,
            "it takes no new connections at the moment",
        );
    }
    match error_code.checked_sub(CRYPTO_ERROR_BASE) {
        Some(CERTIFICATE_EXPIRED) => Problem::new(
            Code::CertificateExpired,
            WHAT,
            "this certificate is expired, or the clocks of the two computers differ",
        ),
        Some(CERTIFICATE_REVOKED) => Problem::new(
            Code::CertificateRevoked,
            WHAT,
            "this certificate was revoked",
        ),
        Some(
            BAD_CERTIFICATE
            | UNSUPPORTED_CERTIFICATE
            | CERTIFICATE_UNKNOWN
            | UNKNOWN_CA
            | ACCESS_DENIED
            | DECRYPT_ERROR
            | CERTIFICATE_REQUIRED,
        ) => Problem::new(
            Code::NotSignedIn,
            WHAT,
            "it does not accept this certificate",
        ),
        Some(NO_APPLICATION_PROTOCOL) => Problem::new(
            Code::Version,
            WHAT,
            "the two programs have no protocol version in common",
        ),
        _ => Problem::new(
            Code::Protocol,
            WHAT,
            format!(
                "it ended the connection (code {error_code}) {}",
                plain(reason)
            ),
        ),
    }
}

/// A stranger's text must not steer a terminal.
fn plain(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_carries_its_stable_code() {
        let problem = application_problem(2, b"certificate_revoked: this device was removed");
        assert_eq!(problem.code, Code::CertificateRevoked);
        assert_eq!(problem.why, "this device was removed");
        let unknown = application_problem(3, b"no such code: \x1b[31mbye");
        assert_eq!(unknown.code, Code::Unreachable);
        assert_eq!(unknown.why, "no such code:  [31mbye");
        assert_eq!(application_problem(2, b"").code, Code::NotSignedIn);
        assert_eq!(application_problem(1 << 40, b"\xff").code, Code::Protocol);
    }

    #[test]
    fn alerts_say_what_is_wrong_with_our_own_certificate() {
        assert_eq!(
            alert_problem(0x100 | 45, b"").code,
            Code::CertificateExpired
        );
        assert_eq!(
            alert_problem(0x100 | 44, b"").code,
            Code::CertificateRevoked
        );
        assert_eq!(alert_problem(0x100 | 48, b"").code, Code::NotSignedIn);
        assert_eq!(alert_problem(0x100 | 120, b"").code, Code::Version);
        assert_eq!(alert_problem(2, b"").code, Code::Busy);
        assert_eq!(alert_problem(7, b"").code, Code::Protocol);
    }
}
