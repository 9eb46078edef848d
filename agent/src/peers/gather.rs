//! Fetches a tree from the coordinator and from other machines at once, block by block, as the coordinator orders.
//!
//! Whatever goes wrong with others, or with the orders, the rest comes from the coordinator as if there were nobody
//! else. Only the coordinator's own refusal, or a disk that is full, ends it.

mod sink;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use agent_core::blocks::Blocks;
use common::{
    code::Code,
    id::MachineId,
    problem::Problem,
    units::Bytes,
    wire::{
        agent::AgentStream,
        peer::{
            Contact, Done, Lost, LostWhy, MAX_CONTACTS, Order, PeerStream, Source, SwarmNews,
            SwarmOrders,
        },
    },
};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, pending, try_join_all},
    stream::FuturesUnordered,
};
use link::{
    close_problem,
    frames::{FrameReceiver, FrameSender, split},
    trees::{Asks, ChunkSink, Fetcher, Progress, Received, on_disk},
};

use self::sink::Guarded;
use super::Peers;
use crate::transfer::Stock;

/// Less than this is not worth asking others for.
const LEAST_BYTES: u64 = 4 << 20;
/// Orders that are carried out at once; a coordinator gives no more.
const MAX_RUNNING: usize = 64;
/// How long another machine may take for a block, in times of what they need in general, and the bounds of that.
const PATIENCE: u32 = 8;
const LEAST_PATIENCE: Duration = Duration::from_secs(3);
const MOST_PATIENCE: Duration = Duration::from_secs(20);

/// A tree that is about to be fetched.
pub(crate) struct Gathering<'a, K> {
    /// From the coordinator.
    pub(crate) fetcher: &'a Fetcher<AgentStream>,
    pub(crate) connection: &'a quinn::Connection,
    pub(crate) sink: &'a Arc<K>,
    pub(crate) progress: &'a dyn Progress,
}

/// What came of something that ran.
enum Ran {
    /// No order of the coordinator's can be carried out any more.
    Over(Problem),
    Block(Order, Duration, Result<(), Problem>),
    Dialled(MachineId, Option<quinn::Connection>),
}

/// What there is to know while it goes on.
struct Going<'a, K> {
    gathering: &'a Gathering<'a, K>,
    /// What of it is there, for others.
    stock: Arc<Stock>,
    peers: &'a Peers,
    sink: Arc<Guarded<K>>,
    blocks: Blocks,
    /// Of each block the chunks that have not come; empty ones are complete.
    lacks: BTreeMap<u32, Vec<u32>>,
    contacts: BTreeMap<MachineId, Contact>,
    connections: BTreeMap<MachineId, quinn::Connection>,
    /// What the coordinator is to send. A block is a few asks; the streams stay.
    asks: Arc<Asks>,
    running: FuturesUnordered<BoxFuture<'a, Ran>>,
    /// What a block needed lately, from anybody.
    block_time: Option<Duration>,
}

impl Peers {
    /// Fetches what the sink lacks of the tree and seals it. `stock` opens what of it is there, for others.
    ///
    /// # Errors
    /// As those of fetching from the coordinator alone.
    pub(crate) async fn complete<K: ChunkSink>(
        &self,
        gathering: Gathering<'_, K>,
        stock: impl FnOnce() -> Result<Stock, Problem> + Send + 'static,
    ) -> Result<Received, Problem> {
        let manifest = gathering.fetcher.manifest().clone();
        let (looking, described) = (Arc::clone(gathering.sink), manifest.clone());
        let (wanted, missing) = on_disk(move || {
            let chunks = (0_u32..).zip(described.chunks());
            let lacking = chunks.filter(|(ordinal, chunk)| !looking.has(*ordinal, chunk));
            let (wanted, sizes): (Vec<u32>, Vec<u64>) = lacking
                .map(|(ordinal, chunk)| (ordinal, u64::from(chunk.bytes)))
                .unzip();
            let missing = Bytes(sizes.into_iter().sum());
            looking.reserve(missing)?;
            Ok((wanted, missing))
        })
        .await?;
        let (fetcher, progress) = (gathering.fetcher, gathering.progress);
        progress.begin(manifest.tree().bytes(), missing);
        let sink = Arc::new(Guarded::new(Arc::clone(gathering.sink)));
        let blocks = Blocks::cut(manifest.chunks());
        match blocks.filter(|_| missing.0 >= LEAST_BYTES && self.may_dial()) {
            None => fetcher.fetch(&wanted, &sink, progress).await?,
            Some(blocks) => {
                let mut lacks: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
                for ordinal in &wanted {
                    let block = blocks.block_of(*ordinal);
                    lacks.entry(block).or_default().push(*ordinal);
                }
                let mut going = Going {
                    gathering: &gathering,
                    stock: Arc::new(on_disk(stock).await?),
                    peers: self,
                    sink: Arc::clone(&sink),
                    blocks,
                    lacks,
                    contacts: BTreeMap::new(),
                    connections: BTreeMap::new(),
                    asks: Arc::default(),
                    running: FuturesUnordered::new(),
                    block_time: None,
                };
                going.fetch().await?;
            }
        }
        let sealing = Arc::clone(&sink);
        on_disk(move || sealing.seal()).await?;
        Ok(Received {
            chunks: wanted.len(),
            bytes: missing,
        })
    }
}

