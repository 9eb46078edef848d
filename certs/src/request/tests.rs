use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SignatureAlgorithm,
};

use super::*;
use crate::PrivateKey;

fn request_by(key: &KeyPair) -> Vec<u8> {
    let params = CertificateParams::default();
    params.serialize_request(key).unwrap().der().to_vec()
}

#[track_caller]
fn check_kind(algorithm: &'static SignatureAlgorithm, expect: Option<InvalidRequest>) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let parsed = CertificateRequest::parse(&request_by(&key));
    assert_eq!(parsed.err(), expect, "{algorithm:?}");
}

#[test]
fn only_strong_and_known_keys_are_accepted() {
    check_kind(&PKCS_ED25519, None);
    check_kind(&PKCS_ECDSA_P256_SHA256, None);
    check_kind(&PKCS_ECDSA_P384_SHA384, Some(InvalidRequest::WeakKey));
    check_kind(&PKCS_RSA_SHA256, Some(InvalidRequest::WeakKey));
}

#[test]
fn a_request_tells_its_key_and_whatever_it_wishes_for_is_read_over() {
    let key = PrivateKey::generate().unwrap();
    let plain = CertificateRequest::parse(&key.request().unwrap()).unwrap();
    assert_eq!(plain.key(), key.fingerprint());

    let mut greedy = CertificateParams::new(vec!["root.example".to_owned()]).unwrap();
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let der = greedy.serialize_request(&key).unwrap();
    let parsed = CertificateRequest::parse(der.der()).unwrap();
    assert_eq!(parsed.key(), key.fingerprint());
}

#[test]
fn a_request_for_a_key_that_its_sender_does_not_hold_is_refused() {
    let (mine, theirs) = (
        PrivateKey::generate().unwrap(),
        PrivateKey::generate().unwrap(),
    );
    let mut der = mine.request().unwrap();
    let spki = theirs.subject_public_key_info();
    let own = mine.subject_public_key_info();
    let at = der
        .windows(own.len())
        .position(|window| window == own)
        .unwrap();
    der[at..at + spki.len()].copy_from_slice(&spki);
    assert_eq!(
        CertificateRequest::parse(&der).err(),
        Some(InvalidRequest::Signature)
    );
}

#[test]
fn a_request_cut_changed_or_with_more_behind_it_is_refused() {
    let der = PrivateKey::generate().unwrap().request().unwrap();
    for cut in 0..der.len() {
        assert!(
            CertificateRequest::parse(&der[..cut]).is_err(),
            "cut at {cut}"
        );
    }
    // Between the signed part and the signature its algorithm is named, which nothing signs; the parser reads
    // over a wrong tag there. Whatever it makes of it, the key that was proven is the one that counts.
    let signature = der.len() - 64;
    let signed = 2..signature - 10;
    let key = CertificateRequest::parse(&der).unwrap().key();
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        let parsed = CertificateRequest::parse(&changed);
        if signed.contains(&at) || at >= signature {
            assert!(parsed.is_err(), "changed at {at}");
        }
        assert!(
            parsed.is_err() || parsed.unwrap().key() == key,
            "changed at {at}"
        );
    }
    let mut longer = der;
    longer.push(0);
    assert_eq!(
        CertificateRequest::parse(&longer).err(),
        Some(InvalidRequest::Malformed)
    );
    assert_eq!(
        CertificateRequest::parse(&vec![0x30; MAX_REQUEST_BYTES + 1]).err(),
        Some(InvalidRequest::TooLong)
    );
}

proptest! {
    #[test]
    fn hostile_bytes_are_an_error(bytes: Vec<u8>) {
        prop_assert!(CertificateRequest::parse(&bytes).is_err());
    }
}
