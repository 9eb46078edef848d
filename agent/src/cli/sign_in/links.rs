//! Links, codes and tokens as people paste them.

use common::{
    code::Code,
    id::Fingerprint,
    join_link::{JoinLink, LinkPurpose},
    problem::Problem,
    token::{InvalidToken, TokenSecret},
};

pub(super) fn parse_link(text: &str) -> Result<JoinLink, Problem> {
    text.parse()
        .map_err(|error: common::join_link::InvalidLink| {
            let problem = Problem::new(Code::BadLink, "the link cannot be read", error.to_string());
            if looks_like_code(text) {
                problem.help("For a code alone, add --coordinator HOST:PORT and --ca FINGERPRINT.")
            } else {
                problem
            }
        })
}

pub(super) fn looks_like_code(text: &str) -> bool {
    text.len() < 40 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Makes a link of its parts; what a link cannot hold is refused as in one.
pub(super) fn with_code(
    address: &str,
    fingerprint: Fingerprint,
    code: &str,
) -> Result<JoinLink, Problem> {
    parse_link(&format!(
        "compute-share://{address}/join/{fingerprint}/{}",
        code.trim()
    ))
}

/// Makes the link of a token alone.
pub(super) fn with_token(
    address: &str,
    fingerprint: Fingerprint,
    token: &str,
) -> Result<JoinLink, Problem> {
    parse_link(&format!(
        "compute-share://{address}/token/{fingerprint}/{}",
        token.trim()
    ))
}

/// Finds a mistyped token here, before anybody is asked.
pub(super) fn check_token(link: &JoinLink) -> Result<(), Problem> {
    if link.purpose != LinkPurpose::Token {
        return Ok(());
    }
    let parsed: Result<TokenSecret, InvalidToken> = link.secret.parse();
    parsed.map(drop).map_err(|error| {
        let why = error.to_string();
        Problem::new(Code::TokenInvalid, "the token cannot be used", why)
    })
}

pub(super) fn wrong_purpose(what: &str, help: &str) -> Problem {
    Problem::new(
        Code::BadLink,
        what,
        "each kind of link is good for one thing",
    )
    .help(help)
}
