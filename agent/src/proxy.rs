//! A job's way to the internet: one small process per attempt, which accepts connections inside the job's network
//! namespace and makes them outside, to public addresses only.
//!
//! Started by the attempt's supervisor with the listening socket, which the sandbox's first process made, as
//! standard input; what it has to tell ([`Word`]) goes to standard output. Nothing of the machine's network is in
//! the sandbox. The process has no rights but to resolve names and to connect: see `confine`. It ends with its
//! supervisor.
//!
//! HTTP (`CONNECT`, and plain `http://` addresses) and SOCKS 5 at one port. Names are resolved here, every address
//! that comes of it is judged by `agent_core::address`, and exactly those that passed are dialled: a name cannot
//! mean something else a moment later.

mod confine;
pub(crate) mod interfaces;

mod head;
mod socks;
mod target;

mod dial;
mod listen;
mod relay;

mod count;

use std::{ffi::OsString, io, net::TcpListener, os::fd::OwnedFd, rc::Rc, time::Duration};

use agent_core::sandbox_plan::ProxyRules;
use rustix::stdio::stdin;
use serde::{Deserialize, Serialize};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

use self::{count::Count, dial::Host, listen::Proxy};

pub(crate) use self::{count::Word, interfaces::addresses as own_addresses};

/// Threads that wait for name servers; connections that need one wait for each other beyond.
const RESOLVERS: usize = 8;
const RESOLVER_STACK_BYTES: usize = 512 << 10;
/// How often what was counted is told.
const TELL_PERIOD: Duration = Duration::from_millis(500);

/// What a proxy is started with, as its one argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProxyTask {
    pub(crate) rules: ProxyRules,
    /// The user to become, where the supervisor is root.
    pub(crate) uid: Option<u32>,
}

/// Is the proxy. `None` is that it could not begin.
pub(crate) fn main(task: &OsString) -> Option<i32> {
    let task: ProxyTask = serde_json::from_str(task.to_str()?).ok()?;
    let listener = TcpListener::from(take_over().ok()?);
    confine::confine(task.uid).ok()?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder
        .enable_all()
        .max_blocking_threads(RESOLVERS)
        .thread_stack_size(RESOLVER_STACK_BYTES)
        .build()
        .ok()?;
    let served = LocalSet::new().block_on(&runtime, serve(listener, task.rules));
    // Whatever still waits for a name server ends with the process.
    runtime.shutdown_background();
    served.ok().map(|()| 0)
}

fn take_over() -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(stdin(), 3)?)
}

/// Serves until it is asked to end, or nobody is there to be told.
async fn serve(listener: TcpListener, rules: ProxyRules) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut end = signal(SignalKind::terminate())?;
    let count = Rc::new(Count::new(rules.most_bytes)?);
    let proxy = Rc::new(Proxy::new(Host, rules.denied, Rc::clone(&count)));
    let mut tick = tokio::time::interval(TELL_PERIOD);
    let accepting = listen::accept(proxy, listener);
    tokio::pin!(accepting);
    loop {
        tokio::select! {
            () = &mut accepting => return Ok(()),
            _ = end.recv() => break,
            _ = tick.tick() => if !count.tell() {
                break;
            },
        }
    }
    count.tell();
    Ok(())
}

#[cfg(test)]
mod tests;
