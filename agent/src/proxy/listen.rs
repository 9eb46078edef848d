//! Takes connections from inside the sandbox, hears what each wants, and sees to it; a bounded number at a time.

use std::{io, net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_local,
    time::{sleep, timeout},
};

use super::{
    count::Count,
    dial::{NotDialled, Outside, dial},
    head::{self, BadHead, MAX_HEAD_BYTES, Request},
    relay, socks,
    target::Target,
};

/// Most connections at once; further ones wait in the kernel's queue, and beyond that in the job.
pub(super) const MAX_CONNECTIONS: usize = 256;
/// How long a connection may take to say what it wants, from its first byte to the last.
const HEAD: Duration = Duration::from_secs(10);
/// How long an answer of our own may take to be taken.
const ANSWER: Duration = Duration::from_secs(5);
/// After an error that is not the connection's: too many open files, most likely.
const REST: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Debug)]
pub(super) struct Proxy<O> {
    outside: O,
    denied: Vec<IpAddr>,
    count: Rc<Count>,
    room: Arc<Semaphore>,
}

impl<O: Outside + 'static> Proxy<O> {
    pub(super) fn new(outside: O, denied: Vec<IpAddr>, count: Rc<Count>) -> Self {
        Self {
            outside,
            denied,
            count,
            room: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let wanted = timeout(HEAD, hear(&mut stream)).await;
        let Ok(wanted) = wanted else {
            return say(
                &mut stream,
                "408 Request Timeout",
                "the request did not come in time",
            )
            .await;
        };
        match wanted? {
            Wanted::Nothing => Ok(()),
            Wanted::Bad(why) => say(&mut stream, "400 Bad Request", &why.to_string()).await,
            Wanted::Socks(target) => match self.dial(&target).await {
                Ok(far) => {
                    socks::Reply::Connected.send(&mut stream).await?;
                    relay::join(stream, far, &[], &self.count).await;
                    Ok(())
                }
                Err(error) => socks::Reply::to(&error).send(&mut stream).await,
            },
            Wanted::Http { request, rest } => self.request(stream, request, &rest).await,
        }
    }

    async fn request(
        &self,
        mut stream: TcpStream,
        request: Request,
        rest: &[u8],
    ) -> io::Result<()> {
        let (target, head) = match &request {
            Request::Connect(target) => (target, None),
            Request::Forward { target, head } => (target, Some(head)),
        };
        let far = match self.dial(target).await {
            Ok(far) => far,
            Err(error) => return say(&mut stream, status(&error), &error.to_string()).await,
        };
        let first = match head {
            Some(head) => [head.as_slice(), rest].concat(),
            None => {
                stream
                    .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .await?;
                rest.to_vec()
            }
        };
        relay::join(stream, far, &first, &self.count).await;
        Ok(())
    }

    async fn dial(&self, target: &Target) -> Result<TcpStream, NotDialled> {
        if let Some(most) = self.count.exhausted() {
            return Err(NotDialled::Spent { most });
        }
        let dialled = dial(&self.outside, target, &self.denied).await;
        if let Err(error @ NotDialled::Forbidden { .. }) = &dialled {
            self.count.say(&error.to_string());
        }
        dialled
    }
}

/// Accepts connections until nobody can connect any more. Never more at once than there is room for.
pub(super) async fn accept<O: Outside + 'static>(proxy: Rc<Proxy<O>>, listener: TcpListener) {
    loop {
        let Ok(room) = Arc::clone(&proxy.room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                sleep(REST).await;
                continue;
            }
        };
        let proxy = Rc::clone(&proxy);
        spawn_local(async move {
            // What broke is a connection of the job's, which sees that itself.
            let _ = proxy.serve(stream).await;
            drop(room);
        });
    }
}

/// What a connection wants.
enum Wanted {
    /// It left, or was answered already.
    Nothing,
    Bad(BadHead),
    Socks(Target),
    /// And what came after the head.
    Http {
        request: Request,
        rest: Vec<u8>,
    },
}

async fn hear(stream: &mut TcpStream) -> io::Result<Wanted> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(Wanted::Nothing);
    }
    if first[0] == socks::VERSION {
        let target = socks::hear(stream).await?;
        return Ok(target.map_or(Wanted::Nothing, Wanted::Socks));
    }
    let mut heard = Vec::with_capacity(1024);
    loop {
        let more = u64::try_from(MAX_HEAD_BYTES.saturating_sub(heard.len())).unwrap_or(0);
        if (&mut *stream).take(more).read_buf(&mut heard).await? == 0 && more > 0 {
            return Ok(Wanted::Nothing);
        }
        match head::parse(&heard) {
            Ok(None) => {}
            Ok(Some((request, length))) => {
                let rest = heard.split_off(length);
                return Ok(Wanted::Http { request, rest });
            }
            Err(why) => return Ok(Wanted::Bad(why)),
        }
    }
}

/// Answers and hangs up.
async fn say(stream: &mut TcpStream, status: &str, text: &str) -> io::Result<()> {
    let answer = head::answer(status, text);
    let answered = timeout(ANSWER, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // What the program is still sending has to be taken, or the answer is lost with the connection.
        let mut sink = [0; 4096];
        while stream.read(&mut sink).await? > 0 {}
        Ok(())
    });
    answered.await.unwrap_or(Ok(()))
}

fn status(error: &NotDialled) -> &'static str {
    match error {
        NotDialled::Forbidden { .. } | NotDialled::Spent { .. } => "403 Forbidden",
        NotDialled::TooSlow => "504 Gateway Timeout",
        NotDialled::Unresolved { .. } | NotDialled::Unconnected(_) => "502 Bad Gateway",
        NotDialled::Interfaces(_) => "500 Internal Server Error",
    }
}
