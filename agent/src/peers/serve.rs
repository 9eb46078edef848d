//! Serves other machines what the coordinator granted them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use certs::{PeerCertificate, Subject};
use common::{
    code::Code,
    id::TreeId,
    problem::Problem,
    wire::{
        close,
        peer::{PeerStream, SignedGrant},
    },
};
use link::{
    frames::{FrameReceiver, FrameSender, split},
    trees::{on_disk, serve_chunks},
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use super::{Peers, door::shake_hands, lock};
use crate::transfer::{Cache, Stock};

/// Machines that are connected at once.
const MAX_CONNECTIONS: usize = 64;
/// Streams that are served at once, to all machines together: others wait. A few pieces of each are in memory.
const MAX_SERVED: usize = 12;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stream may say nothing before it says what it is for.
const FIRST_WORDS: Duration = Duration::from_secs(10);
/// One that asks and does not take what comes is given up.
const STREAM_TIMEOUT: Duration = Duration::from_secs(120);
/// Trees whose files are kept open for a while, since who fetches comes again for the next block.
const MAX_STOCKS: usize = 4;
const KEEP_STOCK: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    peers: Peers,
    cache: Cache,
    streams: Semaphore,
    stocks: Mutex<Vec<(Arc<Stock>, Instant)>>,
}

impl Server {
    pub(super) fn new(peers: Peers, cache: Cache) -> Self {
        Self {
            peers,
            cache,
            streams: Semaphore::new(MAX_SERVED),
            stocks: Mutex::default(),
        }
    }

    /// Takes connections until the endpoint is closed.
    pub(super) async fn accept(self, endpoint: quinn::Endpoint) {
        let server = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            let incoming = tokio::select! {
                incoming = endpoint.accept() => incoming,
                Some(_) = connections.join_next() => continue,
                () = tokio::time::sleep(KEEP_STOCK), if server.has_stocks() => {
                    server.drop_old_stocks();
                    continue;
                }
            };
            let Some(incoming) = incoming else { return };
            if connections.len() >= MAX_CONNECTIONS {
                incoming.refuse();
                continue;
            }
            let server = Arc::clone(&server);
            connections.spawn(async move {
                if let Some(connection) = shake_hands(incoming, HANDSHAKE_TIMEOUT).await {
                    server.serve(&connection).await;
                }
            });
        }
    }

    async fn serve(self: &Arc<Self>, connection: &quinn::Connection) {
        let Some(certificate) = certificate(connection) else {
            let why = b"only machines are served";
            return connection.close(close::UNAUTHORISED.into(), why);
        };
        let mut streams = JoinSet::new();
        loop {
            let stream = tokio::select! {
                stream = connection.accept_bi() => stream,
                Some(_) = streams.join_next() => continue,
            };
            let Ok(stream) = stream else { return };
            let server = Arc::clone(self);
            streams.spawn(async move {
                let (mut tx, mut rx) = split(stream);
                let serving = server.serve_stream(certificate, &mut tx, &mut rx);
                match timeout(STREAM_TIMEOUT, serving).await {
                    Ok(Ok(())) => tx.finish(),
                    Ok(Err(problem)) => {
                        tracing::debug!(subject = ?certificate.subject, %problem, "another machine was refused");
                        let _told = timeout(FIRST_WORDS, tx.refuse(&problem)).await;
                    }
                    Err(_) => {}
                }
            });
        }
    }

    async fn serve_stream(
        &self,
        certificate: PeerCertificate,
        tx: &mut FrameSender,
        rx: &mut FrameReceiver,
    ) -> Result<(), Problem> {
        let first = timeout(FIRST_WORDS, rx.expect::<PeerStream>()).await;
        let first = first.map_err(|_| refused("nothing was asked for"))??;
        let PeerStream::Chunks { grant } = first;
        self.check(&grant, certificate)?;
        let room = self.streams.acquire().await;
        let _room = room.map_err(|_| refused("the agent ends"))?;
        let stock = self.stock(grant.grant.tree).await?;
        let pace = &self.peers.0.pace;
        serve_chunks(stock.manifest(), &stock, pace, tx, rx).await?;
        Ok(())
    }

    fn check(&self, grant: &SignedGrant, certificate: PeerCertificate) -> Result<(), Problem> {
        let Subject::Machine(to) = certificate.subject else {
            return Err(refused("only machines are served"));
        };
        let own = self.peers.0.identity.borrow().clone();
        let own = own.ok_or_else(|| refused("this machine has no certificate"))?;
        let (from, now) = (self.peers.0.machine, self.peers.now());
        own.check_grant(grant, from, to, certificate.serial, now)
            .map_err(|error| refused(&format!("the grant opens nothing: {error}")))
    }

    /// Returns what there is of a tree: on its way, or whole in the cache.
    async fn stock(&self, tree: TreeId) -> Result<Arc<Stock>, Problem> {
        if let Some(stock) = self.peers.filling(tree) {
            return Ok(stock);
        }
        let known = {
            let mut stocks = lock(&self.stocks);
            let found = stocks
                .iter_mut()
                .find(|(stock, _)| stock.manifest().id() == tree);
            found.map(|(stock, used)| {
                *used = Instant::now();
                Arc::clone(stock)
            })
        };
        if let Some(stock) = known {
            return Ok(stock);
        }
        let cache = self.cache.clone();
        let stock = Arc::new(on_disk(move || cache.stock(tree)).await?);
        let mut stocks = lock(&self.stocks);
        stocks.retain(|(stock, _)| stock.manifest().id() != tree);
        if stocks.len() >= MAX_STOCKS {
            stocks.sort_by_key(|(_, used)| *used);
            stocks.remove(0);
        }
        stocks.push((Arc::clone(&stock), Instant::now()));
        Ok(stock)
    }

    fn has_stocks(&self) -> bool {
        !lock(&self.stocks).is_empty()
    }

    /// What nobody fetches any more may leave the cache again.
    fn drop_old_stocks(&self) {
        lock(&self.stocks).retain(|(_, used)| used.elapsed() < KEEP_STOCK);
    }
}

/// Returns the certificate of a machine. The handshake has checked its signatures and times.
fn certificate(connection: &quinn::Connection) -> Option<PeerCertificate> {
    let chain = connection.peer_identity()?;
    let chain = chain.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>();
    let certificate = PeerCertificate::parse(chain.ok()?.first()?).ok()?;
    matches!(certificate.subject, Subject::Machine(_)).then_some(certificate)
}

fn refused(why: &str) -> Problem {
    Problem::new(Code::Permission, "Nothing can be fetched here", why)
}
