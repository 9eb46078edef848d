//! The line to a server, over which no more of an answer is taken than was asked for: what a server sends besides is
//! never in memory.

use std::{future::Future, pin::Pin};

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpService, ReqwestConnector,
    },
};

use super::error::Unfit;

/// Longest answer to what asks for no bytes of an object: a page of a list has up to a thousand names of a kibibyte.
const MAX_ANSWER_BYTES: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Line;

impl HttpConnector for Line {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Bounded(client)))
    }
}

#[derive(Debug)]
struct Bounded(HttpClient);

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Bounded {
    fn call<'a, 'answer>(&'a self, request: HttpRequest) -> Answer<'answer>
    where
        'a: 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let asked = asked(&request);
            let (parts, body) = self.0.execute(request).await?.into_parts();
            let most = asked.filter(|_| parts.status.is_success());
            let most = most.unwrap_or(MAX_ANSWER_BYTES);
            let mut body = body.bytes_stream();
            let mut whole = BytesMut::new();
            while let Some(more) = body.try_next().await? {
                if whole.len() + more.len() > most {
                    return Err(HttpError::new(HttpErrorKind::Decode, Unfit::TooMuch));
                }
                whole.extend_from_slice(&more);
            }
            Ok(HttpResponse::from_parts(parts, whole.freeze().into()))
        })
    }
}

/// Returns how many bytes of an object a request asks for.
fn asked(request: &HttpRequest) -> Option<usize> {
    let range = request.headers().get("range")?.to_str().ok()?;
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
    to.checked_sub(from)?.checked_add(1)
}
