//! The skeleton: what a coordinator and an agent cost that decide nothing and isolate nothing. A client's job goes over
//! QUIC to the coordinator, into its book, over QUIC to the agent, to one of two threads that run `/bin/true`, and its end
//! comes back the same way, through the book again. Whatever waits goes into one durable commit. A message is 256 bytes
//! that begin with the job's number.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use redb::Database;
use tokio::{
    io::{AsyncReadExt, BufReader},
    sync::{Semaphore, mpsc},
};

use super::{
    book::{ROW_BYTES, put},
    spawn::start,
};
use crate::quic::{connect, runtime, server};

const MESSAGE_BYTES: usize = 256;
/// The agent runs so many programs at a time.
const RUNNERS: usize = 2;
/// Most jobs that a client has on their way, and room in every queue: with room for all, nobody waits for one another.
const IN_FLIGHT: usize = 16_384;
/// Most changes of one commit.
const BATCH: usize = 4096;
/// Most messages that are written at once.
const WRITTEN_AT_ONCE: usize = 256;
const READ_AHEAD_BYTES: usize = 64 << 10;

/// What who connects says first.
const CLIENT: u8 = 0;
const AGENT: u8 = 1;

type Outbox = mpsc::Sender<u64>;

/// What goes into the book.
enum Change {
    Submitted(u64, Outbox),
    Ended(u64),
    /// Where jobs go from now on.
    Agent(Outbox),
}

/// Serves until the process is ended.
pub(super) fn coordinator(address: SocketAddr, certificate: &Path, book: &Path) -> Result<()> {
    let book = Database::create(book)?;
    let (changes, waiting) = mpsc::channel(2 * IN_FLIGHT);
    thread::spawn(move || {
        if let Err(error) = keep(&book, waiting) {
            eprintln!("rig: the skeleton's book: {error:#}");
            std::process::exit(1);
        }
    });
    runtime()?.block_on(async {
        let endpoint = server(address, certificate)?;
        println!("ready");
        while let Some(incoming) = endpoint.accept().await {
            let changes = changes.clone();
            tokio::spawn(async move {
                let connection = incoming.await?;
                serve(&connection, changes).await
            });
        }
        Ok(())
    })
}

async fn serve(connection: &Connection, changes: mpsc::Sender<Change>) -> Result<()> {
    let (send, receive) = connection.accept_bi().await?;
    let mut messages = BufReader::with_capacity(READ_AHEAD_BYTES, receive);
    let who = messages.read_u8().await?;
    let (outbox, outgoing) = mpsc::channel(2 * IN_FLIGHT);
    tokio::spawn(write(send, outgoing));
    if who == AGENT {
        changes.send(Change::Agent(outbox.clone())).await?;
    }
    loop {
        let job = read(&mut messages).await?;
        let change = match who {
            AGENT => Change::Ended(job),
            _ => Change::Submitted(job, outbox.clone()),
        };
        changes.send(change).await?;
    }
}

/// The only writer: takes whatever waits, commits it, and passes it on.
fn keep(book: &Database, mut waiting: mpsc::Receiver<Change>) -> Result<()> {
    let mut agent = None;
    let mut submitters = HashMap::new();
    let mut batch = Vec::new();
    loop {
        batch.clear();
        let Some(first) = waiting.blocking_recv() else {
            return Ok(());
        };
        batch.push(first);
        while batch.len() < BATCH
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let rows = batch.iter().filter_map(|change| match change {
            Change::Submitted(job, _) => Some((*job, [1; ROW_BYTES])),
            Change::Ended(job) => Some((*job, [2; ROW_BYTES])),
            Change::Agent(_) => None,
        });
        put(book, rows)?;
        for change in batch.drain(..) {
            match change {
                Change::Agent(outbox) => {
                    // It waits for a word, so that nothing is submitted before it is known.
                    outbox.blocking_send(0)?;
                    agent = Some(outbox);
                }
                Change::Submitted(job, submitter) => {
                    submitters.insert(job, submitter);
                    let agent = agent.as_ref().context("no agent is there")?;
                    agent.blocking_send(job)?;
                }
                Change::Ended(job) => {
                    if let Some(submitter) = submitters.remove(&job) {
                        let _or_it_is_gone = submitter.blocking_send(job);
                    }
                }
            }
        }
    }
}

