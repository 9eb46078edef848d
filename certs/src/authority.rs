//! The certificate authority of one coordinator: a root that signs the issuing certificate, and an issuing key that
//! signs leaves.
//!
//! Three files: `root.pem` (certificate), `root-key.pem` (not needed to run; may be kept elsewhere) and
//! `issuing.pem` (certificate and key).

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{
    id::{CertificateSerial, Fingerprint},
    name::Name,
    time::{Span, Timestamp},
};
use rand::Rng as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::X509Certificate;

use crate::{
    SERVER_LIFE, SERVER_NAME, Subject,
    files::create_private_dir,
    identity::ServerIdentity,
    key::{KeyError, PrivateKey, fingerprint_of},
    peer::{parse_x509, timestamp},
    pem_file::{Block, PemFile},
    request::CertificateRequest,
};

const ROOT_LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);
const ISSUING_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// A certificate begins a little before it is issued, for clocks that are behind.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

const ROOT_FILE: &str = "root.pem";
const ROOT_KEY_FILE: &str = "root-key.pem";
const ISSUING_FILE: &str = "issuing.pem";

/// The org's certificate authority.
pub struct Authority {
    fingerprint: Fingerprint,
    root: Vec<u8>,
    issuing: Vec<u8>,
    issuing_expires_at: Timestamp,
    issuer: Issuer<'static, PrivateKey>,
}

impl Authority {
    /// Makes a new authority and keeps it in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// There is one already, or the files cannot be written.
    pub fn create(dir: &Path, org: &Name, now: Timestamp) -> Result<Self, AuthorityError> {
        let issuing_path = dir.join(ISSUING_FILE);
        if issuing_path.exists() {
            return Err(AuthorityError::Exists(dir.to_owned()));
        }
        let root_key = PrivateKey::generate()?;
        let root_params = authority_params("root", org, now, ROOT_LIFE, 1);
        let root = root_params
            .self_signed(&root_key)
            .map_err(AuthorityError::Sign)?;
        let issuing_key = PrivateKey::generate()?;
        let issuing = authority_params("issuing", org, now, ISSUING_LIFE, 0)
            .signed_by(&issuing_key, &Issuer::from_params(&root_params, &root_key))
            .map_err(AuthorityError::Sign)?;

        let write = |path: PathBuf, file: PemFile| {
            file.write(&path)
                .map_err(|error| AuthorityError::Write(path, error))
        };
        create_private_dir(dir).map_err(|error| AuthorityError::Write(dir.to_owned(), error))?;
        let file = PemFile::default;
        write(dir.join(ROOT_KEY_FILE), file().with_key(&root_key))?;
        write(dir.join(ROOT_FILE), file().with_certificate(root.der()))?;
        // Last, because its being there says that the authority is complete.
        let issuing_file = file()
            .with_certificate(issuing.der())
            .with_key(&issuing_key);
        write(issuing_path, issuing_file)?;
        Self::assemble(root.der().to_vec(), issuing.der().to_vec(), issuing_key)
    }

