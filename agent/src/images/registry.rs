//! A registry, spoken to over HTTP: manifests and blobs by digest, logins where it wants them.
//!
//! Whoever named the registry may be hostile, and so may the registry: every answer has a bound in size and in
//! time, nothing is believed before its digest was computed, a login goes to the registry it is for and to the
//! service that this one names, and only over TLS. Plain HTTP is for registries on this very computer.

mod blob;
mod challenge;
mod reach;
mod words;

use std::{sync::Arc, time::Duration};

use common::{
    code::Code,
    image::{DEFAULT_REGISTRY, ImageDigest, ImageRef},
    problem::Problem,
    seal::RegistryLogin,
};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE},
    redirect,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

pub(crate) use self::reach::Reach;

use self::{
    blob::{Blob, sizes},
    challenge::{Challenge, basic},
    words::{Words, cause_of},
};
use super::manifest::{ACCEPTED, Descriptor, MAX_MANIFEST_BYTES};

/// Where Docker Hub's interface is.
const DOCKER_HUB: &str = "registry-1.docker.io";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a whole manifest or token.
const SMALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Slowest transfer of a blob that is waited for, in bytes per second, after its first minute.
const MIN_BLOB_RATE: u64 = 32 << 10;
const MAX_REDIRECTS: usize = 5;
const MAX_TOKEN_BYTES: u64 = 256 << 10;
/// Longest part of a registry's own words that is passed on.
const MAX_WORDS_BYTES: u64 = 4096;

