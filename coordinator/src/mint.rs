//! The only source of fresh ids and secrets.
//!
//! Codes and secrets are written in an alphabet without look-alikes (no I, L, O, U) and read forgivingly:
//! capital or small, with or without dashes, with the letters that people confuse with digits.

use common::{id::CodeDigest, time::Timestamp};
use rand::RngCore;
use uuid::{Builder, Uuid};

use crate::rate::Guess;

/// Five bits a letter.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Letters of a code that people read aloud: 60 bits.
const CODE_LETTERS: usize = 12;
/// Letters between two dashes of a code.
const CODE_GROUP: usize = 4;
/// Letters of a link's secret: 130 bits.
const SECRET_LETTERS: usize = 26;
/// Longest secret that is looked at.
const MAX_SECRET_BYTES: usize = 128;

/// Returns a fresh UUID of version 7, so that ids sort by age.
pub(crate) fn uuid(now: Timestamp) -> Uuid {
    let mut random = [0; 10];
    rand::rng().fill_bytes(&mut random);
    Builder::from_unix_timestamp_millis(now.unix_ms(), &random).into_uuid()
}

/// Returns a fresh code `XXXX-XXXX-XXXX`.
pub(crate) fn code() -> String {
    let letters = letters::<CODE_LETTERS>();
    let groups: Vec<&str> = (0..CODE_LETTERS / CODE_GROUP)
        .map(|group| &letters[group * CODE_GROUP..(group + 1) * CODE_GROUP])
        .collect();
    groups.join("-")
}

/// Returns a fresh secret for a link.
pub(crate) fn secret() -> String {
    letters::<SECRET_LETTERS>()
}

/// Returns fresh random bytes.
pub(crate) fn random<const COUNT: usize>() -> [u8; COUNT] {
    let mut random = [0; COUNT];
    rand::rng().fill_bytes(&mut random);
    random
}

/// Returns what somebody guesses at who writes this: nothing shorter than a link's secret is safe from guessing.
pub(crate) fn guess(written: &str) -> Guess {
    let letters = written.bytes().filter(|byte| !b"- ".contains(byte));
    if letters.count() < SECRET_LETTERS {
        Guess::Code
    } else {
        Guess::Secret
    }
}

/// Returns what is stored of a code or secret, or nothing for a text that cannot be one.
pub(crate) fn digest(written: &str) -> Option<CodeDigest> {
    if written.len() > MAX_SECRET_BYTES {
        return None;
    }
    let plain: Vec<u8> = written
        .bytes()
        .filter_map(canonical)
        .collect::<Option<_>>()?;
    (!plain.is_empty()).then(|| CodeDigest::new(*blake3::hash(&plain).as_bytes()))
}

/// Returns the letter that was meant, `Some(None)` for none that counts, and leaves out dashes and spaces.
fn canonical(byte: u8) -> Option<Option<u8>> {
    match byte.to_ascii_uppercase() {
        b'-' | b' ' => None,
        b'O' => Some(Some(b'0')),
        b'I' | b'L' => Some(Some(b'1')),
        letter => Some(ALPHABET.contains(&letter).then_some(letter)),
    }
}

fn letters<const COUNT: usize>() -> String {
    random::<COUNT>()
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_being_read_aloud() {
        let code = code();
        assert_eq!(code.len(), 14);
        assert_eq!(code.matches('-').count(), 2);
        let spoken = code.to_lowercase().replace('-', " ").replace('0', "o");
        assert_eq!(digest(&spoken), digest(&code));
        assert_ne!(digest(&super::code()), digest(&code));
    }

    #[test]
    fn a_code_is_guessed_at_and_a_secret_is_not() {
        assert_eq!(guess(&code()), Guess::Code);
        assert_eq!(guess(&secret()), Guess::Secret);
        assert_eq!(guess(&format!("{}--------------", code())), Guess::Code);
    }

    #[test]
    fn what_cannot_be_a_code_has_no_digest() {
        for bad in ["", "--", "ab*c", "ü", &"A".repeat(MAX_SECRET_BYTES + 1)] {
            assert_eq!(digest(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn ids_sort_by_age() {
        let early = uuid(Timestamp::from_unix_ms(1_000));
        let late = uuid(Timestamp::from_unix_ms(2_000));
        assert!(early < late);
        assert_eq!(early.get_version_num(), 7);
    }
}
