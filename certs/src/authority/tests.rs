use std::{fs, os::unix::fs::PermissionsExt as _};

use common::id::{MachineId, UserId};
use rcgen::CertificateParams;
use tempfile::TempDir;

use super::*;
use crate::{MACHINE_LIFE, PeerCertificate};

/// Not a whole second, to see that certificates cut it.
const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_999);
const DAY: Duration = Duration::from_secs(86_400);

fn org() -> Name {
    "lab".parse().unwrap()
}

fn authority() -> (TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(&dir.path().join("ca"), &org(), NOW).unwrap();
    (dir, authority)
}

#[test]
fn an_authority_comes_back_from_its_private_files() {
    let (dir, authority) = authority();
    let folder = dir.path().join("ca");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in [ROOT_FILE, ROOT_KEY_FILE, ISSUING_FILE] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    // The root's key may be kept elsewhere.
    fs::remove_file(folder.join(ROOT_KEY_FILE)).unwrap();
    let again = Authority::open(&folder).unwrap();
    assert_eq!(again.fingerprint(), authority.fingerprint());
    assert!(matches!(
        Authority::create(&folder, &org(), NOW),
        Err(AuthorityError::Exists(_))
    ));
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (ours, _) = authority();
    let (theirs, _) = authority();
    let (ours, theirs) = (ours.path().join("ca"), theirs.path().join("ca"));
    fs::copy(theirs.join(ROOT_FILE), ours.join(ROOT_FILE)).unwrap();
    assert!(matches!(
        Authority::open(&ours),
        Err(AuthorityError::Damaged(_))
    ));
    fs::write(theirs.join(ISSUING_FILE), "").unwrap();
    assert!(matches!(
        Authority::open(&theirs),
        Err(AuthorityError::Damaged(_))
    ));
    fs::remove_file(theirs.join(ISSUING_FILE)).unwrap();
    assert!(matches!(
        Authority::open(&theirs),
        Err(AuthorityError::Read(..))
    ));
}

#[test]
fn a_leaf_has_what_was_issued_and_nothing_that_was_wished_for() {
    let (_dir, authority) = authority();
    let key = PrivateKey::generate().unwrap();
    let mut wishes = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    wishes.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wishes.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    wishes.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let request = CertificateRequest::parse(wishes.serialize_request(&key).unwrap().der()).unwrap();
    let subject = Subject::Machine(MachineId::from_bytes([3; 16]));
    let issued = authority
        .issue(&request, subject, NOW, MACHINE_LIFE)
        .unwrap();

    let peer = PeerCertificate::parse(&issued.chain[0]).unwrap();
    assert_eq!(peer.subject, subject);
    assert_eq!(peer.serial, issued.serial);
    assert_eq!(peer.expires_at, issued.expires_at);
    assert_eq!(issued.key, key.fingerprint());
    assert_eq!(
        issued.expires_at,
        Timestamp::from_unix_ms(1_800_000_000_000 + 7 * 86_400_000)
    );
    assert_eq!(
        peer.not_before,
        Timestamp::from_unix_ms(1_800_000_000_000 - 300_000)
    );

    let leaf = parse_x509(&issued.chain[0]).unwrap();
    assert!(!leaf.is_ca());
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign());
}

#[test]
fn the_chain_is_leaf_issuing_root_and_the_issuing_key_signs_leaves_only() {
    let (_dir, authority) = authority();
    let key = PrivateKey::generate().unwrap();
    let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
    let subject = Subject::User(UserId::from_bytes([1; 16]));
    let issued = authority.issue(&request, subject, NOW, DAY.into()).unwrap();
    let [leaf, issuing, root] = &issued.chain[..] else {
        panic!("three certificates");
    };
    let (leaf, issuing, root) = (
        parse_x509(leaf).unwrap(),
        parse_x509(issuing).unwrap(),
        parse_x509(root).unwrap(),
    );
    leaf.verify_signature(Some(issuing.public_key())).unwrap();
    issuing.verify_signature(Some(root.public_key())).unwrap();
    root.verify_signature(None).unwrap();
    assert_eq!(
        fingerprint_of(root.public_key().raw),
        authority.fingerprint()
    );
    let path_length = |certificate: &X509Certificate<'_>| {
        let constraints = certificate.basic_constraints().unwrap().unwrap().value;
        assert!(constraints.ca);
        constraints.path_len_constraint
    };
    assert_eq!(path_length(&issuing), Some(0));
    assert_eq!(path_length(&root), Some(1));
}

#[test]
fn serials_never_repeat() {
    let serials: std::collections::BTreeSet<CertificateSerial> =
        (0..100).map(|_| fresh_serial()).collect();
    assert_eq!(serials.len(), 100);
}

#[test]
fn nothing_is_issued_that_would_outlive_the_authority() {
    let (_dir, authority) = authority();
    let late = NOW.saturating_add(ISSUING_LIFE - DAY);
    assert!(matches!(
        authority.server_identity(late),
        Err(IssueError::AuthorityExpires(_))
    ));
}
