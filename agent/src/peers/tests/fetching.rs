//! What comes of a tree whatever others do.

use std::sync::atomic::{AtomicUsize, Ordering};

use certs::{client_config, server_config};
use common::wire::{
    ALPN_AGENT,
    agent::AgentStream,
    peer::{LostWhy, Order, Source as From, SwarmNews, SwarmOrders},
};
use link::{
    endpoint::{Dialer, listen},
    frames::{FrameReceiver, FrameSender},
    trees::Fetcher,
};

use super::*;
use crate::peers::gather::Gathering;

const BLOCKS: u32 = 8;

/// A coordinator that has the data: it orders the first block from itself, all others from one machine once that was
/// reached, and what does not come from itself.
struct Coordinator {
    data: Data,
    contact: Option<Contact>,
    lost: Mutex<Vec<LostWhy>>,
    refuses: bool,
    /// So many streams for chunks are refused, the first ones.
    breaks: usize,
    streams: AtomicUsize,
}

impl Coordinator {
    async fn serve(self: Arc<Self>, connection: quinn::Connection) {
        while let Ok(stream) = connection.accept_bi().await {
            let site = Arc::clone(&self);
            tokio::spawn(async move {
                let (mut tx, mut rx) = split(stream);
                if let Err(problem) = site.serve_one(&mut tx, &mut rx).await {
                    let _told = tx.refuse(&problem).await;
                }
            });
        }
    }

    async fn serve_one(&self, tx: &mut FrameSender, rx: &mut FrameReceiver) -> Result<(), Problem> {
        match rx.expect::<AgentStream>().await? {
            AgentStream::Chunks { .. } => {
                if self.streams.fetch_add(1, Ordering::SeqCst) < self.breaks {
                    return Err(super::super::gather::broken("not yet"));
                }
                let (manifest, source) = (&self.data.manifest, self.data.source(false));
                serve_chunks(manifest, &source, &Pace::default(), tx, rx).await?;
                tx.finish();
                Ok(())
            }
            AgentStream::Swarm { blocks, .. } if !self.refuses => {
                assert_eq!(blocks, BLOCKS);
                self.order(tx, rx).await
            }
            _ => Err(super::super::gather::broken("not today")),
        }
    }

    async fn order(&self, tx: &mut FrameSender, rx: &mut FrameReceiver) -> Result<(), Problem> {
        let order = |block, from| Order { block, from };
        let first: SwarmNews = rx.expect().await?;
        assert_eq!(first.lacks, [0xff]);
        tx.send(&SwarmOrders {
            orders: vec![order(0, From::Coordinator)],
            contacts: self.contact.iter().cloned().collect(),
        })
        .await?;
        let mut open: Vec<u32> = (1..BLOCKS).collect();
        // A machine that is not reached before the first block is here is of no use.
        let mut turn = 0;
        while let Some(news) = rx.recv::<SwarmNews>().await? {
            let lost = news.lost.iter().map(|lost| lost.why);
            self.lost.lock().unwrap().extend(lost);
            let mut orders = Vec::new();
            for done in &news.done {
                if !done.came {
                    orders.push(order(done.block, From::Coordinator));
                }
            }
            let came = news.done.iter().any(|done| done.came);
            turn += u32::from(came) + u32::from(!news.reached.is_empty());
            let from = match (&self.contact, news.lost.is_empty()) {
                (None, _) | (_, false) => Some(From::Coordinator),
                (Some(contact), true) => {
                    (turn >= 2).then_some(From::Peer(contact.grant.grant.from))
                }
            };
            if let Some(from) = from {
                orders.extend(open.drain(..).map(|block| order(block, from)));
            }
            if !orders.is_empty() {
                let contacts = Vec::new();
                tx.send(&SwarmOrders { orders, contacts }).await?;
            }
        }
        Ok(())
    }
}

/// What came of it.
struct Seen {
    lost: Vec<LostWhy>,
    /// Blocks that came from the other machine.
    fetched: u64,
    /// Over which the coordinator sent chunks, or refused to.
    streams: usize,
}

/// Lets a machine fetch everything beside what `contact` has.
async fn gather(org: &Org, near: &Agent, contact: Option<Contact>, refuses: bool) -> Seen {
    gather_from(org, near, contact, refuses, 0).await
}

