use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;

fn key() -> (tempfile::TempDir, SealingKey) {
    let folder = tempfile::tempdir().unwrap();
    let key = SealingKey::create(&folder.path().join("key.pem")).unwrap();
    (folder, key)
}

fn login() -> RegistryLogin {
    RegistryLogin {
        registry: "r.example:5000".to_owned(),
        user: "bob".to_owned(),
        password: "hunter2".to_owned(),
    }
}

#[test]
fn a_login_comes_back_for_its_registry_alone() {
    let (_folder, key) = key();
    let sealed = seal_login(key.public(), &login()).unwrap();
    assert!(sealed.is_bounded());
    assert_eq!(
        key.unseal_login("r.example:5000".as_bytes(), "r.example:5000", &sealed)
            .unwrap(),
        login()
    );
    for other in ["r.example", "evil.example", ""] {
        let opened = key.unseal_login(other.as_bytes(), other, &sealed);
        assert!(matches!(opened, Err(SealError::NotForUs)), "{other}");
    }
    // Sealed for one registry while it says another.
    let secret = serde_json::to_vec(&login()).unwrap();
    let crossed = seal(key.public(), b"evil.example", &secret).unwrap();
    assert!(matches!(
        key.unseal_login("evil.example".as_bytes(), "evil.example", &crossed),
        Err(SealError::NotForUs)
    ));
    let nonsense = seal(key.public(), b"r.example", b"{}").unwrap();
    assert!(matches!(
        key.unseal_login("r.example".as_bytes(), "r.example", &nonsense),
        Err(SealError::NotALogin)
    ));
}

#[test]
fn a_key_opened_again_is_the_same_and_nobody_elses() {
    let (folder, key) = key();
    let path = folder.path().join("key.pem");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = SealingKey::open(&path).unwrap();
    assert_eq!(again.public(), key.public());
    let sealed = seal(key.public(), b"context", b"secret").unwrap();
    assert_eq!(*again.unseal(b"context", &sealed).unwrap(), b"secret");
    let (_other_folder, other) = self::key();
    assert_ne!(other.public(), key.public());
    assert!(other.unseal(b"context", &sealed).is_err());
}

#[test]
fn what_is_no_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    assert!(matches!(SealingKey::open(&path), Err(SealError::Read(_))));
    let (tag, one, other) = ("COMPUTE SHARE SEALING KEY", [1; 32], [2; 32]);
    let short = pem::encode(&pem::Pem::new(tag, one));
    let unlike = pem::encode(&pem::Pem::new(tag, [one, other].concat()));
    let private = crate::PrivateKey::generate().unwrap();
    private.save(&folder.path().join("other.pem")).unwrap();
    let foreign = std::fs::read_to_string(folder.path().join("other.pem")).unwrap();
    for text in ["", "hello", &short, &unlike, &foreign] {
        std::fs::write(&path, text).unwrap();
        let opened = SealingKey::open(&path);
        assert!(matches!(opened, Err(SealError::NotAKey)), "{text}");
    }
    for bad in [&[][..], &[1; 31], &[0; 32], &[1; 33]] {
        assert!(seal(bad, b"", b"").is_err(), "{bad:?}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let (_folder, key) = key();
    let sealed = seal_login(key.public(), &login()).unwrap();
    let wrong = key.unseal_login("x".as_bytes(), "x", &sealed).unwrap_err();
    let shown = format!("{key:?} {sealed:?} {:?} {wrong:?} {wrong}", login());
    for secret in ["hunter2", "bob", "ciphertext"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn the_longest_secret_is_one_that_can_be_kept() {
    let (_folder, key) = key();
    let longest = vec![7; MAX_SEALED_BYTES - TAG_BYTES];
    let sealed = seal(key.public(), b"", &longest).unwrap();
    assert!(sealed.is_bounded());
    assert_eq!(*key.unseal(b"", &sealed).unwrap(), longest);
    let longer = vec![7; MAX_SEALED_BYTES];
    let refused = seal(key.public(), b"", &longer);
    assert!(matches!(refused, Err(SealError::TooLong)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn one_altered_bit_and_it_does_not_open(secret: Vec<u8>, at: prop::sample::Index, bit in 0..8u8, head: bool) {
        let (_folder, key) = key();
        let mut sealed = seal(key.public(), b"r", &secret).unwrap();
        prop_assert_eq!(&*key.unseal(b"r", &sealed).unwrap(), &secret);
        let again = seal(key.public(), b"r", &secret).unwrap();
        prop_assert!(again != sealed, "the same secret is sealed otherwise each time");
        let bytes = if head { &mut sealed.encapsulated } else { &mut sealed.ciphertext };
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // X25519 does not look at the highest bit of what it is given; HPKE binds it in all the same.
        prop_assert!(key.unseal(b"r", &sealed).is_err());
    }

    #[test]
    fn what_strangers_seal_never_panics(encapsulated: Vec<u8>, ciphertext: Vec<u8>) {
        let (_folder, key) = key();
        let sealed = Sealed { encapsulated, ciphertext };
        prop_assert!(key.unseal(b"r", &sealed).is_err());
    }
}
