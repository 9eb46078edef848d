//! Two connections joined: what comes from one goes to the other, counted, until both have ended, one breaks,
//! nothing moves for long, or the job has moved all that it may.

use std::{cell::Cell, io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::{Instant, sleep_until},
};

use super::count::{Count, Way};

/// Moved in one go; each connection has two of these.
const PIECE_BYTES: usize = 16 << 10;
/// Nothing either way for so long: whoever wanted it has forgotten it.
const IDLE: Duration = Duration::from_secs(600);

/// Joins the job's connection and the far one. `first` goes to the far end before anything else.
pub(super) async fn join(mut job: TcpStream, mut far: TcpStream, first: &[u8], count: &Count) {
    let moved = Cell::new(Instant::now());
    // Answers are not held back until there are more: programs on both sides know what they do.
    let _ = (job.set_nodelay(true), far.set_nodelay(true));
    let (mut from_job, mut to_job) = job.split();
    let (mut from_far, mut to_far) = far.split();
    let out = async {
        if !first.is_empty() {
            pass(&mut to_far, first, Way::Out, count).await?;
        }
        pump(&mut from_job, &mut to_far, Way::Out, count, &moved).await
    };
    let back = pump(&mut from_far, &mut to_job, Way::In, count, &moved);
    tokio::select! {
        // Which side broke is nothing that anybody could act on.
        _ = async { tokio::try_join!(out, back) } => {}
        () = idle(&moved) => {}
        () = count.spent() => {}
    }
}

async fn pump(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    way: Way,
    count: &Count,
    moved: &Cell<Instant>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = from.read(&mut piece).await?;
        moved.set(Instant::now());
        if length == 0 {
            return to.shutdown().await;
        }
        pass(to, &piece[..length], way, count).await?;
        moved.set(Instant::now());
    }
}

async fn pass(to: &mut WriteHalf<'_>, bytes: &[u8], way: Way, count: &Count) -> io::Result<()> {
    if !count.add(way, bytes.len()) {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    to.write_all(bytes).await
}

async fn idle(moved: &Cell<Instant>) {
    loop {
        let due = moved.get() + IDLE;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}
