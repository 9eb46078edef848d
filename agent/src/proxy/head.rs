//! The head of an HTTP request: read strictly, and written anew for the server that it is meant for.

use std::borrow::Cow;

use super::target::{NotATarget, Target};

/// Longest head, in bytes.
pub(super) const MAX_HEAD_BYTES: usize = 32 << 10;
/// Most fields in it.
const MAX_FIELDS: usize = 100;
/// Fields that are between a program and its proxy, and no business of the server's.
const OF_ONE_HOP: [&str; 7] = [
    "connection",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
];

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// A connection, whatever then goes over it.
    Connect(Target),
    /// One request to a server that speaks plain HTTP, with the head that it gets.
    Forward { target: Target, head: Vec<u8> },
}

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHead {
    #[error("that is no HTTP request")]
    Syntax,
    #[error("the head of the request is longer than {MAX_HEAD_BYTES} bytes")]
    TooLong,
    #[error("this is a proxy: it takes CONNECT HOST:PORT and http://HOST/… only")]
    NotForAProxy,
    #[error(transparent)]
    Target(#[from] NotATarget),
}

/// Reads the head at the beginning of `bytes`, and how long it is; `None` where more has to come.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, BadHead> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD_BYTES => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(BadHead::TooLong),
        Err(_) => return Err(BadHead::Syntax),
    };
    let (Some(method), Some(path), Some(version)) = (request.method, request.path, request.version)
    else {
        return Err(BadHead::Syntax);
    };
    if method == "CONNECT" {
        return Ok(Some((Request::Connect(Target::parse(path, None)?), length)));
    }
    let scheme = path.get(..7).filter(|s| s.eq_ignore_ascii_case("http://"));
    let rest = scheme
        .and_then(|_| path.get(7..))
        .ok_or(BadHead::NotForAProxy)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let target = Target::parse(authority, Some(80))?;
    let path: Cow<'_, str> = if path.starts_with('/') {
        path.into()
    } else {
        format!("/{path}").into()
    };
    let named = named_by_connection(request.headers);
    let mut head =
        format!("{method} {path} HTTP/1.{version}\r\nHost: {authority}\r\n").into_bytes();
    for field in request.headers.iter() {
        let name = field.name.to_ascii_lowercase();
        if OF_ONE_HOP.contains(&name.as_str()) || named.contains(&name) {
            continue;
        }
        head.extend([field.name.as_bytes(), b": ", field.value, b"\r\n"].concat());
    }
    // What follows is the server's answer and nothing else, so that nobody has to find its end.
    head.extend(b"Connection: close\r\n\r\n");
    Ok(Some((Request::Forward { target, head }, length)))
}

/// Returns the fields that `Connection` says are for this hop only. Where a body ends is never among them.
fn named_by_connection(fields: &[httparse::Header<'_>]) -> Vec<String> {
    let connection = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("connection"));
    let texts = connection.filter_map(|field| std::str::from_utf8(field.value).ok());
    let names = texts.flat_map(|text| text.split(','));
    names
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !["content-length", "transfer-encoding"].contains(&name.as_str()))
        .collect()
}

/// Returns an answer of the proxy's own, after which it hangs up.
pub(super) fn answer(status: &str, text: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}\n",
        text.len() + 1
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    fn forwarded(text: &str) -> String {
        match parse(text.as_bytes()) {
            Ok(Some((Request::Forward { head, .. }, length))) if length == text.len() => {
                String::from_utf8(head).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_connection_is_asked_for_by_name_and_port() {
        let text = b"CONNECT example.org:443 HTTP/1.1\r\nHost: other:1\r\n\r\nhello";
        let target = Target::parse("example.org:443", None).unwrap();
        let length = text.len() - 5;
        assert_eq!(parse(text), Ok(Some((Request::Connect(target), length))));
        for cut in 0..length {
            assert_eq!(parse(&text[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn a_request_is_passed_on_without_what_is_the_proxys() {
        let text = "GET http://a.example:8080/x?y=1 HTTP/1.1\r\nHost: liar.example\r\n\
                    Proxy-Authorization: Basic secret\r\nProxy-Connection: keep-alive\r\n\
                    Connection: keep-alive, X-Hop, Content-Length\r\nX-Hop: 1\r\nAccept: */*\r\n\
                    Content-Length: 3\r\n\r\n";
        let expect = "GET /x?y=1 HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\n\
                      Content-Length: 3\r\nConnection: close\r\n\r\n";
        assert_eq!(forwarded(text), expect);
        let text = "GET HTTP://a.example?q HTTP/1.0\r\n\r\n";
        let expect = "GET /?q HTTP/1.0\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        assert_eq!(forwarded(text), expect);
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!(
            "GET http://a/ HTTP/1.1\r\nX: {}",
            "x".repeat(MAX_HEAD_BYTES)
        );
        let many = format!(
            "GET http://a/ HTTP/1.1\r\n{}\r\n",
            "X: y\r\n".repeat(MAX_FIELDS + 1)
        );
        for (text, expect) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", BadHead::NotForAProxy),
            ("GET https://a/ HTTP/1.1\r\n\r\n", BadHead::NotForAProxy),
            ("GET ftp://a/ HTTP/1.1\r\n\r\n", BadHead::NotForAProxy),
            (
                "GET http://u:p@a/ HTTP/1.1\r\n\r\n",
                BadHead::Target(NotATarget),
            ),
            ("GET http:/// HTTP/1.1\r\n\r\n", BadHead::Target(NotATarget)),
            ("CONNECT a HTTP/1.1\r\n\r\n", BadHead::Target(NotATarget)),
            (
                "CONNECT http://a:1 HTTP/1.1\r\n\r\n",
                BadHead::Target(NotATarget),
            ),
            ("GET http://a/ HTTP/2.0\r\n\r\n", BadHead::Syntax),
            ("\u{16}\u{3}\u{1}", BadHead::Syntax),
            ("GET http://a/ HTTP/1.1\r\nX : y\r\n\r\n", BadHead::Syntax),
            (
                "GET http://a/ HTTP/1.1\r\n folded: y\r\n\r\n",
                BadHead::Syntax,
            ),
            (&long, BadHead::TooLong),
            (&many, BadHead::TooLong),
        ] {
            let short: String = text.chars().take(60).collect();
            assert_eq!(parse(text.as_bytes()), Err(expect), "{short:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_from_anybody_never_end_the_proxy(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }

        /// What is passed on is one head: nothing of the request can start a second one in it.
        #[test]
        fn one_head_goes_out(path in "[ -~]{0,20}", value in "[ -~]{0,20}") {
            let text = format!("GET http://a.example/{path} HTTP/1.1\r\nX: {value}\r\n\r\n");
            if let Ok(Some((Request::Forward { head, .. }, _))) = parse(text.as_bytes()) {
                let head = String::from_utf8(head).unwrap();
                prop_assert!(head.find("\r\n\r\n") == Some(head.len() - 4), "{head:?}");
            }
        }
    }
}