impl<'a, K: ChunkSink> Going<'a, K> {
    async fn fetch(&mut self) -> Result<(), Problem> {
        self.peers.offer(&self.stock);
        if let Err(problem) = self.follow_orders().await {
            if let Some(own) = self.sink.problem() {
                return Err(own);
            }
            if self.gathering.connection.close_reason().is_some() {
                return Err(problem);
            }
            tracing::debug!(%problem, "a tree is fetched without others");
        }
        self.running.clear();
        let rest: Vec<u32> = self.lacks.values().flatten().copied().collect();
        let Gathering {
            fetcher, progress, ..
        } = self.gathering;
        fetcher.fetch(&rest, &self.sink, *progress).await
    }

    /// Does as the coordinator says until nothing is lacking.
    async fn follow_orders(&mut self) -> Result<(), Problem> {
        let (mut tx, mut rx) = open(self.gathering, self.blocks.count(), self.words()).await?;
        self.running.push(self.serve());
        while !self.lacks.is_empty() {
            let news = tokio::select! {
                orders = rx.recv::<SwarmOrders>() => match orders? {
                    Some(orders) => self.take(orders),
                    None => return Err(broken("the orders ended too early")),
                },
                Some(ran) = self.running.next() => self.note(ran)?,
            };
            if news != SwarmNews::default() {
                tx.send(&news).await?;
            }
        }
        tx.finish();
        Ok(())
    }