/// A repository of a registry, and who asks.
#[derive(Debug)]
pub(super) struct Registry {
    client: Client,
    base: Url,
    reference: ImageRef,
    login: Option<RegistryLogin>,
    reach: Reach,
    /// What the registry wants to see, once it has said so.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Registry {
    /// Prepares to speak of `reference`. A login for another registry is never shown.
    pub(super) fn new(
        reference: &ImageRef,
        login: Option<&RegistryLogin>,
        reach: &Reach,
    ) -> Result<Self, Problem> {
        certs::install_crypto();
        let words = Words::of(reference);
        let unusable = |why: String| Problem::new(Code::BadRequest, &words.what, why);
        let host = match reference.registry.as_str() {
            DEFAULT_REGISTRY => DOCKER_HUB,
            other => other,
        };
        let plain = is_this_computer(host);
        let scheme = if plain { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/v2/{}/", reference.repository))
            .map_err(|error| unusable(format!("{host} is no address: {error}")))?;
        reach
            .judge_place(&base)
            .map_err(|closed| words.closed(&closed))?;
        let judging = reach.clone();
        let mut client = Client::builder()
            .dns_resolver(Arc::new(reach.clone()))
            .user_agent(concat!("compute-share/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .https_only(!plain)
            .redirect(redirect::Policy::custom(move |attempt| {
                if attempt.previous().len() > MAX_REDIRECTS {
                    attempt.error("the registry sends the request from place to place")
                } else if let Err(closed) = judging.judge_place(attempt.url()) {
                    attempt.error(closed)
                } else if may_be_sent_to(attempt.url(), plain) {
                    attempt.follow()
                } else {
                    attempt.error("the registry leads to an address inside this network")
                }
            }));
        if plain {
            // A proxy would look for the registry on its own computer.
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| unusable(cause_of(&error)))?;
        let login = login
            .filter(|login| login.registry == reference.registry)
            .cloned();
        let authorization = Mutex::new(None);
        Ok(Self {
            client,
            base,
            reference: reference.clone(),
            login,
            reach: reach.clone(),
            authorization,
        })
    }

    /// Returns the index or manifest with this digest or, without one, that the tag names now.
    pub(super) async fn manifest(
        &self,
        wanted: Option<ImageDigest>,
    ) -> Result<(ImageDigest, Vec<u8>), Problem> {
        let response = self
            .ask(Method::GET, &self.manifest_path(wanted), SMALL_TIMEOUT)
            .await?;
        let words = self.words();
        let bytes = words.bounded(response, MAX_MANIFEST_BYTES).await?;
        let digest = ImageDigest(Sha256::digest(&bytes).into());
        match wanted.filter(|wanted| *wanted != digest) {
            Some(wanted) => Err(words.other_bytes(wanted, &digest.to_string())),
            None => Ok((digest, bytes)),
        }
    }

    /// Asks only whether whoever this speaks for may read the image.
    pub(super) async fn may_read(&self, digest: ImageDigest) -> Result<(), Problem> {
        let path = self.manifest_path(Some(digest));
        self.ask(Method::HEAD, &path, SMALL_TIMEOUT).await.map(drop)
    }

    /// Begins to fetch a blob.
    pub(super) async fn blob(&self, wanted: &Descriptor) -> Result<Blob, Problem> {
        let allowed = SMALL_TIMEOUT + Duration::from_secs(wanted.size / MIN_BLOB_RATE);
        let path = format!("blobs/{}", wanted.digest);
        let deadline = tokio::time::Instant::now() + allowed;
        let response = self.ask(Method::GET, &path, allowed).await?;
        let problem = self.words();
        if let Some(length) = response
            .content_length()
            .filter(|length| *length != wanted.size)
        {
            return Err(problem.other_bytes(wanted.digest, &sizes(length, wanted.size)));
        }
        Ok(Blob::new(response, wanted.clone(), deadline, problem))
    }

    fn manifest_path(&self, wanted: Option<ImageDigest>) -> String {
        let tag = self.reference.tag.as_deref().unwrap_or("latest");
        wanted.map_or_else(
            || format!("manifests/{tag}"),
            |digest| format!("manifests/{digest}"),
        )
    }

    fn words(&self) -> Words {
        Words::of(&self.reference)
    }

    /// Sends a request, a second time with what the registry wants to see if it says so.
    async fn ask(&self, method: Method, path: &str, most: Duration) -> Result<Response, Problem> {
        let words = self.words();
        let url = self.base.join(path);
        let url =
            url.map_err(|error| Problem::new(Code::Internal, &words.what, error.to_string()))?;
        let send = async |authorization: Option<HeaderValue>| {
            let mut request = self.client.request(method.clone(), url.clone());
            request = request.header(ACCEPT, ACCEPTED).timeout(most);
            if let Some(authorization) = authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            request
                .send()
                .await
                .map_err(|error| words.unreachable(&error))
        };
        let known = self.authorization.lock().await.clone();
        let mut response = send(known).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let wanted = response.headers().get_all(WWW_AUTHENTICATE);
            let wanted: Vec<&str> = wanted
                .iter()
                .filter_map(|header| header.to_str().ok())
                .collect();
            let authorization = self.authorize(&wanted).await?;
            *self.authorization.lock().await = Some(authorization.clone());
            response = send(Some(authorization)).await?;
        }
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(self.refused(status, response).await),
        }
    }

    /// Returns what opens the registry, by what it asked for.
    async fn authorize(&self, wanted: &[&str]) -> Result<HeaderValue, Problem> {
        let words = self.words();
        let login = self.login.as_ref();
        match (Challenge::choose(wanted), login) {
            (Some(Challenge::Bearer { realm, service }), _) => self.token(&realm, service).await,
            (Some(Challenge::Basic), Some(login)) => basic(login).ok_or_else(|| {
                let why = "the login holds characters that no registry understands";
                Problem::new(Code::RegistryRefused, &words.what, why)
            }),
            _ => Err(words.denied(login)),
        }
    }

    async fn token(&self, realm: &str, service: Option<String>) -> Result<HeaderValue, Problem> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let words = self.words();
        let odd = |why: &str| Problem::new(Code::RegistryUnreachable, &words.what, why);
        let plain = self.base.scheme() == "http";
        let mut url = Url::parse(realm)
            .ok()
            .filter(|url| may_be_sent_to(url, plain) || self.is_own_host(url))
            .ok_or_else(|| odd("the registry wants the login sent where it must not go"))?;
        self.reach
            .judge_place(&url)
            .map_err(|closed| words.closed(&closed))?;
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(service.map(|service| ("service", service)));
            query.append_pair(
                "scope",
                &format!("repository:{}:pull", self.reference.repository),
            );
        }
        let mut request = self.client.get(url).timeout(SMALL_TIMEOUT);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.user, Some(&login.password));
        }
        let response = request
            .send()
            .await
            .map_err(|error| words.unreachable(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(words.denied(self.login.as_ref()));
            }
            status => return Err(self.refused(status, response).await),
        }
        let bytes = words.bounded(response, MAX_TOKEN_BYTES).await?;
        let answer: Option<Answer> = serde_json::from_slice(&bytes).ok();
        let token = answer.and_then(|answer| answer.token.or(answer.access_token));
        let mut header = token
            .and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok())
            .ok_or_else(|| odd("the registry's login service gives out no token"))?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn is_own_host(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    async fn refused(&self, status: StatusCode, response: Response) -> Problem {
        let words = self.words();
        let registry = &words.registry;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => words.denied(self.login.as_ref()),
            StatusCode::NOT_FOUND => {
                let name = &self.reference;
                let why = format!("{registry} does not have {name}");
                Problem::new(Code::ImageNotFound, &words.what, why)
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let why = format!(
                    "{registry} was asked too often and wants to be left alone for a while"
                );
                Problem::new(Code::RegistryUnreachable, &words.what, why).help(
                    "Try again later, or sign in: registries let their own users ask more often.",
                )
            }
            status => {
                let said = words
                    .bounded(response, MAX_WORDS_BYTES)
                    .await
                    .unwrap_or_default();
                tracing::debug!(%status, said = %String::from_utf8_lossy(&said), "a registry's answer");
                let why = format!("{registry} answers {status}");
                Problem::new(Code::RegistryUnreachable, &words.what, why)
            }
        }
    }
}

/// Returns whether `HOST[:PORT]` means this computer, as the only kind of registry without TLS.
fn is_this_computer(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let loopback = name
        .parse::<std::net::Ipv4Addr>()
        .is_ok_and(|address| address.is_loopback());
    name == "localhost" || loopback
}

/// Returns whether a registry may send its readers to a place: over TLS, and to no address that only means
/// something inside this network. A registry on this computer may name other ports of it.
fn may_be_sent_to(url: &Url, plain: bool) -> bool {
    let host = url.host_str().unwrap_or("");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if plain && is_this_computer(host) {
        return true;
    }
    let address = bare.parse::<std::net::IpAddr>();
    url.scheme() == "https"
        && address.is_err()
        && host.contains('.')
        && !host.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
