//! The line to a server, over which no more of an answer is taken than was asked for: what a server sends besides is
//! never in memory.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::BytesMut;
use common::org::storage::{DEFAULT_REGION, S3Place};
use futures_util::TryStreamExt as _;
use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpService, ReqwestConnector,
    },
};

use super::{Keys, PATIENCE, error::Unfit};

/// Longest answer to what asks for no bytes of an object: a page of a list has up to a thousand names of a kibibyte.
const MAX_ANSWER_BYTES: usize = 8 << 20;

const CONNECT: Duration = Duration::from_secs(5);
/// How often a request is tried again that the other side, or the line, could not serve.
const MAX_RETRIES: usize = 3;

/// Returns what speaks to a place's server.
pub(super) fn build(place: &S3Place, keys: &Keys) -> object_store::Result<AmazonS3> {
    certs::install_crypto();
    let open = place.endpoint.as_ref();
    let open = open.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let options = ClientOptions::new()
        .with_allow_http(open)
        .with_no_system_certificates(open)
        .with_connect_timeout(CONNECT)
        // Each request has its own limit.
        .with_timeout_disabled();
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: MAX_RETRIES,
        retry_timeout: PATIENCE,
    };
    // Nothing is taken from the coordinator's own surroundings: neither variables nor the cloud it may run in.
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket)
        .with_region(place.region.as_deref().unwrap_or(DEFAULT_REGION))
        .with_access_key_id(keys.id.as_str())
        .with_secret_access_key(keys.secret.as_str())
        .with_client_options(options)
        .with_http_connector(Line)
        .with_retry(retry);
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build()
}

#[derive(Debug)]
struct Line;

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