    /// Opens the authority that [`Authority::create`] left in `dir`.
    ///
    /// # Errors
    /// There is none, or its files do not belong together.
    pub fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let read = |name: &str| {
            let path = dir.join(name);
            PemFile::read(&path).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => AuthorityError::Damaged(path),
                _ => AuthorityError::Read(path, error),
            })
        };
        let damaged = |name: &str| AuthorityError::Damaged(dir.join(name));
        let root_file = read(ROOT_FILE)?;
        let [Block::Certificate(root)] = root_file.blocks()[..] else {
            return Err(damaged(ROOT_FILE));
        };
        let issuing_file = read(ISSUING_FILE)?;
        let [Block::Certificate(issuing), Block::Key(pkcs8)] = issuing_file.blocks()[..] else {
            return Err(damaged(ISSUING_FILE));
        };
        let key = PrivateKey::from_pkcs8(pkcs8).map_err(|_| damaged(ISSUING_FILE))?;
        Self::assemble(root.to_vec(), issuing.to_vec(), key).map_err(|_| damaged(ISSUING_FILE))
    }

    fn assemble(
        root: Vec<u8>,
        issuing: Vec<u8>,
        issuing_key: PrivateKey,
    ) -> Result<Self, AuthorityError> {
        let mismatch = || AuthorityError::Mismatch;
        let parsed_root = parse_x509(&root).map_err(|_| mismatch())?;
        let parsed_issuing = parse_x509(&issuing).map_err(|_| mismatch())?;
        let spki = |certificate: &X509Certificate<'_>| fingerprint_of(certificate.public_key().raw);
        if spki(&parsed_issuing) != issuing_key.fingerprint()
            || parsed_issuing
                .verify_signature(Some(parsed_root.public_key()))
                .is_err()
        {
            return Err(mismatch());
        }
        let fingerprint = spki(&parsed_root);
        let issuing_expires_at = timestamp(parsed_issuing.validity().not_after);
        let issuer =
            Issuer::from_ca_cert_der(&CertificateDer::from(issuing.as_slice()), issuing_key)
                .map_err(AuthorityError::Sign)?;
        Ok(Self {
            fingerprint,
            root,
            issuing,
            issuing_expires_at,
            issuer,
        })
    }

    /// Returns what clients pin: the SHA-256 of the root's public key (its SubjectPublicKeyInfo).
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Issues a certificate to a user or machine. Nothing of the request but its key gets into it.
    ///
    /// # Errors
    /// The authority itself has expired, or signing failed.
    pub fn issue(
        &self,
        request: &CertificateRequest,
        subject: Subject,
        now: Timestamp,
        life: Span,
    ) -> Result<Issued, IssueError> {
        let uri = subject.uri();
        let mut leaf = Leaf::new(&uri, ExtendedKeyUsagePurpose::ClientAuth, now, life);
        let name = uri.try_into().map_err(IssueError::Sign)?;
        leaf.params.subject_alt_names = vec![SanType::URI(name)];
        let (serial, expires_at) = (leaf.serial, leaf.expires_at);
        Ok(Issued {
            chain: self.sign(&leaf, &request.public_key)?,
            serial,
            key: request.key(),
            expires_at,
        })
    }

    /// Issues a certificate with a fresh key to the coordinator itself.
    ///
    /// # Errors
    /// As for [`Authority::issue`].
    pub fn server_identity(&self, now: Timestamp) -> Result<ServerIdentity, IssueError> {
        let key = PrivateKey::generate().map_err(IssueError::Key)?;
        let mut leaf = Leaf::new(
            SERVER_NAME,
            ExtendedKeyUsagePurpose::ServerAuth,
            now,
            SERVER_LIFE,
        );
        let name = SERVER_NAME
            .to_owned()
            .try_into()
            .map_err(IssueError::Sign)?;
        leaf.params.subject_alt_names = vec![SanType::DnsName(name)];
        let chain = self.sign(&leaf, &key)?;
        Ok(ServerIdentity::new(
            chain,
            &key,
            leaf.not_before,
            leaf.expires_at,
        ))
    }

    pub(crate) fn issuing_key(&self) -> &PrivateKey {
        self.issuer.key()
    }

    /// Returns the whole chain, leaf first.
    fn sign(&self, leaf: &Leaf, key: &impl PublicKeyData) -> Result<Vec<Vec<u8>>, IssueError> {
        if leaf.expires_at > self.issuing_expires_at {
            return Err(IssueError::AuthorityExpires(self.issuing_expires_at));
        }
        let certificate = leaf
            .params
            .signed_by(key, &self.issuer)
            .map_err(IssueError::Sign)?;
        Ok(vec![
            certificate.der().to_vec(),
            self.issuing.clone(),
            self.root.clone(),
        ])
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// A certificate that was issued, and what the registry keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Leaf, issuing, root; DER.
    pub chain: Vec<Vec<u8>>,
    pub serial: CertificateSerial,
    /// Of the leaf's public key.
    pub key: Fingerprint,
    pub expires_at: Timestamp,
}

/// Why an authority cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("{} holds a certificate authority already", .0.display())]
    Exists(PathBuf),
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{} cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("{} is damaged or belongs to another authority", .0.display())]
    Damaged(PathBuf),
    #[error("the authority's key and certificates do not belong together")]
    Mismatch,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the authority's certificates cannot be signed")]
    Sign(#[source] rcgen::Error),
}

/// Why a certificate cannot be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("the authority itself expires at {0}")]
    AuthorityExpires(Timestamp),
    #[error(transparent)]
    Key(KeyError),
    #[error("the certificate cannot be signed")]
    Sign(#[source] rcgen::Error),
}

/// What a leaf of any role begins with.
struct Leaf {
    params: CertificateParams,
    serial: CertificateSerial,
    not_before: Timestamp,
    expires_at: Timestamp,
}

impl Leaf {
    fn new(name: &str, purpose: ExtendedKeyUsagePurpose, now: Timestamp, life: Span) -> Self {
        let not_before = whole_seconds(earlier(now, CLOCK_SKEW));
        let expires_at = whole_seconds(now.saturating_add(life.as_duration()));
        let serial = fresh_serial();
        let mut params = params_between(not_before, expires_at, serial);
        params
            .distinguished_name
            .push(DnType::CommonName, name.to_owned());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        Self {
            params,
            serial,
            not_before,
            expires_at,
        }
    }
}

fn authority_params(
    what: &str,
    org: &Name,
    now: Timestamp,
    life: Duration,
    path_length: u8,
) -> CertificateParams {
    let not_before = whole_seconds(earlier(now, CLOCK_SKEW));
    let not_after = whole_seconds(now.saturating_add(life));
    let mut params = params_between(not_before, not_after, fresh_serial());
    params
        .distinguished_name
        .push(DnType::OrganizationName, org.to_string());
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Compute Share {what}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params_between(
    not_before: Timestamp,
    not_after: Timestamp,
    serial: CertificateSerial,
) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + Duration::from_millis(not_before.unix_ms());
    params.not_after = epoch + Duration::from_millis(not_after.unix_ms());
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    params
}

fn fresh_serial() -> CertificateSerial {
    let mut bytes = [0; 16];
    rand::rng().fill(&mut bytes);
    CertificateSerial::new(bytes)
}

/// Certificates know no milliseconds.
const fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms(time.unix_ms() / 1000 * 1000)
}

fn earlier(time: Timestamp, span: Duration) -> Timestamp {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_ms(time.unix_ms().saturating_sub(ms))
}

#[cfg(test)]
mod tests;