    /// Fetches what the coordinator is asked for until it is over.
    fn serve(&self) -> BoxFuture<'a, Ran> {
        let fetcher = self.gathering.fetcher;
        let (asks, sink) = (Arc::clone(&self.asks), Arc::clone(&self.sink));
        async move {
            let served = fetcher.serve(&asks, &sink, &()).await;
            Ran::Over(
                served
                    .err()
                    .unwrap_or_else(|| broken("nothing is asked for")),
            )
        }
        .boxed()
    }

    /// Returns which blocks are lacking, a bit each.
    fn words(&self) -> Vec<u64> {
        let mut words = vec![0_u64; self.blocks.count().div_ceil(u64::BITS) as usize];
        for block in self.lacks.keys() {
            if let Some(word) = words.get_mut((block / u64::BITS) as usize) {
                *word |= 1 << (block % u64::BITS);
            }
        }
        words
    }

    /// Begins what is ordered. What cannot be done is said at once.
    fn take(&mut self, orders: SwarmOrders) -> SwarmNews {
        let mut news = SwarmNews::default();
        for contact in orders.contacts.into_iter().take(MAX_CONTACTS) {
            let machine = contact.grant.grant.from;
            if !self.contacts.contains_key(&machine) && self.contacts.len() < 2 * MAX_CONTACTS {
                let (peers, contact) = (self.peers.clone(), contact.clone());
                let dialled = async move { Ran::Dialled(machine, peers.reach(&contact).await) };
                self.running.push(dialled.boxed());
            }
            self.contacts.insert(machine, contact);
        }
        for order in orders.orders {
            match self.begin(order) {
                Some(running) => self.running.push(running),
                None => news.done.push(Done {
                    block: order.block,
                    from: order.from,
                    came: false,
                }),
            }
        }
        news
    }

    fn begin(&self, order: Order) -> Option<BoxFuture<'static, Ran>> {
        let lacks = self.lacks.get(&order.block)?.clone();
        if self.running.len() >= MAX_RUNNING {
            return None;
        }
        let sink = Arc::clone(&self.sink);
        let began = Instant::now();
        match order.from {
            Source::Coordinator => {
                let parts = self.gathering.fetcher.cut(&lacks).into_iter();
                let parts: Vec<_> = parts.map(|part| self.asks.push(part.to_vec())).collect();
                let fetching = async move {
                    if try_join_all(parts).await.is_err() {
                        // The streams have ended, and say themselves why.
                        return pending().await;
                    }
                    Ran::Block(order, began.elapsed(), Ok(()))
                };
                Some(fetching.boxed())
            }
            Source::Peer(machine) => {
                let connection = self.connections.get(&machine)?.clone();
                let grant = self.contacts.get(&machine)?.grant.clone();
                let manifest = self.gathering.fetcher.manifest().clone();
                let first = PeerStream::Chunks { grant };
                let fetcher = Fetcher::new(connection, first, manifest);
                let patience = self.patience();
                let fetching = async move {
                    let fetching = fetcher.fetch(&lacks, &sink, &());
                    let fetched = tokio::time::timeout(patience, fetching).await;
                    let fetched = fetched.unwrap_or_else(|_| Err(slow()));
                    Ran::Block(order, began.elapsed(), fetched)
                };
                Some(fetching.boxed())
            }
        }
    }

    /// Takes note of what came of something.
    ///
    /// # Errors
    /// It cannot go on: the coordinator refused, or what came cannot be kept.
    fn note(&mut self, ran: Ran) -> Result<SwarmNews, Problem> {
        let mut news = SwarmNews::default();
        match ran {
            Ran::Over(problem) => return Err(problem),
            Ran::Dialled(machine, None) => news.lost.push(Lost {
                machine,
                why: LostWhy::Unreachable,
            }),
            Ran::Dialled(machine, Some(connection)) => {
                self.connections.insert(machine, connection);
                news.reached.push(machine);
            }
            Ran::Block(order, took, Ok(())) => {
                self.came(order, took);
                news.done.push(done(order, true));
            }
            Ran::Block(order, _, Err(problem)) => {
                if let Some(own) = self.sink.problem() {
                    return Err(own);
                }
                let Source::Peer(machine) = order.from else {
                    return Err(problem);
                };
                tracing::debug!(%machine, %problem, "nothing more is fetched from another machine");
                self.connections.remove(&machine);
                news.done.push(done(order, false));
                let why = why(&problem);
                news.lost.push(Lost { machine, why });
            }
        }
        Ok(news)
    }

    fn came(&mut self, order: Order, took: Duration) {
        self.stock.came(self.blocks.ordinals(order.block));
        let past = self.block_time.unwrap_or(took);
        self.block_time = Some((past * 7 + took) / 8);
        let Some(ordinals) = self.lacks.remove(&order.block) else {
            return;
        };
        let chunks = self.gathering.fetcher.manifest().chunks();
        let sizes = ordinals
            .iter()
            .map(|ordinal| chunks[*ordinal as usize].bytes);
        let bytes: u64 = sizes.map(u64::from).sum();
        self.gathering.progress.advance(Bytes(bytes));
        if order.from != Source::Coordinator {
            let fetched = &self.peers.0.fetched;
            fetched.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Returns how long another machine may take for a block.
    fn patience(&self) -> Duration {
        let usual = self.block_time.map(|time| time * PATIENCE);
        usual.map_or(MOST_PATIENCE, |time| {
            time.clamp(LEAST_PATIENCE, MOST_PATIENCE)
        })
    }
}

/// Asks the coordinator for orders.
async fn open<K>(
    gathering: &Gathering<'_, K>,
    blocks: u32,
    lacks: Vec<u64>,
) -> Result<(FrameSender, FrameReceiver), Problem> {
    let stream = gathering.connection.open_bi().await;
    let (mut tx, rx) = split(stream.map_err(|error| close_problem(&error))?);
    let tree = gathering.fetcher.manifest().id();
    tx.send(&AgentStream::Swarm { tree, blocks }).await?;
    tx.send(&SwarmNews {
        lacks,
        ..SwarmNews::default()
    })
    .await?;
    Ok((tx, rx))
}

const fn done(order: Order, came: bool) -> Done {
    Done {
        block: order.block,
        from: order.from,
        came,
    }
}

fn why(problem: &Problem) -> LostWhy {
    match problem.code {
        Code::Checksum => LostWhy::Lied,
        Code::Busy => LostWhy::Slow,
        _ => LostWhy::Refused,
    }
}

fn slow() -> Problem {
    Problem::new(Code::Busy, "a block did not come", "it took too long")
}

pub(super) fn broken(why: &str) -> Problem {
    Problem::new(Code::Protocol, "others cannot be asked", why)
}
