//! What a registry that answers 401 wants to see (RFC 9110 section 11, and the token scheme of registries).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::seal::RegistryLogin;
use reqwest::header::HeaderValue;

/// Most parameters of a challenge that are read.
const MAX_PARAMETERS: usize = 16;

/// A way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token from the service at `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
    },
    /// User and password with every request.
    Basic,
}

impl Challenge {
    /// Returns the best of the ways that these headers name; a token before a password.
    pub(super) fn choose(headers: &[&str]) -> Option<Self> {
        let known: Vec<Self> = headers
            .iter()
            .filter_map(|header| Self::read(header))
            .collect();
        let bearer = known.iter().find(|one| matches!(one, Self::Bearer { .. }));
        bearer.or(known.first()).cloned()
    }

    fn read(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        let mut rest = rest;
        for _ in 0..MAX_PARAMETERS {
            let Some((name, value, after)) = parameter(rest) else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
            rest = after;
        }
        Some(Self::Bearer {
            realm: realm?,
            service,
        })
    }
}

/// Splits `name="value", …` or `name=value, …` off.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',', '\t']);
    let (name, rest) = text.split_once('=')?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(',').unwrap_or(rest.len());
        return Some((name.trim(), rest[..end].trim().to_owned(), &rest[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((name.trim(), value, &quoted[index + 1..])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            plain => value.push(plain),
        }
    }
    None
}

/// Returns the header that shows user and password; `None` where they cannot be shown so.
pub(super) fn basic(login: &RegistryLogin) -> Option<HeaderValue> {
    let pair = STANDARD.encode(format!("{}:{}", login.user, login.password));
    let mut header = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>| {
            let (realm, service) = (realm.to_owned(), service.map(str::to_owned));
            Some(Challenge::Bearer { realm, service })
        };
        for (headers, expect) in [
            (
                &[r#"Bearer realm="https://auth.example/token",service="r.example",scope="a,b""#][..],
                bearer("https://auth.example/token", Some("r.example")),
            ),
            (&[r#"bearer scope=x, realm="a\"b""#], bearer("a\"b", None)),
            (&[r#"Basic realm="basic-realm""#], Some(Challenge::Basic)),
            (&["Basic", r#"Bearer realm="x""#], bearer("x", None)),
            (&["Bearer service=x", "Negotiate"], None),
            (&[r#"Bearer realm="never ends"#], None),
            (&[], None),
        ] {
            assert_eq!(Challenge::choose(headers), expect, "{headers:?}");
        }
    }
}
