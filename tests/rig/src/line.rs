//! A line with a rate, a delay and losses, each way: what the kernel's `netem` does where it has it.

use std::{
    collections::VecDeque,
    fs::File,
    io::{Read, Write},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rand::Rng;

use crate::tun;

/// How long a packet may wait for the ones before it; what would wait longer is dropped, as at a home router.
const MAX_WAIT: Duration = Duration::from_millis(50);
const MAX_PACKET_BYTES: usize = 64 << 10;

/// How good a line is, each way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quality {
    pub(crate) bytes_per_second: f64,
    pub(crate) delay: Duration,
    /// 0 to 1.
    pub(crate) loss: f64,
}

/// Packets on their way, by when they arrive.
#[derive(Debug, Default)]
struct Way {
    packets: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    more: Condvar,
}

/// Carries packets until the process is ended.
pub(crate) fn join(left: u32, right: u32, device: &str, quality: Quality) -> Result<()> {
    let (left, right) = (tun::open(left, device)?, tun::open(right, device)?);
    let mut threads = Vec::new();
    for (from, to) in [(&left, &right), (&right, &left)] {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        let way = Arc::new(Way::default());
        let entering = Arc::clone(&way);
        threads.push(thread::spawn(move || enter(from, &entering, quality)));
        threads.push(thread::spawn(move || leave(to, &way)));
    }
    println!("ready");
    for thread in threads {
        thread
            .join()
            .ok()
            .context("a thread of the line panicked")??;
    }
    Ok(())
}

/// Puts packets on their way.
fn enter(mut from: File, way: &Way, quality: Quality) -> Result<()> {
    let mut random = rand::rng();
    let mut packet = vec![0; MAX_PACKET_BYTES];
    // When the last packet has left the sender.
    let mut free = Instant::now();
    loop {
        // A device that is not up yet has nothing to say.
        let Ok(length) = from.read(&mut packet) else {
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let now = Instant::now();
        let begins = free.max(now);
        if begins - now > MAX_WAIT || random.random_bool(quality.loss) {
            continue;
        }
        free = begins + Duration::from_secs_f64(length as f64 / quality.bytes_per_second);
        let mut packets = way.packets.lock().unwrap_or_else(PoisonError::into_inner);
        packets.push_back((free + quality.delay, packet[..length].to_vec()));
        way.more.notify_one();
    }
}

/// Hands packets over when they have arrived.
fn leave(mut to: File, way: &Way) -> Result<()> {
    loop {
        let mut packets = way.packets.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, packet) = loop {
            match packets.pop_front() {
                Some(next) => break next,
                None => {
                    packets = way
                        .more
                        .wait(packets)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        };
        drop(packets);
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            thread::sleep(early);
        }
        // A device that went down loses packets, as a cable does.
        let _lost = to.write(&packet);
    }
}
