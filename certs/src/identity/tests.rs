use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use common::id::UserId;
use tempfile::TempDir;

use super::*;
use crate::{Authority, CertificateRequest, MEMBER_LIFE, Subject};

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

fn issued() -> (TempDir, PrivateKey, Vec<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let org = "lab".parse().unwrap();
    let authority = Authority::create(&dir.path().join("ca"), &org, NOW).unwrap();
    let key = PrivateKey::generate().unwrap();
    let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
    let subject = Subject::User(UserId::from_bytes([1; 16]));
    let issued = authority
        .issue(&request, subject, NOW, MEMBER_LIFE)
        .unwrap();
    (dir, key, issued.chain)
}

#[test]
fn an_identity_comes_back_from_its_one_private_file() {
    let (dir, key, chain) = issued();
    let identity = Identity::new(chain, &key).unwrap();
    let path = dir.path().join("me.pem");
    identity.save(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let again = Identity::load(&path).unwrap();
    assert_eq!(again.peer(), identity.peer());
    assert_eq!(again.credential().chain().len(), 3);
    assert_eq!(*again.credential().key, key.pkcs8());
    assert!(!format!("{identity:?}").contains("key"));
}

#[test]
fn renewal_is_due_at_two_thirds_of_a_life() {
    let (_dir, key, chain) = issued();
    let identity = Identity::new(chain, &key).unwrap();
    let week_and_skew = Duration::from_secs(7 * 86_400 + 300);
    let begin = Timestamp::from_unix_ms(NOW.unix_ms() - 300_000);
    assert_eq!(
        identity.renew_at(),
        begin.saturating_add(week_and_skew * 2 / 3)
    );
}

#[test]
fn the_coordinators_own_is_due_at_two_thirds_and_before_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), &"lab".parse().unwrap(), NOW).unwrap();
    let identity = authority.server_identity(NOW).unwrap();
    let day = Duration::from_secs(86_400);
    assert!(!identity.is_due(NOW));
    assert!(!identity.is_due(NOW.saturating_add(4 * day)));
    assert!(identity.is_due(NOW.saturating_add(5 * day)));
    let hour_before = Timestamp::from_unix_ms(NOW.unix_ms() - 3_600_000);
    assert!(identity.is_due(hour_before), "a clock that was ahead");
}

#[test]
fn a_chain_for_another_key_or_none_is_refused() {
    let (_dir, key, chain) = issued();
    let other = PrivateKey::generate().unwrap();
    assert!(matches!(
        Identity::new(chain.clone(), &other),
        Err(IdentityError::OtherKey)
    ));
    assert!(matches!(
        Identity::new(Vec::new(), &key),
        Err(IdentityError::Empty)
    ));
    assert!(matches!(
        Identity::new(chain[1..].to_vec(), &key),
        Err(IdentityError::Certificate(_))
    ));
    let long = chain.iter().cycle().take(9).cloned().collect();
    assert!(matches!(
        Identity::new(long, &key),
        Err(IdentityError::TooLong)
    ));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (dir, key, chain) = issued();
    let path = dir.path().join("me.pem");
    Identity::new(chain, &key).unwrap().save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    // Behind the leaf, what is missing is missed by TLS, not by us.
    let leaf_end = whole
        .windows(25)
        .position(|window| window == b"-----END CERTIFICATE-----")
        .unwrap();
    for cut in (0..leaf_end).step_by(7) {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(Identity::load(&path).is_err(), "cut at {cut}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(Identity::load(&path), Err(IdentityError::Read(_))));
}
