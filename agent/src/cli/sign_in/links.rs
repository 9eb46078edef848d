//! Links, codes and tokens as people paste them.

use common::{
    code::Code,
    id::Fingerprint,
    join_link::{JoinLink, LinkPurpose},
    problem::Problem,
    token::{InvalidToken, TokenSecret},
};

use crate::client::credentials::Credentials;

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

/// Reads an invitation: a link, or a code of the coordinator that is told, or else of the one that this computer knows.
pub(in crate::cli) fn invitation_link(
    text: &str,
    told: Option<(String, Fingerprint)>,
    known: Option<&Credentials>,
) -> Result<JoinLink, Problem> {
    let link = match (told, known) {
        (Some((address, fingerprint)), _) => with_code(&address, fingerprint, text)?,
        (None, Some(known)) if looks_like_code(text) => {
            with_code(&known.address, known.fingerprint, text)?
        }
        (None, _) => parse_link(text)?,
    };
    if link.purpose != LinkPurpose::Join {
        return Err(wrong_purpose(
            "this is no invitation",
            "Use `compute-share login LINK` with it.",
        ));
    }
    Ok(link)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_needs_to_know_where_and_whom() {
        let problem = parse_link("ABCD-EFGH-JKLM").unwrap_err();
        assert_eq!(problem.code, Code::BadLink);
        assert!(problem.help.contains("--coordinator"), "{problem:?}");
        let fingerprint = Fingerprint::new([1; 32]);
        let link = with_code("lab.example:7443", fingerprint, " ABCD-EFGH-JKLM ").unwrap();
        assert_eq!(
            (link.address.as_str(), link.secret.as_str()),
            ("lab.example:7443", "ABCD-EFGH-JKLM")
        );
        let problem = with_code("lab.example", fingerprint, "ABCD").unwrap_err();
        assert!(problem.why.contains("HOST:PORT"), "{problem:?}");
    }

    #[test]
    fn a_broken_link_is_told_apart_from_a_code() {
        let problem = parse_link("https://lab.example/join").unwrap_err();
        assert_eq!(problem.help, Code::BadLink.help());
        let login = format!("compute-share://h:1/login/{}/S", Fingerprint::new([1; 32]));
        let problem = invitation_link(&login, None, None).unwrap_err();
        assert!(problem.help.contains("login LINK"), "{problem:?}");
    }
}
