//! The daemons that are connected to a supervisor: usually one, none while it restarts.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::AsFd as _,
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use rustix::event::{PollFd, PollFlags};

use super::protocol::{MAX_MESSAGE_BYTES, Order, Report, decode, encode};

/// Most connections at once; further ones are closed.
const MAX_VISITORS: usize = 4;
/// How long the last word may take to be taken.
const FAREWELL: Duration = Duration::from_secs(1);

/// All connections of one supervisor.
#[derive(Debug)]
pub(super) struct Visitors {
    listener: UnixListener,
    connected: Vec<Visitor>,
}

#[derive(Debug)]
struct Visitor {
    stream: UnixStream,
    received: Vec<u8>,
    unsent: Vec<u8>,
    /// Length of the log that was said last.
    logged: u64,
    gone: bool,
}

impl Visitors {
    pub(super) fn new(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            connected: Vec::new(),
        })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.connected.is_empty()
    }

    /// Returns what to wait for.
    pub(super) fn waiting(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listener = PollFd::new(&self.listener, PollFlags::IN);
        let visitors = self.connected.iter().map(|visitor| {
            let mut wanted = PollFlags::IN;
            wanted.set(PollFlags::OUT, !visitor.unsent.is_empty());
            PollFd::from_borrowed_fd(visitor.stream.as_fd(), wanted)
        });
        std::iter::once(listener).chain(visitors)
    }

    /// Lets in who came, and returns what was ordered. `so_far` is what a newcomer should hear.
    pub(super) fn serve(&mut self, so_far: &[Report]) -> Vec<Order> {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.connected.len() < MAX_VISITORS && stream.set_nonblocking(true).is_ok() {
                self.connected.push(Visitor {
                    stream,
                    received: Vec::new(),
                    unsent: so_far.iter().flat_map(encode).collect(),
                    logged: 0,
                    gone: false,
                });
            }
        }
        let orders = self.connected.iter_mut().flat_map(Visitor::read).collect();
        self.flush();
        orders
    }

    /// Tells everybody.
    pub(super) fn tell(&mut self, report: &Report) {
        for visitor in &mut self.connected {
            visitor.unsent.extend(encode(report));
        }
        self.flush();
    }

    /// Tells everybody how long the log is, unless they are still busy with what they were told before.
    pub(super) fn tell_logged(&mut self, bytes: u64) {
        for visitor in &mut self.connected {
            if visitor.unsent.is_empty() && visitor.logged < bytes {
                visitor.logged = bytes;
                visitor.unsent = encode(&Report::Logged { bytes });
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        self.connected.iter_mut().for_each(Visitor::write);
        self.connected.retain(|visitor| !visitor.gone);
    }

    /// Says the last word.
    pub(super) fn part(mut self, report: &Report) {
        for mut visitor in self.connected.drain(..) {
            visitor.unsent.extend(encode(report));
            let stream = &mut visitor.stream;
            // Who is gone finds it in the folder.
            let _ = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_write_timeout(Some(FAREWELL)))
                .and_then(|()| stream.write_all(&visitor.unsent));
        }
    }
}

impl Visitor {
    fn read(&mut self) -> Vec<Order> {
        let mut piece = [0; 4096];
        while self.received.len() <= MAX_MESSAGE_BYTES {
            match self.stream.read(&mut piece) {
                Ok(0) => {
                    self.gone = true;
                    break;
                }
                Ok(count) => self.received.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
        let mut orders = Vec::new();
        loop {
            match decode(&mut self.received) {
                Ok(Some(order)) => orders.push(order),
                Ok(None) => return orders,
                Err(_) => {
                    self.gone = true;
                    return orders;
                }
            }
        }
    }

    fn write(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => {
                    self.unsent.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}
