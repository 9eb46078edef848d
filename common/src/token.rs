//! API tokens: what lets a program act for a user in one org, until a moment and up to a scope.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{CodeDigest, OrgId, TokenId},
    name::Name,
    status::TokenScope,
    time::{Span, Timestamp},
};

/// Life of a token unless told otherwise.
pub const TOKEN_TTL: Span = Span::from_secs(90 * 86_400);
/// Longest life of a token.
pub const MAX_TOKEN_TTL: Span = Span::from_secs(366 * 86_400);

/// What every token begins with, so that whoever finds one in a log or a repository knows what it is.
const PREFIX: &str = "cs_";
/// Five bits a letter, without look-alikes.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Letters of 256 random bits.
const BODY_LETTERS: usize = 52;
/// Letters that say whether the others were copied right: 30 bits.
const CHECK_LETTERS: usize = 6;

/// A token as it is shown, once: `cs_`, 256 random bits, and a checksum that tells a typing mistake at once.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(String);

/// The text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("a token is {PREFIX} and {} letters and digits", BODY_LETTERS + CHECK_LETTERS)]
    Shape,
    #[error("its checksum is wrong: part of it was mistyped or lost")]
    Checksum,
}

impl TokenSecret {
    /// Writes the random bits down.
    pub fn new(random: [u8; 32]) -> Self {
        let body = format!("{PREFIX}{}", letters::<BODY_LETTERS>(&random));
        let check = check_letters(&body);
        Self(body + &check)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what is stored of it.
    pub fn digest(&self) -> CodeDigest {
        CodeDigest::new(*blake3::hash(self.0.as_bytes()).as_bytes())
    }
}

impl FromStr for TokenSecret {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        let rest = text.strip_prefix(PREFIX).ok_or(InvalidToken::Shape)?;
        let plain = rest.bytes().all(|letter| ALPHABET.contains(&letter));
        if rest.len() != BODY_LETTERS + CHECK_LETTERS || !plain {
            return Err(InvalidToken::Shape);
        }
        let (body, check) = text.split_at(text.len() - CHECK_LETTERS);
        if check_letters(body) != check {
            return Err(InvalidToken::Checksum);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Says nothing of it.
impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSecret").finish_non_exhaustive()
    }
}

fn check_letters(body: &str) -> String {
    letters::<CHECK_LETTERS>(blake3::hash(body.as_bytes()).as_bytes())
}

/// Returns the first bits of `bytes`, five a letter; zeros where there are no more.
fn letters<const COUNT: usize>(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    (0..COUNT)
        .map(|letter| (0..5).fold(0, |value, at| value << 1 | bit(letter * 5 + at)))
        .map(|value: u8| char::from(ALPHABET[usize::from(value)]))
        .collect()
}

/// A token in a list; it was shown once and is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    pub id: TokenId,
    pub name: Name,
    pub org: OrgId,
    pub scope: TokenScope,
    pub status: TokenStatus,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// When somebody last signed in with it, or renewed that.
    pub last_used_at: Option<Timestamp>,
}

/// Whether a token still lets anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenStatus {
    Good,
    Expired,
    Revoked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_and_every_mistyped_letter_is_found() {
        let secret = TokenSecret::new([0xa7; 32]);
        let text = secret.as_str().to_owned();
        assert_eq!(text.len(), PREFIX.len() + BODY_LETTERS + CHECK_LETTERS);
        assert_eq!(format!(" {text}\n").parse(), Ok(secret.clone()));
        assert!(!format!("{secret:?}").contains(&text[3..9]));
        for at in PREFIX.len()..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'7' { b'8' } else { b'7' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(
                wrong.parse::<TokenSecret>(),
                Err(InvalidToken::Checksum),
                "{at}"
            );
        }
        for bad in [
            "",
            "cs_",
            &text[1..],
            &text[..50],
            &text.to_uppercase(),
            "cs_ü",
        ] {
            assert_eq!(
                bad.parse::<TokenSecret>(),
                Err(InvalidToken::Shape),
                "{bad}"
            );
        }
        assert_ne!(TokenSecret::new([0; 32]).digest(), secret.digest());
    }
}
