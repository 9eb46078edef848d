//! A member's connection to the coordinator: one per command, its streams pipelined. Used by the command line;
//! the daemon has its own session as a machine.

pub(crate) mod credentials;
pub(crate) mod enrol;

use std::time::Duration;

use certs::{Identity, PrivateKey};
use common::{
    api::{Answer, Request, job::FollowEvent, job::FollowJob},
    code::Code,
    problem::Problem,
    time::Timestamp,
    wire::{ALPN_CLIENT, Hello, client::ClientStream, close},
};
use link::{
    endpoint::Dialer,
    frames::{self, FrameReceiver, FrameSender},
};
use tokio::{sync::Mutex, task::JoinHandle, time::timeout};

use credentials::{Credentials, Store};

/// How long a failed request waits for the reason that the coordinator may still be sending.
const REASON_WAIT: Duration = Duration::from_secs(1);

/// A signed-in member's connection.
#[derive(Debug)]
pub(crate) struct Client {
    connection: quinn::Connection,
    credentials: Credentials,
    identity: Identity,
    /// The coordinator's first words. Requests do not wait for them; a request that fails looks here for why.
    hello: Mutex<Option<JoinHandle<Result<(), Problem>>>>,
    /// Owns the socket.
    _dialer: Dialer,
}

impl Client {
    /// Connects as the member whose credentials are in `store`.
    pub(crate) async fn connect(store: &Store) -> Result<Self, Problem> {
        let credentials = store.load()?;
        let identity = store.identity()?;
        certs::install_crypto();
        let tls = certs::client_config(credentials.fingerprint, Some(&identity), ALPN_CLIENT)
            .map_err(|error| damaged(&error.to_string()))?;
        let dialer = dialer()?;
        let connection = dialer.dial(&credentials.address, tls).await?;
        let hello = greet(&connection).await?;
        Ok(Self {
            connection,
            credentials,
            identity,
            hello: Mutex::new(Some(hello)),
            _dialer: dialer,
        })
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(crate) fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    /// Asks one question on a stream of its own.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Answer, Problem> {
        match self.exchange(request).await {
            Ok(answer) => Ok(answer),
            Err(problem) => Err(self.reason(problem).await),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, Problem> {
        let mut receiver = self.send(request).await?;
        Ok(receiver.expect().await?)
    }

    async fn send(&self, request: &Request) -> Result<FrameReceiver, Problem> {
        let (mut sender, receiver) = self.open(&ClientStream::Request).await?;
        sender.send(request).await?;
        sender.finish();
        Ok(receiver)
    }

    /// Opens a stream that begins with `first`.
    async fn open(&self, first: &ClientStream) -> Result<(FrameSender, FrameReceiver), Problem> {
        let stream = self.connection.open_bi().await;
        let (mut sender, receiver) =
            frames::split(stream.map_err(|error| link::close_problem(&error))?);
        sender.send(first).await?;
        Ok((sender, receiver))
    }

    /// Begins to follow a job.
    pub(crate) async fn follow(&self, follow: FollowJob) -> Result<Follower, Problem> {
        match self.send(&Request::FollowJob(follow)).await {
            Ok(receiver) => Ok(Follower { receiver }),
            Err(problem) => Err(self.reason(problem).await),
        }
    }

    /// Returns why the coordinator refused the whole connection, where that is behind `problem`.
    async fn reason(&self, problem: Problem) -> Problem {
        if ![Code::Unreachable, Code::Protocol].contains(&problem.code) {
            return problem;
        }
        let Some(hello) = self.hello.lock().await.take() else {
            return problem;
        };
        match timeout(REASON_WAIT, hello).await {
            Ok(Ok(Err(refusal))) => refusal,
            _ => problem,
        }
    }

    /// Asks for a new certificate where two thirds of this one's life are over. The old one goes on to be good,
    /// so a failure only means that the next command tries again.
    pub(crate) async fn renew_if_due(&self, store: &Store, now: Timestamp) -> Result<(), Problem> {
        if now < self.identity.renew_at() {
            return Ok(());
        }
        let key = store.key()?;
        let csr = key.request().map_err(|error| damaged(&error.to_string()))?;
        match self.ask(&Request::RenewCertificate { csr }).await? {
            Answer::Certificate { chain } => store.save_identity(chain, &key),
            other => Err(unexpected(&other)),
        }
    }

    /// Says goodbye, so that the coordinator need not wait for the connection to time out.
    pub(crate) async fn close(self) {
        self.connection.close(close::DONE.into(), b"");
        // Lets the connection's own task send the farewell; nothing waits for an answer.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
}

/// A job's state and log as they come.
#[derive(Debug)]
pub(crate) struct Follower {
    receiver: FrameReceiver,
}

impl Follower {
    /// Returns the next event; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<FollowEvent>, Problem> {
        match self.receiver.recv().await? {
            Some(FollowEvent::End) | None => Ok(None),
            event => Ok(event),
        }
    }
}

/// Sends our hello on the connection's first stream, and leaves a task to read the other one.
async fn greet(connection: &quinn::Connection) -> Result<JoinHandle<Result<(), Problem>>, Problem> {
    let stream = connection.open_bi().await;
    let (mut sender, mut receiver) =
        frames::split(stream.map_err(|error| link::close_problem(&error))?);
    sender.send(&Hello::ours()).await?;
    sender.finish();
    Ok(tokio::spawn(async move {
        let theirs: Hello = receiver.expect().await?;
        let ours = Hello::ours();
        if ours.protocol.common(theirs.protocol).is_some() {
            return Ok(());
        }
        let why = format!(
            "this program is {}, the coordinator {}",
            ours.build, theirs.build
        );
        Err(Problem::new(
            Code::Version,
            "the two programs do not understand each other",
            why,
        ))
    }))
}

fn dialer() -> Result<Dialer, Problem> {
    Dialer::new().map_err(|error| {
        Problem::new(Code::Io, "cannot open a UDP socket", error.to_string())
            .help("Check the limits on open files and network rights of this account.")
    })
}

/// The coordinator answered something else than was asked.
pub(crate) fn unexpected(answer: &Answer) -> Problem {
    let text = format!("{answer:?}");
    let kind: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
    Problem::new(
        Code::Protocol,
        "the coordinator's answer makes no sense",
        format!("it answered `{kind}`"),
    )
}

fn damaged(why: &str) -> Problem {
    Problem::new(Code::NotSignedIn, "your credentials cannot be used", why)
}

/// Generates a key or says why not.
fn new_key() -> Result<PrivateKey, Problem> {
    PrivateKey::generate()
        .map_err(|error| Problem::new(Code::Internal, "cannot make a key", error.to_string()))
}