/// Serves until the process is ended.
pub(super) fn agent(address: SocketAddr, certificate: &Path, idle: bool) -> Result<()> {
    runtime()?.block_on(async {
        let (_endpoint, send, mut messages) = open(address, certificate, AGENT).await?;
        let (ended, outgoing) = mpsc::channel(IN_FLIGHT);
        tokio::spawn(write(send, outgoing));
        read(&mut messages).await?;
        println!("ready");
        let (jobs, waiting) = mpsc::channel::<u64>(IN_FLIGHT);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..RUNNERS {
            let (waiting, ended) = (Arc::clone(&waiting), ended.clone());
            thread::spawn(move || work(&waiting, &ended, idle));
        }
        loop {
            jobs.send(read(&mut messages).await?).await?;
        }
    })
}

/// One of the agent's threads: runs what comes until nothing comes any more.
fn work(waiting: &Mutex<mpsc::Receiver<u64>>, ended: &Outbox, idle: bool) {
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.blocking_recv()
    };
    while let Some(job) = next() {
        let run = if idle { Ok(()) } else { start(false) };
        if let Err(error) = run {
            eprintln!("rig: the skeleton's agent: {error:#}");
            std::process::exit(1);
        }
        if ended.blocking_send(job).is_err() {
            return;
        }
    }
}

/// Prints the milliseconds of each job, one after the other, or how many of them a second at once.
pub(super) fn client(
    address: SocketAddr,
    certificate: &Path,
    count: u32,
    at_once: bool,
) -> Result<()> {
    let first = u64::from(rand::random::<u32>()) << 32;
    let last = first + u64::from(count);
    runtime()?.block_on(async {
        let (endpoint, mut send, mut messages) = open(address, certificate, CLIENT).await?;
        if at_once {
            let begin = Instant::now();
            let (outbox, outgoing) = mpsc::channel(IN_FLIGHT);
            tokio::spawn(write(send, outgoing));
            let room = Arc::new(Semaphore::new(IN_FLIGHT));
            let sending = Arc::clone(&room);
            tokio::spawn(async move {
                for job in first..last {
                    sending.acquire().await?.forget();
                    outbox.send(job).await?;
                }
                // The stream has to stay until all ends have come.
                std::future::pending::<Result<()>>().await
            });
            for _ in 0..count {
                read(&mut messages).await?;
                room.add_permits(1);
            }
            println!("{:.1}", f64::from(count) / begin.elapsed().as_secs_f64());
        } else {
            for job in first..last {
                let begin = Instant::now();
                send.write_all(&message(job)).await?;
                ensure!(read(&mut messages).await? == job, "another job ended");
                println!("{:.4}", begin.elapsed().as_secs_f64() * 1000.0);
            }
        }
        drop(endpoint);
        Ok(())
    })
}

async fn open(
    address: SocketAddr,
    certificate: &Path,
    who: u8,
) -> Result<(Endpoint, SendStream, BufReader<RecvStream>)> {
    let mut transport = TransportConfig::default();
    // Whoever is still there while others are measured.
    transport.max_idle_timeout(None);
    let (endpoint, connection) = connect(address, certificate, transport).await?;
    let (mut send, receive) = connection.open_bi().await?;
    send.write_all(&[who]).await?;
    let messages = BufReader::with_capacity(READ_AHEAD_BYTES, receive);
    Ok((endpoint, send, messages))
}

/// Writes whatever waits, many messages at once.
async fn write(mut stream: SendStream, mut outgoing: mpsc::Receiver<u64>) -> Result<()> {
    let mut jobs = Vec::new();
    while outgoing.recv_many(&mut jobs, WRITTEN_AT_ONCE).await > 0 {
        let bytes: Vec<u8> = jobs.drain(..).flat_map(message).collect();
        stream.write_all(&bytes).await?;
    }
    Ok(())
}

async fn read(messages: &mut BufReader<RecvStream>) -> Result<u64> {
    let mut message = [0; MESSAGE_BYTES];
    messages.read_exact(&mut message).await?;
    let [a, b, c, d, e, f, g, h, ..] = message;
    Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
}

fn message(job: u64) -> [u8; MESSAGE_BYTES] {
    let mut message = [0; MESSAGE_BYTES];
    message[..8].copy_from_slice(&job.to_le_bytes());
    message
}