/// The same where the coordinator refuses the first `breaks` streams.
async fn gather_from(
    org: &Org,
    near: &Agent,
    contact: Option<Contact>,
    refuses: bool,
    breaks: usize,
) -> Seen {
    let site = Arc::new(Coordinator {
        data: Data::new(1),
        contact,
        lost: Mutex::default(),
        refuses,
        breaks,
        streams: AtomicUsize::new(0),
    });
    let tls = server_config(&org.authority.server_identity(now()).unwrap()).unwrap();
    let endpoint = listen(local(), tls).unwrap();
    let address = endpoint.local_addr().unwrap().to_string();
    let root = org.authority.fingerprint();
    let tls = client_config(root, Some(&near.identity), ALPN_AGENT).unwrap();
    let dialer = Dialer::new().unwrap();
    let accept = async { endpoint.accept().await.unwrap().await.unwrap() };
    let (connection, theirs) = tokio::join!(dialer.dial(&address, tls), accept);
    let connection = connection.unwrap();
    let serving = tokio::spawn(Arc::clone(&site).serve(theirs));
    let manifest = site.data.manifest.clone();
    let first = AgentStream::Chunks {
        tree: site.data.id(),
    };
    let sink = Arc::new(Sink::default());
    let gathering = Gathering {
        fetcher: &Fetcher::new(connection.clone(), first, manifest.clone()),
        connection: &connection,
        sink: &sink,
        progress: &(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let described = manifest.clone();
    let stock = move || Ok(Stock::filling(&described, &path, vec![false; CHUNKS]).unwrap());
    let received = near.peers.complete(gathering, stock).await.unwrap();
    assert_eq!(received.bytes.0, manifest.tree().bytes().0);
    let came = sink.came.lock().unwrap().clone();
    for (ordinal, chunk) in (0..).zip(manifest.chunks()) {
        assert_eq!(chunk_id(&came[&ordinal]), chunk.id);
    }
    assert!(*sink.sealed.lock().unwrap());
    connection.close(0_u32.into(), b"");
    serving.await.unwrap();
    Seen {
        lost: site.lost.lock().unwrap().clone(),
        fetched: near.peers.load().fetched.0 >> 20,
        streams: site.streams.load(Ordering::SeqCst),
    }
}

fn contact(org: &Org, near: &Agent, at: Vec<SocketAddr>) -> Contact {
    org.contact(at, org.grant(Data::new(1).id(), FAR, near))
}

#[tokio::test]
async fn all_but_the_first_block_come_from_a_machine_that_has_them() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let far = Agent::start(&org, FAR, open_rules()).await;
    let data = Data::new(1);
    let _stock = far.offer(&data);
    let at = far.addresses(true).await;
    let seen = gather(&org, &near, Some(contact(&org, &near, at)), false).await;
    assert_eq!((seen.lost.len(), seen.fetched), (0, 7));
}

#[tokio::test]
async fn what_the_coordinator_sends_comes_over_a_few_streams_that_stay() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let seen = gather(&org, &near, None, false).await;
    assert!((1..=4).contains(&seen.streams), "{}", seen.streams);
}

#[tokio::test]
async fn a_stream_that_the_coordinator_breaks_off_is_made_up_for() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let seen = gather_from(&org, &near, None, false, 1).await;
    assert!(seen.streams > 1);
}

#[tokio::test]
async fn one_that_lies_is_found_out_and_named() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let data = Data::new(1);
    let liar = bad(
        &org,
        FAR,
        Bad::Lies(data.source(true), data.manifest.clone()),
    );
    let at = vec![liar.local_addr().unwrap()];
    let seen = gather(&org, &near, Some(contact(&org, &near, at)), false).await;
    assert_eq!(seen.lost[0], LostWhy::Lied);
    assert_eq!(seen.fetched, 0);
}

#[tokio::test]
async fn one_that_says_nothing_is_left_after_a_few_seconds() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let silent = bad(&org, FAR, Bad::Silent);
    let at = vec![silent.local_addr().unwrap()];
    let seen = gather(&org, &near, Some(contact(&org, &near, at)), false).await;
    assert_eq!((seen.lost[0], seen.fetched), (LostWhy::Slow, 0));
}

#[tokio::test]
async fn one_that_is_slow_is_left() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let slow = PeerRules {
        rate: Some("200kbit".parse().unwrap()),
        ..open_rules()
    };
    let far = Agent::start(&org, FAR, slow).await;
    let data = Data::new(1);
    let _stock = far.offer(&data);
    let at = far.addresses(true).await;
    let seen = gather(&org, &near, Some(contact(&org, &near, at)), false).await;
    assert!(seen.lost.contains(&LostWhy::Slow), "{:?}", seen.lost);
    assert!(seen.fetched < 7);
}

#[tokio::test]
async fn one_that_is_not_there_delays_nothing_but_itself() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let closed = std::net::UdpSocket::bind(local()).unwrap();
    let at = vec![closed.local_addr().unwrap()];
    let again = contact(&org, &near, at);
    let seen = gather(&org, &near, Some(again.clone()), false).await;
    assert_eq!(seen.lost, [LostWhy::Unreachable]);
    let begun = std::time::Instant::now();
    assert!(near.peers.reach(&again).await.is_none());
    assert!(begun.elapsed() < Duration::from_secs(1), "it is left alone");
}

#[tokio::test]
async fn without_orders_or_with_peers_off_everything_comes_from_the_coordinator() {
    let org = Org::new();
    let near = Agent::start(&org, NEAR, open_rules()).await;
    let seen = gather(&org, &near, None, true).await;
    assert_eq!((seen.lost.len(), seen.fetched), (0, 0));
    let off = PeerRules {
        on: false,
        ..open_rules()
    };
    near.rules.send_replace(ruled(off));
    near.addresses(false).await;
    let seen = gather(&org, &near, None, true).await;
    assert_eq!((seen.lost.len(), seen.fetched), (0, 0));
}
